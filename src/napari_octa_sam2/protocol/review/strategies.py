"""Which slice to look at next: by doubt, or by rules that know of no doubt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari_octa_sam2.protocol.review.reviewer import Reviewer
from napari_octa_sam2.review import Place


@dataclass(frozen=True)
class Strategy:
    """A way to choose the next slice.

    Parameters
    ----------
    name, title : str
    choose : callable
        Returns one of the open places of an annotator.
    """

    name: str
    title: str
    choose: Callable[[Reviewer], Place]


def most_doubtful(reviewer: Reviewer) -> Place:
    """Return the head of the review queue; what is below its threshold comes last."""
    # a threshold cuts the queue at its end, and leaves its head as it is
    queue = reviewer.review.queue(reviewer.prompts.locks, reviewer.objects, 0.0)
    return queue[0]


def midway(reviewer: Reviewer) -> Place:
    """Return the middle of the widest gap between locked slices, the volume's ends."""
    ends = {-1, len(reviewer.truth)}
    edges = {
        object_id: ends | {i for o, i in reviewer.prompts.locks if o == object_id}
        for object_id in reviewer.objects
    }

    def distance(place: Place) -> int:
        return min(abs(place[1] - edge) for edge in edges[place[0]])

    return max(reviewer.open_places(), key=distance)


def first_open(reviewer: Reviewer) -> Place:
    """Return the first open slice."""
    return reviewer.open_places()[0]


def most_wrong(reviewer: Reviewer) -> Place:
    """Return where most pixels are wrong, which only the truth can tell."""
    return max(reviewer.open_places(), key=lambda p: reviewer.overlap(*p).errors)


STRATEGIES = (
    Strategy("queue", "review queue", most_doubtful),
    Strategy("uniform", "uniform stepping", midway),
    Strategy("in order", "first to last", first_open),
    Strategy("worst", "worst first (truth known)", most_wrong),
)
TITLES = {strategy.name: strategy.title for strategy in STRATEGIES}
