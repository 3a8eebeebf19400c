"""Bland-Altman against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.agreement.bland_altman import bland_altman

FIRST, SECOND = np.array([10.0, 12, 14, 16]), np.array([9.0, 12, 12, 13])
T3 = 3.182446  # 97.5 % quantile of Student's t, 3 degrees of freedom


def test_bias_and_limits_are_those_worked_out_by_hand():
    found = bland_altman(FIRST, SECOND)  # differences 1, 0, 2, 3
    sd = math.sqrt(5 / 3)
    assert found.n == 4
    assert found.mean == pytest.approx(12.25)
    assert found.sd == pytest.approx(sd)
    assert found.bias.value == pytest.approx(1.5)
    assert found.lower.value == pytest.approx(1.5 - 1.96 * sd)
    assert found.upper.value == pytest.approx(1.5 + 1.96 * sd)
    margin = T3 * sd / 2
    assert found.bias.low == pytest.approx(1.5 - margin)
    assert found.bias.high == pytest.approx(1.5 + margin)
    margin = T3 * sd * math.sqrt(1 / 4 + 1.96**2 / 6)
    assert found.lower.low == pytest.approx(found.lower.value - margin)
    assert found.upper.high == pytest.approx(found.upper.value + margin)


def test_points_are_means_and_differences():
    points = bland_altman(FIRST, SECOND).points
    assert points.tolist() == [[9.5, 1], [12, 0], [13, 2], [14.5, 3]]


def test_the_other_way_round_the_sign_changes():
    found, other = bland_altman(FIRST, SECOND), bland_altman(SECOND, FIRST)
    assert other.bias.value == -found.bias.value
    assert other.lower.value == pytest.approx(-found.upper.value)
    assert other.lower.low == pytest.approx(-found.upper.high)


def test_a_constant_difference_has_limits_of_no_width():
    found = bland_altman(FIRST + 2, FIRST)
    assert found.bias.value == found.lower.value == found.upper.high == 2


def test_pairs_with_a_gap_are_left_out_and_counted():
    gaps = np.append(FIRST, [np.nan, 5]), np.append(SECOND, [1, np.nan])
    found = bland_altman(*gaps)
    assert found.bias == bland_altman(FIRST, SECOND).bias
    assert (found.n, found.left_out) == (4, 2)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_subjects_say_so(count):
    found = bland_altman(FIRST[:count], SECOND[:count])
    assert found.why_not.endswith(f"measured by both, found {count}")
    assert math.isnan(found.bias.value)
    assert found.points.shape == (count, 2)


def test_different_subjects_are_refused():
    with pytest.raises(VolumeError, match=r"\(4,\) and \(3,\)"):
        bland_altman(FIRST, SECOND[:3])
