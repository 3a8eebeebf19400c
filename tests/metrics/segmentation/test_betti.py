"""Betti numbers of shapes that are known, and against gudhi."""

from __future__ import annotations

import gudhi
import numpy as np
import pytest

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.segmentation.betti import betti_numbers, euler_number


def oracle(mask):
    """Numbers of a cubical complex whose cubes are the voxels."""
    values = np.where(np.pad(mask, 1), 0.0, 1.0)
    cells = gudhi.CubicalComplex(top_dimensional_cells=values)
    cells.compute_persistence()
    return tuple(cells.persistent_betti_numbers(0.5, 0.5))[: mask.ndim]


def ball(radius, shape=(21, 21, 21)):
    grid = np.indices(shape) - np.array(shape)[:, None, None, None] // 2
    return (grid**2).sum(axis=0) <= radius**2


def torus(shape=(11, 25, 25)):
    depth, row, col = np.indices(shape) - np.array(shape)[:, None, None, None] // 2
    return (np.hypot(row, col) - 7) ** 2 + depth**2 <= 6


def ring(radius, width, size=25):
    row, col = np.indices((size, size)) - size // 2
    return abs(np.hypot(row, col) - radius) <= width / 2


@pytest.mark.parametrize(
    ("mask", "numbers"),
    [
        (np.zeros((4, 5), bool), (0, 0)),
        (np.ones((4, 5), bool), (1, 0)),
        (ring(8, 2), (1, 1)),
        (ring(8, 2) | ring(3, 2), (2, 2)),
        (np.eye(6, dtype=bool), (1, 0)),  # sharing a corner connects
        (~np.eye(6, dtype=bool)[1:5], (1, 2)),  # but not what lies outside
        (np.zeros((3, 4, 5), bool), (0, 0, 0)),
        (np.ones((3, 4, 5), bool), (1, 0, 0)),
        (ball(8), (1, 0, 0)),
        (ball(8) & ~ball(5), (1, 0, 1)),
        (ball(8) & ~ball(5) | ball(2), (2, 0, 1)),
        (torus(), (1, 1, 0)),
    ],
)
def test_known_shapes(mask, numbers):
    assert betti_numbers(mask) == numbers == oracle(mask)


@pytest.mark.parametrize("shape", [(13, 11), (1, 9), (9, 8, 7), (1, 6, 9), (6, 9, 1)])
def test_agrees_with_gudhi(shape):
    rng = np.random.default_rng(len(shape))
    for density in (0.05, 0.2, 0.4, 0.5, 0.6, 0.8, 0.95):
        for _ in range(3):
            mask = rng.random(shape) < density
            numbers = betti_numbers(mask)
            assert numbers == oracle(mask)
            signs = (-1) ** np.arange(mask.ndim)
            assert euler_number(mask) == (signs * numbers).sum()


def test_a_line_is_refused():
    with pytest.raises(VolumeError, match="2-D or 3-D mask"):
        betti_numbers(np.ones(4, bool))
