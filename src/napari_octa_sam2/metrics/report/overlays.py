"""What was measured, drawn over the scan seen en face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from napari_octa_sam2.metrics.report.dress import (
    SIZE,
    bounds,
    colour_bar,
    draw_scale_bar,
    fine,
    legend,
    named_unit,
    on_image,
)
from napari_octa_sam2.palette import LIGHT, ORANGE, SKY, YELLOW, Look
from napari_octa_sam2.volume.geometry import ScanGeometry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

    from napari_octa_sam2.metrics.biomarkers.faz import FazShape
    from napari_octa_sam2.metrics.biomarkers.regions import Region
    from napari_octa_sam2.metrics.results import Figure

BRIGHTNESS = (1, 99.7)  # percentiles of an image that are black and white
MARGIN = 0.7  # of the size of the FAZ that is shown around it
OPACITY = 0.55
LEAST_COVERAGE = 0.5  # of a region that has room for its number


def draw_enface(
    axes: Axes, image: np.ndarray, geometry: ScanGeometry, *, bar: bool = True
) -> None:
    """Draw an image ``(rows, cols)`` in its true proportions, with a scale bar."""
    finite = image[np.isfinite(image)]
    low, high = np.percentile(finite, BRIGHTNESS) if finite.size else (0, 1)
    _, row, column = geometry.spacing
    axes.imshow(
        image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=row / column
    )
    axes.set_axis_off()
    if bar:
        draw_scale_bar(axes, geometry)


def draw_regions(
    axes: Axes,
    image: np.ndarray,
    regions: Sequence[Region],
    figures: Mapping[str, Figure],
    geometry: ScanGeometry,
    *,
    symbol: str,
    look: Look = LIGHT,
) -> None:
    """Draw regions in the colour of their figure, its number in each.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    image : numpy.ndarray
        Shape ``(rows, cols)``.
    regions : sequence of Region
        That do not overlap; one that has no pixel in the scan is left out.
    figures : mapping of str to Figure
        By the name of the region.
    geometry : ScanGeometry
    symbol : str
        Of the figure.
    look : Look
    """
    from matplotlib.colors import Normalize

    draw_enface(axes, image, geometry)
    shown = [r for r in regions if r.name in figures and (r.weights >= 0.5).any()]
    values = np.array([figures[region.name].value for region in shown])
    norm, colours = Normalize(*bounds(values)), _colours(0.0)
    tint = np.zeros((*image.shape, 4))
    for region, value in zip(shown, values, strict=True):
        if np.isfinite(value):
            tint[region.weights >= 0.5] = (*colours(norm(value))[:3], OPACITY)
    axes.imshow(tint, aspect=axes.get_aspect(), interpolation="nearest")
    for region in shown:
        inside = np.pad(region.weights >= 0.5, 1)
        rows, columns = (np.arange(-1, n + 1) for n in image.shape)
        axes.contour(
            columns,
            rows,
            inside.astype(float),
            [0.5],
            colors="white",
            linewidths=0.6,
        )
        if region.coverage >= LEAST_COVERAGE:
            row, column = _middle(inside)
            text = figures[region.name].text()
            axes.text(column, row, text, ha="center", va="center", **on_image(SIZE - 1))
    units = {figures[region.name].unit for region in shown}
    colour_bar(axes, colours, norm, named_unit(symbol, *units or [""]), look)


def draw_centre_line(
    axes: Axes,
    image: np.ndarray,
    points: np.ndarray,
    diameters: np.ndarray,
    geometry: ScanGeometry,
    *,
    look: Look = LIGHT,
) -> None:
    """Draw the centre line of vessels in the colour of their diameter.

    The widest and narrowest hundredth have the colours of the ends.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    image : numpy.ndarray
        Shape ``(rows, cols)``.
    points : numpy.ndarray
        Shape ``(points, 2)``: rows and columns, in pixels.
    diameters : numpy.ndarray
        Shape ``(points,)``, in the unit of the geometry.
    geometry : ScanGeometry
    look : Look
    """
    from matplotlib.colors import Normalize

    draw_enface(axes, image, geometry)
    factor, unit = fine(geometry.unit)
    kept = np.isfinite(diameters)
    values, places = diameters[kept] * factor, np.rint(points[kept]).astype(int)
    norm, colours = Normalize(*_most(values)), _colours(0.25)
    order = np.argsort(values)  # wide vessels on top
    tint = np.zeros((*image.shape, 4))
    for step in ((0, 1), (1, 0), (0, -1), (-1, 0), (0, 0)):
        at = np.clip(places[order] + step, 0, np.array(image.shape) - 1)
        tint[at[:, 0], at[:, 1]] = colours(norm(values[order]))
    axes.imshow(tint, aspect=axes.get_aspect(), interpolation="nearest")
    colour_bar(axes, colours, norm, named_unit("diameter", unit), look)


def draw_faz(
    axes: Axes,
    image: np.ndarray,
    shape: FazShape,
    geometry: ScanGeometry,
    *,
    look: Look = LIGHT,
) -> None:
    """Draw the outline of the FAZ, the ellipse of its moments and its largest diameter.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    image : numpy.ndarray
        Shape ``(rows, cols)``.
    shape : FazShape
    geometry : ScanGeometry
    look : Look
    """
    draw_enface(axes, image, geometry, bar=False)
    _look_at(axes, shape.outline, geometry, image.shape)
    draw_scale_bar(axes, geometry)
    lines = (
        ("outline", shape.outline, {"color": ORANGE, "lw": 1.4}),
        ("ellipse", shape.ellipse(), {"color": SKY, "lw": 1.2, "ls": "--"}),
        ("max Feret", shape.feret_max, {"color": YELLOW, "lw": 1.4, "ls": ":"}),
    )
    handles = []
    for name, points, style in lines:
        handles += axes.plot(*points.T[::-1], label=name, **cast(Any, style))
    row, column = shape.centroid
    axes.plot(column, row, "+", color="white", ms=6, mew=1)
    legend(axes, handles, look, columns=3)


def _look_at(
    axes: Axes, outline: np.ndarray, geometry: ScanGeometry, size: tuple[int, ...]
) -> None:
    """Show the surroundings of an outline, as high as wide, within the image."""
    pixel = np.array(geometry.spacing[1:])
    low, high = outline.min(0), outline.max(0)
    extent = ((high - low) * pixel).max() * (1 + 2 * MARGIN) / pixel
    extent = np.minimum(extent, np.array(size))
    start = (low + high - extent) / 2
    start = np.clip(start, -0.5, np.array(size) - 0.5 - extent)
    axes.set_xlim(start[1], start[1] + extent[1])
    axes.set_ylim(start[0] + extent[0], start[0])


def _middle(padded: np.ndarray) -> tuple[int, int]:
    """Return the pixel of a mask, padded by one, that is farthest from its border."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(padded)
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return int(row) - 1, int(column) - 1


def _most(values: np.ndarray) -> tuple[float, float]:
    """Return the bounds of all values but the least and the greatest hundredth."""
    if not values.size:
        return bounds(values)
    low = np.percentile(values, 1, method="lower")
    high = np.percentile(values, 99, method="higher")
    return bounds(np.array([low, high]))


def _colours(start: float) -> Colormap:
    """Return a scale for colour-blind readers, without its darkest colours."""
    import matplotlib as mpl
    from matplotlib.colors import ListedColormap

    return ListedColormap(mpl.colormaps["viridis"](np.linspace(start, 1, 256)))
