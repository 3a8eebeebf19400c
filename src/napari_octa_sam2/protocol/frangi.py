"""The filter that a network has to beat: Frangi's, with the truth in hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

SIGMAS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0)


def best_dice(image: np.ndarray, truth: np.ndarray) -> float:
    """Return the highest Dice that Frangi's vesselness reaches on an image.

    The best of all thresholds and of all runs of `SIGMAS`, both chosen with the truth
    of this very image: no user can do as well.

    Parameters
    ----------
    image : numpy.ndarray
        Grey values, vessels bright, shape ``(slow, fast)``.
    truth : numpy.ndarray of bool
        Of the same shape, not empty.

    References
    ----------
    Frangi et al., "Multiscale vessel enhancement filtering", MICCAI 1998.
    """
    return max(dice_at_best(found, truth) for found in vesselness(image))


def vesselness(
    image: np.ndarray, sigmas: Sequence[float] = SIGMAS
) -> Iterator[np.ndarray]:
    """Yield Frangi's vesselness for every run of neighbouring scales, in pixels.

    Each scale is told noise from structure by its own largest Hessian norm. In one call
    scikit-image takes that of the first scale for all, which finds vessels less well.
    """
    from skimage.filters import frangi

    grey = image.astype(np.float64)
    grey /= max(float(grey.max()), 1.0)
    scales = [frangi(grey, sigmas=[sigma], black_ridges=False) for sigma in sigmas]
    for first in range(len(scales)):
        yield from np.maximum.accumulate(scales[first:])


def dice_at_best(values: np.ndarray, truth: np.ndarray) -> float:
    """Return the Dice of ``values >= threshold`` at the best of all thresholds."""
    order = np.argsort(values, axis=None)[::-1]
    ordered = values.ravel()[order]
    found = np.arange(1, ordered.size + 1)
    dice = 2 * np.cumsum(truth.ravel()[order]) / (found + truth.sum())
    last_of_equals = np.append(ordered[1:] != ordered[:-1], True)
    return float(dice[last_of_equals].max())
