"""Smooth curves through the voxels of a centre line, and how they turn."""

from __future__ import annotations

import numpy as np

WAVELENGTH = 12  # voxels; what a curve does within fewer is the grid's doing
TURN = 4  # steps of the chords between which a curve turns
FIXED = 1e6  # weight of a point that stays where it is


def smoothed(points: np.ndarray, starts: np.ndarray, wavelength: float) -> np.ndarray:
    """Return polylines without what they do within a wavelength, ends unmoved.

    Minimises ``sum h |z - y|^2 + (wavelength / 2 pi)^4 sum h |z''|^2`` over each
    polyline, where h is the spacing of its points: waves of this wavelength are
    halved, longer ones kept, straight lines unchanged (Whittaker, Proc Edinburgh
    Math Soc 1923; Eilers, Anal Chem 2003). One banded system for all.

    Parameters
    ----------
    points : numpy.ndarray
        Shape ``(points, ndim)``, in physical units.
    starts : numpy.ndarray of int
        Where each polyline begins, and the number of points last.
    wavelength : float
        In the unit of the points.
    """
    from scipy.linalg import solveh_banded

    if len(points) < 3:
        return points
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    steps = np.maximum(steps, 0.01 * wavelength / WAVELENGTH)
    is_end = np.zeros(len(points), bool)
    is_end[starts[:-1]] = is_end[starts[1:] - 1] = True
    before, after = steps[:-1], steps[1:]
    width = (before + after) / 2
    weight = np.zeros(len(points))
    weight[1:-1] = width
    weight[is_end] = FIXED * wavelength / WAVELENGTH
    stiffness = np.where(is_end[1:-1], 0, width * (wavelength / (2 * np.pi)) ** 4)
    left, right = 1 / (before * width), 1 / (after * width)
    middle = -left - right
    bands = np.zeros((3, len(points)))  # as solveh_banded wants the upper ones
    bands[2] = weight
    bands[2, :-2] += stiffness * left**2
    bands[2, 1:-1] += stiffness * middle**2
    bands[2, 2:] += stiffness * right**2
    bands[1, 1:-1] += stiffness * left * middle
    bands[1, 2:] += stiffness * middle * right
    bands[0, 2:] += stiffness * left * right
    result: np.ndarray = solveh_banded(bands, weight[:, None] * points)
    return result


def curvature(curve: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the mean curvature of each polyline: angles by length.

    The angles are those between chords of several steps before and after each point:
    between single steps they are noise of the grid.

    Parameters as for `smoothed`. Zero for polylines of two points.
    """
    points = np.diff(starts)
    branch = np.repeat(np.arange(len(points)), points)
    reach = np.minimum(TURN, (points - 1) // 2)[branch]
    index = np.arange(len(curve))
    inner = (index - starts[branch] >= reach) & (starts[branch + 1] - index > reach)
    inner &= reach > 0
    at, reach, branch = index[inner], reach[inner], branch[inner]
    before, after = curve[at] - curve[at - reach], curve[at + reach] - curve[at]
    spans = np.linalg.norm(before, axis=1), np.linalg.norm(after, axis=1)
    cosine = (before * after).sum(axis=1) / np.maximum(spans[0] * spans[1], 1e-300)
    angles = np.arccos(np.clip(cosine, -1, 1))
    turned = np.bincount(branch, angles, len(points))
    walked = np.bincount(branch, (spans[0] + spans[1]) / 2, len(points))
    curvature: np.ndarray = np.divide(
        turned, walked, out=np.zeros(len(points)), where=walked > 0
    )
    return curvature
