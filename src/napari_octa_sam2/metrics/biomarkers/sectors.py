"""Discs, rings and sectors around the fovea, in millimetres.

The circles of 1, 3 and 6 mm diameter and the quadrants at 45 degrees are those of the
Early Treatment Diabetic Retinopathy Study (ETDRS; Arch Ophthalmol 1985;103:1796).
Rows grow downwards, so superior is towards row 0; nasal is to the right in a right
eye (OD), to the left in a left eye (OS).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

POINTS = 181  # of a full circle that is drawn


@dataclass(frozen=True)
class Sector:
    """A ring, all round or one quadrant of it; a disc if its inner radius is 0.

    Parameters
    ----------
    title : str
    inner, outer : float
        Radii in millimetres.
    side : {"", "S", "N", "I", "T"}
        Quadrant: superior, nasal, inferior, temporal; empty for all round.
    """

    title: str
    inner: float
    outer: float
    side: str = ""

    @property
    def area(self) -> float:
        """In square millimetres."""
        ring = math.pi * (self.outer**2 - self.inner**2)
        return ring / 4 if self.side else ring

    @property
    def needs_laterality(self) -> bool:
        """Whether it lies elsewhere in the other eye."""
        return self.side in ("N", "T")

    def inside(self, y: np.ndarray, x: np.ndarray, laterality: str) -> np.ndarray:
        """Return 1 for points inside, 0 outside, 0.5 between two quadrants.

        Parameters
        ----------
        y, x : numpy.ndarray
            Millimetres from the fovea along rows and columns, broadcast together.
        laterality : {"OD", "OS", ""}
        """
        radius = np.hypot(y, x)
        ring = (self.inner <= radius) & (radius < self.outer)
        if not self.side:
            return np.asarray(ring, float)
        row, col = self._direction(laterality)
        wedge = np.heaviside(row * y + col * x - abs(x if row else y), 0.5)
        return np.asarray(ring * wedge)

    def outlines(self, laterality: str) -> list[np.ndarray]:
        """Return closed polygons, ``(n, 2)``, in mm ``(y, x)`` from the fovea."""
        if not self.side:
            circle = _arc(0.0, 2 * math.pi)
            return [radius * circle for radius in (self.outer, self.inner) if radius]
        row, col = self._direction(laterality)
        middle = math.atan2(row, col)
        arc = _arc(middle - math.pi / 4, middle + math.pi / 4)
        polygon = np.concatenate([self.outer * arc, self.inner * arc[::-1]])
        return [np.concatenate([polygon, polygon[:1]])]

    def _direction(self, laterality: str) -> tuple[int, int]:
        """Return the step along ``(rows, cols)`` towards the quadrant."""
        right = 1 if laterality == "OD" else -1
        steps = {"S": (-1, 0), "I": (1, 0), "N": (0, right), "T": (0, -right)}
        return steps[self.side]


def _arc(start: float, stop: float) -> np.ndarray:
    """Return points ``(y, x)`` on the unit circle."""
    count = max(2, round(POINTS * (stop - start) / (2 * math.pi)))
    angles = np.linspace(start, stop, count)
    return np.stack([np.sin(angles), np.cos(angles)], 1)


SIDES = {"S": "superior", "N": "nasal", "I": "inferior", "T": "temporal"}
RINGS = {"1": ("inner", 0.5, 1.5), "2": ("outer", 1.5, 3.0)}
SECTORS = {
    "fovea": Sector("fovea, 1 mm", 0.0, 0.5),
    "parafovea": Sector("parafovea, 1 to 3 mm", 0.5, 1.5),
    "perifovea": Sector("perifovea, 3 to 6 mm", 1.5, 3.0),
    "C": Sector("central subfield", 0.0, 0.5),
} | {
    f"{side}{ring}": Sector(f"{word} {title}", inner, outer, side)
    for ring, (title, inner, outer) in RINGS.items()
    for side, word in SIDES.items()
}
ETDRS = ("C", *(f"{side}{ring}" for ring in RINGS for side in SIDES))
