"""Agreement of the labels of graders beyond chance."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from napari_octa_sam2.errors import VolumeError

MOST_CATEGORIES = 1000


def kappa(a: np.ndarray, b: np.ndarray) -> float:
    """Return Cohen's kappa of two labellings, voxel by voxel.

    Parameters
    ----------
    a, b : numpy.ndarray of int or bool
        Labels of equal shape; each value is a category, 0 as well.

    Returns
    -------
    float
        nan where both give all voxels the same one label: chance agrees as well.

    Raises
    ------
    VolumeError
        If the shapes differ, labels are no integers, or there are more than 1000.

    Notes
    -----
    Cohen, Educ Psychol Meas 1960;20:37.
    """
    for labels in (a, b):
        require_labels(labels)
    values = np.union1d(a, b)
    codes = [np.searchsorted(values, labels) for labels in (a, b)]
    return kappa_of(contingency(codes[0], codes[1], len(values)))


def contingency(a: np.ndarray, b: np.ndarray, categories: int) -> np.ndarray:
    """Count voxels by the category that either grader gives them.

    Parameters
    ----------
    a, b : numpy.ndarray of int
        Categories from 0, of equal shape.
    categories : int
        Number of categories.

    Returns
    -------
    numpy.ndarray of int
        Shape ``(categories, categories)``, rows by `a`.
    """
    if a.shape != b.shape:
        raise VolumeError(
            f"expected labels of one shape, found {a.shape} and {b.shape}; compare "
            "labels of the same scan"
        )
    if categories > MOST_CATEGORIES:
        raise VolumeError(
            f"expected at most {MOST_CATEGORIES} categories, found {categories}; give "
            "the objects classes"
        )
    pairs = a.astype(np.int64).ravel() * categories + b.ravel()
    counts = np.bincount(pairs, minlength=categories**2)
    return counts.reshape(categories, categories)


def kappa_of(counts: np.ndarray) -> float:
    """Return Cohen's kappa of a table of counts; nan where chance agrees as well."""
    total, agreed = int(counts.sum()), int(np.trace(counts))
    # As integers: in a sparse volume chance is so near 1 that floats would cancel.
    marginals = zip(counts.sum(1).tolist(), counts.sum(0).tolist(), strict=True)
    chance = sum(row * col for row, col in marginals)
    if chance == total**2:
        return math.nan
    return float((total * agreed - chance) / (total**2 - chance))


def merged_counts(counts: np.ndarray, categories: Collection[int]) -> np.ndarray:
    """Return the counts of some categories as one against all others: (2, 2)."""
    chosen = np.zeros(len(counts), int)
    chosen[list(categories)] = 1
    sides = np.stack([1 - chosen, chosen])
    return np.asarray(sides @ counts @ sides.T)


def require_several(names: Collection[str]) -> None:
    """Raise `VolumeError` unless there are at least two graders."""
    if len(names) < 2:
        raise VolumeError(
            f"expected at least two graders, found {', '.join(names) or 'none'}; add "
            "the labels of another grader, or of a repeat"
        )


def require_labels(labels: np.ndarray) -> None:
    """Raise `VolumeError` unless the array holds integers from 0, or bool."""
    if labels.dtype.kind not in "uib" or labels.size == 0 or labels.min() < 0:
        raise VolumeError(
            f"expected labels as integers from 0, found {labels.dtype} of shape "
            f"{labels.shape}; convert them to object ids first"
        )
