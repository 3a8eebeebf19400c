"""How a vessel map fills the plane: fractal dimension and lacunarity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BOXES = (2, 4, 8, 16, 32)  # pixels


def box_counts(
    mask: np.ndarray, boxes: Sequence[int] = BOXES, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the number of boxes that hold a pixel of the mask, by their size.

    A box that the edge of the array or of the region cuts counts by the part of its
    area inside, so that a filled region has dimension 2 whatever its shape.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Shape ``(rows, cols)``.
    boxes : sequence of int
        Sizes in pixels; the grids begin in the first corner.
    weights : numpy.ndarray of float, optional
        Shape ``(rows, cols)``: the part of each pixel that lies in the region.
    """
    region = np.ones(mask.shape, np.float32) if weights is None else weights
    held = mask & (region > 0)
    counts = []
    for box in boxes:
        rows, cols = (np.arange(0, length, box) for length in mask.shape)
        part = np.add.reduceat(np.add.reduceat(region, rows, axis=0), cols, axis=1)
        any_row = np.logical_or.reduceat(held, rows, axis=0)
        occupied = np.logical_or.reduceat(any_row, cols, axis=1)
        counts.append(float(part[occupied].sum(dtype=float)) / box**2)
    return np.array(counts)


def fractal_dimension(
    mask: np.ndarray, boxes: Sequence[int] = BOXES, weights: np.ndarray | None = None
) -> tuple[float, float]:
    """Return the box-counting dimension of a mask, and R^2 of the line behind it.

    The negative slope of the logarithm of the number of boxes against that of their
    size. It depends on the sizes: only values of the same sizes compare.

    Parameters as for `box_counts`. Both are nan for an empty mask.
    """
    counts = box_counts(mask, boxes, weights)
    if not counts.all():
        return float("nan"), float("nan")
    size, number = np.log(boxes), np.log(counts)
    slope, offset = np.polyfit(size, number, 1)
    spread = ((number - number.mean()) ** 2).sum()
    missed = ((number - offset - slope * size) ** 2).sum()
    return float(-slope), float(1 - missed / spread) if spread else float("nan")


def lacunarity(
    mask: np.ndarray, box: tuple[int, int], weights: np.ndarray | None = None
) -> float:
    """Return the lacunarity of a mask at one size of box.

    ``E[m^2] / E[m]^2`` of the number m of vessel pixels in a box that glides over
    all places where it lies wholly in the region (Allain and Cloitre, Phys Rev A
    1991): 1 where all boxes hold the same, the more the gaps differ.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Shape ``(rows, cols)``.
    box : tuple of int
        Height and width in pixels.
    weights : numpy.ndarray of float, optional
        Shape ``(rows, cols)``; pixels of at least one half lie in the region.

    Returns
    -------
    float
        nan if no box lies in the region, or none holds a vessel.
    """
    if min(n - b for n, b in zip(mask.shape, box, strict=True)) < 0:
        return float("nan")
    mass = _box_sums(mask, box)
    if weights is not None:
        mass = mass[_box_sums(weights >= 0.5, box) == box[0] * box[1]]
    mean = mass.mean() if mass.size else 0.0
    return float((mass.astype(float) ** 2).mean() / mean**2) if mean else float("nan")


def _box_sums(mask: np.ndarray, box: tuple[int, int]) -> np.ndarray:
    """Return the number of pixels in each box, by a table of sums."""
    table = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
    np.cumsum(mask, axis=0, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
    high, wide = box
    sums: np.ndarray = table[high:, wide:] - table[:-high, wide:]
    sums -= table[high:, :-wide] - table[:-high, :-wide]
    return sums
