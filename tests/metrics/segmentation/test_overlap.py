"""Overlap against counts that are known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.segmentation import overlap

SCORES = ("dice", "iou", "precision", "recall", "specificity")
Counts = overlap.Confusion


def square(row: int, col: int, side: int = 10, shape: tuple[int, ...] = (32, 32)):
    mask = np.zeros(shape, bool)
    mask[..., row : row + side, col : col + side] = True
    return mask


@pytest.mark.parametrize("shift", [0, 1, 3, 9, 10, 15])
def test_shifted_squares_follow_the_formulas(shift):
    common = max(0, 10 - shift) * 10
    prediction, truth = square(5, 5 + shift), square(5, 5)
    assert overlap.dice(prediction, truth) == common / 100
    assert overlap.iou(prediction, truth) == common / (200 - common)
    assert overlap.precision(prediction, truth) == common / 100
    assert overlap.recall(prediction, truth) == common / 100
    background = 32 * 32 - 100
    expected = (background - (100 - common)) / background
    assert overlap.specificity(prediction, truth) == pytest.approx(expected)


def test_precision_and_recall_are_not_mixed_up():
    small, large = square(5, 5, 5), square(5, 5, 10)
    assert overlap.precision(small, large) == 1
    assert overlap.recall(small, large) == 0.25
    assert overlap.precision(large, small) == 0.25
    assert overlap.recall(large, small) == 1


@pytest.mark.parametrize("shape", [(7,), (5, 6), (3, 4, 5), (2, 3, 4, 5)])
def test_empty_masks_agree_in_any_dimension(shape):
    empty = np.zeros(shape, bool)
    assert [getattr(overlap, s)(empty, empty) for s in SCORES] == [1] * 5


def test_an_empty_mask_and_a_filled_one_do_not_agree():
    empty, filled = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    for prediction, truth in [(empty, filled), (filled, empty)]:
        assert [getattr(overlap, s)(prediction, truth) for s in SCORES] == [0] * 5
    assert overlap.specificity(filled, filled) == 1


def test_counts_of_slices_add_up_to_those_of_the_volume():
    rng = np.random.default_rng(0)
    prediction, truth = rng.random((2, 4, 8, 8)) > 0.6
    parts = [overlap.confusion(p, t) for p, t in zip(prediction, truth, strict=True)]
    total = parts[0] + parts[1] + parts[2] + parts[3]
    assert total == overlap.confusion(prediction, truth)
    assert total.true_negative == np.count_nonzero(~prediction & ~truth)


def test_shapes_that_differ_are_both_named():
    with pytest.raises(VolumeError, match=r"\(3, 4\) and \(3, 5\)"):
        overlap.dice(np.zeros((3, 4), bool), np.zeros((3, 5), bool))


def test_labels_are_refused_as_masks():
    with pytest.raises(VolumeError, match="boolean truth, found uint8"):
        overlap.iou(np.zeros((3, 4), bool), np.zeros((3, 4), np.uint8))


def test_accuracy_counts_both_kinds_of_right():
    assert Counts(3, 1, 2, 14).accuracy == 17 / 20
    assert Counts(0, 0, 0, 9).accuracy == 1
    assert Counts(0, 5, 4, 0).accuracy == 0
