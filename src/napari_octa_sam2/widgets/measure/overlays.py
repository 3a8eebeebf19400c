"""What was measured, as layers over the labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.layers import grid_arguments
from napari_octa_sam2.metrics.report.planes import Plane
from napari_octa_sam2.palette import ORANGE, SKY

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels, Layer

SKELETON, REGIONS, FAZ = "skeleton", "regions", "FAZ outline"
TITLES = {SKELETON: "Skeleton", REGIONS: "Regions", FAZ: "FAZ outline"}
KEPT = ("scale", "translate", "units", "axis_labels")
THIN, THICK = 0.7, 1.2  # width of lines, in pixels of the scan


class Overlays:
    """Adds, replaces and removes the layers that show what was measured.

    All are Vectors: nothing that takes an image, labels, points or shapes takes them,
    and napari's canvas outlives their removal, which with Shapes it does not always.
    The layer that the user works on stays active.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer
        self.layers: dict[str, Layer] = {}

    def show(self, name: str, labels: Labels, planes: tuple[Plane, ...]) -> bool:
        """Show an overlay on labels, in place of an older one.

        Returns
        -------
        bool
            Whether there is anything to be shown.
        """
        made = MAKERS[name](labels, planes)
        at = self._position(name)
        self.hide(name)
        if made is None:
            return False
        made.name = f"{labels.name} {name}"
        made.editable = False
        selection = self.viewer.layers.selection
        active, chosen = selection.active, set(selection)
        self.viewer.layers.insert(len(self.viewer.layers) if at is None else at, made)
        selection.active = active
        selection.update(chosen)
        self.layers[name] = made
        return True

    def hide(self, name: str) -> None:
        """Take an overlay away."""
        layer = self.layers.pop(name, None)
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)

    def hide_all(self) -> None:
        """Take all overlays away."""
        for name in list(self.layers):
            self.hide(name)

    def _position(self, name: str) -> int | None:
        layer = self.layers.get(name)
        there = layer is not None and layer in self.viewer.layers
        return self.viewer.layers.index(layer) if there else None


def plane_arguments(labels: Labels, ndim: int) -> dict[str, Any]:
    """Return the arguments of a layer on labels, or in the plane of their slices."""
    grid = grid_arguments(labels)
    if ndim == labels.ndim:
        return grid
    return {key: grid[key][-ndim:] for key in KEPT}


def skeleton(labels: Labels, planes: tuple[Plane, ...]) -> Layer | None:
    """Return the centre lines as steps in the colour of the diameter."""
    from napari.layers import Vectors

    steps, widths = [], []
    ndim = _ndim(labels, planes)
    for plane in _shown(planes):
        network = plane.network
        if network is None or len(network.points) < 2:
            continue
        within = network.branch[1:] == network.branch[:-1]
        here = network.points[:-1][within]
        there = network.points[1:][within]
        steps.append(np.stack([here, there - here], 1))
        widths.append(network.diameters[:-1][within])
        if ndim == 3:
            steps[-1] = _on_slice(steps[-1], plane.index or 0)
    if not steps:
        return None
    diameters = np.nan_to_num(np.concatenate(widths))
    return Vectors(
        np.concatenate(steps),
        features={"diameter": diameters},
        edge_color="diameter",
        edge_colormap=_bright(),
        edge_width=THICK,
        vector_style="line",
        **plane_arguments(labels, ndim),
    )


def region_outlines(labels: Labels, planes: tuple[Plane, ...]) -> Layer | None:
    """Return the outlines of discs, rings and sectors."""
    polygons = [p for found in planes[0].outlines.values() for p in found]
    return _lines(labels, [(polygon, SKY) for polygon in polygons])


def faz_outline(labels: Labels, planes: tuple[Plane, ...]) -> Layer | None:
    """Return the outline of the FAZ, and the ellipse of its moments."""
    shape = next((plane.faz for plane in planes if plane.faz is not None), None)
    if shape is None:
        return None
    return _lines(labels, [(shape.outline, ORANGE), (shape.ellipse(), SKY)])


MAKERS: dict[str, Callable[[Any, tuple[Plane, ...]], Any]] = {
    SKELETON: skeleton,
    REGIONS: region_outlines,
    FAZ: faz_outline,
}


def _lines(labels: Labels, polygons: list[tuple[np.ndarray, str]]) -> Layer | None:
    """Return closed lines in the plane of the slices, seen on every slice."""
    from napari.layers import Vectors

    if not polygons:
        return None
    steps, colours = [], []
    for polygon, colour in polygons:
        there = np.roll(polygon, -1, 0)
        steps.append(np.stack([polygon, there - polygon], 1))
        colours += [colour] * len(polygon)
    return Vectors(
        np.concatenate(steps),
        edge_color=colours,
        edge_width=THIN,
        vector_style="line",
        **plane_arguments(labels, 2),
    )


def _shown(planes: tuple[Plane, ...]) -> tuple[Plane, ...]:
    """Return the slices; of views of a whole volume the first, which has all of it."""
    return planes if planes[0].index is not None else planes[:1]


def _ndim(labels: Labels, planes: tuple[Plane, ...]) -> int:
    return 3 if labels.ndim == 3 and planes[0].index is not None else 2


def _on_slice(steps: np.ndarray, index: int) -> np.ndarray:
    """Return steps in the plane, ``(n, 2, 2)``, as steps on a slice."""
    lifted = np.pad(steps, ((0, 0), (0, 0), (1, 0)))
    lifted[:, 0, 0] = index
    return lifted


def _bright() -> Any:
    """Return viridis without its darkest colours, which do not show on a scan."""
    import matplotlib as mpl
    from napari.utils.colormaps import Colormap

    return Colormap(mpl.colormaps["viridis"](np.linspace(0.3, 1, 64)), name="diameter")
