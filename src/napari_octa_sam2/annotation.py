"""The annotation of one image in a viewer: prompt layers, labels, objects, undo.

Needs no Qt: it works on a `napari.components.ViewerModel` as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.engine.results import SliceResult, label_dtype
from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.layers import (
    BOX,
    NEGATIVE,
    POSITIVE,
    SYMBOLS,
    as_slices,
    box_features,
    box_prompts,
    box_vertices,
    foreign_points,
    image_slices,
    layer_geometry,
    object_colormap,
    point_features,
    point_position,
    point_prompts,
)
from napari_octa_sam2.prompts import Prompt, PromptObject, PromptSet
from napari_octa_sam2.volume import AXES

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Points, Shapes

UNDO_STEPS = 100
SETTLED = ("added", "removed", "changed")


@dataclass(frozen=True)
class Edit:
    """The prompts that an object now has on a slice."""

    object: int
    slice: int
    prompts: tuple[Prompt, ...]


class Annotation:
    """What a user makes of one image layer.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    image : napari.layers.Image
        Two- or three-dimensional and grey; it is never changed.
    on_edit : callable
        Called after prompts changed; take what changed with `take_edits`.

    Raises
    ------
    VolumeError
        If the image cannot be segmented.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        on_edit: Callable[[], None] = lambda: None,
    ) -> None:
        self.viewer = viewer
        self.image = image
        self.data = image_slices(image)
        self.geometry = layer_geometry(image)
        self.objects: dict[int, PromptObject] = {1: PromptObject(1)}
        self.current = 1
        self.positive = True
        self.labels = self._add_labels()
        self.boxes = self._add_boxes()
        self.points = self._add_points()
        # What a painted-in prompt cannot be shown as: masks and "absent" records.
        self._other: list[Prompt] = []
        self._synced: dict[tuple[int, int], list[Prompt]] = {}
        self._history: list[PromptSet] = [self.prompts()]
        self._on_edit = on_edit
        self._quiet = False
        self.points.events.data.connect(self._data_changed)
        self.boxes.events.data.connect(self._data_changed)

    def close(self) -> None:
        """Stop listening; the layers stay."""
        self.points.events.data.disconnect(self._data_changed)
        self.boxes.events.data.disconnect(self._data_changed)
        with contextlib.suppress(ValueError):
            self.points.mouse_drag_callbacks.remove(self._choose_polarity)

    # objects ---------------------------------------------------------------

    def add_object(self) -> PromptObject:
        """Add an object, make it the current one and return it."""
        new = PromptObject(max(self.objects, default=0) + 1)
        self.objects[new.id] = new
        self.select_object(new.id)
        return new

    def select_object(self, object_id: int) -> None:
        """Make an object the one that new prompts belong to."""
        self.current = object_id
        self.labels.selected_label = object_id
        self._set_defaults()

    def rename_object(self, object_id: int, name: str, cls: str | None = None) -> None:
        """Give an object a name, and a class where `cls` is not None."""
        old = self.objects[object_id]
        self.objects[object_id] = replace(old, name=name, cls=cls or old.cls)
        self._write_names()

    def remove_object(self, object_id: int) -> None:
        """Remove an object, its prompts and its pixels; `undo` brings prompts back."""
        kept = [p for p in self.prompts().prompts if p.object != object_id]
        del self.objects[object_id]
        if not self.objects:
            self.objects[1] = PromptObject(1)
        self.show(PromptSet(tuple(self.objects.values()), tuple(kept)))
        self.labels.data[self.labels.data == object_id] = 0
        self.labels.refresh()
        self.select_object(min(self.objects))
        self._record()

    # prompts ---------------------------------------------------------------

    def set_polarity(self, positive: bool) -> None:
        """Make new points positive or negative."""
        self.positive = positive
        self._set_defaults()

    def prompts(self) -> PromptSet:
        """Return the prompts as they are drawn now."""
        drawn = [*box_prompts(self.boxes), *point_prompts(self.points), *self._other]
        return PromptSet(tuple(self.objects.values()), tuple(drawn))

    def take_edits(self) -> list[Edit]:
        """Return what changed since the last call, by object and slice.

        Raises
        ------
        PromptError
            If a prompt lies outside the image. It is taken back, the others stay.
        """
        prompts = self.prompts()
        try:
            for prompt in prompts.prompts:
                prompt.check_inside(self.data.shape)
        except PromptError:
            self._take_back_outside()
            raise
        groups = prompts.by_slice()
        edits = [
            Edit(*key, tuple(groups.get(key, ())))
            for key in sorted({*groups, *self._synced})
            if groups.get(key) != self._synced.get(key)
        ]
        self._synced = groups
        return edits

    def resend(self) -> None:
        """Make `take_edits` return every prompt again, for a new session."""
        self._synced = {}

    def undo(self) -> bool:
        """Take the last change of prompts back; return whether there was one."""
        if len(self._history) < 2:
            return False
        self._history.pop()
        self.show(self._history[-1])
        return True

    def show(self, prompts: PromptSet) -> None:
        """Draw `prompts` in place of the present ones."""
        drawable = [p for p in prompts.prompts if p.mask is None and not p.absent]
        ndim = self.image.ndim
        positions, objects, labels = [], [], []
        for p in drawable:
            for point, label in zip(p.points, p.labels, strict=True):
                positions.append(point_position(p, point, ndim))
                objects.append(p.object)
                labels.append("positive" if label else "negative")
        boxed = [p for p in drawable if p.box is not None]
        self.objects = {o.id: o for o in prompts.objects} or {1: PromptObject(1)}
        with self._silently():
            self._other = [p for p in prompts.prompts if p not in drawable]
            self.points.data = np.array(positions, float).reshape(-1, ndim)
            self.points.features = point_features(objects, labels)
            self._style_points()
            self.boxes.selected_data = set(range(len(self.boxes.data)))
            self.boxes.remove_selected()
            if boxed:
                self.boxes.add_rectangles([box_vertices(p, ndim) for p in boxed])
                self.boxes.features = box_features([p.object for p in boxed])
        if self.current not in self.objects:
            self.select_object(min(self.objects))
        self._set_defaults()
        self._write_names()
        self._on_edit()

    def load_prompts(self, path: str | Path) -> None:
        """Draw the prompts of a file in place of the present ones.

        Raises
        ------
        PromptError
            If the file is malformed or does not fit the image; nothing changes then.
        """
        prompts = PromptSet.read(path)
        for prompt in prompts.prompts:
            prompt.check_inside(self.data.shape)
        self.show(prompts)
        self._record()

    def adopt_points(self, layer: Points) -> int:
        """Add the points of another layer to the current object; return how many.

        They are positive unless the layer's features hold ``label`` ``"negative"``.
        """
        found = foreign_points(layer, self.image)
        label = layer.features.get("label")
        labels = ["positive"] * len(found) if label is None else list(label)
        with self._silently():
            for position, one in zip(found, labels, strict=True):
                self.points.feature_defaults = point_features(
                    [self.current], [str(one)]
                )
                self.points.add(position)
        self._set_defaults()
        self._edited()
        return len(found)

    # results ---------------------------------------------------------------

    def apply(self, result: SliceResult) -> None:
        """Write the masks of a slice into the labels; the caller refreshes."""
        self._make_room(max(result.logits, default=0))
        result.write_into(as_slices(self.labels.data)[result.slice])

    @property
    def shown_slice(self) -> int:
        """Index of the slice on screen."""
        if self.image.ndim == 2:
            return 0
        position = self.image.world_to_data(self.viewer.dims.point[-self.image.ndim :])
        return int(np.clip(round(float(position[0])), 0, len(self.data) - 1))

    # layers ----------------------------------------------------------------

    def _common(self) -> dict[str, Any]:
        return {
            "scale": self.image.scale,
            "translate": self.image.translate,
            "rotate": self.image.rotate,
            "shear": self.image.shear,
            "units": self.image.units,
            "axis_labels": self.image.axis_labels or AXES[-self.image.ndim :],
        }

    def _add_labels(self) -> Labels:
        shape = self.image.data.shape
        layer = self.viewer.add_labels(
            np.zeros(shape, np.uint8),
            name=f"{self.image.name} segmentation",
            colormap=object_colormap(),
            **self._common(),
        )
        layer.metadata.update({"names": {}, "classes": {}})
        return layer

    def _add_points(self) -> Points:
        layer = self.viewer.add_points(
            np.empty((0, self.image.ndim)),
            name=f"{self.image.name} clicks",
            features=point_features([], []),
            size=max(self.data.shape[1:]) / 40,
            border_color="white",
            **self._common(),
        )
        layer.mouse_drag_callbacks.insert(0, self._choose_polarity)
        self.points = layer
        self._set_defaults()
        return layer

    def _add_boxes(self) -> Shapes:
        return self.viewer.add_shapes(
            None,
            ndim=self.image.ndim,
            name=f"{self.image.name} boxes",
            features=box_features([]),
            edge_color=BOX,
            face_color="transparent",
            edge_width=max(self.data.shape[1:]) / 300,
            **self._common(),
        )

    def _choose_polarity(self, layer: Points, event: Any) -> None:
        """Make a click with Ctrl or Alt the opposite of the chosen polarity."""
        other = any(str(m) in ("Control", "Alt") for m in event.modifiers)
        self._set_defaults(self.positive != other)

    def _set_defaults(self, positive: bool | None = None) -> None:
        positive = self.positive if positive is None else positive
        label = "positive" if positive else "negative"
        with self._silently():
            self.points.feature_defaults = point_features([self.current], [label])
            self.points.selected_data = set()
            self.points.current_face_color = POSITIVE if positive else NEGATIVE
            self.points.current_symbol = SYMBOLS[label]
            self.boxes.selected_data = set()
            self.boxes.feature_defaults = box_features([self.current])

    def _style_points(self) -> None:
        labels = list(self.points.features["label"])
        if labels:
            self.points.symbol = [SYMBOLS[label] for label in labels]
            self.points.face_color = [
                POSITIVE if label == "positive" else NEGATIVE for label in labels
            ]

    def _make_room(self, largest_id: int) -> None:
        if label_dtype(largest_id)(0).itemsize > self.labels.data.dtype.itemsize:
            self.labels.data = self.labels.data.astype(label_dtype(largest_id))

    def _write_names(self) -> None:
        self.labels.metadata["names"] = {o.id: o.name for o in self.objects.values()}
        self.labels.metadata["classes"] = {o.id: o.cls for o in self.objects.values()}

    # editing ---------------------------------------------------------------

    def _data_changed(self, event: Any) -> None:
        if not self._quiet and str(event.action) in SETTLED:
            self._edited()

    def _edited(self) -> None:
        with self._silently():
            self.points.selected_data = set()
        self._record()
        self._on_edit()

    def _record(self) -> None:
        self._history = [*self._history, self.prompts()][-UNDO_STEPS:]

    def _take_back_outside(self) -> None:
        def inside(prompt: Prompt) -> bool:
            try:
                prompt.check_inside(self.data.shape)
            except PromptError:
                return False
            return True

        prompts = self.prompts()
        kept = tuple(filter(inside, prompts.prompts))
        self.show(PromptSet(prompts.objects, kept))
        self._history[-1] = self.prompts()

    @contextlib.contextmanager
    def _silently(self) -> Iterator[None]:
        before = self.__dict__.get("_quiet", True)
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = before
