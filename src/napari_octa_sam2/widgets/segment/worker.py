"""The one owner of worker threads: requests in, responses out in the GUI thread."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker

from napari_octa_sam2.errors import OctaError

if TYPE_CHECKING:
    import numpy as np

    from napari_octa_sam2.annotation import Edit
    from napari_octa_sam2.engine.results import SliceResult
    from napari_octa_sam2.model.loading import LoadedModel
    from napari_octa_sam2.project.document import Document

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Open:
    """Load a model and begin a session on a volume."""

    data: np.ndarray
    model: str
    device: str
    attention: str = "exact"


@dataclass(frozen=True)
class Prepare:
    """Have a model that needs no download in memory before it is asked for."""

    model: str


@dataclass(frozen=True)
class Preview:
    """Answer the prompts that an object now has on a slice."""

    edit: Edit


@dataclass(frozen=True)
class Propagate:
    """Follow objects through the slices."""

    direction: str
    slices: range
    objects: tuple[int, ...]


@dataclass(frozen=True)
class Check:
    """Follow objects back from their ends; compare with the labels of a document."""

    slices: range
    objects: tuple[int, ...]
    document: Document


@dataclass(frozen=True, eq=False)
class Save:
    """Write what `write` writes; nothing else is waited for."""

    write: Callable[[], None]


@dataclass(frozen=True)
class Prefetch:
    """Encode slices that are likely to be clicked on next, while there is time."""

    slices: tuple[int, ...]


Request = Open | Prepare | Preview | Propagate | Check | Save | Prefetch


@dataclass(frozen=True, eq=False)
class Opened:
    """The session is ready.

    The record names model, device and versions; `classes` are those that the model can
    be asked for as a whole.
    """

    request: Open
    record: dict[str, Any]
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Answered:
    """The answer to an edit."""

    result: SliceResult
    edit: Edit


@dataclass(frozen=True, eq=False)
class Began:
    """A propagation has begun, of at most so many slices."""

    request: Propagate
    slices: int


@dataclass(frozen=True, eq=False)
class Visited:
    """A slice of a propagation is done, the `number`-th."""

    result: SliceResult
    request: Propagate
    number: int


@dataclass(frozen=True, eq=False)
class Checked:
    """How well both directions agree on a slice, by object; `number` of `steps`."""

    slice: int
    agreement: Mapping[int, float]
    number: int
    steps: int


@dataclass(frozen=True)
class Ended:
    """A propagation or a check has ended after `step` of at most `steps` slices."""

    step: int
    steps: int
    cancelled: bool = False
    checked: bool = False

    @property
    def text(self) -> str:
        """What the user is told."""
        if self.checked:
            return f"Both directions compared on {self.step} slices" + (
                f" of {self.steps}; stopped." if self.cancelled else "."
            )
        if self.steps == 0:
            return "Every slice of the range follows from the prompts already."
        if self.cancelled:
            return (
                f"Stopped after {self.step} of {self.steps} slices; what is done is "
                "kept. Propagate goes on from here."
            )
        if self.step < self.steps:
            return (
                f"Propagated {self.step} slices; the other {self.steps - self.step} "
                "stay as they were, for the masks before them did not change."
            )
        return f"Propagated {self.steps} slices."


@dataclass(frozen=True)
class Message:
    """Something the user should know; `failed` names the request it ended."""

    text: str
    failed: str = ""


Response = Opened | Answered | Began | Visited | Checked | Ended | Message


class EngineRunner:
    """Runs requests one after the other, in a thread that lives while there are any.

    Parameters
    ----------
    respond : callable
        Called in the GUI thread with each response of the present session.
    """

    def __init__(self, respond: Callable[[Response], None]) -> None:
        self._respond = respond
        self._inbox: deque[tuple[Request, threading.Event]] = deque()
        self._messages: deque[str] = deque()
        self._cancel = threading.Event()
        self._worker: Any = None
        self._session: Any = None
        self._generation = 0
        self._prepared: dict[str, LoadedModel] = {}
        self.download: tuple[int, int | None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a request is being worked on."""
        return self._worker is not None

    def submit(self, request: Request) -> None:
        """Queue a request; opening another session drops all that came before."""
        if isinstance(request, Open):
            self._generation += 1
            self._inbox.clear()
            self._cancel.set()
        if self._cancel.is_set():
            # A cancel is for what was asked before it, begun or not.
            self._cancel = threading.Event()
        self._queue(request)
        self._ensure_worker()

    def cancel(self) -> None:
        """End the propagation or download in progress, within one slice."""
        self._cancel.set()

    def close(self) -> None:
        """Drop everything; a running slice ends unheard."""
        self._generation += 1
        self._inbox.clear()
        self._cancel.set()
        if self._worker is not None:
            self._worker.quit()

    def _queue(self, request: Request) -> None:
        """Queue a request; a click, with what is known of its slice, waits for none.

        That is, for no masks that were given and are shown already.
        """
        waiting: list[tuple[Request, threading.Event]] = []
        if isinstance(request, Preview) and request.edit.shown:
            with suppress(IndexError):  # the worker takes from the other end
                while _can_wait(self._inbox[-1][0]):
                    waiting.insert(0, self._inbox.pop())
        index = request.edit.slice if isinstance(request, Preview) else None
        waiting.sort(key=lambda queued: queued[0].edit.slice != index)
        here = sum(queued[0].edit.slice == index for queued in waiting)
        waiting.insert(here, (request, self._cancel))
        self._inbox.extend(waiting)

    def _ensure_worker(self) -> None:
        if self._worker is None and self._inbox:
            self._worker = create_worker(self._work, _start_thread=False)
            self._worker.yielded.connect(self._deliver)
            self._worker.finished.connect(self._finished)
            self._worker.start()

    def _deliver(self, item: tuple[int, Response]) -> None:
        generation, response = item
        if generation == self._generation:
            self._respond(response)

    def _finished(self) -> None:
        self._worker = None
        self._ensure_worker()

    # The rest runs in the worker's thread.

    def _work(self) -> Iterator[tuple[int, Response]]:
        while self._inbox:
            try:
                request, cancel = self._inbox.popleft()
            except IndexError:
                return
            generation = self._generation
            for response in self._guarded(request, cancel):
                while self._messages:
                    yield generation, Message(self._messages.popleft())
                yield generation, response

    def _guarded(self, request: Request, cancel: threading.Event) -> Iterator[Response]:
        name = type(request).__name__
        try:
            yield from self._handle(request, cancel)
        except OctaError as error:
            yield Message(str(error), failed=name)
        except Exception as error:
            logger.exception("%s failed", name)
            reason = f"{type(error).__name__}: {error}"
            yield Message(f"{name.lower()} failed unexpectedly: {reason}", failed=name)

    def _handle(self, request: Request, cancel: threading.Event) -> Iterator[Response]:
        if isinstance(request, Open):
            yield from self._open(request, cancel)
        elif isinstance(request, Prepare):
            self._prepare(request)
        elif isinstance(request, Save):
            request.write()
        elif self._session is None:
            return
        elif isinstance(request, Prefetch):
            for _ in self._session.prefetch(request.slices):
                if self._inbox:
                    break
        elif isinstance(request, Preview):
            edit = request.edit
            if not self._overtaken(edit):
                result = self._session.set_prompts(
                    edit.object, edit.slice, edit.prompts
                )
                yield Answered(result, edit)
        elif isinstance(request, Check):
            yield from self._check(request, cancel)
        else:
            yield from self._propagate(request, cancel)

    def _prepare(self, request: Prepare) -> None:
        import napari_octa_sam2.engine.session  # noqa: F401
        from napari_octa_sam2.model.loading import load_model
        from napari_octa_sam2.model.registry import get_entry, model_names

        if request.model in model_names() and not get_entry(request.model).url:
            self._prepared[request.model] = load_model(request.model)

    def _open(self, request: Open, cancel: threading.Event) -> Iterator[Response]:
        from napari_octa_sam2.engine.record import run_record
        from napari_octa_sam2.engine.session import Session
        from napari_octa_sam2.model.download import cache_folder
        from napari_octa_sam2.model.loading import load_model

        self._session = None

        def progress(done: int, total: int | None) -> None:
            self.download = (done, total)

        # a session may change its model, so that each one has its own
        model = self._prepared.pop(request.model, None)
        try:
            model = model or load_model(
                request.model, progress=progress, cancelled=cancel.is_set
            )
        finally:
            self.download = None
        self._session = Session(
            request.data,
            model,
            device=request.device,
            attention=request.attention,
            feature_folder=cache_folder() / "features",
            notify=self._messages.append,
        )
        yield Opened(request, run_record(self._session), model.classes)

    def _propagate(
        self, request: Propagate, cancel: threading.Event
    ) -> Iterator[Response]:
        # corrections cost what they change
        arguments = {
            "direction": request.direction,
            "slices": request.slices,
            "objects": request.objects,
            "only_stale": True,
            "only_changed": True,
        }
        total = len(self._session.plan(**arguments))
        yield Began(request, total)
        number, cancelled = 0, False
        for result in self._session.propagate(**arguments):
            number += 1
            yield Visited(result, request, number)
            if cancel.is_set():
                cancelled = True
                break
            yield from self._interrupted()
        yield Ended(number, total, cancelled=cancelled)

    def _check(self, request: Check, cancel: threading.Event) -> Iterator[Response]:
        done = 0, 0

        def progress(number: int, total: int) -> None:
            nonlocal done
            done = number, total

        checks = self._session.check_both_ways(
            request.slices,
            objects=request.objects,
            labels=request.document.volume(),
            progress=progress,
        )
        for index, agreement in checks:
            yield Checked(index, agreement, *done)
            if cancel.is_set():
                break
            yield from self._interrupted()
        yield Ended(*done, cancelled=cancel.is_set(), checked=True)

    def _interrupted(self) -> Iterator[Response]:
        """Answer clicks made meanwhile."""
        while self._inbox and isinstance(self._inbox[0][0], Preview | Save):
            yield from self._guarded(*self._inbox.popleft())

    def _overtaken(self, edit: Edit) -> bool:
        """Whether a later edit of the same place comes before any other work."""
        place = (edit.object, edit.slice)
        for later, _ in list(self._inbox):
            if isinstance(later, Propagate | Check):
                return False
            if isinstance(later, Preview) and place == (
                later.edit.object,
                later.edit.slice,
            ):
                return True
        return False


def _can_wait(request: Request) -> bool:
    """Whether nobody waits for the answer."""
    return isinstance(request, Preview) and not request.edit.shown
