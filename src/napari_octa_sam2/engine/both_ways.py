"""Objects followed back towards their prompts, as a check of how they were followed.

A mask that drifted away from its object does not lead back to it: where the way out and
the way back disagree, one of them is wrong (forward-backward error; Kalal, Mikolajczyk,
Matas, "Forward-Backward Error: Automatic Detection of Tracking Failures", ICPR 2010).

The followed slices of an object fall into runs, each followed from one prompted slice.
The way back begins at the far end of a run: the next prompted slice, or the last that
shows the object. The mask there is taken as given, and nothing else is remembered. It
ends on the slice that the run came from, unless its mask was given: there nothing is in
doubt. Two ways that lead to the same slice are both heeded: the worse one counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.engine.memory import ObjectBank
from napari_octa_sam2.engine.plan import Visit, plan_visits
from napari_octa_sam2.engine.settling import Settling
from napari_octa_sam2.engine.tracker import Tracker
from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.segmentation.overlap import confusion
from napari_octa_sam2.prompts import Prompt


@dataclass(frozen=True, eq=False)
class WayBack:
    """The way back over one run of slices of an object.

    Parameters
    ----------
    object : int
    seed : int
        Slice from which it starts.
    mask : numpy.ndarray of bool
        The object there, shape ``(slow, fast)``.
    whole : str, optional
        Class that the object is everything of.
    compared : tuple of int
        Slices to compare, in order from the seed.
    """

    object: int
    seed: int
    mask: np.ndarray
    whole: str | None
    compared: tuple[int, ...]

    @property
    def reverse(self) -> bool:
        """Whether it leads to lower indices."""
        return self.compared[-1] < self.seed

    @property
    def path(self) -> range:
        """Slices to follow the object through, in order."""
        step = -1 if self.reverse else 1
        return range(self.seed + step, self.compared[-1] + step, step)


class BothWays:
    """The check of some objects of a tracker, which stays as it is.

    Parameters
    ----------
    tracker : Tracker
        It has followed the objects.
    objects : iterable of int
        Ids to check; those without prompts are left out.
    span : range
        Slices to check.
    labels : numpy.ndarray, optional
        Ids of the objects, shape ``(depth, slow, fast)``, to check instead of the
        masks that the tracker holds.

    Attributes
    ----------
    visits : list of Visit
        The stops, each for the ways back that `agreement` is then asked for.

    Raises
    ------
    VolumeError
        If `labels` has another shape than the volume.
    """

    def __init__(
        self,
        tracker: Tracker,
        objects: Iterable[int],
        span: range,
        labels: np.ndarray | None = None,
    ) -> None:
        shape = tracker.slices.data.shape
        if labels is not None and labels.shape != shape:
            raise VolumeError(
                f"expected labels of the shape of the volume, {shape}, "
                f"found {labels.shape}"
            )
        self._followed, self._labels = tracker, labels
        # with no budget for memory, slices out of reach are dropped at once
        self._back = Tracker(tracker.passes, tracker.slices, 0, tracker.key_bytes)
        found = [way for o in objects for way in self._ways(o, span)]
        self._ways_back = dict(enumerate(found))
        self._worst: dict[tuple[int, int], float] = {}
        self.visits = self._plan()

    def agreement(self, visit: Visit) -> dict[int, float]:
        """Follow the ways back to a slice; return the Dice for each object there."""
        self._stay_on_device()
        index = visit.slice
        ways = {n: self._ways_back[n] for n in visit.objects}
        for number, way in ways.items():
            if index == way.path[0]:
                self._begin(number, way)
        self._back.visit(visit.objects, visit, Settling({}))
        outputs = [self._back.banks[n].followed[index] for n in ways]
        masks = [values > 0 for values in self._back.logits(index, outputs)]
        found = {}
        for way, mask in zip(ways.values(), masks, strict=True):
            known = self._mask(way.object, index) if index in way.compared else None
            if known is not None:
                place = (way.object, index)
                dice = confusion(mask, known).dice
                self._worst[place] = min(dice, self._worst.get(place, 1.0))
                found[way.object] = self._worst[place]
        for number, way in ways.items():
            if index == way.path[-1]:
                del self._back.banks[number]
        return found

    def _plan(self) -> list[Visit]:
        visits = []
        for direction, reverse in (("forward", False), ("backward", True)):
            ways = {n: w for n, w in self._ways_back.items() if w.reverse == reverse}
            visits += plan_visits(
                {n: way.path[0] for n, way in ways.items()},
                range(len(self._followed.slices.data)),
                direction,
                lambda n, index: index not in self._ways_back[n].path,
            )
        return visits

    def _ways(self, object_id: int, span: range) -> Iterator[WayBack]:
        """Yield the way back over each run of slices of an object."""
        bank = self._followed.banks.get(object_id)
        if bank is None:
            return
        for source, order in _runs(bank, span):
            whole = bank.interactions[source][-1].output.whole
            while len(order) > 1:
                seed = order.pop()
                if not self._may_show(bank, seed):
                    continue
                mask = self._mask(object_id, seed)
                if mask is not None and mask.any():
                    compared = tuple(order[::-1])
                    yield WayBack(object_id, seed, mask, whole, compared)
                    break

    def _may_show(self, bank: ObjectBank, index: int) -> bool:
        """Whether it is worth the refinement to see if an object is on a slice."""
        output = bank.output(index)
        if self._labels is not None or output is None:
            return self._labels is not None
        return bool((output.handed_on > 0).any())

    def _mask(self, object_id: int, index: int) -> np.ndarray | None:
        """Return the mask to check; None where the tracker holds none."""
        if self._labels is not None:
            mask: np.ndarray = self._labels[index] == object_id
            return mask
        bank = self._followed.banks.get(object_id)
        output = None if bank is None else bank.output(index)
        if output is None or output.given is not None:
            return None if output is None else output.given
        (logits,) = self._back.logits(index, [output])
        return logits > 0

    def _begin(self, number: int, way: WayBack) -> None:
        given = Prompt(number, way.seed, mask=way.mask)
        self._back.set_prompts(number, way.seed, [given])
        self._back.banks[number].pending[way.seed].whole = way.whole

    def _stay_on_device(self) -> None:
        """Go where the tracker went, if memory ran out."""
        if self._back.passes is not self._followed.passes:
            self._back.move(self._followed.passes, self._followed.slices)


def _runs(bank: ObjectBank, span: range) -> Iterator[tuple[int, list[int]]]:
    """Yield the prompted slice of each run, and the slices from there outwards.

    The prompted slice is the first of them, if it can be checked; where the run ends at
    another, that is the last.
    """
    runs: dict[tuple[int, bool], list[int]] = defaultdict(list)
    for index in span:
        is_followed = index in bank.reverse and index not in bank.interactions
        if is_followed and not bank.ends_before(index):
            source = _source(bank, index)
            runs[source, index > source].append(index)
    for (source, is_above), run in runs.items():
        prompt = bank.interactions[source][-1].prompt
        is_given = prompt.gives_mask or prompt.absent
        order = [] if is_given or source not in span else [source]
        order += run if is_above else run[::-1]
        beyond = order[-1] + (1 if is_above else -1)
        yield source, [*order, beyond] if beyond in bank.interactions else order


def _source(bank: ObjectBank, index: int) -> int:
    """Return the prompted slice from which an object was followed to a slice."""
    prompted = bank.prompted_slices()
    place = bisect_left(prompted, index)
    nearest = prompted[max(place - 1, 0) : place + 1]
    return nearest[-1] if bank.reverse[index] else nearest[0]
