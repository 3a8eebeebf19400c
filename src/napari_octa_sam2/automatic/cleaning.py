"""From probabilities to masks: smoothed, cut, and freed of specks and holes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy.ndimage import gaussian_filter, label

from napari_octa_sam2.errors import VolumeError

EIGHT_CONNECTED = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Cleaning:
    """How a mask is made of a probability.

    Parameters
    ----------
    threshold : float
        From 0 to below 1; foreground is what exceeds it.
    min_area : int
        Smaller 8-connected components, in pixels, are dropped.
    fill_holes : float
        Holes (4-connected background that does not reach the edge of the image) of
        at most so many pixels are filled; ``math.inf`` fills all.
    smoothing : float
        Standard deviation, in pixels, of a Gaussian on the probability.
    largest : bool
        Whether only the largest component is kept.
    rounding : float
        Standard deviation, in pixels, of a Gaussian on the mask at last, which is cut
        again where Otsu's criterion says.

    Raises
    ------
    VolumeError
        If a value is out of range.
    """

    threshold: float = 0.5
    min_area: int = 0
    fill_holes: float = 0
    smoothing: float = 0.0
    largest: bool = False
    rounding: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise VolumeError(
                f"expected a threshold from 0 to below 1, found {self.threshold}"
            )
        for name in ("min_area", "fill_holes"):
            if not getattr(self, name) >= 0:
                raise VolumeError(
                    f"expected {name} of 0 pixels or more, found {getattr(self, name)}"
                )
        for name in ("smoothing", "rounding"):
            if not 0 <= getattr(self, name) < math.inf:
                raise VolumeError(
                    f"expected {name} of 0 pixels or more, found {getattr(self, name)}"
                )


DEFAULTS = MappingProxyType(
    {
        "RV": Cleaning(min_area=50),
        "artery": Cleaning(min_area=50),
        "vein": Cleaning(min_area=50),
        "capillary": Cleaning(min_area=10),
        "vessel": Cleaning(min_area=10),
        "FAZ": Cleaning(smoothing=1.0, largest=True, fill_holes=math.inf),
    }
)
"""What suits each class; large vessels lose fragments as in SAM-OCTA2."""


REGION = Cleaning(0.8, min_area=500, fill_holes=math.inf, rounding=5.0)
"""The vessel region of a layer, as SAM-OCTA2's sparse annotation makes it."""


def clean(probability: np.ndarray, cleaning: Cleaning) -> np.ndarray:
    """Return the mask of a probability: smooth, cut, drop components, fill holes.

    Parameters
    ----------
    probability : numpy.ndarray
        From 0 to 1, or a mask, shape ``(slow, fast)``; NaN is background.
    cleaning : Cleaning

    Returns
    -------
    numpy.ndarray of bool
        Of the same shape.

    Raises
    ------
    VolumeError
        If the array has another number of axes.
    """
    values = _require_plane(probability)
    if cleaning.smoothing:
        values = gaussian_filter(values, cleaning.smoothing, mode="nearest")
    mask = values > cleaning.threshold
    if cleaning.largest:
        mask = largest_component(mask)
    mask = filled(without_specks(mask, cleaning.min_area), cleaning.fill_holes)
    return rounded(mask, cleaning.rounding) if cleaning.rounding else mask


def rounded(mask: np.ndarray, sigma: float) -> np.ndarray:
    """Return a mask blurred by `sigma` pixels, and cut by Otsu's criterion."""
    from skimage.filters import threshold_otsu

    if mask.all() or not mask.any():
        return mask
    soft = gaussian_filter(mask.astype(float), sigma, mode="nearest")
    cut: np.ndarray = soft > threshold_otsu(soft)
    return cut


def without_specks(mask: np.ndarray, least: float) -> np.ndarray:
    """Return a mask without its 8-connected components below `least` pixels."""
    if least <= 1:
        return mask
    pieces, _ = label(mask, EIGHT_CONNECTED)
    kept: np.ndarray = mask & (_areas(pieces) >= least)[pieces]
    return kept


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Return the largest 8-connected component; of several, the first by row."""
    pieces, count = label(mask, EIGHT_CONNECTED)
    if count < 2:
        return mask
    largest: np.ndarray = pieces == 1 + _areas(pieces)[1:].argmax()
    return largest


def filled(mask: np.ndarray, most: float) -> np.ndarray:
    """Return a mask with its holes of at most `most` pixels filled."""
    if not most:
        return mask
    pieces, _ = label(~mask)
    is_hole = _areas(pieces) <= most
    is_hole[0] = False
    for edge in (pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]):
        is_hole[edge] = False
    whole: np.ndarray = mask | is_hole[pieces]
    return whole


def _areas(pieces: np.ndarray) -> np.ndarray:
    return np.bincount(pieces.ravel())


def _require_plane(probability: np.ndarray) -> np.ndarray:
    values = np.asarray(probability)
    if values.ndim != 2 or not values.size:
        raise VolumeError(
            "expected a probability of shape (slow, fast), found "
            f"{values.shape}; take one slice"
        )
    floating = np.result_type(values, np.float32)  # 0.8 must not exceed 0.8
    finite: np.ndarray = np.nan_to_num(values.astype(floating), posinf=1, neginf=0)
    return finite
