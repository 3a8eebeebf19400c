"""Overlap of two masks, and what every figure says of empty ones.

One policy for empty masks everywhere. A fraction whose denominator is empty (Dice, IoU,
precision, recall, NSD, clDice and its parts, CAL, average precision of objects) is 1
where prediction and truth are both empty, for they agree, and 0 where only one is.
Specificity applies it to the background. A distance (HD, HD95, ASSD) is not available
where a mask is empty, for there is nothing to measure from or to: such cases are
counted, never replaced by a number. An empty mask has 0 parts, tunnels and cavities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.errors import VolumeError


@dataclass(frozen=True)
class Confusion:
    """Counts of voxels by prediction and truth.

    Counts of several slices or volumes can be added, so that their scores are pooled.
    """

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
            self.true_negative + other.true_negative,
        )

    @property
    def errors(self) -> int:
        """Number of voxels in which prediction and truth differ."""
        return self.false_positive + self.false_negative

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        double = 2 * self.true_positive
        return ratio(double, double + self.errors, self.errors)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN)."""
        return ratio(self.true_positive, self.true_positive + self.errors, self.errors)

    @property
    def precision(self) -> float:
        """TP / (TP + FP)."""
        predicted = self.true_positive + self.false_positive
        return ratio(self.true_positive, predicted, self.errors)

    @property
    def recall(self) -> float:
        """TP / (TP + FN), also called sensitivity."""
        real = self.true_positive + self.false_negative
        return ratio(self.true_positive, real, self.errors)

    @property
    def specificity(self) -> float:
        """TN / (TN + FP)."""
        background = self.true_negative + self.false_positive
        return ratio(self.true_negative, background, self.errors)

    @property
    def accuracy(self) -> float:
        """(TP + TN) / (TP + FP + FN + TN)."""
        correct = self.true_positive + self.true_negative
        return ratio(correct, correct + self.errors, 0)


def confusion(prediction: np.ndarray, truth: np.ndarray) -> Confusion:
    """Count voxels by prediction and truth.

    Parameters
    ----------
    prediction, truth : numpy.ndarray of bool
        Masks of equal shape, any number of dimensions.

    Raises
    ------
    VolumeError
        If the arrays are not boolean or their shapes differ.
    """
    require_masks(prediction, truth)
    both = int(np.count_nonzero(prediction & truth))
    predicted = int(np.count_nonzero(prediction))
    real = int(np.count_nonzero(truth))
    return Confusion(
        true_positive=both,
        false_positive=predicted - both,
        false_negative=real - both,
        true_negative=truth.size - predicted - real + both,
    )


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Return the Dice coefficient of two masks; see `confusion`."""
    return confusion(prediction, truth).dice


def iou(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Return intersection over union (Jaccard index); see `confusion`."""
    return confusion(prediction, truth).iou


def precision(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Return the fraction of predicted voxels that are true; see `confusion`."""
    return confusion(prediction, truth).precision


def recall(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Return the fraction of true voxels that are predicted; see `confusion`."""
    return confusion(prediction, truth).recall


def specificity(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Return the fraction of background left background; see `confusion`."""
    return confusion(prediction, truth).specificity


def require_masks(prediction: np.ndarray, truth: np.ndarray) -> None:
    """Raise `VolumeError` unless both arrays are masks of the same shape."""
    if prediction.shape != truth.shape:
        raise VolumeError(
            "expected prediction and truth of the same shape, found "
            f"{prediction.shape} and {truth.shape}; bring them to one grid first"
        )
    for name, mask in (("prediction", prediction), ("truth", truth)):
        if mask.dtype != np.bool_:
            raise VolumeError(
                f"expected a boolean {name}, found {mask.dtype}; compare labels with "
                "an id (labels == 1) or threshold probabilities first"
            )


def ratio(part: int, whole: int, elsewhere: int) -> float:
    """Return ``part / whole``; of an empty whole 1, or 0 if there is any `elsewhere`.

    `elsewhere` counts what the other mask has, or in what the masks differ.
    """
    if whole:
        return part / whole
    return 0.0 if elsewhere else 1.0
