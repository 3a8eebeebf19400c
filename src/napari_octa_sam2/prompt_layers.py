"""Prompts as a user sees them: a layer of clicks and one of boxes.

Each click and box carries, as features, whose it is and the number of the interaction
(``step``) that it belongs to. So prompts are read back in the order in which they were
made, and what was given together stays together. A class asked for as a whole has no
place to be drawn at; it is kept by the same key.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.layers import grid_arguments
from napari_octa_sam2.prompts import Prompt

if TYPE_CHECKING:
    import pandas as pd
    from napari.components import ViewerModel
    from napari.layers import Image, Points, Shapes

# Okabe and Ito's colours, told apart with every kind of colour vision.
POSITIVE, NEGATIVE, BOX = "#009E73", "#D55E00", "#56B4E9"
COLOURS = {"positive": POSITIVE, "negative": NEGATIVE}
SYMBOLS = {"positive": "cross", "negative": "hbar"}
SETTLED = ("added", "removed", "changed")
Key = tuple[int, int, int]  # step, object, slice


class PromptLayers:
    """The layers that hold the prompts of one image.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    image : napari.layers.Image
        Two- or three-dimensional; the layers share its grid.
    on_change : callable
        Called when the user added, moved or removed a prompt.
    """

    def __init__(
        self, viewer: ViewerModel, image: Image, on_change: Callable[[], None]
    ) -> None:
        self.positive = self._click_is_positive = True
        self._object = 1
        self._ndim = image.ndim
        self._on_change = on_change
        self._quiet = False
        self._classes: dict[Key, str] = {}
        # What layers cannot draw: masks and "absent" records, by step.
        self._undrawn: list[tuple[int, Prompt]] = []
        side = max(image.data.shape[-2:])
        self.boxes: Shapes = viewer.add_shapes(
            None,
            ndim=image.ndim,
            name=f"{image.name} boxes",
            features=_features([], [], None),
            edge_color=BOX,
            face_color="transparent",
            edge_width=side / 300,
            **grid_arguments(image),
        )
        self.points: Points = viewer.add_points(
            np.empty((0, image.ndim)),
            name=f"{image.name} clicks",
            features=_features([], [], []),
            size=side / 40,
            border_color="white",
            **grid_arguments(image),
        )
        self.points.mouse_drag_callbacks.insert(0, self._choose_polarity)
        self.points.events.data.connect(self._data_changed)
        self.boxes.events.data.connect(self._data_changed)
        self._set_defaults()

    def close(self) -> None:
        """Stop listening; the layers stay."""
        self.points.events.data.disconnect(self._data_changed)
        self.boxes.events.data.disconnect(self._data_changed)
        with contextlib.suppress(ValueError):
            self.points.mouse_drag_callbacks.remove(self._choose_polarity)

    def set_object(self, object_id: int) -> None:
        """Make an object the one that new prompts belong to."""
        self._object = object_id
        self._set_defaults()

    def set_polarity(self, positive: bool) -> None:
        """Make new clicks positive or negative."""
        self.positive = self._click_is_positive = positive
        self._set_defaults()

    def read(self) -> tuple[Prompt, ...]:
        """Return the prompts as they are drawn, in the order of their making."""
        boxes = self._read_boxes()
        points = self._read_points()
        found = [
            (key[0], self._prompt(boxes.get(key), points.get(key, []), key))
            for key in {**self._classes, **boxes, **points}
        ]
        found += self._undrawn
        return tuple(prompt for _, prompt in sorted(found, key=lambda pair: pair[0]))

    def draw(self, prompts: Iterable[Prompt]) -> None:
        """Draw `prompts` in place of the present ones, without calling back."""
        self._classes, self._undrawn = {}, []
        positions: list[list[float]] = []
        point_rows: list[tuple[int, int, str]] = []
        corners: list[np.ndarray] = []
        box_rows: list[tuple[int, int]] = []
        for step, p in enumerate(prompts):
            if p.mask is not None or p.absent:
                self._undrawn.append((step, p))
            if p.whole is not None:
                self._classes[step, p.object, p.slice] = p.whole
            if p.box is not None:
                corners.append(self._corners(p.slice, p.box))
                box_rows.append((p.object, step))
            for point, label in zip(p.points, p.labels, strict=True):
                positions.append(self._position(p.slice, point))
                point_rows.append((p.object, step, "positive" if label else "negative"))
        with self._silently():
            self._draw_points(positions, point_rows)
            self.boxes.selected_data = set(range(len(self.boxes.data)))
            self.boxes.remove_selected()
            if corners:
                self.boxes.add_rectangles(corners)
                objects, steps = zip(*box_rows, strict=True)
                self.boxes.features = _features(objects, steps, None)
        self._set_defaults()

    def add_points(self, positions: np.ndarray, labels: Iterable[str]) -> None:
        """Add clicks of the current object, one interaction each."""
        with self._silently():
            for position, label in zip(positions, labels, strict=True):
                step = [self._next_step()]
                defaults = _features([self._object], step, [label])
                self.points.feature_defaults = defaults
                self.points.add(position)
            self._style(list(self.points.features["label"]))
        self._set_defaults()

    def add_class(self, index: int, cls: str) -> None:
        """Add a class prompt of the current object on slice `index`.

        Raises
        ------
        PromptError
            If `cls` is none of `napari_octa_sam2.prompts.SEGMENTABLE`.
        """
        asked = Prompt(self._object, index, whole=cls)
        self._classes[self._next_step(), asked.object, asked.slice] = cls
        self._set_defaults()

    def _read_points(self) -> dict[Key, list[tuple[float, float, str]]]:
        found: dict[Key, list[tuple[float, float, str]]] = {}
        features = self.points.features
        rows = zip(features["object"], features["step"], features["label"], strict=True)
        for position, (object_id, step, label) in zip(
            self.points.data, rows, strict=True
        ):
            index, row, col = self._three(position)
            key = int(step), int(object_id), round(index)
            found.setdefault(key, []).append((row, col, str(label)))
        return found

    def _read_boxes(self) -> dict[Key, tuple[float, float, float, float]]:
        found = {}
        features = self.boxes.features
        rows = zip(features["object"], features["step"], strict=True)
        for vertices, (object_id, step) in zip(self.boxes.data, rows, strict=True):
            corners = np.array([self._three(v) for v in vertices])
            (row0, col0), (row1, col1) = corners[:, 1:].min(0), corners[:, 1:].max(0)
            if row0 < row1 and col0 < col1:
                key = int(step), int(object_id), round(float(corners[:, 0].mean()))
                found[key] = (float(row0), float(col0), float(row1), float(col1))
        return found

    def _prompt(
        self,
        box: tuple[float, float, float, float] | None,
        points: list[tuple[float, float, str]],
        key: Key,
    ) -> Prompt:
        _, object_id, index = key
        return Prompt(
            object_id,
            index,
            tuple((row, col) for row, col, _ in points),
            tuple(int(label == "positive") for *_, label in points),
            box,
            whole=self._classes.get(key),
        )

    def _draw_points(
        self, positions: list[list[float]], rows: list[tuple[int, int, str]]
    ) -> None:
        self.points.data = np.array(positions, float).reshape(-1, self._ndim)
        objects, steps, labels = zip(*rows, strict=True) if rows else ((), (), ())
        self.points.features = _features(objects, steps, labels)
        self._style(list(labels))

    def _style(self, labels: list[str]) -> None:
        if labels:
            self.points.symbol = [SYMBOLS[label] for label in labels]
            self.points.face_color = [COLOURS[label] for label in labels]

    def _set_defaults(self, positive: bool | None = None) -> None:
        positive = self.positive if positive is None else positive
        label = "positive" if positive else "negative"
        step = [self._next_step()]
        with self._silently():
            self.points.selected_data = set()
            self.boxes.selected_data = set()
            self.points.feature_defaults = _features([self._object], step, [label])
            self.boxes.feature_defaults = _features([self._object], step, None)
            self.points.current_face_color = COLOURS[label]
            self.points.current_symbol = SYMBOLS[label]

    def _next_step(self) -> int:
        steps = [*self.points.features["step"], *self.boxes.features["step"]]
        steps += [step for step, *_ in (*self._classes, *self._undrawn)]
        return int(max(steps, default=-1)) + 1

    def _choose_polarity(self, layer: Points, event: Any) -> None:
        """Make a click with Ctrl or Alt the opposite of the chosen polarity."""
        other = any(m.name in ("Control", "Alt") for m in event.modifiers)
        self._click_is_positive = self.positive != other

    def _data_changed(self, event: Any) -> None:
        if self._quiet:
            return
        if str(event.action) == "adding":
            # napari takes its defaults from the prompt that is selected
            self._set_defaults(self._click_is_positive)
        elif str(event.action) in SETTLED:
            self._on_change()

    def _position(self, index: int, point: tuple[float, float]) -> list[float]:
        return [float(index), *point][-self._ndim :]

    def _corners(
        self, index: int, box: tuple[float, float, float, float]
    ) -> np.ndarray:
        row0, col0, row1, col1 = box
        corners = [(row0, col0), (row0, col1), (row1, col1), (row1, col0)]
        return np.array([self._position(index, corner) for corner in corners])

    def _three(self, position: Iterable[float]) -> tuple[float, float, float]:
        index, row, col = ([0.0] + [float(v) for v in position])[-3:]
        return index, row, col

    @contextlib.contextmanager
    def _silently(self) -> Iterator[None]:
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before


def _features(
    objects: Iterable[int], steps: Iterable[int], labels: Iterable[str] | None
) -> pd.DataFrame:
    import pandas as pd

    columns = {"object": np.array([*objects], int), "step": np.array([*steps], int)}
    if labels is not None:
        columns["label"] = np.array([*labels], object)
    return pd.DataFrame(columns)
