from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.errors import PromptError, VolumeError
from napari_octa_sam2.prompts import Prompt


@pytest.fixture
def make_session(data, tiny_model):
    def make(**options):
        return Session(data, tiny_model, device="cpu", precision="fp32", **options)

    return make


def click(object_id=1, index=4, row=10.0, col=12.0):
    return Prompt(object_id, index, ((row, col),), (1,))


def masks(results, object_id=1):
    return {r.slice: r.mask(object_id) for r in results}


def dice(a, b):
    both = np.count_nonzero(a & b)
    return 2 * both / (np.count_nonzero(a) + np.count_nonzero(b))


def led_back(session, seed, mask, direction):
    """The masks of a new session that knows nothing but one mask."""
    session.add(Prompt(1, seed, mask=mask))
    return masks(session.propagate(direction))


def state(session):
    """All that the objects of a session are, tensors copied."""

    def copied(output):
        tensors = (output.logits, output.pointer, output.memory, output.remembered)
        return id(output), [None if t is None else t.clone() for t in tensors]

    return {
        object_id: {
            **{
                name: {i: copied(o) for i, o in getattr(bank, name).items()}
                for name in ("prompted", "pending", "followed")
            },
            **{
                name: getattr(bank, name).copy()
                for name in ("reverse", "fresh", "outdated", "edited")
            },
            "interactions": {i: list(c) for i, c in bank.interactions.items()},
        }
        for object_id, bank in session._tracker.banks.items()
    }


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b


def test_the_way_back_is_that_of_a_session_that_knows_the_far_mask_alone(make_session):
    session = make_session()
    session.add(click(index=4))
    known = masks(session.propagate("both"))
    assert known[11].any()
    assert known[0].any()
    found = dict(session.check_both_ways())
    above = led_back(make_session(), 11, known[11], "backward")
    below = led_back(make_session(), 0, known[0], "forward")
    expected = {i: {1: dice(known[i], above[i])} for i in range(5, 11)}
    expected |= {i: {1: dice(known[i], below[i])} for i in range(1, 4)}
    expected[4] = {1: min(dice(known[4], above[4]), dice(known[4], below[4]))}
    assert found == expected
    assert len({agreement[1] for agreement in found.values()}) > 1


def test_between_two_prompts_the_way_back_begins_at_the_second(make_session):
    session = make_session()
    session.add(click(index=3))
    given = np.zeros((40, 50), bool)
    given[10:20, 10:20] = True
    session.add(Prompt(1, 8, mask=given))
    known = masks(session.propagate("both"))
    found = dict(session.check_both_ways(range(4, 8)))
    back = led_back(make_session(), 8, given, "backward")
    assert found == {i: {1: dice(known[i], back[i])} for i in range(4, 8)}


def test_what_was_followed_backward_is_checked_forward(make_session):
    session = make_session()
    session.add(click(index=2))
    session.add(click(index=8))
    known = masks(session.propagate("backward"))
    found = dict(session.check_both_ways(range(3, 8)))
    back = led_back(make_session(), 2, known[2], "forward")
    assert list(found) == [3, 4, 5, 6, 7]
    assert found == {i: {1: dice(known[i], back[i])} for i in range(3, 8)}


def test_nothing_of_the_session_changes(make_session):
    checked, control = make_session(), make_session()
    for session in (checked, control):
        session.add(click(1, 4))
        session.add(click(2, 7, 30.0, 30.0))
        list(session.propagate("both"))
        session.add(click(2, 2, 20.0, 20.0))  # not propagated yet
    before = state(checked)
    assert list(checked.check_both_ways())
    assert_same(state(checked), before)
    for session in (checked, control):
        session.add(click(1, 9, 30.0, 12.0))
    found, expected = (list(s.propagate("both")) for s in (checked, control))
    for one, other in zip(found, expected, strict=True):
        assert one.slice == other.slice
        assert one.confidence == other.confidence
        for object_id, logits in other.logits.items():
            np.testing.assert_array_equal(one.logits[object_id], logits)


def test_objects_are_checked_together_and_can_be_chosen(make_session):
    session = make_session()
    session.add(click(1, 0))
    session.add(click(2, 4, 30.0, 30.0))
    list(session.propagate("forward"))
    steps = []
    check = session.check_both_ways(progress=lambda *step: steps.append(step))
    both = dict(check)
    assert steps == [(n, 11) for n in range(1, 12)]
    assert [set(agreement) for agreement in both.values()] == [{1, 2}] * 7 + [{1}] * 4
    alone = dict(session.check_both_ways(objects=[2, 7]))
    assert list(alone) == [10, 9, 8, 7, 6, 5, 4]
    for index, agreement in alone.items():
        assert agreement[2] == pytest.approx(both[index][2], abs=0.02)


def test_slices_that_were_not_followed_are_not_checked(make_session):
    session = make_session()
    assert list(session.check_both_ways()) == []
    session.add(click(index=4))
    assert list(session.check_both_ways()) == []
    list(session.propagate("forward", range(4, 8)))
    assert [index for index, _ in session.check_both_ways()] == [6, 5, 4]


def test_a_slice_whose_mask_was_given_is_not_in_doubt(make_session):
    session = make_session()
    given = np.zeros((40, 50), bool)
    given[10:20, 10:20] = True
    session.add(Prompt(1, 3, mask=given))
    list(session.propagate("both"))
    assert {index for index, _ in session.check_both_ways()} == {
        *(1, 2),
        *range(4, 11),
    }


def test_behind_the_mark_absent_there_is_nothing_to_check(make_session):
    session = make_session()
    session.add(click(index=2))
    session.add(Prompt(1, 6, absent=True))
    list(session.propagate("forward"))
    assert [index for index, _ in session.check_both_ways()] == [4, 3, 2]


def test_labels_may_be_checked_instead_of_what_the_session_holds(make_session, data):
    session = make_session(memory_bytes=1)
    session.add(click(index=0))
    labels = np.zeros(data.shape, np.uint8)
    for result in session.propagate("forward"):
        result.write_into(labels[result.slice])
    assert not dict(session.check_both_ways(labels=np.zeros_like(labels)))
    sound = dict(session.check_both_ways(labels=labels))
    assert list(sound) == list(range(10, -1, -1))
    assert all(agreement[1] > 0 for agreement in sound.values())
    labels[6] = 0
    damaged = dict(session.check_both_ways(labels=labels))
    assert damaged == sound | {6: {1: 0.0}}
    labels[8:] = 0
    assert next(session.check_both_ways(labels=labels))[0] == 6


def test_clicks_and_removals_during_a_check(make_session):
    session = make_session()
    session.add(click(1, 0))
    session.add(click(2, 0, 30.0, 30.0))
    list(session.propagate("forward"))
    check = session.check_both_ways()
    assert set(next(check)[1]) == {1, 2}
    answers = []
    thread = threading.Thread(target=lambda: answers.append(session.add(click(3, 9))))
    thread.start()
    thread.join(30)
    assert answers[0].slice == 9
    session.remove_object(1)
    assert all(set(agreement) == {2} for _, agreement in check)


def test_a_check_goes_on_where_memory_ran_out_once(make_session, monkeypatch):
    session = make_session(feature_bytes=1)
    session.add(click(index=0))
    list(session.propagate("forward"))
    expected = dict(session.check_both_ways())
    encode, calls = session._tracker.passes.encode, []

    def fails_at_first(image):
        calls.append(1)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("no memory left")
        return encode(image)

    monkeypatch.setattr(session._tracker.passes, "encode", fails_at_first)
    assert dict(session.check_both_ways()) == expected
    assert len(calls) > 1


def test_a_check_follows_the_session_to_another_device(make_session):
    session = make_session()
    session.add(click(index=0))
    list(session.propagate("forward"))
    expected = dict(session.check_both_ways())
    check = session.check_both_ways()
    found = dict([next(check), next(check)])
    session._move_to_cpu()
    moved = session._tracker.passes
    used = []
    follow = moved.follow
    moved.follow = lambda *args, **kwargs: used.append(1) or follow(*args, **kwargs)
    assert found | dict(check) == expected
    assert len(used) == len(expected) - 2


def test_what_cannot_be_checked(make_session):
    session = make_session()
    with pytest.raises(PromptError, match="expected a range of slices from 0 to 11"):
        next(session.check_both_ways(range(5, 20)))
    with pytest.raises(VolumeError, match="expected labels of the shape"):
        next(session.check_both_ways(labels=np.zeros((12, 3, 3), np.uint8)))
