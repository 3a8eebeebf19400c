"""The Segment dock's talk with the engine, without a window and without threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from napari_octa_sam2.annotation import Annotation
from napari_octa_sam2.engine.record import run_record
from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.model.loading import load_model
from napari_octa_sam2.project.store import About, Project, begin
from napari_octa_sam2.volume.geometry import ScanGeometry


class Driver:
    """An annotation, and the engine that answers it when `work` is called.

    Parameters
    ----------
    annotation : Annotation
    """

    def __init__(self, viewer: Any, image: Any, project: Project | None) -> None:
        self.annotation = Annotation(viewer, image, self.send, project)
        self.viewer = viewer
        self._inbox: deque[Any] = deque()
        self._session: Any = None
        self._models: dict[str, Any] = {}

    @property
    def is_open(self) -> bool:
        """Whether there is a session."""
        return self._session is not None

    def open(self, name: str, model: Any = None) -> None:
        """Load a model, unless it is given, and begin a session with it."""
        annotation = self.annotation
        another = self._session is not None
        self._inbox.clear()
        shown = another or not annotation.document.labelled_slices()
        annotation.engine.resend(shown=shown)
        self.send()
        if name not in self._models:
            self._models[name] = load_model(name) if model is None else model
        self._session = Session(annotation.data, self._models[name], device="cpu")
        record = run_record(self._session)
        annotation.labels.metadata["record"] = record
        annotation.engine.opened(name, record)

    def send(self) -> None:
        """Queue what changed."""
        self._inbox += self.annotation.engine.take_edits()

    def work(self) -> None:
        """Answer everything that is queued, but for what was overtaken."""
        self.send()
        while self._inbox and self._session is not None:
            edit = self._inbox.popleft()
            place = (edit.object, edit.slice)
            if any((later.object, later.slice) == place for later in self._inbox):
                continue
            result = self._session.set_prompts(*place, edit.prompts)
            self.annotation.engine.answered(result, edit)

    def propagate(
        self,
        direction: str = "both",
        slices: range | None = None,
        meanwhile: Callable[[int], bool | None] = lambda number: False,
    ) -> int:
        """Follow the objects that are not locked; return how many slices were visited.

        `meanwhile` is what the user does after each slice, by its number; where it
        returns True, the propagation is cancelled.
        """
        annotation = self.annotation
        self.send()
        free = [o.id for o in annotation.objects.values() if not o.locked]
        self.work()
        span = slices or range(len(annotation.data))
        arguments = {
            "direction": direction,
            "slices": span,
            "objects": free,
            "only_stale": True,
            "only_changed": True,
        }
        visits = len(self._session.plan(**arguments))
        annotation.engine.began(direction, span, free, visits)
        cancelled, number = False, 0
        for number, result in enumerate(self._session.propagate(**arguments), start=1):
            annotation.engine.visited(result)
            cancelled = bool(meanwhile(number))
            if cancelled:
                break
            self.work()
        annotation.engine.ended(cancelled=cancelled)
        self.work()
        return number

    # what the user does ------------------------------------------------------

    def go_to(self, index: int) -> None:
        """Show a slice."""
        self.viewer.dims.set_current_step(0, index)

    def click(self, index: int, row: float, col: float, positive: bool = True) -> None:
        """Click on the current object."""
        self.annotation.drawn.set_polarity(positive)
        self.annotation.points.add([index, row, col])

    def paint(self, index: int, row: int, col: int, value: int, size: int = 6) -> None:
        """Paint a square spot with the brush."""
        self.go_to(index)
        labels = self.annotation.labels
        labels.mode = "paint"
        labels.brush_size = size
        with labels.block_history():  # as a stroke of the mouse
            labels.paint((index, row, col), value)


def tissue(depth: int = 6, side: int = 64) -> np.ndarray:
    """Return bright tubes on a dark ground, uint8, with noise."""
    rng = np.random.default_rng(5)
    data = rng.integers(0, 60, (depth, side, side))
    for index in range(depth):
        data[index, 20 + index : 26 + index] += 120
        data[index, :, 40:44] += 90
    return data.astype(np.uint8)


def begun(data: np.ndarray, source: str | None = None) -> Project:
    """Begin a project of a volume."""
    geometry = ScanGeometry((0.01, 0.02, 0.02), "mm")
    return begin(About.of(data, "tissue", source, geometry))


def random_action(
    driver: Driver,
    rng: np.random.Generator,
    nested: bool = False,
    network: bool = True,
) -> None:
    """Do something that a user may do; `nested` is during a propagation."""
    annotation = driver.annotation
    index, row, col = (int(rng.integers(0, n)) for n in annotation.data.shape)
    driver.go_to(index)
    match rng.integers(0, 6 if nested else 8 + network):
        case 0 | 1 | 2:
            driver.click(index, row, col, bool(rng.integers(0, 3)))
        case 3:
            driver.paint(index, row, col, int(rng.integers(0, 3)))
        case 4:
            annotation.add_object()
        case 5:
            annotation.toggle_lock()
        case 6:
            annotation.undo()
        case 7:
            annotation.redo()
        case _:
            if any(p.positive for p in annotation.prompts().prompts):
                driver.work()
                until = int(rng.integers(1, 8))

                def meanwhile(number: int) -> bool:
                    random_action(driver, rng, nested=True)
                    return number == until

                free = [o.id for o in annotation.objects.values() if not o.locked]
                known = {p.object for p in annotation.prompts().prompts}
                if known & set(free):
                    driver.propagate("both", None, meanwhile)
    if rng.integers(0, 2):
        driver.work()
