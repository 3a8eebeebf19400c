"""The ends of centre lines, which thinning shortens."""

from __future__ import annotations

import numpy as np

from napari_octa_sam2.metrics.biomarkers.diameter import inscribed_radii, ray_lengths

CHORD = 4  # points that tell the direction of an end
SLACK = 2.0  # radii by which an end is carried on, and a voxel


def with_tips(
    curve: np.ndarray,
    starts: np.ndarray,
    first_is_free: np.ndarray,
    last_is_free: np.ndarray,
    mask: np.ndarray,
    spacing: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Carry the free ends of polylines straight on to the wall of the mask.

    Parameters
    ----------
    curve : numpy.ndarray
        Shape ``(points, ndim)``, in physical units.
    starts : numpy.ndarray of int
        Where each polyline begins, and the number of points last.
    first_is_free, last_is_free : numpy.ndarray of bool
        Whether each polyline ends freely at its first and its last point.
    mask : numpy.ndarray of bool
    spacing : numpy.ndarray
        Size of a voxel along each axis.

    Returns
    -------
    curve, starts : numpy.ndarray
        With further points at each free end, at most a voxel apart.
    """
    reach = np.minimum(CHORD, np.diff(starts) - 1)
    first, last = np.flatnonzero(first_is_free), np.flatnonzero(last_is_free)
    # a last point goes before the first one of the next polyline
    owner = np.concatenate([last, first])
    is_last = np.arange(len(owner)) < len(last)
    at = np.where(is_last, starts[owner + 1] - 1, starts[owner])
    outward = curve[at] - curve[at + np.where(is_last, -1, 1) * reach[owner]]
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-300)
    ends = curve[at] / spacing
    # thinning counts voxels: where they are flat, it takes more off their long sides
    known = inscribed_radii(mask, ends, spacing) * (spacing.max() / spacing.min())
    left = ray_lengths(mask, ends, outward[:, None], spacing, known, SLACK)[:, 0]
    counts = np.ceil(left / spacing.max()).astype(int)
    tip = np.repeat(np.arange(len(at)), counts)
    nth = np.arange(len(tip)) - np.repeat(np.cumsum(counts) - counts, counts)
    nth = np.where(is_last[tip], nth + 1, counts[tip] - nth)
    part = left[tip] * nth / counts[tip]
    points = curve[at[tip]] + part[:, None] * outward[tip]
    longer = np.insert(curve, at[tip] + is_last[tip], points, axis=0)
    added = np.bincount(owner[tip] + 1, minlength=len(starts))
    return longer, starts + np.cumsum(added)
