"""Dice of several graders, and Cohen's kappa against tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.agreement.overlap import kappa


def labelled(table) -> tuple[np.ndarray, np.ndarray]:
    """Two labellings that have this table of counts."""
    rows, cols = np.indices(np.shape(table))
    counts = np.ravel(table)
    return np.repeat(rows.ravel(), counts), np.repeat(cols.ravel(), counts)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ([[20, 5], [10, 15]], 0.4),
        ([[45, 15], [25, 15]], 0.06 / 0.46),
        ([[25, 35], [5, 35]], 0.14 / 0.54),
        ([[25, 0], [0, 75]], 1),
        ([[0, 50], [50, 0]], -1),
        # three classes: 0.70 agree, 0.41 by chance
        ([[88, 14, 18], [10, 40, 10], [2, 6, 12]], (0.70 - 0.41) / (1 - 0.41)),
    ],
)
def test_kappa_of_a_table(table, expected):
    assert kappa(*labelled(table)) == pytest.approx(expected)


@given(st.integers(0, 10_000))
def test_names_of_categories_and_order_of_graders_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 4, (3, 6, 7))
    b = np.where(rng.random(a.shape) < 0.6, a, rng.integers(0, 4, a.shape))
    renamed = np.array([900, 3, 0, 65535])
    assert kappa(b, a) == pytest.approx(kappa(a, b))
    assert kappa(renamed[a], renamed[b]) == pytest.approx(kappa(a, b))


def test_kappa_of_chance_is_none_and_of_a_sparse_volume_is_its_dice():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 3, (2, 60_000))
    assert kappa(a, b) == pytest.approx(0, abs=0.02)
    a, b = np.zeros((2, 10**6), np.uint8)
    a[:10], b[5:15] = 1, 1
    assert kappa(a, b) == pytest.approx(0.5, abs=1e-4)


def test_one_label_everywhere_has_no_kappa():
    empty = np.zeros((4, 4), np.uint8)
    assert math.isnan(kappa(empty, empty))
    assert kappa(empty, empty + 1) == 0


def test_what_cannot_be_compared_is_refused():
    labels = np.ones((2, 3), np.uint8)
    for bad in (labels.astype(float), -labels.astype(int), labels[:0]):
        with pytest.raises(VolumeError, match="labels as integers from 0"):
            kappa(labels, bad)
    with pytest.raises(VolumeError, match="labels of one shape"):
        kappa(labels, labels.T)
    with pytest.raises(VolumeError, match="at most 1000 categories, found 1001"):
        kappa(np.arange(1001), np.arange(1001))
