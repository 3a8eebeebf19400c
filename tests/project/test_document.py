"""The history of a document, and the events that tell of it."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.project import locks, objects
from napari_octa_sam2.project.document import STEPS, Document
from napari_octa_sam2.project.packing import pack, unpack
from napari_octa_sam2.prompts import Prompt, PromptObject, PromptSet, Scribble

SHAPE = (4, 5, 6)


def filled(value: int) -> np.ndarray:
    return np.full(SHAPE[1:], value, np.uint16)


def with_pixels(labels: np.ndarray, value: int, *pixels: tuple[int, int]) -> np.ndarray:
    changed = labels.copy()
    for row, col in pixels:
        changed[row, col] = value
    return changed


def click(object_id: int, index: int, col: float = 1.5) -> Prompt:
    return Prompt(object_id, index, ((2.25, col),), (1,))


def add(document: Document, prompt: Prompt) -> int:
    number = document.begin()
    present = document.prompts
    changed = PromptSet(
        present.objects, (*present.prompts, prompt), present.locks, present.suppress
    )
    document.set_prompts(changed)
    return number


def state(document: Document) -> Any:
    """Everything that a document is, its history included."""

    def plain(steps: list[Any]) -> list[Any]:
        return [(s.id, s.before, s.after, s.slices) for s in steps]

    return (
        document.prompts,
        document._packed,
        plain(document._steps),
        plain(document._undone),
        document._begun,
    )


def content(document: Document) -> Any:
    return document.prompts, document.volume().tolist()


def test_a_new_document_is_empty() -> None:
    document = Document(SHAPE)
    assert document.prompts.objects == (PromptObject(1),)
    assert document.step == 0
    assert (document.can_undo, document.can_redo) == (False, False)
    assert document.undo() is None
    assert document.redo() is None
    assert document.volume().shape == SHAPE
    assert not document.volume().any()


def test_undo_and_redo_walk_over_prompts_labels_locks_and_objects() -> None:
    document = Document(SHAPE)
    states = [content(document)]

    def done() -> None:
        states.append(content(document))

    document.write(1, filled(1), add(document, click(1, 1)))
    done()
    document.begin()
    document.set_prompts(locks.lock(document.prompts, 1, 1, document.labels(1) == 1))
    done()
    document.begin()
    new = objects.duplicate(document, 1)
    done()
    document.begin()
    document.write(1, with_pixels(document.labels(1), new.id, (0, 0)))
    document.write(3, filled(new.id))
    done()
    document.begin()
    objects.merge(document, 1, [new.id])
    done()
    document.begin()
    objects.remove(document, 1)
    done()
    for expected in states[-2::-1]:
        assert document.undo() is not None
        assert content(document) == expected
    assert document.undo() is None
    for expected in states[1:]:
        assert document.redo() is not None
        assert content(document) == expected
    assert document.redo() is None


def test_undo_names_the_slices_that_changed() -> None:
    document = Document(SHAPE)
    document.begin()
    assert document.write(3, filled(2))
    assert document.write(1, filled(2))
    assert not document.write(1, filled(2))
    assert document.slices_of(document.step) == [1, 3]
    assert document.slices_of(99) == []
    assert document.labelled_slices() == [1, 3]
    assert document.undo() == [1, 3]
    assert document.labelled_slices() == []
    assert document.redo() == [1, 3]


def test_a_new_step_ends_what_can_be_done_again() -> None:
    document = Document(SHAPE)
    add(document, click(1, 0))
    document.undo()
    add(document, click(1, 1))
    assert not document.can_redo


def test_an_abandoned_step_leaves_no_trace() -> None:
    document = Document(SHAPE)
    add(document, click(1, 0))
    document.write(0, filled(1))
    add(document, click(1, 1))
    document.undo()
    before = content(document)
    document.begin()
    document.write(2, filled(1))
    document.set_prompts(PromptSet((PromptObject(1),)))
    assert document.abandon() == [2]
    assert content(document) == before
    assert document.can_redo
    document.redo()
    assert len(document.prompts.prompts) == 2


def test_undo_passes_over_steps_that_changed_nothing() -> None:
    document = Document(SHAPE)
    document.begin()
    assert not document.can_undo
    assert document.undo() is None
    document.write(0, filled(1), add(document, click(1, 0)))
    document.begin()
    document.begin()
    assert document.undo() == [0]
    assert document.prompts.prompts == ()
    assert document.redo() == [0]


def test_an_answer_to_an_older_step_is_taken_back_with_that_step() -> None:
    """A click, then another object is painted on its slice, then the click's answer."""
    document = Document(SHAPE)
    clicked = add(document, click(1, 2))
    painted = with_pixels(filled(0), 2, (0, 0), (0, 1))
    document.begin()
    document.write(2, painted)
    both = with_pixels(painted, 1, (0, 1), (4, 4))
    assert document.write(2, both, clicked, by_engine=True)
    np.testing.assert_array_equal(document.labels(2), both)

    document.undo()  # the painting
    only = with_pixels(filled(0), 1, (0, 1), (4, 4))
    np.testing.assert_array_equal(document.labels(2), only)
    document.undo()  # the click
    assert not document.labels(2).any()
    document.redo()
    np.testing.assert_array_equal(document.labels(2), only)
    document.redo()
    np.testing.assert_array_equal(document.labels(2), both)


def test_an_answer_that_comes_after_a_later_step_was_undone_survives_redo() -> None:
    document = Document(SHAPE)
    clicked = add(document, click(1, 2))
    document.begin()
    document.write(2, with_pixels(filled(0), 2, (0, 0)))
    document.undo()
    document.write(2, with_pixels(filled(0), 1, (4, 4)), clicked)
    document.redo()
    expected = with_pixels(with_pixels(filled(0), 2, (0, 0)), 1, (4, 4))
    np.testing.assert_array_equal(document.labels(2), expected)
    document.undo()
    document.undo()
    assert not document.labels(2).any()


def test_an_answer_to_a_step_that_is_gone_belongs_to_the_step_before() -> None:
    document = Document(SHAPE)
    document.write(0, filled(3), add(document, click(1, 0)))
    gone = add(document, click(1, 1))
    document.undo()
    document.write(1, filled(1), gone)
    assert document.undo() == [0, 1]
    assert not document.volume().any()


def test_the_oldest_steps_are_forgotten() -> None:
    document = Document(SHAPE)
    for number in range(STEPS + 5):
        document.begin()
        document.write(0, filled(number + 1))
    undone = 0
    while document.undo() is not None:
        undone += 1
    assert undone == STEPS
    assert (document.labels(0) == 5).all()
    document.write(0, filled(7), 1)  # the answer to a forgotten step stays
    while document.redo() is not None:
        pass
    assert (document.labels(0) == 7).all()


def test_labels_beyond_255_are_kept() -> None:
    document = Document(SHAPE)
    document.begin()
    document.write(0, filled(255))
    assert document.labels(0).dtype == np.uint8
    document.write(1, filled(65535))
    assert document.labels(1).dtype == np.uint16
    assert document.volume().dtype == np.uint16
    assert document.volume()[:2, 0, 0].tolist() == [255, 65535]


@pytest.mark.parametrize("index", [-1, SHAPE[0]])
def test_a_slice_beyond_the_volume_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match="slice from 0 to 3"):
        Document(SHAPE).write(index, filled(1))


@pytest.mark.parametrize("value", [-1, 65536])
def test_labels_that_no_file_can_hold_are_refused(value: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 65535"):
        pack(np.full((2, 2), value, np.int64))


def test_a_copy_stays_as_it_was() -> None:
    document = Document(SHAPE)
    document.write(0, filled(1), add(document, click(1, 0)))
    copied = document.copy()
    before = content(copied)
    document.begin()
    objects.remove(document, 1)
    assert content(copied) == before
    assert not copied.can_undo


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([1, 255, 256, 65535]),
    st.randoms(use_true_random=False),
)
def test_packing_gives_back_what_it_was_given(
    rows: int, cols: int, largest: int, random: Any
) -> None:
    values = [random.choice([0, 1, largest]) for _ in range(rows * cols)]
    labels = np.array(values, np.uint16).reshape(rows, cols)
    packed = pack(labels)
    np.testing.assert_array_equal(unpack(packed, labels.shape), labels)
    assert (packed == b"") == (not labels.any())
    assert pack(labels.astype(np.int64)[:, ::-1][:, ::-1]) == packed


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-3],
        lambda packed: packed[:1],
        lambda packed: b"\x02" + packed[1:],
        lambda packed: b"\x09" + packed[1:],
        lambda packed: packed[:1] + zlib.compress(b"\x01" * 29),
        lambda packed: packed[:1] + b"nothing",
    ],
)
def test_damaged_labels_are_refused(damage: Any) -> None:
    packed = pack(filled(7))
    with pytest.raises(ValueError, match=r"damaged|reshape"):
        unpack(damage(packed), SHAPE[1:])


PROMPTS = PromptSet((PromptObject(1),), (click(1, 0),)).to_json()
LABELS = base64.b64encode(pack(filled(1))).decode()


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"do": "prompts"},
        {"do": "prompts", "kept": 1, "content": PROMPTS},
        {"do": "prompts", "kept": -1, "content": PROMPTS},
        {"do": "prompts", "kept": "0", "content": PROMPTS},
        {"do": "prompts", "kept": 0, "content": {"version": 9}},
        {"do": "prompts", "kept": 0, "content": None},
        {"do": "labels", "slice": 4, "step": 0, "content": LABELS},
        {"do": "labels", "slice": "1", "step": 0, "content": LABELS},
        {"do": "labels", "slice": 1, "step": None, "content": LABELS},
        {"do": "labels", "slice": 1, "step": 0, "content": "???"},
        {"do": "labels", "slice": 1, "step": 0, "content": LABELS[:-8]},
        {"do": "labels", "slice": 1, "step": 0},
    ],
)
def test_malformed_events_change_nothing(event: dict[str, Any]) -> None:
    document = Document(SHAPE)
    before = content(document)
    with pytest.raises((PromptError, KeyError, TypeError, ValueError)):
        document.follow(event)
    assert content(document) == before


def test_events_of_others_are_left_alone() -> None:
    document = Document(SHAPE)
    before = state(document)
    document.follow({"do": "open", "model": "octa-nano"})
    assert state(document) == before


# random histories ----------------------------------------------------------------

ids = st.integers(1, 4)
slices = st.integers(0, SHAPE[0] - 1)
cells = st.tuples(st.integers(0, SHAPE[1] - 1), st.integers(0, SHAPE[2] - 1))
coordinates = st.floats(0, 4, allow_nan=False)


@st.composite
def prompts(draw: st.DrawFn) -> Prompt:
    object_id, index = draw(ids), draw(slices)
    at = (draw(coordinates), draw(coordinates))
    kind = draw(st.sampled_from(["click", "box", "mask", "absent", "line", "outline"]))
    match kind:
        case "click":
            return Prompt(object_id, index, (at,), (draw(st.integers(0, 1)),))
        case "box":
            return Prompt(object_id, index, box=(*at, at[0] + 1, at[1] + 0.5))
        case "mask":
            mask = np.zeros(SHAPE[1:], bool)
            mask[draw(cells)] = True
            return Prompt(object_id, index, mask=mask)
        case "absent":
            return Prompt(object_id, index, absent=True)
        case "line":
            return Prompt(object_id, index, scribbles=(Scribble((at, (4.0, 5.0))),))
        case _:
            return Prompt(object_id, index, polygon=(at, (4.5, 0.0), (4.5, 5.0)))


operations = st.one_of(
    st.tuples(st.just("prompt"), prompts()),
    st.tuples(st.just("drop"), st.integers(0, 5)),
    st.tuples(st.just("paint"), slices, cells, st.sampled_from([0, 1, 2, 300])),
    st.tuples(st.just("answer"), slices, cells, st.integers(0, 3), st.integers(0, 30)),
    st.tuples(st.just("lock"), ids, slices),
    st.tuples(st.just("unlock"), ids, slices),
    st.tuples(st.sampled_from(["remove", "split", "duplicate"]), ids),
    st.tuples(st.just("merge"), st.sets(ids, min_size=2)),
    st.tuples(st.sampled_from(["undo", "redo", "undo", "abandon", "begin"])),
)


def changed_prompts(present: PromptSet, name: str, *values: Any) -> PromptSet:
    match name:
        case "prompt":
            added = (*present.prompts, values[0])
            return PromptSet(present.objects, added, present.locks, present.suppress)
        case "drop":
            kept = (*present.prompts[: values[0]], *present.prompts[values[0] + 1 :])
            return PromptSet(present.objects, kept, present.locks, not present.suppress)
        case "lock":
            mask = np.eye(*SHAPE[1:], dtype=bool)
            return locks.lock(present, *values, mask)
        case _:
            return locks.unlock(present, *values)


def operate(document: Document, name: str, *values: Any) -> None:
    match name:
        case "undo" | "redo":
            getattr(document, name)()
        case "begin":
            document.begin()
        case "answer":
            index, cell, value, step = values
            labels = with_pixels(document.labels(index), value, cell)
            document.write(index, labels, step, by_engine=True)
        case "paint":
            index, cell, value = values
            document.begin()
            labels = document.labels(index).astype(np.uint16)
            document.write(index, with_pixels(labels, value, cell))
        case "abandon":
            document.begin()
            document.write(0, filled(9))
            document.set_prompts(PromptSet((PromptObject(9),)))
            document.abandon()
        case _:
            document.begin()
            try:
                if name in ("prompt", "drop", "lock", "unlock"):
                    present = changed_prompts(document.prompts, name, *values)
                    document.set_prompts(present)
                elif name == "merge":
                    objects.merge(document, min(values[0]), values[0])
                else:
                    getattr(objects, name)(document, *values)
            except PromptError:
                document.abandon()


@settings(max_examples=150, deadline=None)
@given(st.lists(operations, max_size=30))
def test_told_events_give_the_same_document(listed: list[tuple[Any, ...]]) -> None:
    told: list[str] = []
    document = Document(SHAPE, lambda event: told.append(json.dumps(event)))
    for operation in listed:
        operate(document, *operation)
    other = Document(SHAPE)
    for event in told:
        other.follow(json.loads(event))
    assert state(other) == state(document)
    while document.can_undo:
        assert other.undo() == document.undo()
        assert content(other) == content(document)
    while document.can_redo:
        assert other.redo() == document.redo()
        assert content(other) == content(document)


@settings(max_examples=100, deadline=None)
@given(st.lists(operations, max_size=30))
def test_history_is_one_chain(listed: list[tuple[Any, ...]]) -> None:
    """What a step restores is what the one before it left, whatever came late."""
    document = Document(SHAPE)
    for operation in listed:
        operate(document, *operation)
    last = content(document)
    walked = 0
    while document.undo() is not None:
        walked += 1
    for _ in range(walked):
        document.redo()
    assert content(document) == last
    present = {i: document._packed.get(i, b"") for i in range(SHAPE[0])}
    for step in reversed(document._steps):
        for index, (before, after) in step.slices.items():
            assert present[index] == after
            present[index] = before
