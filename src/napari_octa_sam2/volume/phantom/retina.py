"""The anatomy that vessels live in: layer surfaces, foveal pit and the FAZ rim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
        self.scale = scale
        self.knots = np.arange(-2 * scale, extent + 2 * scale, scale)
        self.noise = rng.standard_normal((len(self.knots), len(self.knots)))

    def _weights(self, x: np.ndarray) -> np.ndarray:
        distance = (x[:, None] - self.knots) / self.scale
        weights = np.exp(-(distance**2) / 0.72)
        norm = np.sqrt((weights**2).sum(1, keepdims=True))
        return np.asarray(weights / np.maximum(norm, 1e-6))

    def on_grid(self, axis: np.ndarray) -> np.ndarray:
        """Return the field on the square grid ``axis x axis``."""
        weights = self._weights(axis)
        return np.asarray(weights @ self.noise @ weights.T)

    def at(self, points: np.ndarray) -> np.ndarray:
        """Return the field at `points`, shape ``(n, 2)``."""
        rows, cols = self._weights(points[:, 0]), self._weights(points[:, 1])
        return np.asarray(((rows @ self.noise) * cols).sum(1))


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

    def beyond(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Return how far positions lie outside the rim, in mm, along the radius."""
        y, x = rows - self.centre[0], cols - self.centre[1]
        distance, angle = np.hypot(y, x), np.arctan2(y, x)
        turn = np.exp(1j * angle)
        series = np.polyval(
            np.append((self.cosines - 1j * self.sines)[::-1], 0), turn
        ).real
        return np.asarray(distance - self.radius * (1 + series))


def draw_rim(
    rng: np.random.Generator, centre: tuple[float, float], diameter: float
) -> Rim:
    """Return a random FAZ outline of mean `diameter` (mm)."""
    order = np.arange(1, 15)
    size = 0.14 / order**1.3 * rng.uniform(0.6, 1.4)
    size[0] *= 0.3
    cosines, sines = rng.standard_normal((2, len(order))) * size
    return Rim(centre, diameter / 2, cosines, sines)


def draw_surfaces(
    rng: np.random.Generator, axis: np.ndarray, field: float, rim: Rim, depth: float
) -> np.ndarray:
    """Return the depth of the six surfaces of OCTA-500.

    The thicknesses are typical of a healthy macula: 0.165 mm from ILM to OPL, less
    in the pit, and 0.16 mm from OPL to Bruch's membrane.

    Parameters
    ----------
    rng : numpy.random.Generator
    axis : numpy.ndarray
        Positions of rows and columns, in mm.
    field : float
        Side of the field, in mm.
    rim : Rim
        Outline of the FAZ; the pit is centred on it.
    depth : float
        Axial extent in which the retina is centred, in mm.

    Returns
    -------
    numpy.ndarray
        Shape ``(6, slow, fast)``: ILM, IPL, OPL, ISOS, RPE, BM, in mm.
    """
    y, x = axis[:, None] - rim.centre[0], axis[None] - rim.centre[1]
    distance2 = y**2 + x**2
    sag = 0.045 * field * rng.uniform(0.6, 1.3) / (field**2 / 2)
    tilt = rng.normal(0, 0.012, 2)
    wave = SmoothField(rng, field, 1.2).on_grid(axis)
    bruch = tilt[0] * y + tilt[1] * x - sag * distance2 + 0.004 * wave
    width = rng.uniform(0.36, 0.5) * (0.7 + rim.radius)
    pit = np.exp(-distance2 / width**2)
    swell = 1 + 0.05 * SmoothField(rng, field, 1.0).on_grid(axis)
    inner = 0.165 * rng.uniform(0.92, 1.08) * (1 - rng.uniform(0.7, 0.8) * pit) * swell
    rpe = bruch - 0.02
    isos = rpe - 0.042 - 0.006 * pit
    opl = isos - 0.098 - 0.012 * pit
    surfaces = np.stack(
        [opl - inner, opl - (0.35 + 0.1 * pit) * inner, opl, isos, rpe, bruch]
    )
    middle = (surfaces[0].min() + surfaces[5].max()) / 2
    return np.asarray(surfaces + (depth / 2 - middle))
