from __future__ import annotations

import numpy as np
import pytest

from napari_octa_sam2.engine.results import SliceResult, answer_confidence, label_dtype


def result(logits, changed):
    arrays = {o: np.array(values, np.float32) for o, values in logits.items()}
    return SliceResult(0, arrays, changed, {})


def test_the_higher_logit_wins_whoever_was_written_first():
    logits = {1: [[2, 2, -1, -1]], 2: [[-1, 3, 1, -1]]}
    for changed in [(1, 2), (1,), (2,)]:
        labels = np.zeros((1, 4), np.uint8)
        result(logits, (1, 2)).write_into(labels)
        result(logits, changed).write_into(labels)
        assert labels.tolist() == [[1, 2, 2, 0]]


def test_only_pixels_of_changed_objects_are_touched():
    labels = np.array([[1, 1, 7, 3]], np.uint8)  # 7 and 3 were painted by hand
    result({1: [[-1, 5, -1, -1]], 2: [[-1, -1, 4, -1]]}, (1,)).write_into(labels)
    assert labels.tolist() == [[0, 1, 7, 3]]


def test_what_an_object_loses_goes_to_the_one_beneath():
    labels = np.array([[1, 1]], np.uint8)
    result({1: [[-1, 5]], 2: [[4, 4]]}, (1,)).write_into(labels)
    assert labels.tolist() == [[2, 1]]


@pytest.mark.parametrize(
    ("largest", "expected"), [(1, "uint8"), (255, "uint8"), (256, "uint16")]
)
def test_label_dtype(largest, expected):
    assert np.dtype(label_dtype(largest)) == expected


@pytest.mark.parametrize(
    ("presence", "iou", "is_shown", "expected"),
    [
        (0.9, 0.8, True, 0.72),
        (0.1, 0.8, True, 0.08),  # shown, though it is probably not there
        (0.1, 0.8, False, 0.9),  # surely over: the answer is right
        (0.9, 0.8, False, 0.1),  # probably there, but no pixel is found
        (1.0, 1.5, True, 1.0),  # a network may predict an IoU above 1
        (1.0, -0.5, True, 0.0),
    ],
)
def test_confidence_is_in_the_answer(presence, iou, is_shown, expected):
    found = answer_confidence(presence, iou, is_shown=is_shown)
    assert found == pytest.approx(expected)
