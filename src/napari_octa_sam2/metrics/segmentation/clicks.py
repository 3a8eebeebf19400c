"""The simulated annotator of the interactive-segmentation literature."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt, label

from napari_octa_sam2.errors import VolumeError


class Click(NamedTuple):
    """A click in pixels of the slice, on the object or beside it."""

    row: int
    col: int
    positive: bool


def next_click(truth: np.ndarray, prediction: np.ndarray | None = None) -> Click | None:
    """Return where an annotator who knows the truth clicks next.

    In the largest connected piece of the error (the whole object, if there is no
    prediction yet), the pixel that lies farthest from its border.

    Parameters
    ----------
    truth, prediction : numpy.ndarray
        Boolean masks of one slice, shape ``(slow, fast)``.

    Returns
    -------
    Click or None
        None if there is no error.

    Raises
    ------
    VolumeError
        If the shapes differ.

    References
    ----------
    Xu et al., "Deep Interactive Object Selection", CVPR 2016; Sofiiuk et al.,
    "Reviving Iterative Training with Mask Guidance", 2021.
    """
    prediction = np.zeros_like(truth) if prediction is None else prediction
    if truth.shape != prediction.shape:
        raise VolumeError(
            f"expected masks of one shape, found {truth.shape} and {prediction.shape}"
        )
    best: tuple[int, Click] | None = None
    for error, positive in ((truth & ~prediction, True), (prediction & ~truth, False)):
        pieces, count = label(error, np.ones((3, 3)))
        if not count:
            continue
        sizes = np.bincount(pieces.ravel())[1:]
        largest = int(sizes.argmax())
        if best is None or sizes[largest] > best[0]:
            row, col = deepest_pixel(pieces == largest + 1)
            best = int(sizes[largest]), Click(row, col, positive)
    return None if best is None else best[1]


def deepest_pixel(mask: np.ndarray) -> tuple[int, int]:
    """Return the pixel of `mask` farthest from its border; the image's edge counts."""
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, col = np.unravel_index(depth.argmax(), mask.shape)
    return int(row), int(col)
