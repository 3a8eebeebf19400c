"""Skeletons of shapes whose centrelines are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import euler_number, label

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.segmentation.skeleton import skeletonize


def tube(height: int, width: int, length: int = 30) -> np.ndarray:
    mask = np.zeros((12, 12, length + 10), bool)
    mask[3 : 3 + height, 3 : 3 + width, 5 : 5 + length] = True
    return mask


def blobs(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(0.5, 2))
    return noise > np.quantile(noise, rng.uniform(0.4, 0.95))


@pytest.mark.parametrize("height", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("width", [2, 3, 4, 5, 6])
def test_a_tube_thins_to_one_line_of_its_length(height, width):
    skeleton = skeletonize(tube(height, width))
    along = skeleton.any(axis=(0, 1)).sum()
    assert skeleton.sum() == along, "one voxel a cross-section"
    assert 30 - 2 * max(height, width) <= along <= 30


def test_a_ring_stays_a_ring():
    depth, row, col = (
        np.mgrid[:12, :40, :40] - np.array([6, 20, 20])[:, None, None, None]
    )
    torus = (np.hypot(row, col) - 12) ** 2 + depth**2 <= 6
    skeleton = skeletonize(torus)
    assert euler_number(skeleton, 3) == 0
    assert 60 <= skeleton.sum() <= 90  # about 2 pi 12, diagonal steps counted once


@pytest.mark.parametrize("seed", range(25))
def test_3d_thinning_keeps_the_topology(seed):
    mask = blobs(seed, (18, 18, 18))
    skeleton = skeletonize(mask)
    assert not (skeleton & ~mask).any()
    assert euler_number(skeleton, 3) == euler_number(mask, 3)
    parts = label(mask, connectivity=3)
    assert set(parts[skeleton]) == set(range(1, parts.max() + 1))
    assert label(skeleton, connectivity=3).max() == parts.max()


@pytest.mark.parametrize("seed", range(10))
def test_2d_thinning_keeps_every_part(seed):
    mask = blobs(seed, (60, 60))
    parts = label(mask, connectivity=2)
    assert set(parts[skeletonize(mask)]) == set(range(1, parts.max() + 1))


def test_thinning_twice_changes_nothing():
    skeleton = skeletonize(blobs(3, (18, 18, 18)))
    np.testing.assert_array_equal(skeletonize(skeleton), skeleton)


def test_one_slice_is_thinned_in_its_plane():
    mask = blobs(1, (40, 40))
    np.testing.assert_array_equal(skeletonize(mask[None])[0], skeletonize(mask))


def test_slicewise_thins_each_slice_in_its_plane():
    mask = blobs(2, (5, 30, 30))
    expected = [skeletonize(plane) for plane in mask]
    np.testing.assert_array_equal(skeletonize(mask, slicewise=True), expected)


def test_four_dimensions_are_refused():
    with pytest.raises(VolumeError, match=r"2-D or 3-D mask, found shape \(2, 2, 2, 2"):
        skeletonize(np.ones((2, 2, 2, 2), bool))
