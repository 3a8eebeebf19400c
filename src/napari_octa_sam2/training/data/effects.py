"""Changes of light, sharpness and noise that make a network bear other scans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import ndimage

from napari_octa_sam2.errors import TrainingError

Effect = Callable[[Any, int, np.random.Generator], Any]


def apply_effects(
    images: np.ndarray,
    channels: int,
    shares: Mapping[str, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Return images changed by each effect with its probability, in a random order.

    Parameters
    ----------
    images : numpy.ndarray
        0..1, shape ``(slices * channels, rows, columns)``.
    channels : int
        Channels of a slice.
    shares : mapping of str to float
        Probability of each of `EFFECTS`.
    """
    names = list(shares)
    for index in rng.permutation(len(names)):
        if rng.random() < shares[names[index]]:
            images = EFFECTS[names[index]](images, channels, rng)
    changed: np.ndarray = np.clip(images, 0, 1).astype(np.float32)
    return changed


def check_effects(shares: Mapping[str, float]) -> None:
    """Raise `TrainingError` for an effect that there is not, or no probability."""
    for name, share in shares.items():
        if name not in EFFECTS:
            raise TrainingError(
                f"expected effects of {', '.join(EFFECTS)}, found {name!r}"
            )
        if not 0 <= share <= 1:
            raise TrainingError(
                f"expected a share of 0 to 1 for the effect {name}, found {share}"
            )


def _scanner(images: Any, channels: int, rng: np.random.Generator) -> Any:
    """Vary light, gamma, sharpness and noise; noise is drawn for each slice anew.

    Zooming in leaves no texture at the scale of a pixel: speckle puts it back.
    Some clips are changed a little, others a lot.
    """
    much = rng.uniform(0.1, 1)
    coarse = rng.normal(0, rng.uniform(0, 0.25 * much), (1, 4, 4))
    light = ndimage.zoom(coarse, (1, *(n / 4 for n in images.shape[1:])), order=1)
    gain, offset = 1 + much * rng.uniform(-0.4, 0.4), much * rng.uniform(-0.06, 0.06)
    images = images * gain * np.exp(light) + offset
    if rng.random() < 0.3 * much:
        images = ndimage.gaussian_filter(images, (0, *[rng.uniform(0.3, 0.9)] * 2))
    speckle, noise = rng.standard_normal((2, *images.shape), np.float32)
    grain = rng.uniform(0, 0.8)
    if grain > 0.3:
        speckle = ndimage.gaussian_filter(speckle, (0, grain, grain))
        speckle /= speckle.std()
    images = images * (1 + rng.uniform(0, 0.3 * much) * speckle)
    images = images + rng.uniform(0, 0.05 * much) * noise
    images = np.clip(images, 0, 1) ** np.exp(much * rng.uniform(-0.35, 0.35))
    return images


def _brightness(images: Any, channels: int, rng: np.random.Generator) -> Any:
    return images + rng.uniform(-0.2, 0.2)


def _contrast(images: Any, channels: int, rng: np.random.Generator) -> Any:
    middle = images.mean()
    return (images - middle) * rng.uniform(0.75, 1.5) + middle


def _gamma(images: Any, channels: int, rng: np.random.Generator) -> Any:
    return np.clip(images, 0, 1) ** np.exp(rng.uniform(-np.log(2), np.log(2)))


def _blur(images: Any, channels: int, rng: np.random.Generator) -> Any:
    side = rng.uniform(0.3, 1.2)
    return ndimage.gaussian_filter(images, (0, side, side))


def _sharpen(images: Any, channels: int, rng: np.random.Generator) -> Any:
    soft = ndimage.gaussian_filter(images, (0, 1, 1))
    return images + rng.uniform(0.3, 1.0) * (images - soft)


def _noise(images: Any, channels: int, rng: np.random.Generator) -> Any:
    return images + rng.normal(0, rng.uniform(0.01, 0.1), images.shape)


def _impulses(images: Any, channels: int, rng: np.random.Generator) -> Any:
    struck = rng.random(images.shape) < 0.05
    return np.where(struck, rng.integers(0, 2, images.shape), images)


def _dropout(images: Any, channels: int, rng: np.random.Generator) -> Any:
    return images * (rng.random(images.shape) >= rng.uniform(0.01, 0.1))


def _histogram(images: Any, channels: int, rng: np.random.Generator) -> Any:
    """Bend the scale of greys at ten points, which stay in their order."""
    knots = np.linspace(0, 1, 10)
    bent = knots.copy()
    bent[1:-1] = np.sort(knots[1:-1] + rng.uniform(-0.5, 0.5, 8) / 9)
    return np.interp(np.clip(images, 0, 1), knots, bent)


def _shuffle_channels(images: Any, channels: int, rng: np.random.Generator) -> Any:
    slices = images.reshape(-1, channels, *images.shape[1:])
    return slices[:, rng.permutation(channels)].reshape(images.shape)


def _one_channel(images: Any, channels: int, rng: np.random.Generator) -> Any:
    slices = images.reshape(-1, channels, *images.shape[1:])
    chosen = slices[:, [rng.integers(channels)] * channels]
    return chosen.reshape(images.shape)


EFFECTS: dict[str, Effect] = {
    "scanner": _scanner,
    "brightness": _brightness,
    "contrast": _contrast,
    "gamma": _gamma,
    "blur": _blur,
    "sharpen": _sharpen,
    "noise": _noise,
    "impulses": _impulses,
    "dropout": _dropout,
    "histogram": _histogram,
    "shuffle channels": _shuffle_channels,
    "one channel": _one_channel,
}
