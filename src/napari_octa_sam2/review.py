"""Where to look next: how sure the answers of an annotation are, slice by slice."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

# The confidence in a mask is the IoU to be expected of it, and that in an absence its
# probability: below a half, more of the answer is wrong than right.
DOUBT_THRESHOLD = 0.5
NEIGHBOURS = 2  # slices to either side that a visit is likely to settle as well

Place = tuple[int, int]  # object, slice


class ReviewTable:
    """Confidence and agreement of one annotation, by object and slice.

    Confidence is that of `engine.results.SliceResult`; agreement is the Dice of the
    masks found on the way out and on the way back (`engine.both_ways`). Both are from
    0 to 1. The certainty of an answer is the lower of the two, its doubt one less that.
    """

    def __init__(self) -> None:
        self._confidence: dict[Place, float] = {}
        self._agreement: dict[Place, float] = {}

    def note(self, confidence: Mapping[int, float], slice: int) -> None:
        """Take note of new masks on a slice: their confidence, by object.

        What was known of the agreement of the masks before is forgotten.
        """
        for object_id, value in confidence.items():
            self._confidence[object_id, slice] = _unit(value)
            self._agreement.pop((object_id, slice), None)

    def note_agreement(self, agreement: Mapping[int, float], slice: int) -> None:
        """Take note of the agreement of masks on a slice, by object."""
        for object_id, value in agreement.items():
            self._agreement[object_id, slice] = _unit(value)

    def forget(self, object: int) -> None:
        """Forget what is known of an object."""
        for known in (self._confidence, self._agreement):
            for place in [p for p in known if p[0] == object]:
                del known[place]

    def confidence(self, object: int, slice: int) -> float | None:
        """Return the network's confidence in an answer; None where unknown."""
        return self._confidence.get((object, slice))

    def agreement(self, object: int, slice: int) -> float | None:
        """Return the agreement of the two ways on a slice; None where unknown."""
        return self._agreement.get((object, slice))

    def doubt(self, object: int, slice: int) -> float | None:
        """Return one less the lower of confidence and agreement; None where unknown."""
        place = (object, slice)
        known = [k[place] for k in (self._confidence, self._agreement) if place in k]
        return 1.0 - min(known) if known else None

    def queue(
        self,
        locks: Collection[Place],
        objects: Iterable[int],
        threshold: float = DOUBT_THRESHOLD,
    ) -> list[Place]:
        """Return what to review, the most doubtful first.

        Of neighbouring doubtful slices of an object only the worst is listed, so that
        one visit settles a run of them; equals are listed by object, then slice.

        Parameters
        ----------
        locks : collection of (object, slice)
            What was verified already.
        objects : iterable of int
            Ids to list.
        threshold : float
            Doubt from which on an answer is listed.
        """
        wanted, verified = set(objects), set(locks)
        doubts = {p: self.doubt(*p) or 0.0 for p in self._places() if p[0] in wanted}
        due = [p for p, d in doubts.items() if d >= threshold and p not in verified]
        queue: list[Place] = []
        settled: set[Place] = set()
        for object_id, index in sorted(due, key=lambda place: (-doubts[place], place)):
            if (object_id, index) not in settled:
                queue.append((object_id, index))
                near = range(index - NEIGHBOURS, index + NEIGHBOURS + 1)
                settled |= {(object_id, i) for i in near}
        return queue

    def mean(self, object: int) -> float | None:
        """Return the mean certainty over the slices of which something is known."""
        doubts = [self.doubt(*p) or 0.0 for p in self._places() if p[0] == object]
        return 1.0 - sum(doubts) / len(doubts) if doubts else None

    def row(self, object: int, depth: int) -> np.ndarray:
        """Return the confidence on each of `depth` slices, nan where unknown."""
        return _row(self._confidence, object, depth)

    def agreement_row(self, object: int, depth: int) -> np.ndarray:
        """Return the agreement on each of `depth` slices, nan where unknown."""
        return _row(self._agreement, object, depth)

    def _places(self) -> set[Place]:
        return self._confidence.keys() | self._agreement.keys()


def next_doubtful(queue: Sequence[Place], current: Place | None = None) -> Place | None:
    """Return the entry behind `current`, the first one after the last; None if empty.

    Where `current` is not in the queue any more, it is the most doubtful one.
    """
    if not queue:
        return None
    place = queue.index(current) + 1 if current in queue else 0
    return queue[place % len(queue)]


def _unit(value: float) -> float:
    """Return a value from 0 to 1; what is no number is not to be trusted."""
    return 0.0 if math.isnan(value) else min(1.0, max(0.0, float(value)))


def _row(known: Mapping[Place, float], object_id: int, depth: int) -> np.ndarray:
    values = (known.get((object_id, index), math.nan) for index in range(depth))
    return np.fromiter(values, float, depth)
