"""The simulated annotator on masks whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import label

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.metrics.segmentation.clicks import deepest_pixel, next_click
from napari_octa_sam2.model.prompt_encoder import BOX_END, BOX_START, FIRST_CLASS
from napari_octa_sam2.training import simulate
from napari_octa_sam2.training.config import PromptConfig

SIDE = 64
ROWS, COLS = np.mgrid[:SIDE, :SIDE]
PLACINGS = ["random", "components", "centroids", "keypoints"]


def disc(row, col, radius):
    return (ROWS - row) ** 2 + (COLS - col) ** 2 <= radius**2


TWO_DISCS = disc(16, 16, 8) | disc(46, 44, 5)
RING = disc(32, 32, 20) & ~disc(32, 32, 14)
L_SHAPE = np.zeros((SIDE, SIDE), bool)
L_SHAPE[10:50, 10:15] = L_SHAPE[45:50, 10:40] = True
SPECK = np.zeros((SIDE, SIDE), bool)
SPECK[60, 2:5] = True
EMPTY = np.zeros((SIDE, SIDE), bool)
OBJECTS = np.stack([TWO_DISCS, RING, L_SHAPE, EMPTY])


def rngs(count, seed=0):
    return [np.random.default_rng([seed, i]) for i in range(count)]


def tensor(*masks):
    return torch.from_numpy(np.stack(masks))


def of_sign(clicks, sign, i=0):
    """(row, column) of the clicks of object `i` with the label `sign`."""
    xy = clicks[0][i][clicks[1][i] == sign].int().tolist()
    return [(y, x) for x, y in xy]


def several(mask, seed=0, others=None, **fields):
    return simulate.first_clicks(
        tensor(mask),
        PromptConfig(**fields),
        rngs(1, seed),
        several=True,
        others=None if others is None else tensor(others),
    )


def chessboard(mask):
    """Chessboard distance of every pixel from `mask`, by its definition."""
    rows, cols = mask.nonzero()
    apart = np.maximum(abs(ROWS[..., None] - rows), abs(COLS[..., None] - cols))
    return apart.min(-1)


@pytest.mark.parametrize("placing", PLACINGS)
@pytest.mark.parametrize("deepest", [0.0, 1.0])
def test_one_click_lies_in_every_object_that_is_there(placing, deepest):
    config = PromptConfig(placing=placing, deepest=deepest)
    points, labels = simulate.first_clicks(
        torch.from_numpy(OBJECTS), config, rngs(4), several=False
    )
    assert labels.flatten().tolist() == [1, 1, 1, -1]
    assert points.shape == (4, 1, 2)
    assert points[3].tolist() == [[0, 0]]
    for mask, (x, y) in zip(OBJECTS[:3], points[:3, 0].int().tolist(), strict=True):
        assert mask[y, x]


def test_the_share_of_deepest_first_clicks():
    target = deepest_pixel(RING)
    for share in (0.0, 0.3, 1.0):
        config = PromptConfig(deepest=share, placing="random")
        clicks = simulate.first_clicks(
            tensor(*[RING] * 300), config, rngs(300), several=False
        )
        hits = np.mean([of_sign(clicks, 1, i)[0] == target for i in range(300)])
        assert hits == pytest.approx(share, abs=0.08)
    clicks = several(RING, deepest=1.0)
    assert of_sign(clicks, 1)[0] == target


def test_the_numbers_of_clicks_of_each_sign_are_drawn_between_their_bounds():
    config = PromptConfig(positives=(2, 4), negatives=(0, 2))
    labels = simulate.first_clicks(
        tensor(*[RING] * 200), config, rngs(200), several=True
    )[1]
    assert labels.shape == (200, 6)
    for sign, expected in ((1, {2, 3, 4}), (0, {0, 1, 2})):
        assert set((labels == sign).sum(1).tolist()) == expected


def test_a_small_object_gets_no_pixel_twice():
    clicks = several(SPECK, positives=(9, 9))
    assert sorted(of_sign(clicks, 1)) == [(60, 2), (60, 3), (60, 4)]
    assert clicks[1][0].tolist() == [1] * 3 + [-1] * 6


@pytest.mark.parametrize("placing", ["components", "centroids"])
def test_every_large_component_is_clicked_on_before_random_pixels(placing):
    mask = TWO_DISCS | SPECK
    pieces, _ = label(mask)
    fields = {"placing": placing, "positives": (2, 2), "least_area": 20}
    seen_first = set()
    for seed in range(30):
        for deepest in (0.0, 1.0):
            at = of_sign(several(mask, seed, deepest=deepest, **fields), 1)
            numbers = [pieces[pixel] for pixel in at]
            assert sorted(numbers) == [1, 2]
            if not deepest:
                seen_first.add(numbers[0])
    assert seen_first == {1, 2}
    fields.update(least_area=3, positives=(3, 3))
    at = of_sign(several(mask, deepest=0.0, **fields), 1)
    assert sorted(pieces[pixel] for pixel in at) == [1, 2, 3]


def test_random_pixels_need_not_reach_every_component():
    mask, sides = TWO_DISCS, set()
    for seed in range(40):
        at = of_sign(several(mask, seed, positives=(2, 2), deepest=0.0), 1)
        sides.add(sum(row < 30 for row, _ in at))
    assert sides == {0, 1, 2}


def test_centroids_are_snapped_to_the_component():
    fields = {"placing": "centroids", "deepest": 0.0, "positives": (2, 2)}
    assert sorted(of_sign(several(TWO_DISCS, **fields), 1)) == [(16, 16), (46, 44)]
    row, col = of_sign(several(RING, **fields), 1)[0]
    assert RING[row, col]
    assert np.hypot(row - 32, col - 32) == pytest.approx(
        np.hypot(ROWS - 32, COLS - 32)[RING].min()
    )


def test_key_points_of_bars_that_meet():
    plus, tee = EMPTY.copy(), EMPTY.copy()
    plus[31:34, 5:60] = plus[5:60, 31:34] = True
    tee[10:13, 5:60] = tee[10:60, 31:34] = True
    corner = simulate.key_points(L_SHAPE)
    assert len(corner.ends) == 2
    assert not len(corner.bifurcations) + len(corner.crossings)
    fork = simulate.key_points(tee)
    assert (len(fork.ends), len(fork.crossings)) == (3, 0)
    assert abs(fork.bifurcations - [[11, 32]]).max() <= 1
    crossing = simulate.key_points(plus)
    assert (len(crossing.ends), len(crossing.bifurcations)) == (4, 0)
    assert abs(crossing.crossings - [[32, 32]]).max() <= 1
    closed = simulate.key_points(RING)
    assert [points.shape for points in closed] == [(0, 2)] * 3


def test_clicks_on_key_points_come_before_random_pixels():
    tee = EMPTY.copy()
    tee[10:13, 5:60] = tee[10:60, 31:34] = True
    points = simulate.key_points(tee)
    wanted = {tuple(p) for p in np.concatenate(points[:2]).tolist()}
    fields = {"placing": "keypoints", "deepest": 0.0}
    at = of_sign(several(tee, positives=(6, 6), **fields), 1)
    assert set(at[:4]) == wanted
    assert len(set(at)) == 6
    firsts = {
        of_sign(several(tee, s, positives=(1, 1), **fields), 1)[0] for s in range(40)
    }
    assert firsts == wanted


@pytest.mark.parametrize("placing", PLACINGS)
@pytest.mark.parametrize("ring", [(0, 2), (3, 9)])
def test_negatives_lie_in_the_band_and_on_no_other_object(placing, ring):
    for mask in (TWO_DISCS, RING, L_SHAPE):
        away = chessboard(mask)
        others = COLS > 30
        for seed in range(5):
            clicks = several(
                mask, seed, others, placing=placing, ring=ring, negatives=(6, 6)
            )
            negatives = of_sign(clicks, 0)
            assert len(negatives) == 6
            for at in negatives:
                assert ring[0] < away[at] <= ring[1]
                assert not others[at]


def test_every_pixel_of_the_band_can_be_a_negative():
    away = chessboard(L_SHAPE)
    band = (away > 3) & (away <= 5)
    clicks = several(L_SHAPE, ring=(3, 5), negatives=(4096, 4096))
    assert set(of_sign(clicks, 0)) == {tuple(p) for p in np.argwhere(band).tolist()}


def test_every_component_has_a_negative_beside_it():
    first, second = chessboard(disc(16, 16, 8)), chessboard(disc(46, 44, 5))
    for seed in range(20):
        clicks = several(TWO_DISCS, seed, placing="components", negatives=(2, 2))
        near = sorted(first[at] < second[at] for at in of_sign(clicks, 0))
        assert near == [False, True]


def test_there_is_no_negative_without_room_for_it():
    assert of_sign(several(TWO_DISCS, others=~EMPTY, negatives=(3, 3)), 0) == []
    assert of_sign(several(~EMPTY, negatives=(3, 3)), 0) == []


@pytest.mark.parametrize("placing", PLACINGS)
def test_an_object_is_prompted_alike_alone_and_in_a_batch(placing):
    config = PromptConfig(
        placing=placing,
        positives=(1, 9),
        negatives=(0, 6),
        clicks_a_round=(1, 3),
        correct_at="random",
    )
    masks, found = torch.from_numpy(OBJECTS), torch.from_numpy(OBJECTS).roll(2, 1)
    others = masks.roll(1, 0)

    def prompts(rows):
        def fresh():
            return rngs(4)[rows]

        return [
            *simulate.first_clicks(
                masks[rows], config, fresh(), several=True, others=others[rows]
            ),
            *simulate.boxes(masks[rows], config, fresh()),
            *simulate.corrections(found[rows], masks[rows], config, fresh()),
        ]

    together = prompts(slice(None))
    for i in range(4):
        for alone, batch in zip(prompts(slice(i, i + 1)), together, strict=True):
            assert torch.equal(alone[0], batch[i])


def test_empty_objects_get_padding_only():
    nothing, config = tensor(EMPTY), PromptConfig(negatives=(2, 2))
    for points, labels in (
        simulate.first_clicks(nothing, config, rngs(1), several=True),
        simulate.boxes(nothing, config, rngs(1)),
        simulate.corrections(nothing, nothing, config, rngs(1)),
    ):
        assert (labels == simulate.PADDING).all()
        assert not points.any()


def test_boxes_are_tight_without_jitter():
    corners, labels = simulate.boxes(
        tensor(L_SHAPE), PromptConfig(box_jitter=0), rngs(1)
    )
    assert corners[0].tolist() == [[10, 10], [39, 49]]
    assert labels.tolist() == [[BOX_START, BOX_END]]


def test_a_box_can_hold_the_largest_component_alone():
    config = PromptConfig(box_jitter=0, box_of="largest")
    assert simulate.boxes(tensor(TWO_DISCS), config, rngs(1))[0].tolist() == [
        [[8, 8], [24, 24]]
    ]
    corners, _ = simulate.boxes(
        tensor(TWO_DISCS), replace(config, box_of="object"), rngs(1)
    )
    assert corners.tolist() == [[[8, 8], [49, 51]]]


def test_boxes_move_by_a_share_of_the_larger_side():
    wide = torch.zeros(400, 40, 100, dtype=torch.bool)
    wide[:, 15:25, 30:70] = True
    tight = torch.tensor([[30.0, 15], [69, 24]])
    for moves in ("sides", "whole"):
        config = PromptConfig(box_jitter=0.1, box_moves=moves)
        shift = simulate.boxes(wide, config, rngs(400))[0] - tight
        assert 9.5 < shift.abs().max() <= 10
        as_one = torch.allclose(shift[:, 0], shift[:, 1], atol=1e-4)
        assert as_one == (moves == "whole")
        assert not torch.allclose(shift[..., 0], shift[..., 1])


def test_moved_boxes_stay_in_the_image_and_in_order():
    thin = torch.zeros(200, 40, 100, dtype=torch.bool)
    thin[:, 0, 97:99] = True
    for moves in ("sides", "whole"):
        config = PromptConfig(box_jitter=0.2, box_moves=moves)
        corners = simulate.boxes(thin, config, rngs(200))[0]
        assert (corners >= 0).all()
        assert (corners <= torch.tensor([99, 39])).all()
        size = corners[:, 1] - corners[:, 0]
        assert (size >= 0).all()
        if moves == "whole":
            torch.testing.assert_close(size, torch.tensor([[1.0, 0]]).expand(200, 2))


def test_corrections_go_to_the_largest_errors_in_turn():
    missed, extra = disc(16, 16, 8), disc(46, 44, 5)
    truth, found = missed | L_SHAPE & ~missed, L_SHAPE & ~missed | extra
    config = PromptConfig(clicks_a_round=(3,))
    clicks = simulate.corrections(tensor(found), tensor(truth), config, rngs(1))
    assert clicks[1].tolist() == [[1, 0, -1]]
    first = next_click(truth, found)
    assert of_sign(clicks, 1) == [first[:2]]
    assert of_sign(clicks, 0) == [(46, 44)]


def test_the_number_of_clicks_of_a_round_is_drawn_from_those_given():
    config = PromptConfig(clicks_a_round=(1, 4), correct_at="random")
    labels = simulate.corrections(
        tensor(*[EMPTY] * 50), tensor(*[RING] * 50), config, rngs(50)
    )[1]
    assert labels.shape == (50, 4)
    assert set((labels == 1).sum(1).tolist()) == {1, 4}


def test_random_corrections_reach_every_wrong_pixel_and_no_other():
    found = np.roll(TWO_DISCS, 3, 1)
    config = PromptConfig(clicks_a_round=(SIDE**2,), correct_at="random")
    clicks = simulate.corrections(tensor(found), tensor(TWO_DISCS), config, rngs(1))
    for sign, wrong in ((1, TWO_DISCS & ~found), (0, found & ~TWO_DISCS)):
        assert set(of_sign(clicks, sign)) == {
            tuple(p) for p in np.argwhere(wrong).tolist()
        }


def test_corrections_leave_the_masks_as_they_were():
    found, truth = tensor(RING), tensor(TWO_DISCS)
    simulate.corrections(found, truth, PromptConfig(clicks_a_round=(3,)), rngs(1))
    assert torch.equal(found, tensor(RING))
    assert torch.equal(truth, tensor(TWO_DISCS))


blobs = arrays(bool, (12, 15), elements=st.booleans())


@settings(max_examples=60, deadline=None)
@given(
    mask=blobs,
    other=blobs,
    placing=st.sampled_from(PLACINGS),
    seed=st.integers(0, 2**16),
)
def test_first_clicks_have_the_sign_of_what_they_lie_on(mask, other, placing, seed):
    clicks = several(
        mask, seed, other, placing=placing, negatives=(0, 5), ring=(0, 2), least_area=2
    )
    positives, negatives = of_sign(clicks, 1), of_sign(clicks, 0)
    assert all(mask[at] for at in positives)
    assert not any(mask[at] or other[at] for at in negatives)
    assert len(positives) >= min(2, mask.sum())
    assert len({*positives, *negatives}) == len(positives) + len(negatives)


@settings(max_examples=60, deadline=None)
@given(
    found=blobs,
    truth=blobs,
    at=st.sampled_from(["centre", "random"]),
    seed=st.integers(0, 2**16),
)
def test_corrections_lie_in_the_error_with_its_sign(found, truth, at, seed):
    config = PromptConfig(correct_at=at, clicks_a_round=(1, 3))
    clicks = simulate.corrections(tensor(found), tensor(truth), config, rngs(1, seed))
    missed, extra = of_sign(clicks, 1), of_sign(clicks, 0)
    assert all(truth[p] and not found[p] for p in missed)
    assert all(found[p] and not truth[p] for p in extra)
    assert bool(missed or extra) == bool((found != truth).any())
    click = next_click(truth, found)
    if at == "centre" and click is not None:
        assert click[:2] in (missed if click.positive else extra)


def test_rounds_are_drawn_with_their_probabilities():
    rng = np.random.default_rng(0)
    config = PromptConfig(corrections=(0.2, 0.0, 0.8))
    drawn = [simulate.draw_rounds(config, rng) for _ in range(1000)]
    assert set(drawn) == {0, 2}
    assert np.mean(np.equal(drawn, 2)) == pytest.approx(0.8, abs=0.05)


def test_kinds_are_drawn_with_their_shares_and_a_mask_for_clips_alone():
    rng = np.random.default_rng(0)
    config = PromptConfig(kinds={"click": 1.0, "clicks": 0.0, "box": 1.0, "mask": 2.0})
    drawn = [simulate.draw_kind(config, 2, rng) for _ in range(1000)]
    assert drawn.count("mask") == pytest.approx(500, abs=60)
    assert drawn.count("clicks") == 0
    assert {simulate.draw_kind(config, 1, rng) for _ in range(50)} == {"click", "box"}
    with pytest.raises(TrainingError, match="clips of 1 slices"):
        simulate.draw_kind(PromptConfig(kinds={"mask": 1.0}), 1, rng)


@pytest.mark.parametrize(
    ("frames", "count", "expected"),
    [
        (8, 1, (0,)),
        (8, 2, (0, 7)),
        (8, 3, (0, 4, 7)),
        (7, 3, (0, 3, 6)),
        (2, 3, (0, 1)),
        (1, 3, (0,)),
        (3, 5, (0, 1, 2)),
    ],
)
def test_prompted_slices_are_the_first_the_last_and_the_middle(frames, count, expected):
    config = PromptConfig(slices=(count, count))
    rng = np.random.default_rng(0)
    assert simulate.prompt_slices(frames, config, rng) == expected


def test_the_number_of_prompted_slices_is_drawn_or_every_nth_is_prompted():
    rng = np.random.default_rng(0)
    config = PromptConfig(slices=(1, 3))
    drawn = {simulate.prompt_slices(5, config, rng) for _ in range(50)}
    assert drawn == {(0,), (0, 4), (0, 2, 4)}
    every = replace(config, every=2)
    assert simulate.prompt_slices(6, every, rng) == (0, 2, 4)


def test_a_class_is_asked_for_in_place_of_clicks_and_joined_prompts_keep_order():
    points = torch.tensor([[[3.0, 4], [5, 6]], [[7, 8], [9, 10]]])
    labels = torch.ones(2, 2, dtype=torch.int32)
    asked = simulate.ask_for_classes((points, labels), torch.tensor([-1, 2]))
    assert asked[0].tolist() == [[[3, 4], [5, 6]], [[0, 0], [0, 0]]]
    assert asked[1].tolist() == [[1, 1], [FIRST_CLASS + 2, -1]]
    joined = simulate.join((points, labels), (points[:, :1], labels[:, :1] - 1))
    assert joined[0][0].tolist() == [[3, 4], [5, 6], [3, 4]]
    assert joined[1].tolist() == [[1, 1, 0]] * 2
