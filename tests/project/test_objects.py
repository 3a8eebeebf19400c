"""What is done to whole objects, and what may not be overwritten."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.project import locks, objects
from napari_octa_sam2.project.document import Document
from napari_octa_sam2.prompts import Prompt, PromptObject, PromptSet

SHAPE = (6, 10, 12)
ARTERY = PromptObject(1, "artery", "artery")
VEIN = PromptObject(2, "vein", "vein")


def document_of(labels: np.ndarray, prompts: PromptSet) -> Document:
    document = Document(SHAPE)
    document.begin()
    document.set_prompts(prompts)
    for index, content in enumerate(labels):
        document.write(index, content)
    document.begin()
    return document


def box(value: int, *at: slice, into: np.ndarray | None = None) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint16) if into is None else into
    labels[at] = value
    return labels


def click(object_id: int, index: int, row: float, col: float, label: int = 1) -> Prompt:
    return Prompt(object_id, index, ((row, col),), (label,))


def test_an_object_is_removed_with_all_that_is_its() -> None:
    labels = box(1, np.s_[:3], np.s_[:4], np.s_[:4])
    labels = box(2, np.s_[1:], np.s_[6:], np.s_[6:], into=labels)
    kept = click(2, 1, 8, 8)
    given = PromptSet(
        (ARTERY, VEIN), (click(1, 0, 1, 1), kept), frozenset({(1, 0), (2, 1)})
    )
    document = document_of(labels, given)
    objects.remove(document, 1)
    assert document.prompts == PromptSet((VEIN,), (kept,), frozenset({(2, 1)}))
    np.testing.assert_array_equal(document.volume(), np.where(labels == 1, 0, labels))
    document.undo()
    assert document.prompts == given
    np.testing.assert_array_equal(document.volume(), labels)


def test_merged_objects_keep_what_is_shown() -> None:
    labels = box(1, np.s_[:4], np.s_[:4], np.s_[:4])
    labels = box(2, np.s_[3:], np.s_[6:], np.s_[6:], into=labels)
    masks = [
        Prompt(1, 3, mask=labels[3] == 1),
        Prompt(2, 3, mask=labels[3] == 2),
        Prompt(1, 4, absent=True),
        click(1, 0, 1, 1),
        click(2, 5, 8, 8),
    ]
    locked = frozenset({(2, 5), (1, 4)})
    document = document_of(labels, PromptSet((ARTERY, VEIN), tuple(masks), locked))
    objects.merge(document, 1, [2])
    prompts = document.prompts
    assert prompts.objects == (ARTERY,)
    assert prompts.locks == {(1, 4), (1, 5)}
    np.testing.assert_array_equal(document.volume(), (labels > 0).astype(np.uint8))
    by_slice = prompts.by_slice()
    # the masks of both on slice 3, and "absent" of one where the other is
    for index in (3, 4):
        last = by_slice[1, index][-1]
        np.testing.assert_array_equal(last.mask, labels[index] > 0)
    assert by_slice[1, 0] == [click(1, 0, 1, 1)]
    assert by_slice[1, 5] == [click(1, 5, 8, 8)]


def test_prompts_that_are_not_answered_yet_are_merged_as_they_are() -> None:
    given = (click(1, 2, 1, 1), click(2, 2, 8, 8))
    document = document_of(np.zeros(SHAPE, np.uint8), PromptSet((ARTERY, VEIN), given))
    objects.merge(document, 1, {1, 2})
    assert document.prompts.prompts == (click(1, 2, 1, 1), click(1, 2, 8, 8))


def test_a_duplicate_has_the_prompts_but_neither_pixels_nor_locks() -> None:
    labels = box(1, np.s_[:3], np.s_[:4], np.s_[:4])
    given = click(1, 0, 1, 1)
    document = document_of(
        labels,
        PromptSet((replace(ARTERY, locked=True),), (given,), frozenset({(1, 0)})),
    )
    made = objects.duplicate(document, 1)
    assert made == PromptObject(2, "artery copy", "artery")
    assert document.prompts.prompts == (given, replace(given, object=2))
    assert document.prompts.locks == {(1, 0)}
    np.testing.assert_array_equal(document.volume(), labels)


@pytest.fixture
def three() -> np.ndarray:
    """Return an object in pieces of 64, 27 and 8 voxels.

    The largest is on slices 0 to 3, the second on 3 to 5, the smallest on 4 and 5; the
    second hangs together by a corner only.
    """
    labels = box(1, np.s_[:4], np.s_[:4], np.s_[:4])
    labels = box(1, np.s_[3:5], np.s_[6:9], np.s_[6:9], into=labels)
    labels = box(1, np.s_[5:6], np.s_[3:6], np.s_[3:6], into=labels)  # at its corner
    return box(1, np.s_[4:6], np.s_[8:10], np.s_[:2], into=labels)


def test_pieces_become_objects_with_their_prompts(three: np.ndarray) -> None:
    given = (
        click(1, 0, 1, 1),
        click(1, 5, 4.2, 3.8),  # the second piece, beside the smallest
        click(1, 5, 9, 9, label=0),  # refines it
        click(1, 2, 7, 7, label=0),  # only the largest is there
        Prompt(1, 4, box=(6, 6, 8, 8)),
        Prompt(1, 4, mask=three[4] == 1),
    )
    document = document_of(three, PromptSet((ARTERY, VEIN), given))
    made = objects.split(document, 1)
    assert made == [
        PromptObject(3, "artery 2", "artery"),
        PromptObject(4, "artery 3", "artery"),
    ]
    expected = box(1, np.s_[:4], np.s_[:4], np.s_[:4])
    box(3, np.s_[3:5], np.s_[6:9], np.s_[6:9], into=expected)
    box(3, np.s_[5:6], np.s_[3:6], np.s_[3:6], into=expected)
    box(4, np.s_[4:6], np.s_[8:10], np.s_[:2], into=expected)
    np.testing.assert_array_equal(document.volume(), expected)
    assert document.prompts.objects == (ARTERY, VEIN, *made)
    groups = document.prompts.by_slice()
    assert groups[1, 0] == [given[0]]
    assert groups[1, 2] == [given[3]]
    assert [replace(p, object=1) for p in groups[3, 5][:2]] == list(given[1:3])
    assert replace(groups[3, 4][0], object=1) == given[4]
    # where several were prompted, each has the mask that is shown
    for object_id, index in ((3, 4), (4, 4), (3, 5), (4, 5)):
        shown = expected[index] == object_id
        np.testing.assert_array_equal(groups[object_id, index][-1].mask, shown)
    assert set(groups) == {(1, 0), (1, 2), (3, 4), (4, 4), (3, 5), (4, 5)}
    document.undo()
    np.testing.assert_array_equal(document.volume(), three)
    assert document.prompts.prompts == given


def test_a_piece_without_prompts_is_given_its_largest_slice(three: np.ndarray) -> None:
    three[5, 7:10, 0:3] = 1  # the smallest grows on its second slice
    three[5, 6, 3] = 0
    document = document_of(three, PromptSet((ARTERY,), (click(1, 0, 1, 1),)))
    second, third = objects.split(document, 1)
    groups = document.prompts.by_slice()
    volume = document.volume()
    assert set(groups) == {(1, 0), (second.id, 3), (third.id, 5)}
    for (object_id, index), (given,) in list(groups.items())[1:]:
        np.testing.assert_array_equal(given.mask, volume[index] == object_id)


def test_locks_and_ends_go_to_the_pieces() -> None:
    labels = box(1, np.s_[:2], np.s_[:4], np.s_[:4])
    labels = box(1, np.s_[3:], np.s_[:3], np.s_[:4], into=labels)
    document = document_of(labels, PromptSet((ARTERY,), (click(1, 0, 1, 1),)))
    for index in (1, 2, 5):
        locked = locks.lock(document.prompts, 1, index, labels[index] == 1)
        document.set_prompts(locked)
    document.begin()
    (lower,) = objects.split(document, 1)  # of 24 voxels; the other has 36
    assert (document.labels(0)[0, 0], document.labels(5)[0, 0]) == (lower.id, 1)
    assert document.prompts.locks == {(lower.id, 1), (1, 2), (lower.id, 2), (1, 5)}
    groups = document.prompts.by_slice()
    assert all(groups[object_id, 2][-1].absent for object_id in (1, lower.id))
    for object_id, index in ((lower.id, 1), (1, 5)):
        shown = document.labels(index) == object_id
        np.testing.assert_array_equal(groups[object_id, index][-1].mask, shown)


@pytest.mark.parametrize(("count", "found"), [(1, "found 1"), (60, "found 60")])
def test_what_cannot_be_split_stays(count: int, found: str) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[::2, ::2, ::2].flat[:count] = 1
    document = document_of(labels, PromptSet((ARTERY,)))
    with pytest.raises(PromptError, match=found):
        objects.split(document, 1)
    np.testing.assert_array_equal(document.volume(), labels)


@pytest.mark.parametrize(
    "act",
    [
        lambda d: objects.remove(d, 9),
        lambda d: objects.merge(d, 1, [9]),
        lambda d: objects.merge(d, 9, [1]),
        lambda d: objects.duplicate(d, 9),
        lambda d: objects.split(d, 9),
    ],
)
def test_objects_that_are_not_there_are_named(act) -> None:  # type: ignore[no-untyped-def]
    document = document_of(np.zeros(SHAPE, np.uint8), PromptSet((ARTERY, VEIN)))
    with pytest.raises(PromptError, match="expected one of the objects 1, 2, found 9"):
        act(document)


def test_new_ids_follow_the_largest() -> None:
    assert objects.new_id(PromptSet((VEIN, ARTERY))) == 3
    assert objects.new_id(PromptSet()) == 1


def test_a_verified_slice_is_protected_until_it_is_opened() -> None:
    mask = np.eye(10, 12, dtype=bool)
    empty = PromptSet((ARTERY, VEIN))
    locked = locks.lock(empty, 1, 3, mask)
    assert locked.locks == {(1, 3)}
    (given,) = locked.prompts
    np.testing.assert_array_equal(given.mask, mask)
    assert locks.lock(locked, 1, 3, mask) == locked
    assert locks.protected(locked, 3) == {1}
    assert locks.protected(locked, 2) == frozenset()
    assert locks.is_locked(locked, 1, 3)
    assert not locks.is_locked(locked, 2, 3)
    opened = locks.unlock(locked, 1, 3)
    assert opened.locks == frozenset()
    assert opened.prompts == locked.prompts
    assert locks.unlock(opened, 1, 3) == opened


def test_an_empty_verified_slice_says_absent() -> None:
    locked = locks.lock(PromptSet((ARTERY,)), 1, 3, np.zeros((10, 12), bool))
    assert locked.prompts == (Prompt(1, 3, absent=True),)


def test_a_finished_object_is_protected_everywhere() -> None:
    prompts = PromptSet((replace(ARTERY, locked=True), VEIN), (), frozenset({(2, 1)}))
    assert locks.protected(prompts, 0) == {1}
    assert locks.protected(prompts, 1) == {1, 2}
