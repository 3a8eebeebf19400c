"""The layers of an annotation: labels and prompts, as a document has them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.annotation.holdings import Holdings
from napari_octa_sam2.engine.results import label_dtype
from napari_octa_sam2.layers import (
    as_slices,
    grid_arguments,
    image_slices,
    object_colormap,
    object_colours,
)
from napari_octa_sam2.prompt_layers import PromptLayers

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer

    from napari_octa_sam2.project.document import Document


class Scene:
    """Shows a document on top of an image, which stays as it is.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    image : napari.layers.Image
    document : Document
    on_draw, on_paint : callable
        Called after the user changed prompts, or painted labels.

    Raises
    ------
    VolumeError
        If the image cannot be segmented.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        document: Document,
        on_draw: Callable[[], None],
        on_paint: Callable[[], None],
    ) -> None:
        self.viewer, self.image = viewer, image
        self.hidden: set[int] = set()
        self._document, self._on_paint = document, on_paint
        self._depth = len(image_slices(image))
        self._held = Holdings()
        self.labels: Labels = viewer.add_labels(
            document.volume().reshape(image.data.shape),
            name=f"{image.name} segmentation",
            colormap=object_colormap(),
            **grid_arguments(image),
        )
        self.drawn = PromptLayers(viewer, image, on_draw)
        for index in document.labelled_slices():
            self._held.note(index, document.labels(index))
        self.labels.events.paint.connect(self._painted)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that were added, from bottom to top."""
        return self.labels, self.drawn.shapes, self.drawn.points

    @property
    def shown_slice(self) -> int:
        """Index of the slice on screen."""
        return shown_slice(self.viewer, self.image)

    @property
    def painted_slices(self) -> Collection[int]:
        """The slices that the user may have painted on just now."""
        flat = self.labels.n_edit_dimensions < 3
        return [self.shown_slice] if flat else range(self._depth)

    def painted(self, index: int) -> np.ndarray:
        """Return the labels of a slice as they are in the layer, without a copy."""
        content: np.ndarray = as_slices(self.labels.data)[index]
        return content

    def extent(self, object_id: int) -> tuple[int, int] | None:
        """Return the first and last slice that hold an object, if any does."""
        return self._held.extent(object_id)

    def colour(self, object_id: int) -> tuple[float, ...]:
        """Return the colour of an object, RGBA from 0 to 1, whether shown or not."""
        return tuple(map(float, object_colormap().map(object_id)))

    def select(self, object_id: int) -> None:
        """Paint, and draw prompts, for an object from now on."""
        self._make_room(np.dtype(label_dtype(object_id)))
        self.labels.selected_label = object_id
        self.drawn.set_object(object_id)

    def set_visible(self, object_id: int, visible: bool) -> None:
        """Show or hide the pixels of an object."""
        if visible:
            self.hidden.discard(object_id)
        else:
            self.hidden.add(object_id)
        self.labels.colormap = object_colours(self.hidden)

    def show_prompts(self) -> None:
        """Draw the prompts, and keep names and classes beside the labels."""
        prompts = self._document.prompts
        self.labels.metadata["names"] = {o.id: o.name for o in prompts.objects}
        self.labels.metadata["classes"] = {o.id: o.cls for o in prompts.objects}
        self.drawn.draw(prompts.prompts)
        if gone := self.hidden - {o.id for o in prompts.objects}:
            self.set_visible(gone.pop(), True)

    def show_labels(self, slices: Collection[int], *, now: bool = False) -> None:
        """Copy labels into the layer; draw them where `now`, else the caller does."""
        for index in slices:
            content = self._document.labels(index)
            self._make_room(content.dtype)
            as_slices(self.labels.data)[index] = content
            self._held.note(index, content)
        if slices and now:
            self.labels.refresh()

    def put_layers_back(self) -> list[Layer]:
        """Add the layers that were removed from the viewer again; return them."""
        gone = [layer for layer in self.layers if layer not in self.viewer.layers]
        for layer in gone:
            self.viewer.layers.append(layer)
        return gone

    def close(self) -> None:
        """Stop listening; the layers stay."""
        self.labels.events.paint.disconnect(self._painted)
        self.drawn.close()

    def _make_room(self, dtype: np.dtype[Any]) -> None:
        if dtype.itemsize > self.labels.data.dtype.itemsize:
            self.labels.data = self.labels.data.astype(dtype)

    def _painted(self, event: Any) -> None:
        self._on_paint()


def shown_slice(viewer: ViewerModel, image: Image) -> int:
    """Return the index of the slice of an image that is on screen."""
    if image.ndim == 2:
        return 0
    position = image.world_to_data(viewer.dims.point[-image.ndim :])
    return int(np.clip(round(float(position[0])), 0, image.data.shape[-3] - 1))


def warm_up() -> None:
    """Have napari import and compile what its first layers of each kind need."""
    from napari.layers import Labels, Points, Shapes

    Labels(np.zeros((2, 2), np.uint8))
    Points(np.zeros((1, 2)))
    Shapes([np.eye(3, 2)], shape_type="polygon")
