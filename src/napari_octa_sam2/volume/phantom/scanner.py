"""What a scanner makes of flow: blur, projection tails, speckle, motion, gain."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def speckle(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    looks: float,
    grain: tuple[float, float] | None = None,
) -> np.ndarray:
    """Return multiplicative noise of mean 1 and variance ``1 / looks``.

    With `grain` the noise is smooth: white noise blurred by so many pixels along
    the slow and the fast axis, of log-normal distribution.
    """
    if grain is None:
        noise = rng.standard_gamma(looks, shape, np.float32) / np.float32(looks)
        return np.asarray(noise)
    white = rng.standard_normal(shape, np.float32)
    noise = ndimage.gaussian_filter(white, grain, mode="wrap", truncate=3)
    spread = np.float32(np.sqrt(np.log1p(1 / looks)))
    noise *= spread / noise.std()
    return np.asarray(np.exp(noise - spread**2 / 2))


class AxialSpeckle:
    """Standard normal noise of a volume, smooth in all directions.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : tuple of int
        ``(depth, slow, fast)``.
    reach : float
        Slices over which it changes; independent from slice to slice below 1.
    grain : float
        In-plane blur, in pixels.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        shape: tuple[int, ...],
        reach: float,
        grain: float = 0.65,
    ) -> None:
        self.rng, self.shape, self.grain = rng, shape[1:], grain
        self.reach = max(reach, 1.0)
        self.knot = 0
        self.pair = self._draw(), self._draw()

    def _draw(self) -> np.ndarray:
        white = self.rng.standard_normal(self.shape, np.float32)
        noise = ndimage.gaussian_filter(white, self.grain, mode="wrap", truncate=3)
        return np.asarray(noise / noise.std())

    def at(self, depth: int) -> np.ndarray:
        """Return the noise of a slice; ask from the top to the bottom."""
        while depth / self.reach >= self.knot + 1:
            self.knot += 1
            self.pair = self.pair[1], self._draw()
        share = np.float32(depth / self.reach - self.knot)
        noise = (1 - share) * self.pair[0] + share * self.pair[1]
        return np.asarray(noise / np.hypot(1 - share, share))


def motion_gain(
    rng: np.random.Generator, rows: int, quality: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return gain and added decorrelation of each B-scan, shape ``(rows, 1)``.

    Slow drifts of the gain, a weak jitter from line to line, bands where the gain
    is another, and a few bright lines where the eye moved: the poorer the
    `quality`, the more of them.
    """
    bad = 1 - quality
    drift = ndimage.gaussian_filter1d(rng.standard_normal(rows), rows / 16) * 4
    gain = 1 + 0.04 * drift + (0.012 + 0.06 * bad) * rng.standard_normal(rows)
    added = np.zeros(rows)
    for _ in range(rng.poisson(0.3 + 5 * bad)):
        start, width = rng.integers(rows), 1 + int(rng.exponential(2 + 18 * bad))
        gain[start : start + width] *= rng.uniform(0.75, 1.2)
    moved = rng.random(rows) < 0.001 + 0.02 * bad * rng.random()
    moved |= np.roll(moved, 1) & (rng.random(rows) < 0.4)
    added = moved * rng.uniform(0.05, 0.3, rows)
    return np.clip(gain, 0.3, None)[:, None], added[:, None]


def shift_lines(
    rng: np.random.Generator, image: np.ndarray, quality: float
) -> np.ndarray:
    """Return `image` as registration leaves it after eye motion.

    Single B-scans are a pixel off, and bands of a few up to three. All else is where
    the truth says.
    """
    bad, rows = 1 - quality, image.shape[-2]
    image = image.copy()
    for start in rng.integers(0, rows, rng.poisson(2 * bad)):
        band = slice(start, start + 2 + int(rng.exponential(3)))
        jump = int(np.clip(np.round(rng.normal(0, 1.5)), -3, 3))
        image[..., band, :] = np.roll(image[..., band, :], jump, -1)
    moved = rng.random(rows) < 0.005 + 0.04 * bad
    image[..., moved, :] = np.roll(image[..., moved, :], int(rng.choice([-1, 1])), -1)
    return image


def shadows(rng: np.random.Generator, axis: np.ndarray, quality: float) -> np.ndarray:
    """Return the light that floaters, lashes and the pupil let through, 0 to 1."""
    side = float(axis[-1])
    light = np.ones((len(axis), len(axis)))
    for _ in range(rng.poisson(0.15 + 0.8 * (1 - quality))):
        edge = rng.random() < 0.6
        row, col = rng.uniform(0, side, 2)
        if edge:
            row, col = rng.permutation([rng.choice([0.0, side]), col])
        size = np.exp(rng.uniform(np.log(0.12), np.log(1.2)))
        wide = size * rng.uniform(0.5, 2)
        spot = ((axis[:, None] - row) / size) ** 2 + ((axis[None] - col) / wide) ** 2
        light *= 1 - rng.uniform(0.3, 0.95) * np.exp(-spot)
    return light


def vignette(rng: np.random.Generator, axis: np.ndarray, quality: float) -> np.ndarray:
    """Return the illumination of the field, shape ``(slow, fast)``, at most 1."""
    side = float(axis[-1])
    centre = side * rng.uniform(0.35, 0.65, 2)
    y, x = (axis[:, None] - centre[0]) / side, (axis[None] - centre[1]) / side
    loss = rng.uniform(0, 0.2) + 0.6 * (1 - quality) * rng.uniform(0, 1)
    return np.asarray(1 / (1 + loss * 2 * (y**2 + x**2)))


def to_uint8(image: np.ndarray, white: float, gamma: float = 1.0) -> np.ndarray:
    """Return 8-bit grey values; `white` and above become 255."""
    scaled = np.clip(image / white, 0, 1)
    if gamma != 1.0:
        scaled = scaled**gamma
    return np.asarray((scaled * 255 + 0.5).astype(np.uint8))
