from __future__ import annotations

import numpy as np
import pytest

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.segmentation.clicks import next_click


def square(rows, cols, shape=(40, 50)):
    mask = np.zeros(shape, bool)
    mask[rows[0] : rows[1], cols[0] : cols[1]] = True
    return mask


def test_the_first_click_is_in_the_middle_of_the_largest_piece():
    truth = square((10, 21), (20, 31)) | square((30, 33), (2, 5))
    assert next_click(truth) == (15, 25, True)


def test_a_missed_piece_gets_a_positive_click():
    found = square((10, 21), (20, 31))
    truth = found | square((30, 35), (2, 7))
    assert next_click(truth, found) == (32, 4, True)


def test_a_false_piece_gets_a_negative_click():
    truth = square((10, 21), (20, 31))
    found = truth | square((30, 35), (2, 7))
    assert next_click(truth, found) == (32, 4, False)


def test_the_image_edge_is_a_border():
    truth = square((0, 9), (0, 9))
    assert next_click(truth) == (4, 4, True)


def test_no_error_no_click():
    truth = square((10, 21), (20, 31))
    assert next_click(truth, truth) is None
    assert next_click(np.zeros((5, 5), bool)) is None


def test_shapes_must_match():
    with pytest.raises(VolumeError, match="one shape"):
        next_click(np.zeros((5, 5), bool), np.zeros((5, 6), bool))
