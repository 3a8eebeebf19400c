"""Figures of the vessels in the plane, of the whole map or of a region of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.biomarkers.network import Network
from napari_octa_sam2.metrics.biomarkers.perimeter import crofton_perimeter
from napari_octa_sam2.metrics.biomarkers.texture import (
    BOXES,
    fractal_dimension,
    lacunarity,
)
from napari_octa_sam2.metrics.definitions.definition import Definition
from napari_octa_sam2.metrics.definitions.vessels import VESSELS
from napari_octa_sam2.metrics.results import Figure

FIGURES = tuple(key for key in VESSELS if key not in ("coverage", "avr"))
SHORTEST = 10  # pixels of a branch whose tortuosity and curvature count
GAP = {"mm": 0.15, "pixel": 10.0}  # side of the box of the lacunarity

EMPTY_REGION = "the region has no pixel in the scan"
NO_VESSEL = "expected vessels in the region, found none"
NO_LINE = "expected vessels longer than a pixel in the region, found none"
NO_BRANCH = f"expected a branch of at least {SHORTEST} pixels, found none"
NO_CHORD = (
    f"expected a branch of at least {SHORTEST} pixels that is no loop, found none"
)
SMALL = f"expected a region of twice a box of {BOXES[-1]} pixels, found a smaller one"
NO_BOX = "expected a vessel in a box of {0:g} {1} within the region, found none"


def vessel_figures(
    mask: np.ndarray,
    network: Network,
    *,
    spacing: Sequence[float],
    unit: str,
    weights: np.ndarray | None = None,
) -> dict[str, Figure]:
    """Return the figures of vessels in the plane, as `VESSELS` defines them.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Shape ``(rows, cols)``: the vessels, en face.
    network : Network
        Its centre lines.
    spacing : sequence of float
        Height and width of a pixel.
    unit : {"mm", "pixel"}
        Of the spacing.
    weights : numpy.ndarray of float, optional
        Shape ``(rows, cols)``: the part of each pixel that lies in the region, from
        0 to 1. A step of a centre line counts by the weight of the pixel of its
        midpoint, and so does a junction.

    Raises
    ------
    VolumeError
        If mask, network and weights are not of one shape in the plane, or the network
        is of another spacing.
    """
    region = np.ones(mask.shape) if weights is None else np.asarray(weights, float)
    _require_plane(mask, network, region, spacing)
    if not region.any():
        return as_figures(dict.fromkeys(FIGURES, EMPTY_REGION), VESSELS, unit)
    lengths = _within(network.points, region) * network.lengths
    values = _densities(mask, network, region, float(lengths.sum()))
    values |= _calibres(network, lengths) | _shapes(network, lengths)
    values |= _texture(mask, network.spacing, region, unit)
    return as_figures(values, VESSELS, unit)


def as_figures(
    values: Mapping[str, float | str], definitions: Mapping[str, Definition], unit: str
) -> dict[str, Figure]:
    """Return figures of values; a string says why there is no value."""
    return {
        key: definitions[key].missing(value, unit)
        if isinstance(value, str)
        else definitions[key].figure(value, unit)
        for key, value in values.items()
    }


def _require_plane(
    mask: np.ndarray, network: Network, region: np.ndarray, spacing: Sequence[float]
) -> None:
    if not np.allclose(network.spacing, spacing):
        raise VolumeError(
            f"expected a network of spacing {tuple(spacing)}, found {network.spacing}"
        )
    if mask.ndim != 2 or not mask.shape == network.shape == region.shape:
        raise VolumeError(
            "expected mask, network and weights of one shape (rows, cols), found "
            f"{mask.shape}, {network.shape} and {region.shape}"
        )


def _within(points: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Return the weights of the pixels that points lie in."""
    nearest = np.clip(np.rint(points).astype(int), 0, np.array(region.shape) - 1)
    inside: np.ndarray = region[tuple(nearest.T)]
    return inside


def _densities(
    mask: np.ndarray, network: Network, region: np.ndarray, length: float
) -> dict[str, float | str]:
    pixel = float(np.prod(network.spacing))
    area = float(region.sum()) * pixel
    vessels = float(region[mask].sum()) * pixel
    perimeter = crofton_perimeter(mask, network.spacing, region)
    junctions = float(_within(network.junctions, region).sum())
    return {
        "area": area,
        "vad": vessels / area,
        "length": length,
        "vld": length / area,
        "vdi": vessels / length if length else NO_LINE if vessels else NO_VESSEL,
        "vpi": perimeter / area,
        "vci": perimeter**2 / (4 * np.pi * vessels) if vessels else NO_VESSEL,
        "junction_density": junctions / area,
        "junctions_per_length": junctions / length if length else NO_LINE,
    }


def _calibres(network: Network, lengths: np.ndarray) -> dict[str, float | str]:
    names = ("diameter_mean", "diameter_median", "diameter_sd")
    found = spread(network.diameters, lengths)
    return dict(zip(names, found or (NO_LINE,) * 3, strict=True))


def spread(
    values: np.ndarray, weights: np.ndarray
) -> tuple[float, float, float] | None:
    """Return mean, median and standard deviation by weight; None without weight."""
    total = weights.sum()
    if not total:
        return None
    mean = values @ weights / total
    order = np.argsort(values)
    along = np.cumsum(weights[order])
    median = values[order[np.searchsorted(along, total / 2)]]
    deviation = np.sqrt((values - mean) ** 2 @ weights / total)
    return float(mean), float(median), float(deviation)


def _shapes(network: Network, lengths: np.ndarray) -> dict[str, float | str]:
    branches = network.branches
    inside = np.bincount(network.branch, lengths, len(branches.length))
    bent = tortuosity(network, inside)
    counted = (branches.points >= SHORTEST) & (inside > 0)
    turned = branches.turning[counted] / branches.length[counted]
    total = inside[counted].sum()
    return {
        "tortuosity": NO_CHORD if bent is None else bent,
        "curvature": turned @ inside[counted] / total if total else NO_BRANCH,
    }


def tortuosity(network: Network, weights: np.ndarray) -> float | None:
    """Return the mean of length by chord over long branches that are no loops.

    Parameters
    ----------
    network : Network
    weights : numpy.ndarray
        One a branch, such as its length.

    Returns
    -------
    float, optional
        None if no branch counts.
    """
    branches = network.branches
    counted = (branches.points >= SHORTEST) & ~branches.is_loop
    total = weights[counted].sum()
    if not total:
        return None
    bent = branches.length[counted] / branches.chord[counted]
    return float(bent @ weights[counted] / total)


def _texture(
    mask: np.ndarray, spacing: tuple[float, ...], region: np.ndarray, unit: str
) -> dict[str, float | str]:
    values: dict[str, float | str]
    if not (mask & (region > 0)).any():
        return dict.fromkeys(
            ("fractal_dimension", "fractal_r2", "lacunarity"), NO_VESSEL
        )
    if region.sum() < 2 * BOXES[-1] ** 2:
        values = {"fractal_dimension": SMALL, "fractal_r2": SMALL}
    else:
        dimension, fit = fractal_dimension(mask, weights=region)
        values = {"fractal_dimension": dimension, "fractal_r2": fit}
    high, wide = (max(1, round(GAP[unit] / size)) for size in spacing)
    gaps = lacunarity(mask, (high, wide), region)
    no_box = NO_BOX.format(GAP[unit], unit)
    return values | {"lacunarity": no_box if np.isnan(gaps) else gaps}
