from __future__ import annotations

import torch

from napari_octa_sam2.model.connected import LEFT_OUT, keep_connected


def logits_with(*pieces, size=16):
    logits = torch.full((1, 1, size, size), -3.0)
    for rows, cols in pieces:
        logits[0, 0, rows, cols] = 2.0
    return logits


LEFT = slice(2, 6), slice(1, 4)
RIGHT = slice(8, 12), slice(10, 14)


def seed_at(row, col, size=16):
    seeds = torch.zeros(1, 1, size, size, dtype=torch.bool)
    seeds[0, 0, row, col] = True
    return seeds


def test_only_the_piece_that_is_touched_stays():
    kept = keep_connected(logits_with(LEFT, RIGHT), seed_at(3, 2), reach=1)
    torch.testing.assert_close(kept[0, 0, *LEFT], torch.full((4, 3), 2.0))
    torch.testing.assert_close(kept[0, 0, *RIGHT], torch.full((4, 4), LEFT_OUT))
    assert (kept > 0).sum() == 12


def test_reach_is_the_distance_at_which_a_seed_touches():
    both = logits_with(LEFT, RIGHT)
    assert (keep_connected(both, seed_at(8, 2), reach=2) > 0).sum() == 28
    assert (keep_connected(both, seed_at(8, 2), reach=3) > 0).sum() == 12


def test_pieces_that_meet_at_a_corner_are_one():
    meeting = logits_with((slice(2, 4), slice(2, 4)), (slice(4, 6), slice(4, 6)))
    assert (keep_connected(meeting, seed_at(2, 2), reach=0) > 0).sum() == 8


def test_without_anything_to_hold_on_to_nothing_is_left_out():
    both = logits_with(LEFT, RIGHT)
    far = seed_at(15, 0)
    torch.testing.assert_close(keep_connected(both, far, reach=1), both)
    torch.testing.assert_close(keep_connected(both, far & False, reach=1), both)


def test_an_object_may_end():
    both = logits_with(LEFT, RIGHT).repeat(2, 1, 1, 1)
    far = seed_at(15, 0).repeat(2, 1, 1, 1)
    kept = keep_connected(both, far, reach=1, may_end=torch.tensor([True, False])) > 0
    assert kept.flatten(1).sum(1).tolist() == [0, 28]


def test_objects_have_their_own_seeds():
    both = logits_with(LEFT, RIGHT).repeat(2, 1, 1, 1)
    seeds = torch.cat([seed_at(3, 2), seed_at(9, 11)])
    kept = keep_connected(both, seeds, reach=1) > 0
    assert kept.flatten(1).sum(1).tolist() == [12, 16]
