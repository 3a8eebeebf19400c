"""Length of the walls of a mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1))  # (rows, cols) from pixel to pixel


def crofton_perimeter(
    mask: np.ndarray, spacing: Sequence[float], weights: np.ndarray | None = None
) -> float:
    """Return the length of the boundary between mask and background in a region.

    Crofton's formula with four directions: half the integral, over all lines, of how
    often each crosses the boundary. A crossing lies between two neighbouring pixels
    and counts by their mean weight. With square pixels and without weights this is
    ``skimage.measure.perimeter_crofton``, save that the edge of the array is no
    boundary.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Shape ``(rows, cols)``.
    spacing : sequence of float
        Height and width of a pixel.
    weights : numpy.ndarray of float, optional
        Shape ``(rows, cols)``: the part of each pixel that lies in the region.
    """
    size = np.asarray(spacing, float)
    moves = np.asarray(DIRECTIONS) * size
    angles = np.arctan2(moves[:, 0], moves[:, 1])
    # each direction stands for the angles that are nearer to it than to the others
    share = (np.roll(angles, -1) - np.roll(angles, 1)) % np.pi / 2
    apart = size.prod() / np.linalg.norm(moves, axis=1)
    crossings = [_crossings(mask, weights, *step) for step in DIRECTIONS]
    return float((share * apart * crossings).sum() / 2)


def _crossings(
    mask: np.ndarray, weights: np.ndarray | None, row: int, col: int
) -> float:
    here = slice(None, -row or None), slice(max(-col, 0), -max(col, 0) or None)
    there = slice(row, None), slice(max(col, 0), -max(-col, 0) or None)
    crossed = mask[here] != mask[there]
    if weights is None:
        return float(np.count_nonzero(crossed))
    return float((weights[here][crossed] + weights[there][crossed]).sum() / 2)
