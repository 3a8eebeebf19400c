from __future__ import annotations

import math

import numpy as np
import pytest

from napari_octa_sam2.protocol.sequences import (
    first_middle_last,
    follow,
    largest,
    middle,
)


@pytest.fixture
def truth():
    """An object on slices 1 to 4 of six, largest on slice 3."""
    mask = np.zeros((6, 20, 20), bool)
    for index, side in zip(range(1, 5), (4, 6, 8, 2), strict=True):
        mask[index, 5 : 5 + side, 5 : 5 + side] = True
    return mask


def test_where_to_click(truth):
    assert middle(truth) == [3]
    assert largest(truth) == [3]
    assert first_middle_last(truth) == [1, 3, 4]
    assert first_middle_last(truth[:2]) == [1]
    assert middle(truth[:2]) == [1]


def test_every_slice_is_scored(oracle, truth):
    found = truth.copy()
    found[2, :, 8:] = False  # 18 of 36 pixels are left
    found[4] = False
    found[0, :2, :5] = True  # 10 false pixels
    session = oracle(truth, followed=found)
    done = follow(session, truth, slices=[3], clicks=3, object_id=7)
    assert done.dice == {1: 1.0, 2: 2 * 18 / (18 + 36), 3: 1.0, 4: 0.0}
    assert done.mean_dice == pytest.approx((1 + 2 / 3 + 1 + 0) / 4)
    assert done.false_areas == {0: 10, 5: 0}
    assert done.mean_false_area == 5
    # the first click gets all of it, so that none of the others is due
    assert done.clicks == {3: 1}
    assert [p.object for p in session.prompts] == [7]


def test_an_object_on_every_slice_has_no_false_area(oracle, truth):
    done = follow(
        oracle(truth[1:5], followed=truth[1:5]),
        truth[1:5],
        slices=first_middle_last(truth[1:5]),
        clicks=1,
    )
    assert done.mean_dice == 1
    assert math.isnan(done.mean_false_area)
    assert done.clicks == {0: 1, 2: 1, 3: 1}
