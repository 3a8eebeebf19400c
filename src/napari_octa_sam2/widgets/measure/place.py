"""Where in the scan the viewer is, and where a row of results leads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_octa_sam2.metrics.results import Row
    from napari_octa_sam2.widgets.measure.request import Answer


def shown_slice(viewer: napari.Viewer, layer: Labels | None) -> int:
    """Return the slice of labels that is on screen."""
    if layer is None or layer.ndim == 2:
        return 0
    position = layer.world_to_data(viewer.dims.point[-layer.ndim :])
    return int(np.clip(round(float(position[0])), 0, len(layer.data) - 1))


def show_slice(viewer: napari.Viewer, layer: Labels | None, index: int) -> None:
    """Bring a slice of labels on screen."""
    if layer is not None and layer.ndim == 3:
        axis = viewer.dims.ndim - layer.ndim
        viewer.dims.set_point(axis, layer.data_to_world((index, 0, 0))[-3])


def show_row(viewer: napari.Viewer, layer: Labels, row: Row, answer: Answer) -> None:
    """Select the object of a row, and show it where it is largest."""
    place, label = None, row.labels.get("object")
    if isinstance(label, int):
        layer.selected_label = label
        place = answer.places.get(label)
    if "slice" in row.labels:
        show_slice(viewer, layer, int(row.labels["slice"]))
    elif place is not None:
        show_slice(viewer, layer, place[0])
    if place is not None:
        centre = layer.data_to_world(place[-layer.ndim :])
        camera = viewer.scene.camera
        camera.center = (camera.center[0], *centre[-2:])


class Picker:
    """Takes the place of a click on labels.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : callable
        Returns the labels.
    picked : callable
        Called with row and column of a click that is within them.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        layer: Callable[[], Labels | None],
        picked: Callable[[float, float], None],
    ) -> None:
        self._viewer, self._layer, self._picked = viewer, layer, picked

    @property
    def on(self) -> bool:
        """Whether clicks are taken."""
        return self._clicked in self._viewer.mouse_drag_callbacks

    def turn(self, on: bool) -> None:
        """Take clicks, or no longer."""
        callbacks = self._viewer.mouse_drag_callbacks
        if on and not self.on:
            callbacks.append(self._clicked)
        elif not on and self.on:
            callbacks.remove(self._clicked)

    def _clicked(self, viewer: napari.Viewer, event: Any) -> Iterator[None]:
        layer = self._layer()
        yield
        if event.type == "mouse_move" or layer is None:
            return
        place = layer.world_to_data(event.position)[-2:]
        size = layer.data.shape[-2:]
        if all(0 <= round(p) < n for p, n in zip(place, size, strict=True)):
            self._picked(*map(float, place))
