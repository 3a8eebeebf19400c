"""Masks of a slice: their run lengths, and those inside a polygon."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.prompts.fields import Vertex


def encode_mask(mask: np.ndarray) -> dict[str, list[int]]:
    """Return a mask as row-major run lengths, the first run being background."""
    flat = np.asarray(mask, bool).ravel()
    changes = np.flatnonzero(np.diff(flat, prepend=False, append=not flat[-1]))
    counts = np.diff(changes, prepend=0)
    return {"size": list(mask.shape), "counts": counts.tolist()}


def decode_mask(record: Mapping[str, Iterable[int]]) -> np.ndarray:
    """Return the mask of `encode_mask`."""
    rows, cols = (int(n) for n in record["size"])
    counts = np.asarray(list(record["counts"]), int)
    if rows < 1 or cols < 1 or (counts < 0).any() or counts.sum() != rows * cols:
        raise PromptError(
            f"expected run lengths that add up to {rows} x {cols} pixels, "
            f"found {int(counts.sum())}"
        )
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(rows, cols)


def polygon_mask(polygon: Sequence[Vertex], shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels of ``(slow, fast)`` whose centres lie in a polygon."""
    from skimage.draw import polygon2mask

    inside: np.ndarray = polygon2mask(shape, np.asarray(polygon, float))
    return inside
