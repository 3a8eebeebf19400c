from __future__ import annotations

import math

import numpy as np
import pytest

from napari_octa_sam2.automatic.cleaning import (
    DEFAULTS,
    REGION,
    Cleaning,
    clean,
)
from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.prompts import SEGMENTABLE

ROWS, COLS = np.indices((80, 100))


def disc(row: float, col: float, radius: float) -> np.ndarray:
    found: np.ndarray = np.hypot(ROWS - row, COLS - col) <= radius
    return found


def squares(*areas: int) -> np.ndarray:
    """Return bars of one row, 1 pixel high, each of its own area."""
    mask = np.zeros((2 * len(areas) + 1, max(areas) + 2), bool)
    for index, area in enumerate(areas):
        mask[2 * index + 1, 1 : area + 1] = True
    return mask


def test_only_what_exceeds_the_threshold() -> None:
    values = np.array([[0.2, 0.8, np.nan], [0.81, 1.0, 0.5]], np.float32)
    expected = [[False, False, False], [True, True, False]]
    assert clean(values, Cleaning(0.8)).tolist() == expected
    assert clean(values > 0.8, Cleaning()).tolist() == expected


def test_components_that_touch_at_corners_are_one() -> None:
    mask = np.zeros((9, 9), bool)
    mask[1:3, 1:3] = mask[3:5, 3:5] = mask[7, 1:8] = True
    kept = clean(mask, Cleaning(min_area=8))
    assert kept.sum() == 8
    assert not kept[7].any()
    np.testing.assert_array_equal(clean(mask, Cleaning(min_area=7)), mask)


def test_holes_up_to_a_size_are_filled() -> None:
    mask = np.ones((12, 12), bool)
    mask[2, 2:5] = mask[6, 2:6] = mask[10:, 8] = False
    filled = clean(mask, Cleaning(fill_holes=3))
    assert filled[2].all()
    assert not filled[6, 2:6].any()
    every = clean(mask, Cleaning(fill_holes=math.inf))
    assert np.argwhere(~every).tolist() == [[10, 8], [11, 8]]  # reaches the edge


def test_a_hole_is_closed_by_corners() -> None:
    mask = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    assert clean(mask, Cleaning(fill_holes=1)).sum() == 5


def test_smoothing_comes_before_the_threshold() -> None:
    speck = disc(20, 20, 0).astype(float) + disc(50, 60, 10)
    smooth = clean(speck, Cleaning(smoothing=2.0))
    assert not smooth[20, 20]
    assert smooth[50, 60]
    assert abs(smooth.sum() / disc(50, 60, 10).sum() - 1) < 0.1


def test_the_largest_component_alone() -> None:
    mask = disc(20, 20, 6) | disc(50, 60, 9)
    kept = clean(mask, Cleaning(largest=True))
    np.testing.assert_array_equal(kept, disc(50, 60, 9))


def test_a_default_for_every_class() -> None:
    assert set(DEFAULTS) == set(SEGMENTABLE)
    noisy = (disc(40, 50, 20) & ~disc(42, 50, 3)) | disc(5, 5, 3)
    faz = clean(noisy, DEFAULTS["FAZ"])
    assert (faz ^ disc(40, 50, 20)).sum() < 20
    for cls, cleaning in DEFAULTS.items():
        assert not clean(np.zeros((8, 9)), cleaning).any(), cls
    assert clean(squares(49, 50), DEFAULTS["RV"]).sum() == 50


def test_region_of_the_sparse_annotation() -> None:
    probability = np.where(disc(40, 50, 25) & ~disc(40, 60, 4), 0.9, 0.1)
    probability[disc(6, 6, 5)] = 0.95
    region = clean(probability, REGION)
    assert not region[6, 6]
    assert region[40, 60]
    assert (region ^ disc(40, 50, 25)).sum() < 0.1 * region.sum()
    assert not clean(np.full((30, 30), 0.8), REGION).any()
    assert clean(np.ones((30, 30)), REGION).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 1.0},
        {"threshold": -0.1},
        {"threshold": math.nan},
        {"min_area": -1},
        {"fill_holes": -1},
        {"smoothing": math.inf},
        {"smoothing": -1.0},
        {"rounding": -1.0},
    ],
)
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(VolumeError, match=r"expected .*, found"):
        Cleaning(**wrong)  # type: ignore[arg-type]


def test_a_volume_is_no_slice() -> None:
    with pytest.raises(VolumeError, match=r"found \(2, 3, 4\)"):
        clean(np.zeros((2, 3, 4)), Cleaning())
