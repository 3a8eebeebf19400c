from __future__ import annotations

import numpy as np
import pytest

from napari_octa_sam2.protocol.frangi import best_dice, dice_at_best, vesselness


def test_the_best_threshold_is_that_of_a_search():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, (20, 20)) / 5  # many equal values
    truth = rng.random((20, 20)) < 0.2 + 0.5 * values
    masks = [values >= threshold for threshold in np.unique(values)]
    dice = [2 * (mask & truth).sum() / (mask.sum() + truth.sum()) for mask in masks]
    assert dice_at_best(values, truth) == pytest.approx(max(dice))
    assert dice_at_best(truth.astype(float), truth) == 1


def test_every_run_of_scales_is_tried():
    from skimage.filters import frangi

    image = np.random.default_rng(1).random((32, 32)) * 255
    found = list(vesselness(image, (1.0, 2.0, 3.0)))
    one, two, three = (
        frangi(image / image.max(), sigmas=[sigma], black_ridges=False)
        for sigma in (1.0, 2.0, 3.0)
    )
    runs = ([one], [one, two], [one, two, three], [two], [two, three], [three])
    for values, scales in zip(found, runs, strict=True):
        np.testing.assert_allclose(values, np.max(scales, 0))


def test_a_bright_line_is_found_and_a_dark_one_is_not():
    line = np.zeros((64, 64), bool)
    line[30:35] = True
    noise = np.random.default_rng(2).integers(0, 60, line.shape)
    assert best_dice(line * 150 + noise, line) > 0.9
    assert best_dice(~line * 150 + noise, line) < 0.4
    assert best_dice(np.zeros((64, 64), np.uint8), line) == pytest.approx(
        2 * line.sum() / (line.sum() + line.size)
    )  # an empty image: everything or nothing
