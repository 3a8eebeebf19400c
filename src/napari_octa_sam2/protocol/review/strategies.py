"""Which slice to look at next: by doubt, or by rules that know of no doubt."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


def evenly(reviewer: Reviewer) -> Place:
    """Return the middle of the widest gap between locked slices.

    Slices that show the object come before those that do not, and of these the nearest
    to it first: an annotator sees where it begins and ends.
    """
    places = reviewer.open_places()
    shown = {o: reviewer.shown(o) for o in reviewer.objects}
    inside = [(o, i) for o, i in places if i in shown[o]]
    if not inside:
        every = range(len(reviewer.truth))
        return min(places, key=lambda p: _distance(p[1], shown[p[0]] or every))
    edges = {
        object_id: [min(held) - 1, max(held) + 1]
        + [i for o, i in reviewer.prompts.locks if o == object_id]
        for object_id, held in shown.items()
        if held
    }
    return max(inside, key=lambda p: _distance(p[1], edges[p[0]]))


def _distance(index: int, others: Iterable[int]) -> int:
    return min(abs(index - other) for other in others)


def first_open(reviewer: Reviewer) -> Place:
    """Return the first open slice."""
    return reviewer.open_places()[0]


def most_wrong(reviewer: Reviewer) -> Place:
    """Return where most pixels are wrong, which only the truth can tell."""
    return max(reviewer.open_places(), key=lambda p: reviewer.overlap(*p).errors)


STRATEGIES = (
    Strategy("queue", "review queue", most_doubtful),
    Strategy("uniform", "uniform stepping", evenly),
    Strategy("in order", "first to last", first_open),
    Strategy("worst", "worst first (truth known)", most_wrong),
)
TITLES = {strategy.name: strategy.title for strategy in STRATEGIES}
