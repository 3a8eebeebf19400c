"""What a scanner makes of flow: blur, projection tails, speckle, motion, gain."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def project_down(flow: np.ndarray, decay: float) -> np.ndarray:
    """Return what flow casts on the tissue below it (projection artefacts).

    Parameters
    ----------
    flow : numpy.ndarray
        Flow signal, shape ``(depth, slow, fast)``.
    decay : float
        Part of a tail that is left after one slice, 0 to 1.
    """
    tail = flow.copy()
    for below in range(1, len(tail)):
        tail[below] = np.maximum(flow[below], decay * tail[below - 1])
    return tail


def speckle(
    rng: np.random.Generator, shape: tuple[int, ...], looks: float
) -> np.ndarray:
    """Return multiplicative noise of mean 1 and variance ``1 / looks``."""
    return np.asarray(rng.standard_gamma(looks, shape, np.float32) / np.float32(looks))


def motion_gain(
    rng: np.random.Generator, rows: int, quality: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return gain and added decorrelation of each B-scan, shape ``(rows, 1)``.

    Slow drifts of the gain, a weak jitter from line to line, and a few bright lines
    where the eye moved: the poorer the `quality`, the more of them.
    """
    bad = 1 - quality
    drift = ndimage.gaussian_filter1d(rng.standard_normal(rows), rows / 16) * 4
    gain = 1 + 0.04 * drift + (0.015 + 0.06 * bad) * rng.standard_normal(rows)
    moved = rng.random(rows) < 0.002 + 0.03 * bad
    added = moved * rng.uniform(0.05, 0.25, rows)
    return np.clip(gain, 0.3, None)[:, None], added[:, None]


def shift_lines(
    rng: np.random.Generator, image: np.ndarray, quality: float
) -> np.ndarray:
    """Return `image` with a few B-scans one pixel off (residual eye motion)."""
    rows = image.shape[-2]
    moved = rng.random(rows) < 0.01 + 0.04 * (1 - quality)
    image = image.copy()
    image[..., moved, :] = np.roll(image[..., moved, :], int(rng.choice([-1, 1])), -1)
    return image


def vignette(rng: np.random.Generator, axis: np.ndarray, quality: float) -> np.ndarray:
    """Return the illumination of the field, shape ``(slow, fast)``, at most 1."""
    side = float(axis[-1])
    centre = side * rng.uniform(0.35, 0.65, 2)
    y, x = (axis[:, None] - centre[0]) / side, (axis[None] - centre[1]) / side
    loss = rng.uniform(0.1, 0.3) + 0.8 * (1 - quality) * rng.uniform(0, 1)
    return np.asarray(1 / (1 + loss * 2 * (y**2 + x**2)))


def to_uint8(image: np.ndarray, white: float, gamma: float = 1.0) -> np.ndarray:
    """Return 8-bit grey values; `white` and above become 255."""
    scaled = np.clip(image / white, 0, 1)
    if gamma != 1.0:
        scaled = scaled**gamma
    return np.asarray((scaled * 255 + 0.5).astype(np.uint8))
