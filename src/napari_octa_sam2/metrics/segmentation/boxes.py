"""Bounding boxes, so that work is done where there is something."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

Box = tuple[slice, ...]


def bounding_box(mask: np.ndarray) -> Box | None:
    """Return the smallest box that holds all that is not zero, None for nothing."""
    axes = range(mask.ndim)
    box = []
    for axis in axes:
        others = tuple(a for a in axes if a != axis)
        filled = np.flatnonzero(mask.any(axis=others))
        if not filled.size:
            return None
        box.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return tuple(box)


def label_boxes(labels: np.ndarray) -> dict[int, Box]:
    """Return the bounding box of each id."""
    from scipy.ndimage import find_objects

    found = enumerate(find_objects(labels), start=1)
    return {label: box for label, box in found if box is not None}


def union(boxes: Iterable[Box | None], shape: tuple[int, ...]) -> Box:
    """Return the box around all boxes with a margin of one voxel inside `shape`.

    The margin keeps what lies on one slice of many from passing for a plane. Where
    there are no boxes, the box is one voxel.
    """
    present = [box for box in boxes if box is not None]
    if not present:
        return (slice(0, 1),) * len(shape)
    return tuple(
        slice(
            max(0, min(s.start for s in axis) - 1),
            min(length, max(s.stop for s in axis) + 1),
        )
        for axis, length in zip(zip(*present, strict=True), shape, strict=True)
    )
