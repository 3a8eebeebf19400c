"""Surface distances against closed forms, brute force and MONAI."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import ndimage

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.segmentation.surface import (
    assd,
    hausdorff,
    hausdorff95,
    nsd,
    surface_distances,
)


def box(shape, *spans):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*span) for span in spans)] = True
    return mask


def oracle(mask, other, spacing):
    """Sorted distances from every surface voxel of mask, one pair at a time."""

    def surface(array):
        points = []
        for index in map(tuple, np.argwhere(array)):
            for axis, step in itertools.product(range(array.ndim), (-1, 1)):
                beside = list(index)
                beside[axis] += step
                inside = 0 <= beside[axis] < array.shape[axis]
                if not (inside and array[tuple(beside)]):
                    points.append([i * s for i, s in zip(index, spacing, strict=True)])
                    break
        return points

    return sorted(min(math.dist(p, q) for q in surface(other)) for p in surface(mask))


@pytest.mark.parametrize("spacing", [(1, 1), (0.5, 2.0), (3, 0.1)])
def test_shifted_square(spacing):
    truth = box((40, 40), (10, 30), (5, 25))
    prediction = box((40, 40), (10, 30), (9, 29))
    # Both squares have 76 outline pixels. Those of the far side, 20 of them, are
    # four columns away unless the rows above or below are nearer.
    assert hausdorff95(prediction, truth, spacing) == pytest.approx(4 * spacing[1])
    assert hausdorff(prediction, truth, spacing) == pytest.approx(4 * spacing[1])


def test_parallel_planes_are_their_distance_apart():
    truth = box((20, 12, 12), (4, 5), (0, 12), (0, 12))
    prediction = box((20, 12, 12), (11, 12), (0, 12), (0, 12))
    for score in (hausdorff95, hausdorff, assd):
        assert score(prediction, truth, (0.25, 1, 1)) == pytest.approx(1.75)


def test_concentric_discs_differ_by_their_radii():
    rows, cols = np.mgrid[:121, :121] - 60
    radius = np.hypot(rows, cols) * 0.01
    distance = hausdorff95(radius <= 0.5, radius <= 0.3, (0.01, 0.01))
    assert distance == pytest.approx(0.2, abs=0.01)


def test_a_few_far_voxels_move_the_maximum_but_not_the_95th_percentile():
    truth = box((100, 100), (10, 50), (10, 50))
    prediction = truth.copy()
    prediction[90, 10] = True
    assert hausdorff95(prediction, truth, (1, 1)) == 0
    assert hausdorff(prediction, truth, (1, 1)) == 41


def test_the_worse_direction_counts():
    truth = box((10, 110), (4, 5), (0, 110))
    prediction = box((10, 110), (4, 5), (0, 10))
    for pair in [(prediction, truth), (truth, prediction)]:
        # Distances of the long line are 10 zeros and 1 to 100.
        expected = np.percentile([0] * 10 + list(range(1, 101)), 95)
        assert hausdorff95(*pair, (1, 1)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((9, 11), (1.0, 1.0)), ((9, 11), (0.4, 1.7)), ((6, 7, 8), (0.3, 1.0, 2.5))],
)
def test_agrees_with_brute_force(shape, spacing):
    rng = np.random.default_rng(7)
    for density in (0.05, 0.3, 0.7):
        prediction, truth = rng.random((2, *shape)) < density
        to_truth, to_prediction = surface_distances(prediction, truth, spacing)
        expected = (
            oracle(prediction, truth, spacing),
            oracle(truth, prediction, spacing),
        )
        np.testing.assert_allclose(np.sort(to_truth), expected[0])
        np.testing.assert_allclose(np.sort(to_prediction), expected[1])
        assert hausdorff95(prediction, truth, spacing) == pytest.approx(
            max(np.percentile(d, 95) for d in expected)
        )
        assert assd(prediction, truth, spacing) == pytest.approx(
            np.mean(expected[0] + expected[1])
        )


def test_one_slice_is_measured_in_its_plane():
    truth = box((40, 40), (10, 30), (5, 25))
    prediction = box((40, 40), (10, 30), (9, 29))
    flat = assd(prediction, truth, (1, 1))
    assert assd(prediction[None], truth[None], (0.01, 1, 1)) == flat > 0


def test_scales_with_the_spacing():
    prediction, truth = np.random.default_rng(1).random((2, 8, 8, 8)) < 0.2
    once = hausdorff95(prediction, truth, (1, 2, 3))
    assert hausdorff95(prediction, truth, (10, 20, 30)) == pytest.approx(10 * once)


@pytest.mark.parametrize("score", [hausdorff95, hausdorff, assd])
def test_empty_masks_have_no_distance(score):
    empty, filled = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    for pair in [(empty, filled), (filled, empty), (empty, empty)]:
        assert math.isnan(score(*pair, (1, 1)))


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("size", [(0.015, 0.015), (0.0031, 0.0171, 0.0153)])
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_monai(size, seed, monai_metrics):
    import torch

    rng = np.random.default_rng(seed)
    shape = (12, 40, 40)[-len(size) :]
    truth = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5) > 0.05
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), 0.7) > 0.4
    prediction = np.roll(truth, 2, -1) ^ noise
    given = [torch.from_numpy(m[None, None]) for m in (prediction, truth)]
    spaced = {"include_background": True, "spacing": list(size)}
    ours = surface_distances(prediction, truth, size)
    for percentile, value in ((None, ours.hd), (95, ours.hd95)):
        oracle = monai_metrics.compute_hausdorff_distance(
            *given, percentile=percentile, **spaced
        )
        assert value == pytest.approx(oracle.item(), rel=1e-5)
    oracle = monai_metrics.compute_average_surface_distance(
        *given, symmetric=True, **spaced
    )
    assert ours.assd == pytest.approx(oracle.item(), rel=1e-5)
    for tolerance in (0, size[-1], max(size), 0.033):
        oracle = monai_metrics.compute_surface_dice(
            *given, [tolerance], use_subvoxels=False, **spaced
        )
        assert ours.nsd(tolerance) == pytest.approx(oracle.item(), rel=1e-5)
        assert nsd(prediction, truth, size, tolerance) == ours.nsd(tolerance)


@pytest.mark.parametrize("pixel", [0.01, 0.015, 3 / 304, 0.1])
def test_a_shift_of_one_pixel_is_within_one_pixel(pixel):
    truth = box((80, 80), (10, 70), (10, 60))
    prediction = np.roll(truth, 1, 1)
    assert nsd(prediction, truth, (pixel, pixel), pixel) == 1
    assert nsd(prediction, truth, (pixel, pixel), pixel * 0.99) < 1


def test_nsd_counts_the_surface_within_the_tolerance():
    truth = box((10, 120), (4, 5), (0, 100))
    prediction = box((10, 120), (6, 7), (0, 50))
    # all of the short line is two rows away; of the long one 50 and no more
    assert nsd(prediction, truth, (1, 1), 2) == 100 / 150
    assert nsd(prediction, truth, (1, 1), 1.9) == 0


def test_nsd_of_empty_masks_is_a_fraction():
    empty, filled = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert nsd(empty, empty, (1, 1), 1) == 1
    assert nsd(empty, filled, (1, 1), 1) == nsd(filled, empty, (1, 1), 1) == 0


def test_a_single_pixel_is_its_own_surface():
    one = np.ones((1, 1, 1), bool)
    assert nsd(one, one, (1, 1, 1), 0) == 1
    assert hausdorff(one, one, (1, 1, 1)) == 0


@pytest.mark.parametrize("tolerance", [-1, float("nan"), float("inf")])
def test_tolerance_must_be_a_length(tolerance):
    mask = np.ones((4, 4), bool)
    with pytest.raises(VolumeError, match="tolerance of 0 or more"):
        nsd(mask, mask, (1, 1), tolerance)


@pytest.mark.parametrize("spacing", [(1,), (1, 0), (1, -1), (1, float("nan"))])
def test_spacing_must_be_positive_for_each_axis(spacing):
    mask = np.ones((4, 4), bool)
    with pytest.raises(VolumeError, match="2 positive spacings"):
        hausdorff95(mask, mask, spacing)
