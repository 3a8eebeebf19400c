"""Intraclass correlation against published and computed tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.agreement.estimate import Estimate
from napari_octa_sam2.metrics.agreement.icc import band, icc

# Shrout & Fleiss, Psychol Bull 1979;86:420, table 2: six subjects, four judges.
JUDGES = np.array(
    [
        [9, 2, 5, 8],
        [6, 1, 3, 2],
        [8, 4, 6, 8],
        [7, 1, 2, 6],
        [10, 5, 6, 9],
        [6, 2, 4, 7],
    ]
)
AREAS = np.array(
    [
        [0.301, 0.318],
        [0.274, 0.266],
        [0.395, 0.402],
        [0.212, 0.241],
        [0.333, 0.329],
        [0.288, 0.310],
        [0.251, 0.249],
    ]
)


def ends(estimate: Estimate) -> tuple[float, float]:
    return estimate.low, estimate.high


def test_the_published_table_is_reproduced():
    found = icc(JUDGES)
    assert found.icc21.value == pytest.approx(0.29, abs=0.005)
    assert ends(found.icc21) == pytest.approx((0.02, 0.76), abs=0.005)
    assert found.icc31.value == pytest.approx(0.71, abs=0.005)
    assert ends(found.icc31) == pytest.approx((0.34, 0.95), abs=0.005)
    assert (found.subjects, found.graders, found.left_out) == (6, 4, 0)


@pytest.mark.parametrize(
    ("values", "absolute", "consistent"),
    [
        (JUDGES, 0.28976377952755916, 0.7148407148407154),
        (AREAS, 0.9625029512559831, 0.969348051648605),
    ],
)
def test_values_are_those_of_pingouin(values, absolute, consistent):
    # computed once with pingouin 0.7: ICC(A,1) and ICC(C,1)
    found = icc(values)
    assert found.icc21.value == pytest.approx(absolute)
    assert found.icc31.value == pytest.approx(consistent)


def test_intervals_of_two_graders_are_those_of_pingouin():
    found = icc(AREAS)  # computed once with pingouin 0.7, which tells two digits
    assert ends(found.icc21) == pytest.approx((0.80, 0.99), abs=0.005)
    assert ends(found.icc31) == pytest.approx((0.83, 0.99), abs=0.005)


def test_an_offset_lowers_absolute_agreement_alone():
    shifted = AREAS + np.array([0.0, 0.05])
    found, before = icc(shifted).icc31, icc(AREAS).icc31
    assert (found.value, *ends(found)) == pytest.approx((before.value, *ends(before)))
    assert icc(shifted).icc21.value < 0.7


def test_a_constant_offset_is_perfectly_consistent():
    found = icc(AREAS[:, :1] + np.array([0.0, 0.03]))
    assert found.icc31 == Estimate(1, 1, 1)
    values = AREAS[:, 0]
    between = values.var(ddof=1)
    expected = between / (between + 0.03**2 / 2)
    assert found.icc21.value == pytest.approx(expected)
    assert found.icc21.low < expected < found.icc21.high


def test_the_same_values_agree_completely():
    found = icc(np.repeat(AREAS[:, :1], 3, 1))
    assert found.icc21 == found.icc31 == Estimate(1, 1, 1)
    assert found.why_not == ""


@given(st.integers(0, 10_000), st.integers(3, 9), st.integers(2, 5), st.floats(0, 3))
def test_intervals_hold_the_estimate_and_units_do_not_matter(seed, n, k, spread):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, k)) + spread * rng.normal(size=(n, 1))
    values += rng.normal(size=k)
    found, scaled = icc(values), icc(1000 * values + 7)
    for name in ("icc21", "icc31"):
        estimate, other = getattr(found, name), getattr(scaled, name)
        assert estimate.low <= estimate.value + 1e-12
        assert estimate.value - 1e-12 <= estimate.high <= 1
        assert other.value == pytest.approx(estimate.value, abs=1e-9)
        assert ends(other) == pytest.approx(ends(estimate), abs=1e-6)
    assert icc(values[:, ::-1]).icc21.value == pytest.approx(found.icc21.value)


def test_subjects_with_a_gap_are_left_out_and_counted():
    gaps = np.vstack([AREAS, [np.nan, 0.3], [0.2, np.nan]])
    found = icc(gaps)
    assert found.icc21 == icc(AREAS).icc21
    assert (found.subjects, found.left_out) == (7, 2)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (AREAS[:, :1], "at least 2 graders, found 1"),
        (AREAS[:2], "at least 3 subjects measured by all, found 2"),
        (np.full((5, 2), np.nan), "found 0"),
        (np.full((5, 2), 0.1), "found the same mean for all"),
        (np.array([[0.1, 0.3]] * 5), "found the same mean for all"),
        (np.empty((0, 2)), "found 0"),
    ],
)
def test_what_cannot_be_had_says_why(values, why):
    found = icc(values)
    assert why in found.why_not
    assert np.isnan([found.icc21.value, *ends(found.icc21), found.icc31.value]).all()


def test_one_axis_is_refused():
    with pytest.raises(VolumeError, match=r"\(subjects, graders\), found shape \(7,\)"):
        icc(AREAS[:, 0])


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.1, 0.4, "poor"),
        (0.45, 0.7, "poor to moderate"),
        (0.6, 0.95, "moderate to excellent"),
        (0.76, 0.89, "good"),
        (0.91, 0.99, "excellent"),
    ],
)
def test_bands_go_by_the_interval(low, high, words):
    assert band(Estimate((low + high) / 2, low, high)) == words


def test_nothing_has_no_band():
    assert band(Estimate()) == ""
