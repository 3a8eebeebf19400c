from __future__ import annotations

import math

import numpy as np
import pytest

from napari_octa_sam2.review import (
    DOUBT_THRESHOLD,
    NEIGHBOURS,
    ReviewTable,
    next_doubtful,
)


def table(confidence, agreement=()):
    found = ReviewTable()
    for (object_id, index), value in dict(confidence).items():
        found.note({object_id: value}, index)
    for (object_id, index), value in dict(agreement).items():
        found.note_agreement({object_id: value}, index)
    return found


def test_the_lower_of_confidence_and_agreement_decides():
    found = table({(1, 0): 0.9, (1, 1): 0.9, (1, 2): 0.4}, {(1, 1): 0.5, (1, 2): 0.8})
    found.note_agreement({1: 0.25}, 3)
    doubts = [found.doubt(1, index) for index in range(4)]
    assert doubts == pytest.approx([0.1, 0.5, 0.6, 0.75])
    assert found.doubt(1, 4) is None
    assert found.doubt(2, 0) is None
    assert (found.confidence(1, 1), found.agreement(1, 1)) == (0.9, 0.5)


def test_a_new_mask_has_no_agreement_yet():
    found = table({(1, 0): 0.9, (2, 0): 0.9}, {(1, 0): 0.2, (2, 0): 0.3})
    found.note({1: 0.8}, 0)
    assert found.agreement(1, 0) is None
    assert found.doubt(1, 0) == pytest.approx(0.2)
    assert found.doubt(2, 0) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("value", "kept"), [(-0.5, 0.0), (1.5, 1.0), (math.nan, 0.0), (math.inf, 1.0)]
)
def test_values_are_kept_from_0_to_1(value, kept):
    assert table({(1, 0): value}).confidence(1, 0) == kept
    assert table({}, {(1, 0): value}).agreement(1, 0) == kept


def test_one_visit_settles_the_neighbours():
    values = {(1, i): 1 - d for i, d in enumerate([0.6, 0.7, 0.6, 0.9, 0.8, 0.7, 0.5])}
    assert NEIGHBOURS == 2
    assert table(values).queue((), [1]) == [(1, 3), (1, 0), (1, 6)]


def test_neighbours_of_another_object_stay():
    values = {(1, 5): 0.2, (2, 5): 0.1, (2, 6): 0.3, (1, 6): 0.1}
    assert table(values).queue((), [1, 2]) == [(1, 6), (2, 5)]
    assert table(values).queue((), [2]) == [(2, 5)]


def test_ties_are_broken_by_object_then_slice_whatever_came_first():
    places = [(2, 4), (1, 20), (2, 20), (1, 3), (1, 4)]
    expected = [(1, 3), (1, 20), (2, 4), (2, 20)]
    assert table(dict.fromkeys(places, 0.5)).queue((), [1, 2]) == expected
    assert table(dict.fromkeys(places[::-1], 0.5)).queue((), [2, 1]) == expected


def test_what_was_verified_is_left_out_and_shields_nobody():
    values = {(1, 4): 0.1, (1, 5): 0.2, (1, 9): 0.3}
    assert table(values).queue((), [1]) == [(1, 4), (1, 9)]
    assert table(values).queue({(1, 4)}, [1]) == [(1, 5), (1, 9)]
    assert table(values).queue(list(values), [1]) == []


def test_threshold():
    values = {(1, 0): 1 - DOUBT_THRESHOLD, (1, 9): 1 - DOUBT_THRESHOLD + 0.01}
    assert table(values).queue((), [1]) == [(1, 0)]
    assert table(values).queue((), [1], threshold=0.0) == [(1, 0), (1, 9)]
    assert table(values).queue((), [1], threshold=0.75) == []


def test_going_through_the_queue():
    queue = [(1, 4), (2, 7), (1, 0)]
    assert next_doubtful(queue) == (1, 4)
    assert next_doubtful(queue, (1, 4)) == (2, 7)
    assert next_doubtful(queue, (1, 0)) == (1, 4)
    assert next_doubtful(queue, (3, 3)) == (1, 4)
    assert next_doubtful([], (1, 4)) is None


def test_rows_extent_and_mean():
    found = table({(1, 2): 0.8, (1, 4): 0.6, (2, 0): 0.1}, {(1, 4): 0.4, (1, 5): 1.0})
    nan = math.nan
    np.testing.assert_array_equal(found.row(1, 6), [nan, nan, 0.8, nan, 0.6, nan])
    np.testing.assert_array_equal(
        found.agreement_row(1, 6), [nan, nan, nan, nan, 0.4, 1.0]
    )
    np.testing.assert_array_equal(found.row(1, 3), [nan, nan, 0.8])
    assert found.mean(1) == pytest.approx((0.8 + 0.4 + 1.0) / 3)
    assert found.mean(3) is None


def test_forgetting_an_object():
    places = [(o, i) for o in (1, 2) for i in (0, 1)]
    values = dict.fromkeys(places, 0.5)
    found = table(values, values)
    found.forget(1)
    assert [p for p in places if found.confidence(*p) is not None] == [(2, 0), (2, 1)]
    assert [p for p in places if found.agreement(*p) is not None] == [(2, 0), (2, 1)]
