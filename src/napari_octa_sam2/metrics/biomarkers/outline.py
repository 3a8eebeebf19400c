"""Perimeter, moments and diameters of a plane mask whose pixels need not be square."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

REACH = 3  # pixels along either axis from one to the next of a line
STEPS = tuple(
    (row, col)
    for row in range(REACH + 1)
    for col in range(-REACH, REACH + 1)
    if math.gcd(row, col) == 1 and (row, col) > (0, 0)
)


@dataclass(frozen=True)
class Ellipse:
    """Ellipse of the same second moments.

    Parameters
    ----------
    centre : tuple of float
        ``(row, col)`` times the spacing.
    major, minor : float
        Full lengths of its axes.
    angle : float
        Of the major axis, in radians from the columns towards the rows.
    """

    centre: tuple[float, float]
    major: float
    minor: float
    angle: float


@dataclass(frozen=True, eq=False)
class Feret:
    """Largest and smallest width, as segments of shape ``(2, 2)`` in the unit."""

    longest: np.ndarray
    shortest: np.ndarray

    @property
    def maximum(self) -> float:
        """Length of the longest."""
        return float(np.hypot(*(self.longest[1] - self.longest[0])))

    @property
    def minimum(self) -> float:
        """Length of the shortest."""
        return float(np.hypot(*(self.shortest[1] - self.shortest[0])))


def crofton_perimeter(mask: np.ndarray, size: np.ndarray) -> float:
    """Return the perimeter by Crofton's formula.

    The boundary is crossed by all lines through pixel centres in sixteen directions;
    the length is half the crossings, each times the distance of neighbouring lines and
    the angle that its direction stands for. The usual four directions leave an error
    of 1.1 % of the perimeter of small discs, sixteen 0.6 %.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Shape ``(rows, cols)``; beyond its edge is outside.
    size : numpy.ndarray
        Of a pixel along rows and columns.

    Notes
    -----
    Legland, Kieu & Devaux, Image Analysis & Stereology 2007;26:83.
    """
    steps = np.array(STEPS)
    rises, runs = (steps * size).T
    angles = np.arctan2(rises, runs) % math.pi
    order = np.argsort(angles)
    gaps = np.diff(angles[order], append=angles[order[0]] + math.pi)
    shares = np.empty_like(angles)
    shares[order] = (gaps + np.roll(gaps, 1)) / 2
    spans = float(size.prod()) / np.hypot(rises, runs)
    padded = np.pad(mask, REACH)
    crossings = np.array([_crossings(padded, row, col) for row, col in STEPS])
    return float((shares * spans * crossings).sum() / 2)


def moment_ellipse(mask: np.ndarray, size: np.ndarray) -> Ellipse:
    """Return the ellipse with the second moments of a mask, pixels taken as areas."""
    points = np.argwhere(mask) * size
    centre = points.mean(0)
    offsets = points - centre
    covariance = offsets.T @ offsets / len(points) + np.diag(size**2 / 12)
    variances, vectors = np.linalg.eigh(covariance)
    minor, major = 4 * np.sqrt(variances)
    row, col = vectors[:, 1]
    angle = math.atan2(row, col) % math.pi
    return Ellipse((float(centre[0]), float(centre[1])), major, minor, angle)


def feret_diameters(mask: np.ndarray, size: np.ndarray) -> Feret:
    """Return the largest and the smallest distance of parallel lines that hold a mask.

    They hold the middles of the sides of its pixels.
    """
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import cdist

    rows = np.flatnonzero(mask.any(1))
    first, last = mask[rows].argmax(1), mask.shape[1] - 1 - mask[rows, ::-1].argmax(1)
    ends = np.concatenate([np.stack([rows, cols], 1) for cols in (first, last)])
    sides = np.array([[-0.5, 0], [0.5, 0], [0, -0.5], [0, 0.5]])
    points = (ends[:, None] + sides).reshape(-1, 2) * size
    hull = points[ConvexHull(points).vertices]
    far = np.unravel_index(cdist(hull, hull).argmax(), (len(hull), len(hull)))
    edges = np.roll(hull, -1, 0) - hull
    normals = np.stack([-edges[:, 1], edges[:, 0]], 1)
    normals /= np.hypot(*normals.T)[:, None]
    depths = np.einsum("epk,ek->ep", hull[None] - hull[:, None], normals)
    edge = int(abs(depths).max(1).argmin())
    tip = int(abs(depths[edge]).argmax())
    foot = hull[tip] - depths[edge, tip] * normals[edge]
    return Feret(longest=hull[list(far)], shortest=np.stack([foot, hull[tip]]))


def _crossings(padded: np.ndarray, row: int, col: int) -> int:
    """Count steps from inside to outside or back; `REACH` pixels around are empty."""
    rows, cols = padded.shape
    here = padded[: rows - row, max(-col, 0) : cols - max(col, 0)]
    there = padded[row:, max(col, 0) : cols + min(col, 0)]
    return int(np.count_nonzero(here != there))
