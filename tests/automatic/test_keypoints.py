from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from napari_octa_sam2.automatic.keypoints import KeyPoints, key_points
from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.volume.readers.images import read_gray

ROWS, COLS = np.indices((121, 141))
RELEASE = "sam-octa-extend/datasets/OCTA-500"
PRECISION = {"ends": 0.88, "junctions": 0.75}


def drawn(*paths: list[tuple[float, float]], width: float = 5) -> np.ndarray:
    """Return a mask of polylines of a width."""
    mask = np.zeros(ROWS.shape, bool)
    for path in paths:
        for (row, col), (to_row, to_col) in pairwise(path):
            along = np.array([to_row - row, to_col - col], float)
            place = (ROWS - row) * along[0] + (COLS - col) * along[1]
            share = np.clip(place / (along**2).sum(), 0, 1)
            away = np.hypot(
                ROWS - row - share * along[0], COLS - col - share * along[1]
            )
            mask |= away <= width / 2
    return mask


def assert_near(
    found: np.ndarray, truth: list[tuple[float, float]], within: float
) -> None:
    assert found.shape == (len(truth), 2)
    for point in truth:
        assert np.hypot(*(found - point).T).min() <= within, (point, found.tolist())


def assert_inside(found: KeyPoints, mask: np.ndarray) -> None:
    for pixels in (found.all, found.midpoints):
        assert pixels.dtype.kind == "i"
        assert mask[tuple(pixels.T)].all()


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("tilt", [0, 20, 40])
def test_line(width: int, tilt: int) -> None:
    ends = [(60 - tilt, 20), (60 + tilt, 120)]
    mask = drawn([ends[0], ends[1]], width=width)
    found = key_points(mask)
    assert_near(found.ends, ends, within=width / 2 + 1)
    assert_near(found.midpoints, [(60, 70)], within=width / 2 + 1.5)
    assert not len(found.bifurcations)
    assert not len(found.intersections)
    assert_inside(found, mask)


@pytest.mark.parametrize("width", [2, 3, 5, 8])
def test_y_has_one_bifurcation(width: int) -> None:
    tips = [(110, 70), (20, 20), (20, 120)]
    mask = drawn(*([tip, (65, 70)] for tip in tips), width=width)
    found = key_points(mask)
    assert_near(found.bifurcations, [(65, 70)], within=width / 2 + 1)
    assert_near(found.ends, tips, within=width / 2 + 1)
    middles = [((row + 65) / 2, (col + 70) / 2) for row, col in tips]
    assert_near(found.midpoints, middles, within=width / 2 + 1.5)
    assert not len(found.intersections)
    assert_inside(found, mask)


@pytest.mark.parametrize("width", [3, 5, 8])
@pytest.mark.parametrize(
    "tips",
    [
        [(60, 15), (60, 125), (10, 70), (110, 70)],
        [(15, 25), (105, 115), (15, 115), (105, 25)],
        [(30, 15), (90, 125), (90, 15), (30, 125)],  # forks twice where it crosses
    ],
    ids=["cross", "x", "acute x"],
)
def test_crossing_vessels_have_one_intersection(
    width: int, tips: list[tuple[int, int]]
) -> None:
    mask = drawn([tips[0], tips[1]], [tips[2], tips[3]], width=width)
    found = key_points(mask)
    assert_near(found.intersections, [(60, 70)], within=width / 2 + 1)
    assert not len(found.bifurcations)
    assert_near(found.ends, list(tips), within=width / 2 + 1)
    assert len(found.midpoints) == 4
    assert_inside(found, mask)


def test_forks_apart_are_two_bifurcations() -> None:
    trunk = [(60, 15), (60, 125)]
    mask = drawn(trunk, [(60, 50), (15, 50)], [(60, 90), (105, 90)])
    found = key_points(mask)
    assert_near(found.bifurcations, [(60, 50), (60, 90)], within=2.5)
    assert not len(found.intersections)
    assert len(found.midpoints) == 5


def test_ring_has_a_midpoint_only() -> None:
    away = np.hypot(ROWS - 60, COLS - 70)
    mask = (away >= 28) & (away <= 32)
    found = key_points(mask)
    assert not len(found.all)
    assert len(found.midpoints) == 1
    assert_inside(found, mask)


def test_a_vessel_that_the_edge_cuts_ends_there() -> None:
    found = key_points(drawn([(60, -20), (60, 160)]))
    assert_near(found.ends, [(60, 0), (60, 140)], within=3)


def test_nothing_and_a_dot_have_none() -> None:
    dot = np.zeros((9, 9), bool)
    for mask in (dot, dot.copy()):
        found = key_points(mask)
        for pixels in (found.all, found.midpoints):
            assert pixels.shape == (0, 2)
        dot[4, 4] = True


def test_specks_of_every_shape() -> None:
    rng = np.random.default_rng(0)
    triangle = np.array([[0, 0, 1], [1, 1, 0], [0, 1, 0]], bool)
    assert not len(key_points(triangle).all)
    for _ in range(300):
        mask = rng.random(rng.integers(1, 7, 2)) < rng.uniform(0.2, 0.9)
        assert_inside(key_points(mask), mask)


def test_a_volume_is_no_mask_of_a_slice() -> None:
    with pytest.raises(VolumeError, match=r"shape \(slow, fast\), found \(2, 3, 4\)"):
        key_points(np.ones((2, 3, 4), bool))


def hits(found: np.ndarray, truth: np.ndarray, within: float = 5) -> int:
    """Return how many points have a partner each, at most `within` pixels away."""
    apart = np.linalg.norm(found[:, None] - truth[None], axis=-1)
    pairs = linear_sum_assignment(np.where(apart <= within, apart, 1e6))
    return int((apart[pairs] <= within).sum())


@pytest.mark.parametrize(
    ("field", "first", "recall"),
    [
        ("3M", 10301, {"ends": 0.95, "junctions": 0.6}),
        ("6M", 10001, {"ends": 0.95, "junctions": 0.9}),
    ],
)
def test_key_points_drawn_by_hand(
    realdata: Path,
    field: str,
    first: int,
    recall: dict[str, float],
) -> None:
    folder = realdata / RELEASE / f"OCTA_{field}"
    counts = {"ends": np.zeros(3), "junctions": np.zeros(3)}
    for subject in range(first, first + 3):
        mask = read_gray(folder / f"GT_LargeVessel/{subject}.bmp") > 0
        points = key_points(mask)
        # an annotator does not mark where the edge of the image cuts a vessel
        cut = (points.ends < 3) | (points.ends >= len(mask) - 3)
        forks = np.concatenate([points.bifurcations, points.intersections])
        found = {"ends": points.ends[~cut.any(axis=1)], "junctions": forks}
        kinds = {"ends": ["Endpoint"], "junctions": ["Bifurcation", "Intersection"]}
        for name, count in counts.items():
            files = (
                folder / f"GT_Point/LargeVessel/{kind}/{subject}.npy"
                for kind in kinds[name]
            )
            truth = np.concatenate([np.load(file) for file in files])
            count += hits(found[name], truth), len(truth), len(found[name])
    for name, (hit, true, told) in counts.items():
        assert hit / true >= recall[name], name
        assert hit / told >= PRECISION[name], name
