from __future__ import annotations

import math
from itertools import accumulate
from types import SimpleNamespace

import numpy as np
import pytest

from napari_octa_sam2.protocol.clicks import CAP, annotate

SIDES = (12, 9, 7, 5, 3)  # of squares that do not touch, the largest first


@pytest.fixture
def squares():
    """Five squares in one slice, and the area of each."""
    mask = np.zeros((1, 40, 60), bool)
    for place, side in enumerate(SIDES):
        mask[0, 4 : 4 + side, 13 * place : 13 * place + side] = True
    return mask, [side**2 for side in SIDES]


def stubborn(mask):
    """Return a session that answers everything with the same mask."""
    answer = SimpleNamespace(slice=0, mask=lambda object_id: mask)
    return SimpleNamespace(add=lambda prompt: answer)


def test_each_click_adds_the_largest_piece_that_is_missing(oracle, squares):
    truth, areas = squares
    session = oracle(truth)
    done = annotate(session, truth[0])
    total = sum(areas)
    expected = [2 * found / (found + total) for found in accumulate(areas)]
    assert math.isnan(done.dice[0])
    np.testing.assert_allclose(done.dice[1:], expected)
    assert [click.positive for click in done.clicks] == [True] * 5
    assert done.clicks[2][:2] == (4 + 3, 26 + 3)
    assert [p.points[0] for p in session.prompts][2] == (7.0, 29.0)
    assert all(p.labels == (1,) and p.whole is None for p in session.prompts)
    np.testing.assert_array_equal(done.mask, truth[0])


def test_clicks_needed_are_those_of_the_curve(oracle, squares):
    truth, areas = squares
    done = annotate(oracle(truth), truth[0])
    # 144, 225, 274, 299, 308 of 308 pixels: Dice 0.637, 0.844, 0.942, 0.985, 1
    assert sum(areas) == 308
    assert [done.clicks_to(level) for level in (0.5, 0.8, 0.85, 0.9, 0.95)] == [
        *(1, 2, 3, 3, 4)
    ]
    assert done.clicks_to(1.0) == 5


def test_an_annotation_without_error_keeps_its_last_value(oracle, squares):
    truth, _ = squares
    done = annotate(oracle(truth), truth[0])
    assert len(done.clicks) == 5
    assert done.dice_after(3) == pytest.approx(2 * 274 / (274 + 308))
    assert done.dice_after(5) == done.dice_after(10) == 1
    assert done.cldice_after(10) == 1
    # one-pixel skeletons: every square counts its diagonals
    assert done.cldice_after(1) < done.cldice_after(3) < 1


def test_a_class_prompt_comes_before_the_first_click(oracle, squares):
    truth, _ = squares
    everything = truth[0].copy()
    everything[30:36, 40:50] = True  # 60 false pixels
    session = oracle(truth, whole=everything)
    done = annotate(session, truth[0], whole="RV")
    assert done.dice == pytest.approx((2 * 308 / (308 + 368), 1))
    assert session.prompts[0].whole == "RV"
    assert not session.prompts[0].points
    ((click),) = done.clicks
    assert not click.positive
    assert 30 <= click.row < 36
    assert 40 <= click.col < 50
    assert done.clicks_to(0.9) == 0
    assert done.cldice_after(0) < 1 == done.cldice_after(5)


def test_a_perfect_class_prompt_needs_no_click(oracle, squares):
    truth, _ = squares
    done = annotate(oracle(truth, whole=truth[0]), truth[0], whole="vessel")
    assert (done.dice, done.clicks) == ((1.0,), ())
    assert done.cldice_after(10) == done.dice_after(0) == 1


def test_a_session_that_does_not_learn_ends_at_the_cap(squares):
    truth, _ = squares
    half = truth[0].copy()
    half[:, 13:] = False
    done = annotate(stubborn(half), truth[0])
    assert len(done.clicks) == CAP == 20
    assert set(done.dice[1:]) == {2 * 144 / (144 + 308)}
    assert done.clicks_to(0.8) is None
    assert done.clicks_to(0.6) == 1


def test_no_more_clicks_than_the_figures_need(squares):
    truth, _ = squares
    almost = truth[0].copy()
    almost[:, 39:] = False  # Dice 0.94
    assert len(annotate(stubborn(almost), truth[0]).clicks) == 10
    assert len(annotate(stubborn(almost), truth[0], limit=3).clicks) == 3


def test_a_small_network_is_annotated(tiny_model, phantom):
    from napari_octa_sam2.engine.session import Session
    from napari_octa_sam2.metrics.segmentation.overlap import dice

    image, masks = phantom
    session = Session(image[None], tiny_model, device="cpu")
    done = annotate(session, masks["RV"], whole="RV", limit=4)
    assert len(done.dice) == 5
    assert len(session.prompts(1, 0)) == 5
    assert done.dice[-1] == dice(done.mask, masks["RV"])
    again = annotate(
        Session(image[None], tiny_model, device="cpu"), masks["RV"], whole="RV", limit=4
    )
    assert again.dice == done.dice
    assert again.clicks == done.clicks
