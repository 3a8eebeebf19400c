"""Size and shape of the foveal avascular zone (FAZ) seen en face.

Several components: the largest is measured. Pixels need not be square: everything is
computed in the unit of the spacing, and nothing is resampled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.biomarkers.outline import (
    feret_diameters,
    moment_ellipse,
)
from napari_octa_sam2.metrics.biomarkers.perimeter import crofton_perimeter
from napari_octa_sam2.metrics.definitions.faz import FAZ
from napari_octa_sam2.metrics.results import Figure
from napari_octa_sam2.volume.geometry import ScanGeometry

RING = 0.3  # mm around the FAZ
REACH = 3  # of the lines that cross the outline, in pixels
EMPTY = "expected a FAZ among the labels, found none"


@dataclass(frozen=True, eq=False)
class FazShape:
    """The FAZ as it is drawn; everything in pixels, ``(row, col)``.

    Parameters
    ----------
    outline : numpy.ndarray
        Closed polygon, shape ``(n, 2)``.
    centroid : tuple of float
        Also the centre of the ellipse.
    axes : tuple of float
        Full lengths of the major and the minor axis of the moment ellipse in the
        picture; where pixels are not square, these are not those on the retina.
    angle : float
        Of the major axis, in radians from the columns towards the rows.
    feret_max, feret_min : numpy.ndarray
        End points, shape ``(2, 2)``, of the largest diameter and of the smallest.
    """

    outline: np.ndarray
    centroid: tuple[float, float]
    axes: tuple[float, float]
    angle: float
    feret_max: np.ndarray
    feret_min: np.ndarray

    def ellipse(self, points: int = 181) -> np.ndarray:
        """Return the moment ellipse as a closed polygon, shape ``(points, 2)``."""
        turn = np.linspace(0, 2 * math.pi, points)
        major, minor = (length / 2 for length in self.axes)
        along, across = major * np.cos(turn), minor * np.sin(turn)
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        polygon = np.stack([along * sin + across * cos, along * cos - across * sin], 1)
        return polygon + self.centroid


def faz_figures(
    mask: np.ndarray, *, geometry: ScanGeometry, vessels: np.ndarray | None = None
) -> dict[str, Figure]:
    """Measure the FAZ.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Shape ``(rows, cols)``.
    geometry : ScanGeometry
    vessels : numpy.ndarray of bool, optional
        All vessels in the same plane, for FD-300.

    Returns
    -------
    dict of str to Figure
        By the keys of `FAZ`.

    Raises
    ------
    VolumeError
        If a mask is not boolean, not two-dimensional, or the shapes differ.
    """
    _require(mask, "the FAZ", mask.shape)
    if vessels is not None:
        _require(vessels, "the vessels", mask.shape)
    unit, size = geometry.unit, np.array(geometry.spacing[1:])
    if not mask.any():
        return {key: d.missing(EMPTY, unit) for key, d in FAZ.items()}
    largest = _largest(mask)
    values = _values(largest, size)
    figures = {key: FAZ[key].figure(value, unit) for key, value in values.items()}
    return figures | {"fd300": _fd300(largest, vessels, geometry)}


def faz_notes(mask: np.ndarray) -> tuple[str, ...]:
    """Return what a reader has to know of the mask of a FAZ, as sentences.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Shape ``(rows, cols)``.

    Raises
    ------
    VolumeError
        If the mask is not boolean or not two-dimensional.
    """
    from scipy.ndimage import binary_fill_holes, label

    _require(mask, "the FAZ", mask.shape)
    if not mask.any():
        return ()
    notes = []
    parts, largest = label(mask, np.ones((3, 3)))[1], _largest(mask)
    if parts > 1:
        share = np.count_nonzero(largest) / np.count_nonzero(mask)
        notes.append(
            f"the FAZ has {parts} parts; the largest, with {share:.0%} of its pixels, "
            "is measured"
        )
    if _touches_border(largest):
        notes.append(
            "the FAZ touches the border of the scan: its area and diameters are at "
            "least those told"
        )
    holes = np.count_nonzero(binary_fill_holes(largest)) - np.count_nonzero(largest)
    if holes:
        notes.append(
            f"the FAZ has holes of {holes} pixels: they are not part of its area, and "
            "their borders count as perimeter"
        )
    return tuple(notes)


def faz_shape(mask: np.ndarray, geometry: ScanGeometry) -> FazShape | None:
    """Return how the FAZ is drawn, or None where there is none.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Shape ``(rows, cols)``.
    geometry : ScanGeometry

    Raises
    ------
    VolumeError
        If the mask is not boolean or not two-dimensional.
    """
    from skimage.measure import find_contours

    _require(mask, "the FAZ", mask.shape)
    if not mask.any():
        return None
    largest, size = _largest(mask), np.array(geometry.spacing[1:])
    outline = max(find_contours(np.pad(largest, 1).astype(float), 0.5), key=len) - 1
    # Moments go along with every stretching: the ellipse in pixels is the one in mm.
    ellipse = moment_ellipse(largest, np.ones(2))
    feret = feret_diameters(largest, size)
    return FazShape(
        outline=outline,
        centroid=ellipse.centre,
        axes=(ellipse.major, ellipse.minor),
        angle=ellipse.angle,
        feret_max=feret.longest / size,
        feret_min=feret.shortest / size,
    )


def _values(mask: np.ndarray, size: np.ndarray) -> dict[str, float]:
    from skimage.morphology import convex_hull_image

    area = np.count_nonzero(mask) * float(size.prod())
    perimeter = crofton_perimeter(np.pad(mask, REACH), size.tolist(), reach=REACH)
    ellipse, feret = moment_ellipse(mask, size), feret_diameters(mask, size)
    hull = np.count_nonzero(convex_hull_image(mask)) * float(size.prod())
    return {
        "faz_area": area,
        "faz_perimeter": perimeter,
        "faz_circularity": 4 * math.pi * area / perimeter**2,
        "faz_acircularity": perimeter / (2 * math.sqrt(math.pi * area)),
        "faz_axis_ratio": ellipse.major / ellipse.minor,
        "faz_major": ellipse.major,
        "faz_minor": ellipse.minor,
        "faz_feret_max": feret.maximum,
        "faz_feret_min": feret.minimum,
        "faz_diameter": 2 * math.sqrt(area / math.pi),
        "faz_solidity": area / hull,
    }


def _fd300(
    mask: np.ndarray, vessels: np.ndarray | None, geometry: ScanGeometry
) -> Figure:
    """Return the fraction of vessels in the ring of 300 µm around the FAZ."""
    from scipy.ndimage import distance_transform_edt

    definition, unit = FAZ["fd300"], geometry.unit
    if vessels is None:
        why = "expected labels of all vessels, capillaries included, found none"
        return definition.missing(why, unit)
    if not geometry.known:
        return definition.missing("expected a spacing in mm, found pixels", unit)
    size = np.array(geometry.spacing[1:])
    rows, cols = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    low = np.array([rows[0], cols[0]])
    high = np.array(mask.shape) - 1 - [rows[-1], cols[-1]]
    room = float((np.minimum(low, high) * size).min())
    if room < RING:
        why = (
            f"expected {RING:g} mm of scan on all sides of the FAZ, found {room:.3f} mm"
        )
        return definition.missing(why, unit)
    ring = ~mask & (distance_transform_edt(~mask, size) <= RING)
    return definition.figure(vessels[ring].mean(), unit)


def _largest(mask: np.ndarray) -> np.ndarray:
    """Return the largest component, of pixels that touch by a side or a corner."""
    from scipy.ndimage import label

    labels, _ = label(mask, np.ones((3, 3)))
    return np.asarray(labels == 1 + np.bincount(labels.ravel())[1:].argmax())


def _touches_border(mask: np.ndarray) -> bool:
    edges = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    return any(edge.any() for edge in edges)


def _require(mask: np.ndarray, name: str, shape: tuple[int, ...]) -> None:
    if mask.ndim != 2 or mask.dtype != np.bool_ or mask.shape != shape:
        wanted = shape if len(shape) == 2 else "(rows, cols)"
        raise VolumeError(
            f"expected a boolean mask of {name} of shape {wanted}, found {mask.dtype} "
            f"{mask.shape}; project volumes en face and compare labels with an id first"
        )
