"""Exact rendering of tubes: a voxel is vessel when its centre lies in the tube."""

from __future__ import annotations

import numpy as np


def paint_tubes(
    out: np.ndarray,
    spacing: tuple[float, ...],
    starts: np.ndarray,
    ends: np.ndarray,
    radii: np.ndarray,
    values: np.ndarray,
) -> None:
    """Paint straight tube segments into `out`; where they overlap, thicker wins.

    Parameters
    ----------
    out : numpy.ndarray
        Label image of two or three axes, changed in place. The centre of element
        ``i`` lies at ``i * spacing``.
    spacing : tuple of float
        Size of an element along each axis, in mm.
    starts, ends : numpy.ndarray
        End points, shape ``(n, axes)``, in mm.
    radii : numpy.ndarray
        Radius at start and end, shape ``(n, 2)``, in mm, linear in between.
    values : numpy.ndarray
        Value to paint for each segment, shape ``(n,)``.
    """
    step = np.asarray(spacing, float)
    widest = radii.max(1)[:, None]
    low = np.ceil((np.minimum(starts, ends) - widest) / step).astype(int)
    high = np.floor((np.maximum(starts, ends) + widest) / step).astype(int) + 1
    low, high = np.maximum(low, 0), np.minimum(high, out.shape)
    for i in np.argsort(radii.sum(1), kind="stable"):
        if (low[i] >= high[i]).any():
            continue
        box = tuple(slice(a, b) for a, b in zip(low[i], high[i], strict=True))
        inside = _in_tube(step, low[i], high[i], starts[i], ends[i], radii[i])
        out[box][inside] = values[i]


def _in_tube(
    step: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    radius: np.ndarray,
) -> np.ndarray:
    offsets = np.ix_(*(np.arange(a, b) for a, b in zip(low, high, strict=True)))
    offsets = tuple(o * s - p for o, s, p in zip(offsets, step, start, strict=True))
    way = end - start
    pairs = list(zip(offsets, way, strict=True))
    along = sum(o * w for o, w in pairs) / max(float(way @ way), 1e-18)
    along = np.clip(along, 0, 1)
    distance2 = sum((o - along * w) ** 2 for o, w in pairs)
    return np.asarray(distance2 <= (radius[0] + along * (radius[1] - radius[0])) ** 2)
