"""In which order a propagation visits slices, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from napari_octa_sam2.engine.options import DIRECTIONS
from napari_octa_sam2.errors import PromptError


@dataclass(frozen=True)
class Visit:
    """One stop of a propagation: a slice, the way it is reached, and for whom."""

    slice: int
    reverse: bool
    objects: tuple[int, ...]


def plan_visits(
    starts: Mapping[int, int],
    span: range,
    direction: str,
    is_done: Callable[[int, int], bool],
    *,
    twice: bool = False,
) -> list[Visit]:
    """Return the stops of a propagation, in order.

    Parameters
    ----------
    starts : mapping of int to int
        Per object, the slice from which it is followed.
    span : range
        Slices to visit.
    direction : {"both", "forward", "backward"}
        ``"both"`` goes forward from an object's start, then backward from it.
    is_done : callable
        Whether an object needs no visit on a slice.
    twice : bool
        Whether to visit the start on the way back as well.

    Raises
    ------
    PromptError
        If the direction is unknown.
    """
    if direction not in DIRECTIONS:
        raise PromptError(
            f"expected a direction of {', '.join(DIRECTIONS)}, found {direction!r}"
        )
    visits = []
    if direction != "backward":
        visits += _sweep(span, starts, False, is_done)
    if direction == "both" and not twice:
        starts = {o: s - (s in span) for o, s in starts.items()}
    if direction != "forward":
        visits += _sweep(span[::-1], starts, True, is_done)
    return visits


def slice_range(slices: range | None, depth: int) -> range:
    """Return `slices`, or all of `depth`.

    Raises
    ------
    PromptError
        If `slices` is empty, has a step, or leaves the volume.
    """
    if slices is None:
        return range(depth)
    if not len(slices) or slices.step != 1 or slices[0] < 0 or slices[-1] >= depth:
        raise PromptError(
            f"expected a range of slices from 0 to {depth - 1}, the first before the "
            f"last, found {slices.start} to {slices.stop - 1}"
        )
    return slices


def _sweep(
    order: range,
    starts: Mapping[int, int],
    reverse: bool,
    is_done: Callable[[int, int], bool],
) -> list[Visit]:
    visits = []
    for index in order:
        due = tuple(
            o
            for o, start in starts.items()
            if (index <= start if reverse else index >= start) and not is_done(o, index)
        )
        if due:
            visits.append(Visit(index, reverse, due))
    return visits
