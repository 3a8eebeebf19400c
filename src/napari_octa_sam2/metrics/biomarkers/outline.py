"""Moments and diameters of a plane mask whose pixels need not be square."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


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
