"""The layer of boxes, scribbles and outlines."""

from __future__ import annotations

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
from napari_octa_sam2.prompt_layers.shapes import (
    LINES,
    MADE_BY,
    OUTLINES,
    PATH,
    POLYGON,
    RECTANGLE,
    as_box,
    as_polygon,
    as_scribble,
    drawn_shapes,
)
from napari_octa_sam2.prompts import Prompt

if TYPE_CHECKING:
    import pandas as pd
    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

BOX, OUTLINE = "#56B4E9", "#CC79A7"
SETTLED = ("added", "removed", "changed")


class ShapeLayer:
    """Shapes of one image, and which of them is being drawn.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    image : napari.layers.Image
    on_begin : callable
        Called before a shape is added, to say with `expect` what it carries.
    on_change : callable
        Called after one was added, changed or removed; never for what is half drawn.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        on_begin: Callable[[], None],
        on_change: Callable[[], None],
    ) -> None:
        self._ndim, self._size = image.ndim, image.data.shape[-2:]
        self._on_begin, self._on_change = on_begin, on_change
        self._half_drawn: tuple[int, str] | None = None  # shape and drawing mode
        layer = viewer.add_shapes(
            None,
            ndim=image.ndim,
            name=f"{image.name} shapes",
            features=feature_table([], [], []),
            edge_color=BOX,
            face_color="transparent",
            edge_width=max(self._size) / 300,
            **grid_arguments(image),
        )
        # a plugin's viewer hands out layers that hide what is private
        self.layer: Shapes = getattr(layer, "__wrapped__", layer)
        self.layer.events.data.connect(self._changed)

    def close(self) -> None:
        """Stop listening; the layer stays."""
        self.layer.events.data.disconnect(self._changed)

    def expect(self, features: pd.DataFrame) -> None:
        """Let the next shape carry a row of features."""
        if self._half_drawn is None:  # else the cursor moves what is selected
            self.layer.selected_data = set()
            kind = MADE_BY.get(str(self.layer.mode), RECTANGLE)
            self.layer.current_edge_color = _edge_colour(kind, features["label"][0])
        self.layer.feature_defaults = features

    def read(self) -> Iterator[tuple[Key, str, Any]]:
        """Yield for each shape its key, the field of `Prompt` it fills and the value.

        What is half drawn, has no extent or runs through several slices says nothing.
        """
        drawn = self.layer.data, self.layer.shape_type, feature_rows(self.layer)
        for number, (data, kind, row) in enumerate(zip(*drawn, strict=True)):
            slices = {round(float(v[0])) for v in data} if self._ndim > 2 else {0}
            half_drawn = self._half_drawn is not None and number == self._half_drawn[0]
            if half_drawn or len(slices) > 1:
                continue
            object_id, step, label = row
            field, value = self._meaning(kind, np.asarray(data)[:, -2:], label)
            if value is not None:
                yield (step, object_id, slices.pop()), field, value

    def draw(self, prompts: Iterable[tuple[int, Prompt]]) -> None:
        """Draw the shapes of prompts in place of all; `on_change` is not called."""
        data, kinds, rows = [], [], []
        for step, prompt in prompts:
            for kind, vertices, label in drawn_shapes(prompt):
                at = np.insert(np.array(vertices, float), 0, prompt.slice, axis=1)
                data.append(at[:, -self._ndim :])
                kinds.append(kind)
                rows.append((prompt.object, step, polarity(label)))
        with self.layer.events.data.blocker(self._changed):
            self._give_up()
            self.layer.data = []
            if data:
                self.layer.add(data, shape_type=kinds)
        columns = zip(*rows, strict=True) if rows else ((), (), ())
        self.layer.features = feature_table(*columns)
        self._style()

    def _meaning(self, kind: str, vertices: np.ndarray, label: int) -> tuple[str, Any]:
        if kind in OUTLINES:
            return "polygon", as_polygon(vertices, kind)
        if kind in LINES:
            return "scribbles", as_scribble(vertices, label, self._size)
        return "box", as_box(vertices)

    def _changed(self, event: Any) -> None:
        action = str(event.action)
        if action == "adding":
            self._on_begin()
            self._half_drawn = len(self.layer.data), str(self.layer.mode)
        elif action in SETTLED:
            self._match_features(event.data_indices)
            if action != "added" or self._is_finished():
                self._style()
                self._on_change()

    def _is_finished(self) -> bool:
        """Return whether the shape that was begun came to be one."""
        if self._half_drawn is None:
            return False
        (number, mode), self._half_drawn = self._half_drawn, None
        # napari does so after this event, too late for changes that follow from it
        self.layer._is_creating = False
        kinds = self.layer.shape_type
        if number >= len(kinds):
            return False
        given_up = mode != str(self.layer.mode)
        if given_up and MADE_BY.get(mode) == POLYGON and kinds[number] == PATH:
            with self.layer.events.data.blocker(self._changed):
                self.layer.remove([number])
            return False
        return True

    def _give_up(self) -> None:
        """End what is half drawn, though the mouse may be down."""
        if self._half_drawn is not None:
            self._half_drawn = None
            # napari's gesture would go on with a shape that is gone, and fail
            self.layer._mouse_drag_gen.clear()
            self.layer._persisted_mouse_event.clear()

    def _match_features(self, removed: Iterable[int]) -> None:
        """Remove the features of a shape that napari removed without them."""
        features, count = self.layer.features, len(self.layer.data)
        if len(features) > count:
            rows = features.index[np.array([*removed], int)]
            self.layer.features = features.drop(rows)[:count]

    def _style(self) -> None:
        shapes = [
            *zip(self.layer.shape_type, self.layer.features["label"], strict=True)
        ]
        if shapes:
            self.layer.edge_color = [_edge_colour(*shape) for shape in shapes]


def _edge_colour(shape_type: str, name: str) -> str:
    if shape_type in LINES:
        return COLOURS[name]
    return OUTLINE if shape_type in OUTLINES else BOX
