"""The anatomy that vessels live in: layer surfaces, foveal pit and the FAZ rim."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage
from scipy.sparse import csr_array

SURFACES = ("ILM", "IPL", "OPL", "ISOS", "RPE", "BM")


class SmoothField:
    """A smooth random field of unit variance on a rectangle of the plane.

    Parameters
    ----------
    rng : numpy.random.Generator
    extent : float
        The field is defined on ``[0, extent]`` squared.
    scale : float
        Correlation length, in the unit of `extent`.
    """

    def __init__(self, rng: np.random.Generator, extent: float, scale: float) -> None:
        self.scale, self.extent = scale, extent
        self.knots = np.arange(-2 * scale, extent + 2 * scale, scale)
        self.noise = rng.standard_normal((len(self.knots), len(self.knots)))

    def _weights(self, x: np.ndarray) -> csr_array:
        distance = (x[:, None] - self.knots) / self.scale
        weights = np.exp(-(distance**2) / 0.72)
        weights[weights < 1e-3] = 0
        norm = np.sqrt((weights**2).sum(1, keepdims=True))
        return csr_array(weights / np.maximum(norm, 1e-6))

    def on_grid(self, axis: np.ndarray) -> np.ndarray:
        """Return the field on the square grid ``axis x axis``."""
        weights = self._weights(axis)
        return np.asarray((weights @ (weights @ self.noise).T).T)

    @cached_property
    def _table(self) -> np.ndarray:
        step = self.scale / 4
        return self.on_grid(np.arange(0, self.extent + 2 * step, step))

    def at(self, points: np.ndarray) -> np.ndarray:
        """Return the field at `points`, shape ``(n, 2)``, interpolated."""
        at = points.T / (self.scale / 4)
        return np.asarray(
            ndimage.map_coordinates(self._table, at, order=1, mode="nearest")
        )


@dataclass(frozen=True, eq=False)
class Rim:
    """Outline of the FAZ: a radius that varies with the angle.

    Parameters
    ----------
    centre : tuple of float
        Position of the fovea ``(slow, fast)``, in mm.
    radius : float
        Mean radius, in mm.
    cosines, sines : numpy.ndarray
        Relative Fourier coefficients of the radius; the first is of order 1.
    """

    centre: tuple[float, float]
    radius: float
    cosines: np.ndarray
    sines: np.ndarray

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        angle = np.linspace(-np.pi, np.pi, 4097)
        phase = np.arange(1, len(self.cosines) + 1)[:, None] * angle
        series = self.cosines @ np.cos(phase) + self.sines @ np.sin(phase)
        return angle, self.radius * (1 + series)

    def beyond(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Return how far positions lie outside the rim, in mm, along the radius."""
        y, x = rows - self.centre[0], cols - self.centre[1]
        return np.asarray(np.hypot(y, x) - np.interp(np.arctan2(y, x), *self._table))


def draw_rim(
    rng: np.random.Generator, centre: tuple[float, float], diameter: float
) -> Rim:
    """Return a random FAZ outline of mean `diameter` (mm)."""
    order = np.arange(1, 25)
    size = 0.13 / order**1.1 * rng.uniform(0.5, 1.6)
    size[0] *= 0.3
    cosines, sines = rng.standard_normal((2, len(order))) * size
    return Rim(centre, diameter / 2, cosines, sines)


def draw_surfaces(
    rng: np.random.Generator,
    axis: np.ndarray,
    rim: Rim,
    depth: float,
    whole: bool = True,
) -> np.ndarray:
    """Return the depth of the six surfaces of OCTA-500.

    The thicknesses are typical of a healthy macula: about 0.17 mm from ILM to OPL,
    more in a ring 1 mm from the fovea and less in the pit, and 0.13 mm from OPL to
    Bruch's membrane, more in the pit. The retina is a bowl, tilted by a few degrees
    both ways.

    Parameters
    ----------
    rng : numpy.random.Generator
    axis : numpy.ndarray
        Positions of rows and columns, in mm.
    rim : Rim
        Outline of the FAZ; the pit lies there.
    depth : float
        Axial extent of the scan, in mm.
    whole : bool
        Whether the retina is as flat as it must be to lie in the scan as a whole, or
        the inner retina only; the surfaces below may then leave the scan.

    Returns
    -------
    numpy.ndarray
        Shape ``(6, slow, fast)``: ILM, IPL, OPL, ISOS, RPE, BM, in mm.
    """
    side = float(axis[-1])
    y, x = axis[:, None] - rim.centre[0], axis[None] - rim.centre[1]
    pit_y, pit_x = y - rng.normal(0, 0.04), x - rng.normal(0, 0.04)
    reach = np.hypot(pit_y, pit_x)
    width = rng.uniform(0.36, 0.55) * (0.7 + rim.radius)
    pit = np.exp(-((reach / width) ** 2))
    swell = 1 + 0.05 * SmoothField(rng, side, 1.0).on_grid(axis)
    swell += rng.uniform(0.05, 0.3) * np.exp(-(((reach - 1.0) / 0.6) ** 2))
    inner = 0.16 * rng.uniform(0.88, 1.12) * (1 - rng.uniform(0.6, 0.85) * pit) * swell
    # In the pit the outer nuclear layer is thick, so that the OPL lies high.
    outer = rng.uniform(0.12, 0.15) + rng.uniform(0.035, 0.075) * pit
    tilt = np.clip(rng.normal(0, 0.03, 2), -0.09, 0.09)
    sag = rng.uniform(0.015, 0.06) * min(1.0, 3.5 / side)
    bend = tilt[0] * y + tilt[1] * x - sag * (y**2 + x**2)
    bend += 0.004 * SmoothField(rng, side, 1.2).on_grid(axis)
    thickest = float((inner + outer if whole else inner).max())
    room = max(depth - thickest - 0.03, 0.01)
    bend *= min(1.0, room / float(np.ptp(bend)))
    opl = bend - outer
    surfaces = np.stack(
        [
            opl - inner,
            opl - (0.35 + 0.1 * pit) * inner,
            opl,
            bend - 0.062 - 0.006 * pit,
            bend - 0.02,
            bend,
        ]
    )
    if whole:
        top = (depth - surfaces[5].max() - surfaces[0].min()) / 2
    else:
        top = rng.uniform(0, 0.02) - surfaces[0].min()
    return np.asarray(surfaces + top)
