"""From probabilities, slice by slice, to objects with ids and confidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt

from napari_octa_sam2.automatic.cleaning import clean
from napari_octa_sam2.automatic.settings import FindSettings
from napari_octa_sam2.automatic.tracking import connected_objects
from napari_octa_sam2.engine.results import label_dtype

VESSELS = ("RV", "artery", "vein", "capillary", "vessel")
# Painted in this order: what is part of another class lies over it.
LEVELS = (("vessel",), ("RV", "capillary"), ("artery", "vein"), ("FAZ",))
STEPS = 255  # of a probability that is kept


class Objects(NamedTuple):
    """What was found.

    Parameters
    ----------
    labels : numpy.ndarray
        Shape ``(depth, slow, fast)``.
    names, classes : dict
        By id.
    sure : list of dict
        For each slice, the confidence in each object.
    """

    labels: np.ndarray
    names: dict[int, str]
    classes: dict[int, str]
    sure: list[dict[int, float]]


class Maps:
    """Takes the probabilities of one slice after the other.

    Parameters
    ----------
    settings : FindSettings
    shape : (int, int, int)
        Slices to come, rows and columns.
    """

    def __init__(self, settings: FindSettings, shape: tuple[int, int, int]) -> None:
        self.settings = settings
        # number of the class that a voxel is given to, counted from 1
        self._which = np.zeros(shape, np.uint8)
        self._sure: list[dict[int, float]] = [{} for _ in range(shape[0])]
        # separate vessels are known at the end alone: how sure they are, is as well
        self._kept = {
            cls: np.zeros(shape, np.uint8)
            for cls in settings.classes
            if self._splits(cls)
        }

    def take(
        self,
        number: int,
        found: Mapping[str, np.ndarray],
        within: np.ndarray | None = None,
    ) -> None:
        """Take the probabilities of each class on slice `number`, in order."""
        masks = {}
        for index, cls in enumerate(self.settings.classes, start=1):
            probability = found[cls]
            mask = clean(probability, self.settings.cleaning_of(cls))
            if within is not None and cls in VESSELS:
                mask, probability = mask & within, np.where(within, probability, 0)
            masks[cls] = mask
            if cls in self._kept:
                self._kept[cls][number] = np.rint(probability * STEPS)
            else:
                whole = np.where(mask, index, 0)
                self._sure[number] |= expected_ious(probability, whole, [index])
        for level in LEVELS:
            best = np.zeros(self._which.shape[1:], np.float32)
            for cls in (cls for cls in level if cls in masks):
                wins = masks[cls] & (found[cls] >= best)
                self._which[number][wins] = self.settings.classes.index(cls) + 1
                best[wins] = found[cls][wins]

    def objects(self, depth: int) -> Objects:
        """Return what was found on the first `depth` slices."""
        names: dict[int, str] = {}
        classes: dict[int, str] = {}
        ids: dict[int, int] = {}  # of a whole class, by its number
        labels = np.zeros(self._which.shape, np.uint16)
        for index, cls in enumerate(self.settings.classes, start=1):
            mask, first = self._which == index, len(names) + 1
            if not self._splits(cls):
                ids[index] = first
                names[first], classes[first] = cls, cls
                labels[mask] = first
                continue
            own = connected_objects(mask, least=self.settings.least)
            for number in range(1, int(own.max()) + 1):
                names[first + number - 1] = f"{cls} {number}"
                classes[first + number - 1] = cls
            labels[own > 0] = own[own > 0] + np.uint16(first - 1)
        sure = [
            {ids[index]: value for index, value in each.items()}
            | self._sure_of_separate(number, labels[number], classes)
            for number, each in enumerate(self._sure[:depth])
        ]
        kind = label_dtype(max(names, default=0))
        return Objects(labels.astype(kind), names, classes, sure)

    def _splits(self, cls: str) -> bool:
        return self.settings.separate and cls in VESSELS

    def _sure_of_separate(
        self, number: int, labels: np.ndarray, classes: Mapping[int, str]
    ) -> dict[int, float]:
        sure: dict[int, float] = {}
        for cls, kept in self._kept.items():
            ids = [int(i) for i in np.unique(labels) if i and classes[int(i)] == cls]
            if ids:
                own = np.where(np.isin(labels, ids), labels, 0)
                sure |= expected_ious(kept[number] / STEPS, own, ids)
        return sure


def expected_ious(
    probability: np.ndarray, labels: np.ndarray, ids: list[int]
) -> dict[int, float]:
    """Return the IoU of each object to be expected if the probabilities are right.

    The expectation of the intersection over that of the union: the sum of the
    probabilities inside, over the object's pixels and the sum outside, where a pixel
    outside belongs to the nearest object. Where no object is there at all, the
    probability that there is nothing, at the most probable pixel.

    Parameters
    ----------
    probability : numpy.ndarray
        0 to 1, shape ``(slow, fast)``.
    labels : numpy.ndarray
        Ids of the same shape, 0 where there is none.
    ids : list of int
        Objects that are asked for.
    """
    if not labels.any():
        return dict.fromkeys(ids, float(1 - probability.max()))
    if len(ids) == 1:
        nearest = np.full(labels.shape, ids[0])
    else:
        rows, cols = distance_transform_edt(
            labels == 0, return_distances=False, return_indices=True
        )
        nearest = labels[rows, cols]
    count = max(ids) + 1
    outside = np.where(labels == 0, probability, 0.0)
    inside = np.bincount(labels.ravel(), probability.ravel(), count)
    missed = np.bincount(nearest.ravel(), outside.ravel(), count)
    pixels = np.bincount(labels.ravel(), minlength=count)
    return {i: float(inside[i] / max(pixels[i] + missed[i], 1e-9)) for i in ids}
