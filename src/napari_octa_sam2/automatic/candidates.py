"""Masks that nobody asked for: how they are chosen, and what is left of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.prompts import SEGMENTABLE

OVERLAPS = ("mask", "box")


@dataclass(frozen=True)
class EverythingSettings:
    """How everything in a slice is found; the defaults of SAM 2, but for the areas.

    Parameters
    ----------
    points_per_side : int
        Points along each side of the slice, each prompted alone.
    batch : int
        Points that go through the network together.
    least_iou : float
        Predicted IoU that a mask exceeds, 0 to 1.
    least_stability : float
        IoU, 0 to 1, of the masks at the logits `stability_offset` and minus it.
    stability_offset : float
    most_overlap : float
        IoU, 0 to 1, up to which two masks are two objects; of others the one with the
        lower predicted IoU is left out.
    min_area : int
        Fewest pixels of an object.
    most_area : float
        Largest share of the slice that an object covers, 0 to 1; the background
        covers more.
    overlap : {"mask", "box"}
        Of what the overlap is measured. SAM 2 takes boxes, which are much the same for
        vessels that run side by side.
    classes : tuple of str
        Of `prompts.SEGMENTABLE`. With a refinement head, which tells classes apart,
        only points on these are prompted; empty for all points.

    Raises
    ------
    PromptError
        If a value is outside of its range.
    """

    points_per_side: int = 32
    batch: int = 64
    least_iou: float = 0.8
    least_stability: float = 0.95
    stability_offset: float = 1.0
    most_overlap: float = 0.7
    min_area: int = 50
    most_area: float = 0.5
    overlap: str = "mask"
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("points_per_side", "batch", "min_area"):
            if getattr(self, name) < 1:
                raise PromptError(
                    f"expected {name} of at least 1, found {getattr(self, name)}"
                )
        for name in ("least_iou", "least_stability", "most_overlap", "most_area"):
            if not 0 <= getattr(self, name) <= 1:
                raise PromptError(
                    f"expected {name} from 0 to 1, found {getattr(self, name)}"
                )
        if self.stability_offset < 0:
            raise PromptError(
                f"expected a stability_offset of at least 0, found "
                f"{self.stability_offset}"
            )
        if self.overlap not in OVERLAPS:
            raise PromptError(
                f"expected an overlap of {', '.join(OVERLAPS)}, found {self.overlap!r}"
            )
        if not set(self.classes) <= set(SEGMENTABLE):
            raise PromptError(
                f"expected classes of {', '.join(SEGMENTABLE)}, found "
                f"{', '.join(self.classes)}"
            )


# A refinement head makes good masks of coarse ones that the network itself thinks
# little of, and how stable these are tells how good they are.
REFINED = EverythingSettings(
    least_iou=0.0, least_stability=0.5, classes=("RV", "artery", "vein", "FAZ")
)


@dataclass(frozen=True, eq=False)
class Found:
    """An object that was found in a slice.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Shape ``(slow, fast)``.
    score : float
        How good the mask should be, 0 to 1: the IoU that the network predicts, or the
        stability of the mask that a refinement head made.
    stability : float
        See `EverythingSettings.least_stability`.
    point : (float, float)
        (row, col) of the point that was prompted.
    """

    mask: np.ndarray
    score: float
    stability: float
    point: tuple[float, float]


def as_labels(
    found: Sequence[Found], shape: tuple[int, int]
) -> tuple[np.ndarray, dict[int, str], dict[int, float]]:
    """Return the objects of a slice as labels, with a name and a score for each id.

    Where masks overlap the higher score wins, and gets the lower id; an object of which
    nothing is left has no id.

    Parameters
    ----------
    found : sequence of Found
    shape : (int, int)
        Rows and columns of the slice.

    Returns
    -------
    labels : numpy.ndarray of uint16
        Shape ``(slow, fast)``.
    names : dict of int to str
    scores : dict of int to float
    """
    labels = np.zeros(shape, np.uint16)
    names: dict[int, str] = {}
    scores: dict[int, float] = {}
    for each in sorted(found, key=lambda f: -f.score):
        free = each.mask & (labels == 0)
        if free.any():
            label = len(names) + 1
            labels[free] = label
            names[label], scores[label] = f"object {label}", each.score
    return labels, names, scores


def different(
    masks: np.ndarray, scores: np.ndarray, most: float, overlap: str
) -> list[int]:
    """Return which masks to keep so that no two overlap much, the best ones first.

    Greedy non-maximum suppression: the best mask stays, those that overlap it by more
    than `most` go, and so on with what is left.

    Parameters
    ----------
    masks : numpy.ndarray of bool
        Shape ``(n, rows, columns)``, none of them empty.
    scores : numpy.ndarray
        Shape ``(n,)``; the higher the better.
    most : float
        IoU that is allowed.
    overlap : {"mask", "box"}
    """
    if not len(masks):
        return []
    iou = _mask_iou(masks) if overlap == "mask" else _box_iou(masks)
    left = np.argsort(-scores, kind="stable")
    kept = []
    while left.size:
        best, others = int(left[0]), left[1:]
        kept.append(best)
        left = others[iou(best, others) <= most]
    return kept


def _mask_iou(masks: np.ndarray) -> Callable[[int, np.ndarray], np.ndarray]:
    """Return what measures the IoU of one mask with others, by their numbers."""
    bits = np.packbits(masks.reshape(len(masks), -1), axis=1)
    bits = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8))).view(np.uint64)
    areas = np.bitwise_count(bits).sum(1, dtype=int)

    def iou(one: int, others: np.ndarray) -> np.ndarray:
        shared = np.bitwise_count(bits[others] & bits[one]).sum(1, dtype=int)
        return np.asarray(shared / (areas[others] + areas[one] - shared))

    return iou


def _box_iou(masks: np.ndarray) -> Callable[[int, np.ndarray], np.ndarray]:
    """Return what measures the IoU of the box of one mask with those of others."""
    boxes = np.array([_box(mask) for mask in masks])
    sides = boxes[:, 1] - boxes[:, 0]

    def iou(one: int, others: np.ndarray) -> np.ndarray:
        first = np.maximum(boxes[others, 0], boxes[one, 0])
        last = np.minimum(boxes[others, 1], boxes[one, 1])
        shared = (last - first).clip(0).prod(1)
        either = sides[others].prod(1) + sides[one].prod() - shared
        return np.asarray(shared / either)

    return iou


def _box(mask: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the first row and column, and those after the last."""
    rows, cols = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return (rows[0], cols[0]), (rows[-1] + 1, cols[-1] + 1)
