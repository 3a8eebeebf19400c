"""The simulated review: what the annotator does, and in which order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_octa_sam2.engine.results import SliceResult
from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.errors import ModelError, ReadError
from napari_octa_sam2.metrics.segmentation.overlap import dice
from napari_octa_sam2.prompts import PromptObject, PromptSet
from napari_octa_sam2.protocol.review import run
from napari_octa_sam2.protocol.review.records import Review, Reviews
from napari_octa_sam2.protocol.review.reviewer import Effort, Reviewer, Step
from napari_octa_sam2.protocol.review.run import ReviewTask, run_review
from napari_octa_sam2.protocol.review.strategies import (
    STRATEGIES,
    evenly,
    first_open,
    most_doubtful,
    most_wrong,
)
from napari_octa_sam2.volume.octa_volume import LabelSet

DEPTH = 8
CONFIDENT = 0.9


class Scripted:
    """A session that finds the same masks whatever it is told.

    Clicks are heeded only if `obeys`: then the slice is true at once.
    """

    def __init__(self, truth, found, confidence=(), obeys=False):
        self.truth, self.found, self.obeys = truth, found, obeys
        self.confidence = dict(confidence)
        self.given = {}

    def add(self, prompt):
        if self.obeys:
            self.found[prompt.slice] = self.truth[prompt.slice]
        return self._answer(prompt.slice)

    def set_prompts(self, object_id, index, prompts):
        self.given[index] = prompts
        return self._answer(index)

    def propagate(self, *, objects, only_stale, only_changed):
        assert only_stale
        assert only_changed
        for index in range(len(self.truth)):
            yield self._answer(index)

    def _answer(self, index):
        logits = np.where(self.found[index] == 1, 1, -1).astype(np.float32)
        sure = self.confidence.get(index, CONFIDENT)
        return SliceResult(index, {1: logits}, (1,), {1: sure})


@pytest.fixture
def truth():
    """A square that is on slices 2 to 5, and largest on slice 3."""
    labels = np.zeros((DEPTH, 24, 24), np.uint8)
    labels[2:6, 4:14, 4:14] = 1
    labels[3, 4:14, 4:16] = 1
    return labels


def visited(session, truth, choose):
    steps = list(Reviewer(session, truth, [1]).work(choose))
    return [step.slice for step in steps], steps


def test_the_queue_goes_where_the_doubt_is(truth):
    found = truth.copy()
    found[5] = 0
    session = Scripted(truth, found, {5: 0.1, 3: 0.6}, obeys=True)
    slices, (first, second) = visited(session, truth, most_doubtful)
    assert slices == [3, 5]
    assert first.effort == Effort(clicks=1)
    assert first.dice == pytest.approx(2 * 320 / (320 + 420))
    assert second.effort == Effort(clicks=1)
    assert second.dice == 1


@pytest.mark.parametrize(
    ("choose", "order"),
    [
        (first_open, [0, 1, 2, 3, 4, 5, 6, 7]),
        (evenly, [0, 1, 2, 3, 4, 5, 6, 7]),
        (most_wrong, [3, 2, 4, 5, 0, 1, 6, 7]),
    ],
)
def test_the_order_of_stepping(truth, choose, order):
    reviewer = Reviewer(Scripted(truth, truth.copy()), truth, [1])
    assert order_of(reviewer, choose) == order


def test_even_steps_begin_where_the_object_is_shown(truth):
    reviewer = Reviewer(Scripted(truth, truth.copy()), truth, [1])
    reviewer.labels[:] = truth
    assert order_of(reviewer, evenly) == [3, 2, 4, 5, 1, 6, 0, 7]


def order_of(reviewer, choose):
    """Return the order in which slices are chosen and locked, nothing else done."""
    met = []
    while reviewer.open_places():
        place = choose(reviewer)
        met.append(place[1])
        reviewer.prompts = PromptSet(
            (PromptObject(1),), locks=reviewer.prompts.locks | {place}
        )
    return met


def test_a_good_slice_is_locked_as_it_is_found(truth):
    found = truth.copy()
    found[2, 4, 4:14] = 0  # nine tenths of it: Dice 0.947
    found[5] = 0
    session = Scripted(truth, found, {2: 0.1, 5: 0.2})
    reviewer = Reviewer(session, truth, [1])
    steps = list(reviewer.work(most_doubtful))
    assert [step.slice for step in steps] == [3, 2, 5]
    assert steps[1].effort == Effort()
    np.testing.assert_array_equal(session.given[2][-1].mask, found[2] == 1)
    np.testing.assert_array_equal(reviewer.labels[2], found[2])


def test_what_clicks_cannot_mend_is_painted_and_stays(truth):
    found = truth.copy()
    found[5] = 0
    session = Scripted(truth, found, {5: 0.1})
    reviewer = Reviewer(session, truth, [1])
    (_, step) = reviewer.work(most_doubtful)
    assert step.effort == Effort(clicks=3, painted=True)
    # the propagation that followed found the slice empty again
    np.testing.assert_array_equal(reviewer.labels[5], truth[5])
    assert (1, 5) in reviewer.prompts.locks


def test_an_object_that_is_not_there_is_said_to_be_absent(truth):
    found = truth.copy()
    found[7, 4:20, 4:20] = 1
    session = Scripted(truth, found, {7: 0.3})
    reviewer = Reviewer(session, truth, [1])
    (_, step) = reviewer.work(most_doubtful)
    assert step.effort == Effort(absent=True)
    assert session.given[7][-1].absent
    assert not reviewer.labels[7].any()


def test_a_review_ends_when_every_slice_is_locked(truth):
    def poor(mask):
        """A mask whose Dice is just enough to be kept after the clicks."""
        part = mask.copy()
        part[:7] = 0
        return part

    found = np.stack([poor(mask) for mask in truth])
    assert 0.8 < dice(found[2] == 1, truth[2] == 1) < 0.9
    slices, steps = visited(Scripted(truth, found), truth, first_open)
    assert slices == [3, *range(DEPTH)]
    assert [step.effort.clicks for step in steps] == [1, 0, 0, 3, 3, 3, 3, 0, 0]
    assert 0.8 < steps[-1].dice < 0.9


def test_painting_leaves_the_locked_pixels_of_others_alone():
    truth = np.zeros((2, 16, 16), np.uint8)
    truth[:, 2:8, 2:8], truth[:, 2:8, 8:14] = 1, 2
    reviewer = Reviewer(Scripted(truth, truth.copy()), truth, [1, 2])
    reviewer.labels[0, 2:8, 2:9] = 1  # a column too many: Dice 0.92
    reviewer._settle((1, 0))
    reviewer._settle((2, 0))
    np.testing.assert_array_equal(reviewer.labels[0, 4, 2:14], [1] * 7 + [2] * 5)


def test_dice_is_that_of_all_voxels_of_all_objects():
    truth = np.zeros((2, 8, 8), np.uint8)
    truth[0, :4], truth[1, :2] = 1, 2
    reviewer = Reviewer(Scripted(truth, truth.copy()), truth, [1, 2])
    reviewer.labels[0, :4] = 1
    assert reviewer.dice() == pytest.approx(2 * 32 / (32 + 48))
    assert reviewer.overlap(2, 1).errors == 16


def test_every_strategy_reviews_every_sequence(samples, tiny_model):
    told = []
    report = run_review(
        samples,
        tiny_model,
        tasks=["faz-sequence"],
        device="cpu",
        progress=lambda done, total, note: told.append((done, total)),
    )
    assert report.complete
    (task,) = report.tasks
    assert task.strategies == [strategy.name for strategy in STRATEGIES]
    assert {(r.sample, r.places) for r in task.reviews} == {("10301 FAZ", 3)}
    assert told == [*[(0, 1)] * len(STRATEGIES), (1, 1)]
    assert report.record["protocol"]["goal"] == 0.9


def test_objects_are_reviewed_together_and_that_the_same_each_time(
    samples, tiny_model, monkeypatch
):
    monkeypatch.setattr(run, "STRATEGIES", STRATEGIES[:1])
    found = []
    for _ in range(2):
        report = run_review(samples, tiny_model, tasks=["rv-together"], device="cpu")
        (review,) = report.tasks[0].reviews
        found.append([replace(step, seconds=0.0) for step in review.steps])
    assert found[0] == found[1]
    assert review.places == 6
    assert [step.object for step in review.steps[:2]] == [1, 5]
    assert review.reached or review.visits == 2 + 6


def test_objects_are_reviewed_one_at_a_time_or_together(truth):
    labels = LabelSet(truth, {1: "vein"}, {1: "vein"})
    alone, together = (ReviewTask("a", "b", dict, t) for t in (False, True))
    assert alone.groups(labels, "10301") == [("10301 vein", [1])]
    assert together.groups(labels, "10301") == [("10301, 1 objects", [1])]


def test_locked_slices_keep_their_masks_in_a_real_session(samples, tiny_model):
    from napari_octa_sam2.protocol.targets import FAZ_LAYERS

    ((source,),) = FAZ_LAYERS(samples).values()
    data, labels = source.read()
    reviewer = Reviewer(Session(data, tiny_model, device="cpu"), labels.data, [1])
    kept = {}
    for step in reviewer.work(first_open):
        for index, mask in kept.items():
            np.testing.assert_array_equal(reviewer.labels[index], mask)
        if (1, step.slice) in reviewer.prompts.locks:
            kept[step.slice] = reviewer.labels[step.slice].copy()
    assert kept


def test_stopping_keeps_the_reviews_that_are_done(samples, tiny_model):
    told = []
    report = run_review(
        samples,
        tiny_model,
        device="cpu",
        progress=lambda done, total, note: told.append(note),
        cancelled=lambda: len(told) > 1,
    )
    assert not report.complete
    (task,) = report.tasks
    assert [review.strategy for review in task.reviews] == ["queue"]
    assert (task.measured, task.available) == (0, 1)
    assert report.table().startswith("INCOMPLETE")


def test_a_folder_without_sequences_is_refused(tmp_path, tiny_model):
    with pytest.raises(ReadError, match="expected the folder"):
        run_review(tmp_path / "missing", tiny_model)
    with pytest.raises(ReadError, match="expected sequences of faz-sequence"):
        run_review(tmp_path, tiny_model, tasks=["faz-sequence"])


def test_a_device_that_is_not_there_is_told_first(samples, tiny_model):
    with pytest.raises(ModelError, match="device"):
        run_review(samples, tiny_model, device="cuda:9")


def test_a_review_counts_its_steps():
    efforts = [Effort(1), Effort(3, painted=True), Effort(absent=True)]
    dices = [0.5, 0.8, 0.95]
    steps = tuple(
        Step(1, index, effort, value, 0.5)
        for index, (effort, value) in enumerate(zip(efforts, dices, strict=True))
    )
    review = Review("one", "queue", 10, steps)
    counts = (review.visits, review.clicks, review.absent, review.painted)
    assert counts == (3, 4, 1, 1)
    assert (review.first_dice, review.dice, review.reached) == (0.5, 0.95, True)
    assert review.seconds == 1.5
    assert [review.dice_after(k) for k in (1, 2, 9)] == [0.5, 0.8, 0.95]
    assert [review.dice_within(k) for k in (0, 1, 3, 4)] == [0, 0.5, 0.5, 0.95]
    reviews = Reviews("task", "a title", 1, 1, (review,))
    assert Reviews.from_json(reviews.to_json()) == reviews
