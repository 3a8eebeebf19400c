"""Fractal dimension and lacunarity of sets whose values are known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_octa_sam2.metrics.biomarkers.texture import (
    box_counts,
    fractal_dimension,
    lacunarity,
)


def carpet(order: int) -> np.ndarray:
    tile = np.ones((3, 3), bool)
    tile[1, 1] = False
    mask = np.ones((1, 1), bool)
    for _ in range(order):
        mask = np.kron(mask, tile)
    return mask


def test_a_line_has_dimension_one():
    mask = np.zeros((256, 256), bool)
    mask[100] = True
    assert fractal_dimension(mask) == pytest.approx((1, 1))
    assert fractal_dimension(mask.T) == pytest.approx((1, 1))
    assert fractal_dimension(np.eye(256, dtype=bool)) == pytest.approx((1, 1))


def test_a_filled_square_has_dimension_two():
    assert fractal_dimension(np.ones((256, 256), bool)) == pytest.approx((2, 1))


@pytest.mark.parametrize("shape", [(400, 400), (304, 304), (123, 217)])
def test_boxes_that_the_edge_cuts_make_no_difference(shape):
    assert fractal_dimension(np.ones(shape, bool)) == pytest.approx((2, 1))


def test_a_filled_region_of_any_shape_has_dimension_two():
    row, col = np.indices((200, 200)) - 99.5
    disc = (np.hypot(row, col) < 80).astype(float)
    filled = np.ones(disc.shape, bool)
    assert fractal_dimension(filled, weights=disc) == pytest.approx((2, 1))


def test_the_carpet_of_sierpinski():
    dimension, fit = fractal_dimension(carpet(5), boxes=(1, 3, 9, 27))
    assert dimension == pytest.approx(np.log(8) / np.log(3))
    assert fit == pytest.approx(1)


def test_box_counts():
    mask = np.zeros((8, 8), bool)
    mask[0, 0] = mask[7, 7] = mask[7, 6] = True
    np.testing.assert_allclose(box_counts(mask, (1, 2, 4, 8)), [3, 2, 2, 1])


def test_an_empty_mask_has_no_dimension():
    empty = np.zeros((64, 64), bool)
    assert np.isnan(fractal_dimension(empty)).all()
    assert np.isnan(lacunarity(empty, (4, 4)))


@pytest.mark.parametrize("box", [(2, 2), (4, 6), (10, 10)])
def test_boxes_that_hold_the_same_have_lacunarity_one(box):
    board = np.indices((40, 40)).sum(axis=0) % 2 == 0
    assert lacunarity(board, box) == pytest.approx(1)


@pytest.mark.parametrize("box", [2, 5, 10])
def test_random_pixels(box):
    mask = np.random.default_rng(0).random((500, 500)) < 0.1
    assert lacunarity(mask, (box, box)) == pytest.approx(
        1 + 0.9 / (0.1 * box**2), rel=0.02
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_the_definition_box_by_box(weighted):
    rng = np.random.default_rng(1)
    mask = rng.random((20, 30)) < 0.3
    region = np.ones(mask.shape)
    if weighted:
        region[:, :9] = region[3, 20] = 0
    masses = [
        mask[r : r + 4, c : c + 3].sum()
        for r in range(17)
        for c in range(28)
        if region[r : r + 4, c : c + 3].all()
    ]
    expected = np.mean(np.square(masses)) / np.mean(masses) ** 2
    weights = region if weighted else None
    assert lacunarity(mask, (4, 3), weights) == pytest.approx(expected)


def test_a_box_larger_than_the_map():
    assert np.isnan(lacunarity(np.ones((5, 5), bool), (6, 2)))
