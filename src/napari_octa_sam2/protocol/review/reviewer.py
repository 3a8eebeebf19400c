"""Review a sequence slice by slice, as an annotator who knows the truth would."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from napari_octa_sam2.metrics.segmentation.clicks import next_click
from napari_octa_sam2.metrics.segmentation.overlap import Confusion, confusion, dice
from napari_octa_sam2.project import locks
from napari_octa_sam2.prompts import Prompt, PromptSet
from napari_octa_sam2.protocol.clicks import as_prompt
from napari_octa_sam2.protocol.sequences import largest
from napari_octa_sam2.review import Place, ReviewTable

GOAL = 0.90  # Dice of the objects over the volume, at which the annotator stops
ACCEPTED = 0.90  # Dice from which on a slice is locked as it is
KEPT = 0.80  # Dice from which on a corrected slice is locked; below, it is painted
CORRECTIONS = 3  # clicks on a slice, at most


class Answer(Protocol):
    """What a session answers with; see `engine.results.SliceResult`."""

    @property
    def slice(self) -> int:
        """Index of the slice."""
        ...

    @property
    def confidence(self) -> Mapping[int, float]:
        """How sure the answer is, by object."""
        ...

    def write_into(self, labels: np.ndarray, protected: Collection[int] = ()) -> None:
        """Write masks into one slice of labels."""
        ...


class Reviewed(Protocol):
    """What the annotator works with; see `engine.session.Session`."""

    def add(self, prompt: Prompt) -> Answer:
        """Answer one more prompt."""
        ...

    def set_prompts(
        self, object_id: int, index: int, prompts: Sequence[Prompt]
    ) -> Answer:
        """Make prompts those of an object on a slice."""
        ...

    def propagate(
        self,
        *,
        objects: Iterable[int] | None = None,
        only_stale: bool = False,
        only_changed: bool = False,
    ) -> Iterator[Answer]:
        """Follow objects through the slices."""
        ...


class Effort(NamedTuple):
    """What the annotator did on a slice: clicks, a mark of absence, painting."""

    clicks: int = 0
    absent: bool = False
    painted: bool = False


@dataclass(frozen=True)
class Step:
    """One look at an object on a slice, and what came of it.

    Parameters
    ----------
    object, slice : int
    effort : Effort
    dice : float
        Dice of the objects over the volume, once all was followed again.
    seconds : float
        Time that the computer took.
    """

    object: int
    slice: int
    effort: Effort
    dice: float
    seconds: float


class Reviewer:
    """An annotator at work on some objects of a sequence.

    Parameters
    ----------
    session : Reviewed
        Of the volume that `truth` belongs to; it knows none of the objects yet.
    truth : numpy.ndarray
        Ids of the objects, shape ``(depth, slow, fast)``.
    objects : sequence of int
        Ids to annotate; each is on some slice.

    Attributes
    ----------
    labels : numpy.ndarray
        What was found so far, as `truth`; locked slices are never overwritten.
    prompts : PromptSet
        Prompts and locks.
    review : ReviewTable
        How doubtful the answers are.
    """

    def __init__(
        self, session: Reviewed, truth: np.ndarray, objects: Sequence[int]
    ) -> None:
        self.truth, self.objects = truth, tuple(objects)
        self.labels = np.zeros_like(truth)
        self.prompts = PromptSet()
        self.review = ReviewTable()
        self._session = session

    def work(self, choose: Callable[[Reviewer], Place]) -> Iterator[Step]:
        """Click once on each object, then review until the goal is reached.

        Parameters
        ----------
        choose : callable
            Returns which one of the `open_places` to look at next.

        Yields
        ------
        Step
            The first ones are the single clicks, each on the slice where its object
            is largest; nothing is locked by them.
        """
        for object_id in self.objects:
            (index,) = largest(self.truth == object_id)
            yield self._step((object_id, index), self._begin)
        while self.dice() < GOAL and self.open_places():
            yield self._step(choose(self), self._settle)

    def open_places(self) -> list[Place]:
        """Return the objects and slices that are not locked, slice by slice."""
        every = ((o, i) for i in range(len(self.truth)) for o in self.objects)
        return [place for place in every if place not in self.prompts.locks]

    def shown(self, object_id: int) -> list[int]:
        """Return the slices on which the labels hold an object."""
        held = (self.labels == object_id).any((1, 2))
        return [int(index) for index in np.flatnonzero(held)]

    def overlap(self, object_id: int, index: int | None = None) -> Confusion:
        """Compare an object with the truth on a slice, or over the volume."""
        where = slice(None) if index is None else index
        return confusion(
            self.labels[where] == object_id, self.truth[where] == object_id
        )

    def dice(self) -> float:
        """Return the Dice over the volume, of all voxels of all objects pooled."""
        first, *others = (self.overlap(o) for o in self.objects)
        return sum(others, start=first).dice

    def _step(self, place: Place, treat: Callable[[Place], Effort]) -> Step:
        began = time.perf_counter()
        effort = treat(place)
        self._follow(place[0])
        seconds = time.perf_counter() - began
        return Step(*place, effort, self.dice(), seconds)

    def _begin(self, place: Place) -> Effort:
        return Effort(self._click(place, most=1))

    def _settle(self, place: Place) -> Effort:
        """Bring an object on a slice in order, and lock it there."""
        object_id, index = place
        true, found = self.truth[index] == object_id, self._mask(place)
        absent = painted = False
        clicks = 0
        if found.any() and not true.any():
            absent = True
            self._paint(place, true)
        else:
            clicks = self._click(place, most=CORRECTIONS)
            if dice(self._mask(place), true) < KEPT:
                painted = True
                self._paint(place, true)
        self._lock(place)
        return Effort(clicks, absent, painted)

    def _click(self, place: Place, *, most: int) -> int:
        """Click on errors until a slice is good enough; return the clicks made."""
        object_id, index = place
        true = self.truth[index] == object_id
        for done in range(most):
            found = self._mask(place)
            click = next_click(true, found)
            if click is None or dice(found, true) >= ACCEPTED:
                return done
            prompt = as_prompt(click, object_id, index)
            self.prompts = replace(
                self.prompts, prompts=(*self.prompts.prompts, prompt)
            )
            self._take(self._session.add(prompt))
        return most

    def _paint(self, place: Place, mask: np.ndarray) -> None:
        object_id, index = place
        labels = self.labels[index]
        others = list(locks.protected(self.prompts, index))
        labels[labels == object_id] = 0
        labels[mask & ~np.isin(labels, others)] = object_id

    def _lock(self, place: Place) -> None:
        self.prompts = locks.lock(self.prompts, *place, self._mask(place))
        self._session.set_prompts(*place, self.prompts.by_slice()[place])

    def _follow(self, object_id: int) -> None:
        for answer in self._session.propagate(
            objects=[object_id], only_stale=True, only_changed=True
        ):
            self._take(answer)

    def _take(self, answer: Answer) -> None:
        safe = locks.protected(self.prompts, answer.slice)
        answer.write_into(self.labels[answer.slice], safe)
        self.review.note(answer.confidence, answer.slice)

    def _mask(self, place: Place) -> np.ndarray:
        object_id, index = place
        found: np.ndarray = self.labels[index] == object_id
        return found
