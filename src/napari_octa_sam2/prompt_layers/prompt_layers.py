"""The layers that prompts are drawn in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.layers import grid_arguments
from napari_octa_sam2.prompt_layers.features import (
    COLOURS,
    Key,
    feature_rows,
    feature_table,
    polarity,
)
from napari_octa_sam2.prompt_layers.shape_layer import SETTLED, ShapeLayer
from napari_octa_sam2.prompts import Prompt

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Points, Shapes

SYMBOLS = {"positive": "cross", "negative": "hbar"}


class PromptLayers:
    """The layers that hold the prompts of one image.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    image : napari.layers.Image
        Two- or three-dimensional; the layers share its grid.
    on_change : callable
        Called when the user added, moved or removed a prompt.

    Attributes
    ----------
    points : napari.layers.Points
        Clicks.
    shapes : napari.layers.Shapes
        Boxes, scribbles and outlines.
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
        self._drawn = ShapeLayer(viewer, image, self._shape_begins, on_change)
        self.shapes: Shapes = self._drawn.layer
        self.points: Points = viewer.add_points(
            np.empty((0, image.ndim)),
            name=f"{image.name} clicks",
            features=feature_table([], [], []),
            size=max(image.data.shape[-2:]) / 40,
            border_color="white",
            **grid_arguments(image),
        )
        self.points.events.data.connect(self._points_changed)
        for layer in (self.points, self.shapes):
            layer.mouse_drag_callbacks.insert(0, self._choose_polarity)
        self._set_defaults()

    def close(self) -> None:
        """Stop listening; the layers stay."""
        self._drawn.close()
        self.points.events.data.disconnect(self._points_changed)
        for layer in (self.points, self.shapes):
            with contextlib.suppress(ValueError):
                layer.mouse_drag_callbacks.remove(self._choose_polarity)

    def set_object(self, object_id: int) -> None:
        """Make an object the one that new prompts belong to."""
        self._object = object_id
        self._set_defaults()

    def set_polarity(self, positive: bool) -> None:
        """Make new clicks and scribbles positive or negative."""
        self.positive = self._click_is_positive = positive
        self._set_defaults()

    def read(self) -> tuple[Prompt, ...]:
        """Return the prompts as they are drawn, in the order of their making."""
        parts: dict[Key, dict[str, Any]] = {
            key: {"whole": cls} for key, cls in self._classes.items()
        }
        outlines: list[tuple[int, Prompt]] = []
        for key, field, value in self._drawn.read():
            if field == "polygon":  # goes with nothing else
                outlines.append((key[0], Prompt(*key[1:], polygon=value)))
                continue
            given = parts.setdefault(key, {})
            if field == "scribbles":
                value = (*given.get(field, ()), value)
            given[field] = value
        self._read_points(parts)
        found = [(key[0], Prompt(*key[1:], **given)) for key, given in parts.items()]
        found += outlines + self._undrawn
        return tuple(prompt for _, prompt in sorted(found, key=lambda pair: pair[0]))

    def draw(self, prompts: Iterable[Prompt]) -> None:
        """Draw `prompts` in place of the present ones, without calling back."""
        steps = list(enumerate(prompts))
        self._undrawn = [(i, p) for i, p in steps if p.mask is not None or p.absent]
        self._classes = {
            (step, p.object, p.slice): p.whole
            for step, p in steps
            if p.whole is not None
        }
        with self._silently():
            self._draw_points(steps)
            self._drawn.draw(steps)
        self._set_defaults()

    def add_points(self, positions: np.ndarray, labels: Iterable[str]) -> None:
        """Add clicks of the current object, one interaction each."""
        with self._silently():
            for position, label in zip(positions, labels, strict=True):
                step = [self._next_step()]
                defaults = feature_table([self._object], step, [label])
                self.points.feature_defaults = defaults
                self.points.add(position)
            self._style_points()
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

    def _read_points(self, parts: dict[Key, dict[str, Any]]) -> None:
        """Put the clicks into the arguments of their prompts."""
        for position, (object_id, step, label) in zip(
            self.points.data, feature_rows(self.points), strict=True
        ):
            index, row, col = ([0.0] + [float(v) for v in position])[-3:]
            given = parts.setdefault((step, object_id, round(index)), {})
            given["points"] = (*given.get("points", ()), (row, col))
            given["labels"] = (*given.get("labels", ()), label)

    def _draw_points(self, prompts: list[tuple[int, Prompt]]) -> None:
        positions, rows = [], []
        for step, p in prompts:
            for point, label in zip(p.points, p.labels, strict=True):
                positions.append([float(p.slice), *point][-self._ndim :])
                rows.append((p.object, step, polarity(label)))
        self.points.data = np.array(positions, float).reshape(-1, self._ndim)
        columns = zip(*rows, strict=True) if rows else ((), (), ())
        self.points.features = feature_table(*columns)
        self._style_points()

    def _style_points(self) -> None:
        labels = list(self.points.features["label"])
        if labels:
            self.points.symbol = [SYMBOLS[label] for label in labels]
            self.points.face_color = [COLOURS[label] for label in labels]

    def _set_defaults(self, positive: bool | None = None) -> None:
        name = polarity(self.positive if positive is None else positive)
        defaults = feature_table([self._object], [self._next_step()], [name])
        with self._silently():
            self.points.selected_data = set()
            self.points.feature_defaults = defaults
            self.points.current_face_color = COLOURS[name]
            self.points.current_symbol = SYMBOLS[name]
            self._drawn.expect(defaults)

    def _next_step(self) -> int:
        steps = [*self.points.features["step"], *self.shapes.features["step"]]
        steps += [step for step, *_ in (*self._classes, *self._undrawn)]
        return int(max(steps, default=-1)) + 1

    def _choose_polarity(self, layer: Points | Shapes, event: Any) -> None:
        """Make what is drawn with Ctrl or Alt the opposite of the chosen polarity."""
        other = any(m.name in ("Control", "Alt") for m in event.modifiers)
        self._click_is_positive = self.positive != other

    def _points_changed(self, event: Any) -> None:
        if self._quiet:
            return
        if str(event.action) == "adding":
            # napari takes its defaults from the prompt that is selected
            self._set_defaults(self._click_is_positive)
        elif str(event.action) in SETTLED:
            self._on_change()

    def _shape_begins(self) -> None:
        self._set_defaults(self._click_is_positive)

    @contextlib.contextmanager
    def _silently(self) -> Iterator[None]:
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before
