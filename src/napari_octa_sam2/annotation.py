"""The annotation of one image in a viewer: objects, prompts, labels, undo.

Needs no Qt: it works on a `napari.components.ViewerModel` as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_octa_sam2.engine.results import SliceResult, label_dtype
from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.layers import (
    as_slices,
    foreign_points,
    grid_arguments,
    image_slices,
    layer_geometry,
    object_colormap,
)
from napari_octa_sam2.prompt_layers import PromptLayers
from napari_octa_sam2.prompts import Prompt, PromptObject, PromptSet
from napari_octa_sam2.volume.writers import write_labels

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer, Points

UNDO_STEPS = 100


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
        self.labels: Labels = viewer.add_labels(
            np.zeros(image.data.shape, np.uint8),
            name=f"{image.name} segmentation",
            colormap=object_colormap(),
            **grid_arguments(image),
        )
        self.drawn = PromptLayers(viewer, image, self._edited)
        self._on_edit = on_edit
        self._write_names()
        self._synced: dict[tuple[int, int], list[Prompt]] = {}
        self._history: list[PromptSet] = [self.prompts()]

    @property
    def points(self) -> Points:
        """The layer of clicks."""
        return self.drawn.points

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that the annotation has added, from bottom to top."""
        return self.labels, self.drawn.boxes, self.drawn.points

    @property
    def shown_slice(self) -> int:
        """Index of the slice on screen."""
        if self.image.ndim == 2:
            return 0
        position = self.image.world_to_data(self.viewer.dims.point[-self.image.ndim :])
        return int(np.clip(round(float(position[0])), 0, len(self.data) - 1))

    def put_layers_back(self) -> list[Layer]:
        """Add the layers that were removed from the viewer again; return them."""
        gone = [layer for layer in self.layers if layer not in self.viewer.layers]
        for layer in gone:
            self.viewer.layers.append(layer)
        return gone

    def close(self) -> None:
        """Stop listening; the layers stay."""
        self.drawn.close()

    def add_object(self) -> PromptObject:
        """Add an object, make it the current one and return it."""
        new = PromptObject(max(self.objects, default=0) + 1)
        self.objects[new.id] = new
        self._write_names()
        self.select_object(new.id)
        return new

    def select_object(self, object_id: int) -> None:
        """Make an object the one that new prompts belong to."""
        self.current = object_id
        self.labels.selected_label = object_id
        self.drawn.set_object(object_id)

    def rename_object(self, object_id: int, name: str, cls: str | None = None) -> None:
        """Give an object a name, and a class where `cls` is not None."""
        old = self.objects[object_id]
        self.objects[object_id] = replace(old, name=name, cls=cls or old.cls)
        self._write_names()

    def remove_object(self, object_id: int) -> None:
        """Remove an object, its prompts and its pixels; `undo` brings prompts back."""
        kept = tuple(p for p in self.prompts().prompts if p.object != object_id)
        objects = tuple(o for o in self.objects.values() if o.id != object_id)
        self.show(PromptSet(objects, kept))
        self.labels.data[self.labels.data == object_id] = 0
        self.labels.refresh()
        self._record()

    def prompts(self) -> PromptSet:
        """Return the objects and the prompts as they are drawn now."""
        return PromptSet(tuple(self.objects.values()), self.drawn.read())

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
            kept = tuple(p for p in prompts.prompts if self._is_inside(p))
            self.drawn.draw(kept)
            self._history[-1] = self.prompts()
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
        """Take the last change of prompts back; return whether there was one.

        Objects made or named since then stay, and removed ones come back.
        """
        if len(self._history) < 2:
            return False
        self._history.pop()
        before = self._history[-1]
        objects = {o.id: o for o in before.objects} | self.objects
        self.show(PromptSet(tuple(objects.values()), before.prompts))
        return True

    def show(self, prompts: PromptSet) -> None:
        """Make `prompts` and their objects the present ones."""
        self.objects = {o.id: o for o in prompts.objects} or {1: PromptObject(1)}
        self._write_names()
        self.drawn.draw(prompts.prompts)
        if self.current not in self.objects:
            self.select_object(min(self.objects))
        self._on_edit()

    def load_prompts(self, path: str | Path) -> None:
        """Make the prompts of a file the present ones.

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

        Raises
        ------
        PromptError
            If the layer has fewer axes than the image.
        """
        found = foreign_points(layer, self.image)
        given = layer.features.get("label", [None] * len(found))
        labels = ["negative" if one == "negative" else "positive" for one in given]
        self.drawn.add_points(found, labels)
        self._edited()
        return len(found)

    def ask_for_class(self) -> str:
        """Ask for all of the current object's class on the slice shown; return it.

        Raises
        ------
        PromptError
            If the object's class is "other".
        """
        cls = self.objects[self.current].cls
        self.drawn.add_class(self.shown_slice, cls)
        self._edited()
        return cls

    def apply(self, result: SliceResult) -> None:
        """Write the masks of a slice into the labels; the caller refreshes."""
        dtype = label_dtype(max(result.logits, default=0))
        if np.dtype(dtype).itemsize > self.labels.data.dtype.itemsize:
            self.labels.data = self.labels.data.astype(dtype)
        result.write_into(as_slices(self.labels.data)[result.slice])

    def write_labels(self, path: str | Path) -> None:
        """Write the labels, with the prompts and what made them, in a file.

        Raises
        ------
        WriteError
            As `napari_octa_sam2.volume.writers.write_labels`.
        """
        known = self.labels.metadata
        write_labels(
            path,
            as_slices(self.labels.data),
            self.geometry,
            names=known["names"],
            classes=known["classes"],
            metadata={**known.get("record", {}), "prompts": self.prompts().to_json()},
        )

    def _edited(self) -> None:
        self._record()
        self._on_edit()

    def _record(self) -> None:
        self._history = [*self._history, self.prompts()][-UNDO_STEPS:]

    def _is_inside(self, prompt: Prompt) -> bool:
        try:
            prompt.check_inside(self.data.shape)
        except PromptError:
            return False
        return True

    def _write_names(self) -> None:
        self.labels.metadata["names"] = {o.id: o.name for o in self.objects.values()}
        self.labels.metadata["classes"] = {o.id: o.cls for o in self.objects.values()}
