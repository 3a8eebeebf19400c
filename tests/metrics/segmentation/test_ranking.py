"""Average precision against its definition and known cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.segmentation.joint import count_jointly
from napari_octa_sam2.metrics.segmentation.ranking import (
    THRESHOLDS,
    average_precision,
    object_precisions,
)


def by_thresholds(scores, truth):
    """Sum of precision times gain in recall, one threshold at a time."""
    total = recall = 0.0
    for threshold in np.unique(scores)[::-1]:
        chosen = scores >= threshold
        hits = (chosen & truth).sum()
        gain = hits / truth.sum() - recall
        total, recall = total + hits / chosen.sum() * gain, recall + gain
    return total


@pytest.mark.parametrize("levels", [3, 20, None])
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_definition(seed, levels):
    rng = np.random.default_rng(seed)
    truth = rng.random((4, 10, 10)) < 0.2
    scores = rng.normal(truth, 1.0)
    if levels is not None:
        scores = np.round(scores * levels / 4).astype(np.int16)
    expected = by_thresholds(scores, truth)
    assert average_precision(scores, truth) == pytest.approx(expected)


def test_known_cases():
    truth = np.array([[True, True, False, False]])
    for scores, value in (
        ([4, 3, 2, 1], 1),
        ([1, 1, 1, 1], 0.5),  # no ranking: the fraction of foreground
        ([4, 2, 3, 1], (1 + 2 / 3) / 2),
        ([2, 1, 4, 3], (1 / 3 + 2 / 4) / 2),
    ):
        assert average_precision(np.array([scores]), truth) == pytest.approx(value)


def test_without_foreground_there_is_nothing_to_recall():
    assert math.isnan(average_precision(np.ones((2, 2)), np.zeros((2, 2), bool)))


@pytest.mark.parametrize(
    ("scores", "truth", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 2), bool), "one score a voxel"),
        (np.ones((2, 2)), np.ones((2, 2), np.uint8), "use labels > 0"),
        (np.full((2, 2), np.nan), np.ones((2, 2), bool), "replace nan"),
        (np.full((2, 2), 1j), np.ones((2, 2), bool), "found complex128"),
    ],
)
def test_what_is_no_score_is_refused(scores, truth, message):
    with pytest.raises(VolumeError, match=message):
        average_precision(scores, truth)


def strip(*labels):
    return np.array(labels, np.uint8)[None, None]


def test_objects_are_matched_whatever_their_id():
    truth = strip(1, 1, 1, 1, 0, 2, 2, 2, 2, 0)
    prediction = strip(9, 9, 9, 0, 0, 1, 1, 1, 1, 1)  # IoU 0.75 and 0.8
    found = object_precisions(count_jointly(prediction, truth))
    expected = {t: 1 if t <= 0.75 else 1 / 3 if t <= 0.8 else 0 for t in THRESHOLDS}
    assert found == pytest.approx(expected)


def test_an_object_is_matched_once():
    truth = strip(1, 1, 1, 1, 2, 2, 3, 3)
    # object 1 in two halves, objects 2 and 3 as one: a tie at 0.5 on either side
    prediction = strip(1, 1, 2, 2, 3, 3, 3, 3)
    found = object_precisions(count_jointly(prediction, truth))
    assert found[0.5] == 2 / (2 + 1 + 1)
    assert found[0.55] == 0


def test_no_objects():
    empty, filled = strip(0, 0, 0), strip(0, 4, 0)
    for prediction, truth, value in (
        (empty, empty, 1),
        (empty, filled, 0),
        (filled, empty, 0),
        (filled, filled, 1),
    ):
        found = object_precisions(count_jointly(prediction, truth))
        assert set(found.values()) == {value}
