"""Annotate an object on a few slices of a sequence and follow it through the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from napari_octa_sam2.metrics.segmentation.overlap import dice
from napari_octa_sam2.protocol.clicks import Annotated, annotate
from napari_octa_sam2.volume.octa_volume import LabelSet

Choice = Callable[[np.ndarray], list[int]]


@dataclass(frozen=True, eq=False)
class Followed:
    """How an object was found on the slices of a sequence.

    Parameters
    ----------
    dice : dict of int to float
        Dice of each slice that holds the object.
    false_areas : dict of int to int
        Predicted pixels of each slice that does not hold it.
    clicks : dict of int to int
        Clicks made on each prompted slice.
    """

    dice: dict[int, float]
    false_areas: dict[int, int]
    clicks: dict[int, int]

    @property
    def mean_dice(self) -> float:
        """Mean over the slices that hold the object."""
        return fmean(self.dice.values())

    @property
    def mean_false_area(self) -> float:
        """Mean over the slices without the object, in pixels; nan if there is none."""
        areas = self.false_areas.values()
        return fmean(areas) if areas else float("nan")


def follow(
    session: Annotated,
    truth: np.ndarray,
    *,
    slices: Iterable[int],
    clicks: int,
    object_id: int = 1,
) -> Followed:
    """Click on an object on some slices, propagate both ways, score every slice.

    Parameters
    ----------
    session : Annotated
        Of the volume that `truth` belongs to.
    truth : numpy.ndarray of bool
        Shape ``(depth, slow, fast)``; the object is on every one of `slices`.
    slices : iterable of int
        Where to click, in this order.
    clicks : int
        Most clicks on each of them; fewer if no error is left.
    object_id : int
    """
    made = {
        index: len(
            annotate(
                session, truth[index], limit=clicks, object_id=object_id, index=index
            ).clicks
        )
        for index in slices
    }
    masks = {
        answer.slice: answer.mask(object_id)
        for answer in session.propagate("both", objects=[object_id])
    }
    held = [index for index in range(len(truth)) if truth[index].any()]
    return Followed(
        dice={index: dice(masks[index], truth[index]) for index in held},
        false_areas={
            index: int(np.count_nonzero(mask))
            for index, mask in sorted(masks.items())
            if index not in held
        },
        clicks=made,
    )


def objects_of(truth: LabelSet) -> list[tuple[int, str]]:
    """Return the id and the name of each object that is somewhere."""
    found = [int(label) for label in np.unique(truth.data) if label]
    return [(label, truth.names.get(label, f"object {label}")) for label in found]


def middle(truth: np.ndarray) -> list[int]:
    """Return the middle one of the slices that hold the object."""
    held = np.flatnonzero(truth.any((1, 2)))
    return [int(held[len(held) // 2])]


def largest(truth: np.ndarray) -> list[int]:
    """Return the slice on which the object is largest."""
    return [int(truth.sum((1, 2)).argmax())]


def first_middle_last(truth: np.ndarray) -> list[int]:
    """Return the first, the middle and the last slice, each once."""
    held = np.flatnonzero(truth.any((1, 2)))
    return sorted({int(held[0]), *middle(truth), int(held[-1])})
