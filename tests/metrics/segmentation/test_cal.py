"""Connectivity, area and length of vessels that are drawn to fit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.segmentation.cal import connectivity_area_length, dilate


def line(row, first=0, last=50):
    mask = np.zeros((40, 50), bool)
    mask[row, first:last] = True
    return mask


def test_a_perfect_prediction():
    truth = line(5) | line(20)
    assert connectivity_area_length(truth, truth) == (1, 1, 1)


@pytest.mark.parametrize(("shift", "value"), [(1, 1), (2, 1), (3, 0)])
def test_two_pixels_apart_is_no_error_and_three_are(shift, value):
    found = connectivity_area_length(line(10 + shift), line(10))
    assert found == (1, value, value)


def test_a_gap_costs_connectivity():
    found = connectivity_area_length(line(10, 0, 24) | line(10, 26, 50), line(10))
    assert found.connectivity == 1 - 1 / 50
    assert found.area == found.length == 1  # the gap of two pixels is bridged
    assert found.cal == found.connectivity


def test_a_missed_half_costs_area_and_length():
    found = connectivity_area_length(line(10, 0, 25), line(10))
    # of the 50 pixels of the union, 25 are found and two more lie near them
    assert found == (1, 27 / 50, 27 / 50)
    assert found.cal == (27 / 50) ** 2


def test_too_many_parts_leave_no_connectivity():
    prediction = np.zeros((40, 50), bool)
    prediction[::3, ::3] = True
    truth = np.zeros_like(prediction)
    truth[0, :3] = True
    assert connectivity_area_length(prediction, truth).connectivity == 0


@pytest.mark.parametrize("radius", [0, 1, 2, 3])
def test_dilation_is_by_a_disc(radius):
    mask = np.random.default_rng(radius).random((30, 31)) < 0.02
    rows, cols = np.indices((2 * radius + 1,) * 2) - radius
    disc = rows**2 + cols**2 <= radius**2
    np.testing.assert_array_equal(dilate(mask, radius), binary_dilation(mask, disc))


def test_empty_masks():
    empty, filled = np.zeros((40, 50), bool), line(3)
    assert connectivity_area_length(empty, empty).cal == 1
    for pair in ((empty, filled), (filled, empty)):
        assert connectivity_area_length(*pair) == (0, 0, 0)


def test_volumes_are_refused():
    mask = np.ones((3, 4, 5), bool)
    with pytest.raises(VolumeError, match="take one slice"):
        connectivity_area_length(mask, mask)
