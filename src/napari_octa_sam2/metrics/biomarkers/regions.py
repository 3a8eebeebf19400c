"""Regions of the macula that are measured: sectors, halves, the whole, without the FAZ.

Pixel centres have whole coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.biomarkers.sectors import ETDRS, SECTORS, Sector
from napari_octa_sam2.volume.geometry import ScanGeometry

LEAST_COVERAGE = 0.9
SAMPLES = 16  # along each side of a pixel that a border may cross

PLAIN = {
    "whole": "whole scan",
    "without faz": "whole scan without the FAZ",
    "superior": "superior half",
    "inferior": "inferior half",
}
GROUPS = {"etdrs": ETDRS}
NAMES = (*PLAIN, *SECTORS, *GROUPS)


@dataclass(frozen=True, eq=False)
class Region:
    """Where something is measured.

    Parameters
    ----------
    name, title : str
        Key, and how it is called in tables.
    weights : numpy.ndarray of float32
        Fraction of each pixel inside, shape ``(rows, cols)``.
    coverage : float
        Fraction of its area that lies in the scan, 0 to 1.
    why_not : str
        Why nothing can be measured in it; empty if it can.
    """

    name: str
    title: str
    weights: np.ndarray
    coverage: float
    why_not: str = ""


def make_regions(
    names: Sequence[str],
    shape: tuple[int, int],
    geometry: ScanGeometry,
    *,
    centre: tuple[float, float],
    laterality: str,
    faz: np.ndarray | None = None,
) -> tuple[Region, ...]:
    """Return regions of a scan seen en face.

    Parameters
    ----------
    names : sequence of str
        Of `NAMES`; ``"etdrs"`` stands for all nine sectors.
    shape : tuple of int
        ``(rows, cols)`` of the scan.
    geometry : ScanGeometry
        Regions in millimetres need a known spacing.
    centre : tuple of float
        ``(row, col)`` of the fovea in pixels.
    laterality : {"OD", "OS", ""}
        Nasal and temporal sectors need it.
    faz : numpy.ndarray of bool, optional
        Mask of the FAZ, for ``"without faz"``.

    Returns
    -------
    tuple of Region
        In the order of `names`, each once. One that cannot be measured says why not:
        its spacing or laterality is not known, or less than 90 % of it is in the scan.

    Raises
    ------
    VolumeError
        If a name is unknown, the centre lies outside the scan or the mask of the FAZ
        has another shape.
    """
    _require(names, shape, centre, faz)
    return tuple(
        _sector(name, shape, geometry, centre, laterality)
        if name in SECTORS
        else _plain(name, shape, centre[0], faz)
        for name in _expanded(names)
    )


def sector_outlines(
    names: Sequence[str],
    geometry: ScanGeometry,
    *,
    centre: tuple[float, float],
    laterality: str,
) -> dict[str, list[np.ndarray]]:
    """Return the outlines of discs, rings and sectors, for drawing.

    Parameters as for `make_regions`.

    Returns
    -------
    dict of str to list of numpy.ndarray
        Closed polygons of each region, shape ``(n, 2)``, ``(row, col)`` in pixels;
        they may leave the scan. Other regions, and those whose place is not known,
        have none.
    """
    return {
        name: [
            np.asarray(centre) + polygon / geometry.spacing[1:]
            for polygon in SECTORS[name].outlines(laterality)
        ]
        for name in _expanded(names)
        if name in SECTORS and not _unplaced(SECTORS[name], geometry, laterality)
    }


def _expanded(names: Sequence[str]) -> Iterator[str]:
    """Yield the names with those of groups in their place, each once."""
    yield from dict.fromkeys(part for n in names for part in GROUPS.get(n, (n,)))


def _plain(
    name: str, shape: tuple[int, int], row: float, faz: np.ndarray | None
) -> Region:
    weights = np.ones(shape, np.float32)
    if name == "without faz":
        if faz is None or not faz.any():
            why = "expected a FAZ among the labels, found none"
            return Region(name, PLAIN[name], 0 * weights, 0.0, why)
        weights[faz] = 0
    elif name != "whole":
        above = np.clip(row + 0.5 - np.arange(shape[0]), 0, 1)
        weights *= (above if name == "superior" else 1 - above)[:, None]
    return Region(name, PLAIN[name], weights, 1.0)


def _sector(
    name: str,
    shape: tuple[int, int],
    geometry: ScanGeometry,
    centre: tuple[float, float],
    laterality: str,
) -> Region:
    sector = SECTORS[name]
    region = Region(name, sector.title, np.zeros(shape, np.float32), 0.0)
    if why_not := _unplaced(sector, geometry, laterality):
        return replace(region, why_not=why_not)
    size = np.array(geometry.spacing[1:])
    weights = _fractions(sector, shape, size, np.asarray(centre, float), laterality)
    covered = min(1.0, float(weights.sum(dtype=float) * size.prod()) / sector.area)
    if covered < LEAST_COVERAGE:
        why_not = (
            f"expected at least {LEAST_COVERAGE:.0%} of the region in the scan, found "
            f"{covered:.1%}"
        )
    return replace(region, weights=weights, coverage=covered, why_not=why_not)


def _unplaced(sector: Sector, geometry: ScanGeometry, laterality: str) -> str:
    """Return why it is not known where a sector lies; empty if it is."""
    if not geometry.known:
        return "expected a spacing in mm, found pixels"
    if sector.needs_laterality and not laterality:
        return "expected the laterality (OD or OS), found none"
    return ""


def _fractions(
    sector: Sector,
    shape: tuple[int, int],
    size: np.ndarray,
    centre: np.ndarray,
    laterality: str,
) -> np.ndarray:
    """Return the fraction of each pixel inside, shape ``(rows, cols)``.

    Pixels that a border may cross are sampled finely, all others at their centre.
    """
    y = (np.arange(shape[0]) - centre[0])[:, None] * size[0]
    x = (np.arange(shape[1]) - centre[1])[None] * size[1]
    weights = sector.inside(y, x, laterality).astype(np.float32)
    reach, radius = np.hypot(*size) / 2, np.hypot(y, x)
    edge = np.minimum(abs(radius - sector.inner), abs(radius - sector.outer)) <= reach
    if sector.side:
        edge |= abs(abs(y) - abs(x)) <= size.sum() / 2
    rows, cols = np.nonzero(edge & (radius <= sector.outer + reach))
    steps = (np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5
    fine_y = y[rows, :, None] + steps[:, None] * size[0]
    fine_x = x[0, cols, None, None] + steps * size[1]
    weights[rows, cols] = sector.inside(fine_y, fine_x, laterality).mean((1, 2))
    return weights


def _require(
    names: Sequence[str],
    shape: tuple[int, int],
    centre: tuple[float, float],
    faz: np.ndarray | None,
) -> None:
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise VolumeError(
            f"expected regions among {', '.join(NAMES)}, found {', '.join(unknown)}"
        )
    if not all(-0.5 <= c <= n - 0.5 for c, n in zip(centre, shape, strict=True)):
        raise VolumeError(
            f"expected the fovea (row, col) inside the scan of {shape[0]} x {shape[1]} "
            f"pixels, found {centre}; give its place in pixels"
        )
    if faz is not None and (faz.shape != shape or faz.dtype != np.bool_):
        raise VolumeError(
            f"expected a boolean mask of the FAZ of shape {shape}, found {faz.dtype} "
            f"{faz.shape}; use the labels of this scan"
        )
