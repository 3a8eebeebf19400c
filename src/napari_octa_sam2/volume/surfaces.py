"""Surfaces of the retina: depth maps ``(slow, fast)`` in slices of a volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from scipy import ndimage

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.volume.octa_volume import check_volume_array

LAYERS = ("ILM", "IPL", "OPL", "ISOS", "RPE", "BM")
Depth = float | np.ndarray

_BLOCK = 4  # columns averaged along either side of the plane
_SMOOTHING = (0, 1.5, 1.5)  # blocks, in the plane only
_MEDIAN = 9  # blocks
_GREY_LEVELS = 64.0  # of the logarithm


@dataclass(frozen=True, eq=False)
class DepthLimit:
    """Where a slab begins or ends.

    Parameters
    ----------
    offset : float
        Slices behind `surface`; without one, the slice itself.
    surface : numpy.ndarray or {"estimated"}, optional
        Depths of shape ``(slow, fast)``, or `estimate_surface` of the volume.
    """

    offset: float = 0.0
    surface: np.ndarray | Literal["estimated"] | None = None


def resolve_limits(data: np.ndarray, limits: Sequence[DepthLimit]) -> list[Depth]:
    """Return the depths of `limits` in a volume, which is estimated from only once.

    A surface must lie in the volume; what its offset moves out of it is clipped to
    the first or last slice.

    Raises
    ------
    VolumeError
        If a depth or surface does not fit the volume, or none can be estimated.
    """

    @cache
    def estimated() -> np.ndarray:
        return estimate_surface(data)

    return [_resolved(limit, data.shape, estimated) for limit in limits]


def check_depth(depth: Depth, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Return a depth or surface as an array of zero or two axes.

    Parameters
    ----------
    depth : float or numpy.ndarray
        In slices, from -0.5 to ``shape[0] - 0.5``, which is where the voxels end.
        In a surface, NaN says that the depth is unknown.
    shape : tuple of int
        Of the volume, ``(depth, slow, fast)``.
    name : str
        What the depth is called in errors.

    Raises
    ------
    VolumeError
        If the shape is another than ``(slow, fast)``, nothing is known, or a depth
        lies outside.
    """
    found = np.asarray(depth)
    if found.dtype.kind not in "uif":
        raise VolumeError(f"{name}: expected depths in slices, found {found.dtype}")
    if found.shape not in ((), tuple(shape[1:])):
        raise VolumeError(
            f"{name}: expected one depth or a surface of shape {tuple(shape[1:])} "
            f"(slow, fast), found {found.shape}; choose one on the grid of the volume"
        )
    found = np.where(np.isfinite(found), found, np.nan)
    if np.isnan(found).all():
        raise VolumeError(f"{name}: expected depths in slices, found no finite value")
    low, high = float(np.nanmin(found)), float(np.nanmax(found))
    if low < -0.5 or high > shape[0] - 0.5:
        raise VolumeError(
            f"{name}: expected depths in slices 0 to {shape[0] - 1}, found "
            f"{low:g} to {high:g}; clip them to the volume (depths are no millimetres)"
        )
    return found


def estimate_surface(data: np.ndarray) -> np.ndarray:
    """Return the anterior surface of the retina, estimated from its signal.

    Columns are averaged in blocks of 4 x 4 and slices smoothed by a Gaussian of 1.5
    blocks. Their grey values ``g``, from 0 to 1, become ``log(1 + 64 g)``, since flow
    is sparse and what sets tissue apart from the vitreous is faint. The surface is
    where a column first rises over Otsu's threshold, interpolated between slices.
    Blocks that never rise take the depth of the nearest one that does; a median over
    9 x 9 blocks removes outliers. Voxels that are not finite are left out.

    Parameters
    ----------
    data : numpy.ndarray
        Flow or, better, structure; shape ``(depth, slow, fast)``.

    Returns
    -------
    numpy.ndarray
        Depth in slices, float32, shape ``(slow, fast)``.

    Raises
    ------
    VolumeError
        If `data` is no volume or its signal is the same everywhere.

    References
    ----------
    Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9 (1979) 62-66.
    """
    from skimage.filters import threshold_otsu

    check_volume_array(data, "surface")
    grey = ndimage.gaussian_filter(_block_means(data), _SMOOTHING, mode="nearest")
    low, high = float(grey.min()), float(grey.max())
    if not high > low:
        raise VolumeError(
            f"surface: expected signal that changes with depth, found {low:g} "
            "everywhere; choose another image"
        )
    grey = np.log1p((grey - low) * (_GREY_LEVELS / (high - low)))
    depth = _first_rise(grey, float(threshold_otsu(grey)))
    missing = np.isnan(depth)
    nearest = ndimage.distance_transform_edt(
        missing, return_distances=False, return_indices=True
    )
    depth = ndimage.median_filter(depth[tuple(nearest)], _MEDIAN, mode="nearest")
    centres = [(np.arange(n) + 0.5) / _BLOCK - 0.5 for n in data.shape[1:]]
    at = np.meshgrid(*centres, indexing="ij")
    return np.asarray(ndimage.map_coordinates(depth, at, order=1, mode="nearest"))


def _resolved(
    limit: DepthLimit, shape: tuple[int, ...], estimated: Callable[[], np.ndarray]
) -> Depth:
    if limit.surface is None:
        return limit.offset
    surface = limit.surface
    found = estimated() if isinstance(surface, str) else surface
    return np.clip(check_depth(found, shape, "surface") + limit.offset, 0, shape[0] - 1)


def _block_means(data: np.ndarray) -> np.ndarray:
    """Return float32 means of blocks of columns, 0 where nothing is finite."""
    starts = [np.arange(0, n, _BLOCK) for n in data.shape[1:]]

    def sums(plane: np.ndarray) -> np.ndarray:
        rows = np.add.reduceat(plane.astype(np.float32), starts[0], axis=0)
        return np.asarray(np.add.reduceat(rows, starts[1], axis=1))

    means = np.empty((len(data), *(len(s) for s in starts)), np.float32)
    for plane, mean in zip(data, means, strict=True):
        known = np.isfinite(plane)
        mean[:] = sums(np.where(known, plane, 0)) / np.maximum(sums(known), 1)
    return means


def _first_rise(grey: np.ndarray, threshold: float) -> np.ndarray:
    """Return the fractional slice at which columns first exceed `threshold`, or NaN."""
    above = grey > threshold
    first = above.argmax(0)[None]
    behind = np.take_along_axis(grey, first, 0)[0]
    before = np.take_along_axis(grey, np.maximum(first - 1, 0), 0)[0]
    step = np.where(first[0] > 0, behind - before, 1)
    share = np.where(first[0] > 0, (behind - threshold) / step, 0)
    return np.where(above.any(0), first[0] - share, np.nan).astype(np.float32)
