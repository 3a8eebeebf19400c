"""How many voxels have which true and which predicted label."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.metrics.segmentation.overlap import Confusion

_BITS = np.uint32(16)


@dataclass(frozen=True, eq=False)
class JointCounts:
    """Voxels by true and predicted label, where there is either.

    Parameters
    ----------
    truth, prediction, voxels : numpy.ndarray of int
        One entry a pair of labels that occurs, but for 0 and 0.
    size : int
        Voxels in all.
    """

    truth: np.ndarray
    prediction: np.ndarray
    voxels: np.ndarray
    size: int

    def confusion(self, ids: Collection[int] | None = None) -> Confusion:
        """Return the counts of the voxels with one of these labels, or with any."""
        real, predicted = self.truth > 0, self.prediction > 0
        if ids is not None:
            wanted = list(ids)
            real, predicted = (
                np.isin(labels, wanted) for labels in (self.truth, self.prediction)
            )
        both, only, missed = (
            int(self.voxels[chosen].sum())
            for chosen in (real & predicted, predicted & ~real, real & ~predicted)
        )
        return Confusion(both, only, missed, self.size - both - only - missed)

    def sizes(self) -> tuple[dict[int, int], dict[int, int]]:
        """Return the voxels of each true and of each predicted label."""
        true, predicted = (
            _totals(labels, self.voxels) for labels in (self.truth, self.prediction)
        )
        return true, predicted


def count_jointly(prediction: np.ndarray, truth: np.ndarray) -> JointCounts:
    """Count the pairs of labels of two arrays of one shape, ids up to 65535."""
    predicted, real = prediction.ravel(), truth.ravel()
    either = np.flatnonzero((predicted != 0) | (real != 0))
    codes = (real[either].astype(np.uint32) << _BITS) | predicted[either]
    pairs, voxels = np.unique(codes, return_counts=True)
    return JointCounts(
        (pairs >> _BITS).astype(int), (pairs & 0xFFFF).astype(int), voxels, truth.size
    )


def added(parts: Iterable[JointCounts]) -> JointCounts:
    """Return the counts of several arrays together."""
    kept = list(parts)
    truth = np.concatenate([part.truth for part in kept])
    prediction = np.concatenate([part.prediction for part in kept])
    voxels = np.concatenate([part.voxels for part in kept])
    codes, where = np.unique(truth << 16 | prediction, return_inverse=True)
    totals = np.zeros(codes.size, int)
    np.add.at(totals, where, voxels)
    size = sum(part.size for part in kept)
    return JointCounts(codes >> 16, codes & 0xFFFF, totals, size)


def _totals(labels: np.ndarray, voxels: np.ndarray) -> dict[int, int]:
    totals = np.bincount(labels, voxels).astype(int)
    return {int(i): int(totals[i]) for i in np.flatnonzero(totals) if i}
