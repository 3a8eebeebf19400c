"""clDice of shapes whose centrelines are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.segmentation.skeleton import skeletonize
from napari_octa_sam2.metrics.segmentation.topology import cldice, count_centrelines


def blobs(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(0.5, 2))
    return noise > np.quantile(noise, rng.uniform(0.4, 0.95))


@pytest.mark.parametrize("shape", [(1, 64), (5, 64), (5, 6, 64)])
@pytest.mark.parametrize("found", [1, 16, 48, 64])
def test_a_line_found_in_part_has_a_closed_form(shape, found):
    truth = np.zeros(shape, bool)
    truth.reshape(-1, 64)[-1] = True
    prediction = truth & (np.arange(64) < found)
    assert cldice(prediction, truth) == pytest.approx(2 * found / (64 + found))


@pytest.mark.parametrize("slicewise", [True, False])
def test_invariances(slicewise):
    truth, prediction = blobs(5, (12, 30, 30)), blobs(6, (12, 30, 30))
    score = cldice(prediction, truth, slicewise=slicewise)
    assert 0 < score < 1
    assert cldice(truth, truth, slicewise=slicewise) == 1
    assert cldice(truth, prediction, slicewise=slicewise) == pytest.approx(score)
    moved = [np.pad(m, ((2, 4), (6, 2), (4, 0))) for m in (prediction, truth)]
    assert cldice(*moved, slicewise=slicewise) == pytest.approx(score)


def test_dilation_hurts_dice_but_hardly_cldice():
    truth = np.zeros((80, 80), bool)
    truth[38:41, 5:75] = truth[5:75, 38:41] = True
    thick = ndimage.binary_dilation(truth)
    assert cldice(thick, truth) > 0.95
    assert 2 * truth.sum() / (truth.sum() + thick.sum()) < 0.78


def test_a_missed_thin_branch_counts_by_its_length_not_its_area():
    truth = np.zeros((40, 100), bool)
    truth[5:20, 10:90] = True
    truth[30, 10:90] = True
    prediction = truth.copy()
    prediction[30] = False
    dice = 2 * 1200 / (1200 + 1280)
    assert cldice(prediction, truth) < 0.7 < dice


def test_slices_are_pooled():
    truth = np.zeros((2, 20, 40), bool)
    truth[0, 10, :30] = truth[1, 10, :10] = True
    prediction = truth.copy()
    prediction[1] = False
    assert cldice(prediction, truth, slicewise=True) == pytest.approx(2 * 0.75 / 1.75)


@pytest.mark.parametrize("slicewise", [True, False])
def test_empty_masks(slicewise):
    empty, filled = np.zeros((3, 9, 9), bool), np.ones((3, 9, 9), bool)
    assert cldice(empty, empty, slicewise=slicewise) == 1
    assert cldice(empty, filled, slicewise=slicewise) == 0
    assert cldice(filled, empty, slicewise=slicewise) == 0


def test_disjoint_masks_score_zero():
    truth, prediction = np.zeros((2, 20, 20), bool)
    truth[3], prediction[15] = True, True
    assert cldice(prediction, truth) == 0


def test_four_dimensions_are_refused():
    mask = np.ones((2, 2, 2, 2), bool)
    with pytest.raises(VolumeError, match=r"2-D or 3-D mask, found shape \(2, 2, 2, 2"):
        cldice(mask, mask)


def test_the_two_parts_are_not_mixed_up():
    truth = np.zeros((20, 64), bool)
    truth[10] = True
    prediction = truth.copy()
    prediction[10, 48:] = False
    prediction[2, :16] = True
    pair = prediction, truth
    counts = count_centrelines(*pair, *map(skeletonize, pair))
    assert counts.topology_precision == 48 / 64
    assert counts.topology_sensitivity == 48 / 64
    half = truth & prediction
    counts = count_centrelines(half, truth, half, truth)
    assert (counts.topology_precision, counts.topology_sensitivity) == (1, 0.75)
    assert counts.cldice == pytest.approx(1.5 / 1.75)
