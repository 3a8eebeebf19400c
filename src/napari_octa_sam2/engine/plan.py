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
    prompted: Mapping[int, list[int]],
    span: range,
    direction: str,
    start: int | None,
    is_done: Callable[[int, int], bool],
) -> list[Visit]:
    """Return the stops of a propagation, in order.

    Parameters
    ----------
    prompted : mapping of int to list of int
        Per object, its prompted slices in order.
    span : range
        Slices to visit.
    direction : {"both", "forward", "backward"}
        ``"both"`` goes forward from an object's first prompted slice, then backward
        from it; ``"backward"`` begins at the last one.
    start : int, optional
        Slice from which every object is followed, whatever its prompts.
    is_done : callable
        Whether an object needs no visit on a slice.

    Raises
    ------
    PromptError
        If the direction is unknown.
    """
    if direction not in DIRECTIONS:
        raise PromptError(
            f"expected a direction of {', '.join(DIRECTIONS)}, found {direction!r}"
        )
    anchor = -1 if direction == "backward" else 0
    starts = {o: s[anchor] if start is None else start for o, s in prompted.items()}
    visits = []
    if direction != "backward":
        visits += _sweep(span, starts, False, is_done)
    if direction == "both" and start is None:
        # The first prompted slice was visited on the way forward, if it is in span.
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
