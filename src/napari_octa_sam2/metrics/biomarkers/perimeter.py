"""Length of the walls of a mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np


def crofton_perimeter(
    mask: np.ndarray,
    spacing: Sequence[float],
    weights: np.ndarray | None = None,
    *,
    reach: int = 1,
) -> float:
    """Return the length of the boundary between mask and background in a region.

    Crofton's formula: half the integral, over all lines, of how often each crosses the
    boundary. Lines run through pixel centres; a crossing lies between two neighbours on
    a line and counts by their mean weight. The edge of the array is no boundary.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Shape ``(rows, cols)``.
    spacing : sequence of float
        Height and width of a pixel.
    weights : numpy.ndarray of float, optional
        Shape ``(rows, cols)``: the part of each pixel that lies in the region.
    reach : int
        Most pixels along either axis from one neighbour on a line to the next. 1 gives
        four directions and, with square pixels and without weights,
        ``skimage.measure.perimeter_crofton``: it sees what is thin. 3 gives sixteen:
        discs come out within 0.6 instead of 1.1 %, but what is thinner than the steps
        is passed over, so it suits a compact mask.

    Notes
    -----
    Legland, Kieu & Devaux, Image Analysis & Stereology 2007;26:83.
    """
    size = np.asarray(spacing, float)
    steps = _directions(reach)
    moves = np.asarray(steps) * size
    angles = np.arctan2(moves[:, 0], moves[:, 1])
    # each direction stands for the angles that are nearer to it than to the others
    share = (np.roll(angles, -1) - np.roll(angles, 1)) % np.pi / 2
    apart = size.prod() / np.linalg.norm(moves, axis=1)
    crossings = [_crossings(mask, weights, *step) for step in steps]
    return float((share * apart * crossings).sum() / 2)


@cache
def _directions(reach: int) -> tuple[tuple[int, int], ...]:
    """Return steps ``(rows, cols)`` of all directions, in the order of their angles."""
    steps = [
        (row, col)
        for row in range(reach + 1)
        for col in range(-reach, reach + 1)
        if math.gcd(row, col) == 1 and (row, col) > (0, 0)
    ]
    return tuple(sorted(steps, key=lambda step: math.atan2(*step)))


def _crossings(
    mask: np.ndarray, weights: np.ndarray | None, row: int, col: int
) -> float:
    here = slice(None, -row or None), slice(max(-col, 0), -max(col, 0) or None)
    there = slice(row, None), slice(max(col, 0), -max(-col, 0) or None)
    crossed = mask[here] != mask[there]
    if weights is None:
        return float(np.count_nonzero(crossed))
    return float((weights[here][crossed] + weights[there][crossed]).sum() / 2)
