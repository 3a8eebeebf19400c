"""Average precision: of scores, voxel by voxel, and of whole objects."""

from __future__ import annotations

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.segmentation.joint import JointCounts
from napari_octa_sam2.metrics.segmentation.overlap import ratio

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))  # of IoU


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the average precision of scores: the area under precision by recall.

    The sum of precision times the gain in recall over all thresholds, without
    interpolation.

    Parameters
    ----------
    scores : numpy.ndarray
        Logits, probabilities or any number that is higher where foreground is likelier.
    truth : numpy.ndarray of bool
        Of the same shape.

    Returns
    -------
    float
        nan if the truth is empty: there is nothing to recall.

    Raises
    ------
    VolumeError
        If the shapes differ, the truth is no mask or a score is nan.
    """
    require_scores(scores, truth)
    positives = scores[truth]
    if not positives.size:
        return float("nan")
    levels, hits = np.unique(positives, return_counts=True)
    # Only false voxels that outrank the last true one lower any precision.
    negatives = scores[~truth & (scores >= levels[0])]
    negatives.sort()
    false = negatives.size - np.searchsorted(negatives, levels)
    found = np.cumsum(hits[::-1])[::-1]
    return float((found / (found + false) * hits).sum() / positives.size)


def object_precisions(counts: JointCounts) -> dict[float, float]:
    """Return the average precision of objects at each of `THRESHOLDS` of IoU.

    ``TP / (TP + FP + FN)``: an object is found if a predicted one, whatever its id,
    overlaps it with at least that IoU; each is matched once. 1 if there is no object
    on either side.
    """
    true, predicted = counts.sizes()
    both = (counts.truth > 0) & (counts.prediction > 0)
    columns = (counts.truth, counts.prediction, counts.voxels)
    overlaps = {
        (t, p): shared / (true[t] + predicted[p] - shared)
        for t, p, shared in zip(*(c[both].tolist() for c in columns), strict=True)
    }
    objects = len(true) + len(predicted)
    found: dict[float, float] = {}
    for threshold in THRESHOLDS:
        hits = _matches([pair for pair, iou in overlaps.items() if iou >= threshold])
        found[threshold] = ratio(hits, objects - hits, 0)
    return found


def _matches(pairs: list[tuple[int, int]]) -> int:
    """Count the pairs that can be matched one to one.

    Taking the first free one is the best matching: from an IoU of 0.5 on, an object
    overlaps two others only if these are its halves and overlap nothing else.
    """
    true: set[int] = set()
    predicted: set[int] = set()
    for t, p in pairs:
        if t not in true and p not in predicted:
            true.add(t)
            predicted.add(p)
    return len(true)


def require_scores(scores: np.ndarray, truth: np.ndarray) -> None:
    """Raise `VolumeError` unless there is one number a voxel of a mask."""
    if scores.shape != truth.shape:
        raise VolumeError(
            f"expected scores of the shape of the truth, {truth.shape}, found "
            f"{scores.shape}; give one score a voxel"
        )
    if truth.dtype != np.bool_:
        raise VolumeError(
            f"expected a boolean truth, found {truth.dtype}; use labels > 0"
        )
    if scores.dtype.kind not in "buif" or np.isnan(scores).any():
        raise VolumeError(
            f"expected a score at each voxel, found {scores.dtype} with values that "
            "are no numbers; replace nan by the lowest score"
        )
