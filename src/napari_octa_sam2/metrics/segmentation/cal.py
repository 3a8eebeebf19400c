"""Connectivity, area and length of vessels in a plane."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.segmentation.betti import count_parts
from napari_octa_sam2.metrics.segmentation.overlap import ratio, require_masks
from napari_octa_sam2.metrics.segmentation.skeleton import skeletonize

ALPHA = BETA = 2  # pixels by which area and length may be apart


class ConnectivityAreaLength(NamedTuple):
    """The three factors of CAL, each from 0 to 1."""

    connectivity: float
    area: float
    length: float

    @property
    def cal(self) -> float:
        """Their product."""
        return self.connectivity * self.area * self.length


def connectivity_area_length(
    prediction: np.ndarray,
    truth: np.ndarray,
    *,
    skeletons: tuple[np.ndarray, np.ndarray] | None = None,
    parts: tuple[int, int] | None = None,
    alpha: int = ALPHA,
    beta: int = BETA,
) -> ConnectivityAreaLength:
    """Compare vessels by their connected parts, their area and their centrelines.

    Gegundez-Arias et al., A function for quality evaluation of retinal vessel
    segmentations, IEEE Trans Med Imaging 2012;31:231. Parts are 8-connected.

    Parameters
    ----------
    prediction, truth : numpy.ndarray of bool
        Masks of equal shape ``(rows, cols)``.
    skeletons : tuple of numpy.ndarray of bool, optional
        Of prediction and truth, where they are known already.
    parts : tuple of int, optional
        Numbers of their connected parts, where they are known already.
    alpha, beta : int
        Radius in pixels of the disc that dilates masks and skeletons.

    Returns
    -------
    ConnectivityAreaLength
        All 1 if both masks are empty, all 0 if only one is.

    Raises
    ------
    VolumeError
        If the masks do not match or are no planes.
    """
    require_masks(prediction, truth)
    if truth.ndim != 2:
        raise VolumeError(f"expected 2-D masks, found {truth.shape}; take one slice")
    if not (prediction.any() and truth.any()):
        same = float(prediction.any() == truth.any())
        return ConnectivityAreaLength(same, same, same)
    lines = skeletons or (skeletonize(prediction), skeletonize(truth))
    if parts is None:
        parts = count_parts(prediction, corners=True), count_parts(truth, corners=True)
    apart = abs(parts[0] - parts[1]) / np.count_nonzero(truth)
    return ConnectivityAreaLength(
        connectivity=1 - min(1.0, float(apart)),
        area=_within(prediction, truth, alpha),
        length=_within(*lines, beta),
    )


def dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    """Return the pixels within `radius` pixels of a 2-D mask."""
    rows, cols = mask.shape
    padded = np.pad(mask, radius)
    grown = np.zeros_like(mask)
    for row, col in np.ndindex(2 * radius + 1, 2 * radius + 1):
        if (row - radius) ** 2 + (col - radius) ** 2 <= radius**2:
            grown |= padded[row : row + rows, col : col + cols]
    return grown


def _within(one: np.ndarray, other: np.ndarray, radius: int) -> float:
    """Return the fraction of the union that lies within `radius` of both masks."""
    near = (dilate(one, radius) & other) | (one & dilate(other, radius))
    union = np.count_nonzero(one | other)
    return ratio(int(np.count_nonzero(near)), int(union), 0)
