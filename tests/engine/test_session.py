from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_octa_sam2.engine.device import Compute, choose_compute
from napari_octa_sam2.engine.memory import SliceOutput
from napari_octa_sam2.engine.passes import Passes
from napari_octa_sam2.engine.prompting import Grid
from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.engine.settling import SAME, SLICES
from napari_octa_sam2.engine.sharpen import sharpened
from napari_octa_sam2.errors import ModelError, PromptError, VolumeError
from napari_octa_sam2.model.refinement import (
    NO_CLASS,
    Reading,
    RefinementHead,
    to_square,
)
from napari_octa_sam2.prompts import Prompt


@pytest.fixture
def session(data, tiny_model):
    return Session(data, tiny_model, device="cpu", precision="fp32")


def click(object_id=1, index=4, row=10.0, col=12.0, label=1):
    return Prompt(object_id, index, ((row, col),), (label,))


def masks(results):
    return {r.slice: {o: m.copy() for o, m in r.logits.items()} for r in results}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for index, logits in expected.items():
        assert found[index].keys() == logits.keys()
        for o, values in logits.items():
            np.testing.assert_array_equal(found[index][o], values)


def test_a_pass_visits_every_slice_once_from_the_prompt_outwards(session):
    session.add(click(index=4))
    visited = [r.slice for r in session.propagate("both")]
    assert visited == [4, 5, 6, 7, 8, 9, 10, 11, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("direction", "slices", "expected"),
    [
        ("forward", None, list(range(4, 12))),
        ("backward", None, [4, 3, 2, 1, 0]),
        ("both", range(3, 6), [4, 5, 3]),
        ("both", range(7, 10), [7, 8, 9]),
        ("both", range(3), [2, 1, 0]),
    ],
)
def test_direction_and_range(session, direction, slices, expected):
    session.add(click(index=4))
    assert [r.slice for r in session.propagate(direction, slices)] == expected


def test_objects_are_followed_from_their_own_prompts(session):
    session.add(click(1, 2))
    session.add(click(2, 8))
    plan = session.plan("both")
    forward = {v.slice: v.objects for v in plan if not v.reverse}
    backward = {v.slice: v.objects for v in plan if v.reverse}
    assert forward[2] == (1,)
    assert forward[8] == (1, 2)
    assert backward[7] == (2,)
    assert backward[1] == (1, 2)


def test_cancelled_and_resumed_equals_uninterrupted(data, tiny_model, session):
    session.add(click())
    whole = masks(session.propagate("both"))
    other = Session(data, tiny_model, device="cpu", precision="fp32")
    other.add(click())
    found = {}
    for result in other.propagate("both", only_stale=True):
        found |= masks([result])
        if result.slice == 7:
            break
    assert len(found) == 4
    rest = masks(other.propagate("both", only_stale=True))
    assert not found.keys() & rest.keys()
    assert_equal(found | rest, whole)
    assert other.plan("both", only_stale=True) == []


def test_a_correction_makes_all_slices_of_its_object_stale(session):
    session.add(click(1, 2))
    session.add(click(2, 3))
    list(session.propagate("both"))
    session.add(click(1, 6, 30.0, 30.0))
    stale = session.plan("both", only_stale=True)
    assert {v.objects for v in stale} == {(1,)}
    assert len(stale) == len(session.data)


def test_undoing_a_click_brings_the_mask_before_it_back(session):
    first = session.add(click()).logits[1]
    second = session.add(click(row=30.0, label=0)).logits[1]
    assert not np.array_equal(first, second)
    undone = session.set_prompts(1, 4, [click()]).logits[1]
    np.testing.assert_array_equal(undone, first)


def test_taking_all_prompts_of_a_slice_away_shows_what_was_propagated(session):
    session.add(click(index=2))
    followed = masks(session.propagate("forward"))[6][1]
    corrected = session.add(click(index=6, row=30.0)).logits[1]
    assert not np.array_equal(corrected, followed)
    np.testing.assert_array_equal(session.set_prompts(1, 6, []).logits[1], followed)
    assert not (session.set_prompts(1, 2, []).logits[1] > 0).any()
    with pytest.raises(PromptError, match="no prompt to propagate"):
        session.plan()


def test_a_corrected_slice_whose_only_other_prompt_is_removed_still_answers(session):
    session.add(click(index=2))
    list(session.propagate("forward"))
    session.add(click(index=6))
    session.set_prompts(1, 2, [])
    assert session.add(click(index=6, row=30.0)).logits[1].shape == (40, 50)
    assert len(list(session.propagate("both"))) == len(session.data)


def test_an_absent_prompt_gives_an_empty_mask_and_conditions_the_rest(session):
    session.add(click(index=2))
    before = masks(session.propagate("forward"))
    result = session.add(Prompt(1, 7, absent=True))
    assert not result.mask(1).any()
    assert result.confidence[1] == 1.0
    after = masks(session.propagate("forward"))
    assert not (after[7][1] > 0).any()
    assert not np.array_equal(after[9][1], before[9][1])


def test_memory_stays_within_its_budget_and_results_do_not_change(tiny_model):
    rng = np.random.default_rng(1)
    data = rng.integers(0, 255, (80, 40, 50), dtype=np.uint8)
    roomy = Session(data, tiny_model, device="cpu", precision="fp32")
    tight = Session(
        data,
        tiny_model,
        device="cpu",
        precision="fp32",
        feature_bytes=1,
        memory_bytes=1,
        key_bytes=1,
    )
    for session in (roomy, tight):
        session.add(click(index=0))
    peak = 0
    expected = masks(roomy.propagate("forward"))
    for result in tight.propagate("forward"):
        assert_equal(masks([result]), {result.slice: expected[result.slice]})
        peak = max(peak, tight.memory_nbytes())
    assert peak < roomy.memory_nbytes() / 2


def test_out_of_memory_is_retried_with_empty_caches(session, monkeypatch):
    notes = []
    session._notify = notes.append
    encode, failures = session._tracker.passes.encode, [True]

    def fails_once(image):
        if failures:
            failures.pop()
            raise torch.OutOfMemoryError("no memory left")
        return encode(image)

    monkeypatch.setattr(session._tracker.passes, "encode", fails_once)
    assert session.add(click()).logits[1].shape == (40, 50)
    assert "ran out of memory" in notes[0]


def test_objects_go_through_in_smaller_groups_where_memory_is_short(
    data, tiny_model, monkeypatch
):
    notes = []
    session = Session(
        data, tiny_model, device="cpu", precision="fp32", notify=notes.append
    )
    for object_id in range(1, 6):
        session.add(click(object_id, index=0, row=6.0 * object_id))
    network = tiny_model.network
    heads, sizes = network._forward_sam_heads, []

    def two_at_most(backbone_features, **kwargs):
        sizes.append(len(backbone_features))
        if len(backbone_features) > 2:
            raise torch.OutOfMemoryError("no memory left")
        return heads(backbone_features=backbone_features, **kwargs)

    monkeypatch.setattr(network, "_forward_sam_heads", two_at_most)
    found = masks(session.propagate("forward", range(3)))
    assert sizes == [5, 2, 2, 1, 2, 2, 1]
    assert "2 objects are followed at a time" in notes[0]
    monkeypatch.undo()
    whole = Session(data, tiny_model, device="cpu", precision="fp32")
    for object_id in range(1, 6):
        whole.add(click(object_id, index=0, row=6.0 * object_id))
    for index, logits in masks(whole.propagate("forward", range(3))).items():
        for object_id, expected in logits.items():
            difference = np.abs(found[index][object_id] - expected)
            assert difference.max() < 0.1 * np.abs(expected).max()


def test_lasting_out_of_memory_on_the_cpu_is_a_clear_error(session, monkeypatch):
    session.add(click(index=1))

    def fails(image):
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr(session._tracker.passes, "encode", fails)
    with pytest.raises(ModelError, match="smaller model"):
        session.add(click(index=3))
    monkeypatch.undo()
    assert session.add(click(index=3)).logits[1].shape == (40, 50)
    assert session.prompts(1, 1)


def test_a_device_that_stays_full_is_left_for_the_cpu(data, tiny_model, monkeypatch):
    notes = []
    session = Session(data, tiny_model, device="cpu", notify=notes.append)
    expected = session.add(click(index=1)).logits[1]
    session.set_prompts(1, 1, [])
    session._tracker.slices.forget()
    # the meta device takes tensors and computes nothing: a stand-in for a full one
    session._tracker.passes.compute = Compute(torch.device("meta"), "fp32")
    encode = Passes.encode

    def full_unless_on_the_cpu(self, image):
        if self.compute.device.type == "meta":
            raise torch.OutOfMemoryError("no memory left")
        return encode(self, image)

    monkeypatch.setattr(Passes, "encode", full_unless_on_the_cpu)
    np.testing.assert_array_equal(session.add(click(index=1)).logits[1], expected)
    assert session.compute.device.type == "cpu"
    assert notes[-1] == "meta is out of memory: going on with the CPU, slower"


def test_clicks_of_another_thread_are_answered_during_a_pass(session):
    session.add(click(index=0))
    answers = []
    passing = session.propagate("forward")
    next(passing)
    thread = threading.Thread(target=lambda: answers.append(session.add(click(2, 9))))
    thread.start()
    thread.join(30)
    assert answers[0].slice == 9
    assert len(list(passing)) == len(session.data) - 1


def test_slices_without_finite_values_are_reported_and_segmented(data, tiny_model):
    data = data.astype(np.float32)
    data[5] = np.nan
    notes = []
    session = Session(
        data, tiny_model, device="cpu", precision="fp32", notify=notes.append
    )
    assert "1 slices hold values that are not finite (5)" in notes[0]
    session.add(click())
    for result in session.propagate("both"):
        assert np.isfinite(result.logits[1]).all()


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (click(index=12), "expected a slice from 0 to 11"),
        (click(index=-1), "expected a slice from 0 to 11"),
        (click(row=40.0), "lies outside the image"),
        (Prompt(1, 0, box=(50.0, 0.0, 60.0, 9.0)), "lies outside the image"),
        (Prompt(1, 0, mask=np.ones((3, 3), bool)), "expected a mask of shape"),
    ],
)
def test_prompts_outside_the_volume(session, prompt, message):
    with pytest.raises(PromptError, match=message):
        session.add(prompt)
    assert session.objects == []


@pytest.mark.parametrize("shape", [(40, 50), (2, 3, 40, 50), (0, 40, 50)])
def test_arrays_that_are_no_volume(tiny_model, shape):
    with pytest.raises(VolumeError):
        Session(np.zeros(shape, np.uint8), tiny_model, device="cpu")


def test_unknown_device_and_precision():
    with pytest.raises(ModelError, match="expected a device of auto"):
        choose_compute("xpu")
    with pytest.raises(ModelError, match="expected a precision"):
        choose_compute("cpu", "fp8")


def test_bf16_gives_nearly_the_masks_of_fp32(data, tiny_model, session, monkeypatch):
    # a rounding error must not decide about a whole piece of a random mask
    monkeypatch.setattr(tiny_model.network, "connected", False)
    other = Session(data, tiny_model, device="cpu", precision="bf16")
    found = other.add(click()).logits[1]
    expected = session.add(click()).logits[1]
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max() + 0.05
    assert not np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)]
)
def test_features_are_kept_in_the_precision_of_the_session(
    data, tiny_model, precision, dtype
):
    session = Session(data, tiny_model, device="cpu", precision=precision)
    session.add(click())
    features = session._tracker.slices.features(4)
    assert {tokens.dtype for tokens in features.tokens} == {dtype}


def test_a_network_may_prefer_a_precision(data, tiny_model, monkeypatch):
    assert Session(data, tiny_model, device="cpu").compute.precision == "fp32"
    monkeypatch.setattr(type(tiny_model.network), "precision", "bf16")
    assert Session(data, tiny_model, device="cpu").compute.precision == "bf16"
    chosen = Session(data, tiny_model, device="cpu", precision="fp32")
    assert chosen.compute.precision == "fp32"


def test_a_class_is_asked_for_and_corrected_by_clicks(session):
    whole = session.add(Prompt(1, 4, whole="RV"))
    corrected = session.add(click(label=0))
    other = Session(session.data, session.model, device="cpu")
    faz = other.add(Prompt(1, 4, whole="FAZ"))
    assert not np.array_equal(whole.logits[1], faz.logits[1])
    assert not np.array_equal(whole.logits[1], corrected.logits[1])
    assert len(list(session.propagate())) == 12


def test_a_model_without_classes_says_so(data, tiny_model, monkeypatch):
    monkeypatch.setattr(tiny_model.network, "classes", ())
    with pytest.raises(PromptError, match="cannot be asked for every RV"):
        Session(data, tiny_model, device="cpu", precision="fp32").add(
            Prompt(1, 0, whole="RV")
        )


def test_a_slice_is_read_once_and_each_output_sharpened_once(
    data, tiny_model, monkeypatch
):
    monkeypatch.setattr(tiny_model.network, "connected", False)

    class Counting(torch.nn.Module):
        calls = readings = 0

        def read(self, image):
            assert image.shape == (1, 1, 40, 50)
            assert 0 <= image.min() < image.max() <= 1
            self.readings += 1
            return reading_of(image)

        def forward(self, reading, logits, clicks, asked):
            assert clicks[0, 0, :, 12].argmax() in (10, 30)
            assert asked.tolist() == [NO_CLASS]
            self.calls += 1
            size = reading.images.shape[-2:]
            return torch.nn.functional.interpolate(logits, size, mode="bilinear") + 1

    exact = {"device": "cpu", "precision": "fp32"}
    plain = Session(data, tiny_model, **exact)
    head = Counting()
    refined = Session(data, replace(tiny_model, refinement=head), **exact)
    for session in (plain, refined):
        first = session.add(click(object_id=1))
        both = session.add(click(object_id=2, row=30.0))
    assert (head.calls, head.readings) == (2, 1)
    assert set(both.logits) == {1, 2}
    before = plain.add(click(object_id=1)).logits[1]
    after = refined.add(click(object_id=1)).logits[1]
    np.testing.assert_allclose(after, before + 1, atol=1e-5)
    assert first.logits[1].shape == (40, 50)


def reading_of(image):
    return Reading(image, torch.zeros(1, 8, 20, 25), torch.zeros(1, 6, 40, 50))


def test_a_painted_mask_is_shown_as_it_was_painted(data, tiny_model):
    model = replace(tiny_model, refinement=RefinementHead((8, 16)).eval())
    session = Session(data, model, device="cpu")
    painted = np.zeros((40, 50), bool)
    painted[5:9, 3:31:2] = True
    result = session.add(Prompt(1, 4, mask=painted))
    np.testing.assert_array_equal(result.mask(1), painted)


@pytest.mark.parametrize(("whole", "stays"), [(None, False), ("RV", True)])
def test_what_the_head_adds_away_from_a_single_object_is_left_out(whole, stays):
    def head(reading, logits, clicks, asked):
        assert asked.tolist() == [NO_CLASS if whole is None else 0]
        found = torch.full_like(reading.images, -5.0)
        found[..., 8:13, 10:15] = found[..., 35:, 45:] = 5.0
        return found

    coarse = torch.full((1, 1, 20, 25), -5.0)
    coarse[..., 4:6, 5:7] = 5.0
    output = SliceOutput(coarse, torch.zeros(1, 8), torch.ones(1, 1), 1.0, whole=whole)
    reading = reading_of(torch.zeros(1, 1, 40, 50))
    found = sharpened(output, Grid(1, 40, 50), head, reading, connected=True) > 0
    assert found[..., 10, 12]
    assert found[..., 39, 49] == stays


def test_what_the_head_made_of_a_slice_is_remembered_and_handed_on(data, tiny_model):
    head = RefinementHead((8, 16)).eval()
    session = Session(data, replace(tiny_model, refinement=head), device="cpu")
    session.add(click())
    shown = {r.slice: r.logits[1].copy() for r in session.propagate("forward")}
    for index in (4, 5):
        output = session._tracker.banks[1].output(index)
        handed_on = output.handed_on
        assert handed_on.shape == output.logits.shape
        assert not torch.equal(handed_on, output.logits)
        own = torch.from_numpy(shown[index])[None, None]
        torch.testing.assert_close(handed_on, to_square(own, 32))


def test_without_a_head_the_network_remembers_its_own_masks(data, tiny_model):
    session = Session(data, tiny_model, device="cpu", precision="fp32")
    session.add(click())
    list(session.propagate("forward"))
    output = session._tracker.banks[1].output(5)
    assert output.remembered is None
    assert output.handed_on is output.logits


@pytest.mark.parametrize(("correction", "whole"), [("mask", "RV"), ("absent", None)])
def test_a_painted_class_stays_a_class_and_an_absent_one_ends(
    session, correction, whole
):
    session.add(Prompt(1, 4, whole="RV"))
    list(session.propagate("forward"))
    painted = np.zeros((40, 50), bool)
    painted[5:9] = True
    given = {"mask": painted} if correction == "mask" else {"absent": True}
    session.add(Prompt(1, 6, **given))
    assert session._tracker.banks[1].output(6).whole == whole


def test_objects_that_began_on_different_slices_are_followed_as_if_alone(
    data, tiny_model
):
    starts = {1: 2, 2: 5, 3: 5}
    exact = {"device": "cpu", "precision": "fp32"}

    def followed(objects):
        session = Session(data, tiny_model, **exact)
        for o in objects:
            session.add(click(o, index=starts[o], row=9.0 * o))
        return masks(session.propagate("both"))

    together = followed(starts)
    for object_id in starts:
        for index, logits in followed([object_id]).items():
            np.testing.assert_allclose(
                together[index][object_id], logits[object_id], atol=1e-4
            )


def test_slices_beyond_a_mark_of_absence_are_not_computed(session, monkeypatch):
    session.add(click(1, index=4))
    session.add(click(2, index=4, row=30.0))
    for index in (2, 7):
        session.add(Prompt(1, index, absent=True))
    follow, followed = session._tracker.passes.follow, Counter()

    def counting(features, banks, index, **kwargs):
        followed[index] += len(banks)
        return follow(features, banks, index, **kwargs)

    monkeypatch.setattr(session._tracker.passes, "follow", counting)
    found = {r.slice: r for r in session.propagate("both")}
    assert dict(followed) == {
        i: 2 if i in (3, 5, 6) else 1 for i in range(12) if i != 4
    }
    for index in (0, 1, 8, 11):
        assert not found[index].mask(1).any()
        assert 1 in found[index].changed


def test_an_object_that_is_marked_present_again_is_followed_between(session):
    session.add(click(1, index=2))
    session.add(Prompt(1, 5, absent=True))
    session.add(click(1, index=8))
    list(session.propagate("both"))
    outputs = session._tracker.banks[1].followed
    assert {3, 4, 6, 7, 9} <= set(outputs)


def test_a_correction_stops_where_nothing_changes(data, tiny_model):
    """A class that is the same everywhere: the pass has settled beyond the edit."""
    flat = np.zeros((30, 40, 50), np.uint8)
    session = Session(flat, tiny_model, device="cpu", precision="fp32")
    session.add(click(index=3))
    list(session.propagate("both"))
    before = {i: session._tracker.banks[1].output(i).logits for i in range(30)}
    session.add(click(index=15))
    outwards = [r.slice for r in session.propagate(only_stale=True, only_changed=True)]
    assert outwards[0] == 15
    upwards = [i for i in outwards if i > 15]
    assert upwards == list(range(16, 16 + len(upwards)))
    downwards = [i for i in outwards if i < 15]
    assert downwards == list(range(14, 14 - len(downwards), -1))
    for side, end in ((upwards, 29), (downwards, 0)):
        changed = [
            _iou(before[i], session._tracker.banks[1].output(i).logits) for i in side
        ]
        if side[-1] != end:
            assert min(changed[-SLICES:]) >= SAME
            assert all(
                min(changed[k : k + SLICES]) < SAME for k in range(len(side) - SLICES)
            )
    assert not session.plan(only_stale=True)
    assert len(outwards) < 30


def test_a_mask_that_was_given_bounds_a_correction_and_stays(session):
    session.add(click(index=2))
    painted = np.zeros((40, 50), bool)
    painted[10:20, 12:30] = True
    shown = session.add(Prompt(1, 7, mask=painted)).mask(1)
    list(session.propagate("both"))
    session.add(click(index=4, row=30.0))
    found = {r.slice: r for r in session.propagate(only_stale=True, only_changed=True)}
    assert 7 in found
    assert max(found) == 7
    np.testing.assert_array_equal(found[7].mask(1), shown)
    assert not session.plan(only_stale=True)


def _iou(a, b):
    a, b = a > 0, b > 0
    return float((a & b).sum() / max(1, (a | b).sum())) if (a | b).any() else 1.0


def test_a_correction_during_a_pass_is_not_forgotten(session):
    session.add(click(index=2))
    list(session.propagate("forward"))
    session.add(click(index=4, row=20.0))
    passing = session.propagate("forward", only_stale=True, only_changed=True)
    next(passing)
    session.add(click(index=9, row=30.0))
    list(passing)
    left = session.plan("both", only_stale=True, only_changed=True)
    assert sorted(visit.slice for visit in left) == [0, 1, 2, 3, 4]


def test_slices_encoded_ahead_are_answered_without_encoding(session, monkeypatch):
    assert list(session.prefetch([3, 4, 99, -1])) == [3, 4]
    monkeypatch.setattr(session._tracker.passes, "encode", None)
    assert session.add(click(index=3)).logits[1].shape == (40, 50)


def test_features_of_an_earlier_session_are_found_again(
    data, tiny_model, tmp_path, monkeypatch
):
    exact = {"device": "cpu", "precision": "fp32", "feature_folder": tmp_path}
    assert not Session(
        data, tiny_model, **exact
    )._tracker.slices.cache.store  # random weights
    model = replace(tiny_model, sha256="0" * 64)
    first = Session(data, model, **exact)
    expected = first.add(click()).logits[1]
    again = Session(data, model, **exact)
    changed = Session(data + 1, model, **exact)
    for session in (again, changed):
        monkeypatch.setattr(session._tracker.passes, "encode", None)
    np.testing.assert_array_equal(again.add(click()).logits[1], expected)
    with pytest.raises(TypeError):
        changed.add(click())


def test_pooled_attention_is_near_the_exact_one(data, tiny_model):
    exact, pooled = (
        Session(data, tiny_model, device="cpu", precision="fp32", attention=attention)
        for attention in ("exact", "pooled")
    )
    for session in (exact, pooled):
        session.add(click(index=0))
    for a, b in zip(exact.propagate(), pooled.propagate(), strict=True):
        assert np.corrcoef(a.logits[1].ravel(), b.logits[1].ravel())[0, 1] > 0.9
    with pytest.raises(ModelError, match="exact, pooled"):
        Session(data, tiny_model, device="cpu", attention="quick")


def test_the_answer_that_an_object_is_over_can_be_sure(session, monkeypatch):
    session.add(click(index=2))
    network = session.model.network
    bias = network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias
    with monkeypatch.context() as patch:
        patch.setattr(bias, "data", torch.full_like(bias, -8.0))
        over = next(r for r in session.propagate("forward") if r.slice == 3)
    assert not over.mask(1).any()
    assert over.confidence[1] > 0.99
    output = session._tracker.banks[1].output(3)
    assert over.confidence[1] == 1 - float(output.score.sigmoid())
    there = next(r for r in session.propagate("forward") if r.slice == 3)
    output = session._tracker.banks[1].output(3)
    assert there.mask(1).any()
    assert there.confidence[1] == output.iou * float(output.score.sigmoid())


def test_what_the_annotator_gave_is_certain(session):
    session.add(click(index=2))
    mask = np.zeros((40, 50), bool)
    mask[10:20, 10:20] = True
    assert session.add(Prompt(1, 4, mask=mask)).confidence == {1: 1.0}
    outline = ((5.0, 5.0), (5.0, 25.0), (25.0, 25.0))
    assert session.add(Prompt(1, 5, polygon=outline)).confidence == {1: 1.0}
    assert session.add(Prompt(1, 7, absent=True)).confidence == {1: 1.0}
    found = {r.slice: r.confidence[1] for r in session.propagate("forward")}
    certain = [index for index, value in found.items() if value == 1]
    assert certain == [4, 5, 7, 8, 9, 10, 11]
    assert session.add(click(index=4, row=30.0)).confidence[1] < 1


def test_what_a_network_gave_is_as_certain_as_it_says(session):
    mask = np.zeros((40, 50), bool)
    mask[10:20, 10:20] = True
    given = session.add(Prompt(1, 4, mask=mask, confidence=0.25))
    assert given.confidence == {1: 0.25}
    np.testing.assert_array_equal(given.mask(1), mask)
    gone = Prompt(1, 7, absent=True, confidence=0.75)
    assert session.add(gone).confidence == {1: 0.75}
    found = {r.slice: r.confidence[1] for r in session.propagate("forward")}
    assert (found[4], found[7], found[8]) == (0.25, 0.75, 1.0)


def test_an_object_that_is_not_known_has_no_confidence(session):
    session.add(click(index=2))
    assert session.set_prompts(1, 2, []).confidence == {}
