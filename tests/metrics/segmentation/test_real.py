"""Figures of real vessels, against other people's implementations."""

from __future__ import annotations

import numpy as np
import pytest

from napari_octa_sam2.metrics.segmentation.evaluation import evaluate
from napari_octa_sam2.volume.readers import read_volume

MAPS = "sam-octa-extend/datasets/OCTA-500/OCTA_*/ProjectionMaps/OCTA(ILM_OPL)/*.bmp"


def oracles(prediction, truth, size, monai_metrics):
    import torch
    from gudhi import CubicalComplex
    from skimage.morphology import skeletonize

    given = [torch.from_numpy(m[None, None]) for m in (prediction, truth)]
    spaced = {"include_background": True, "spacing": list(size)}
    lines = skeletonize(prediction), skeletonize(truth)
    precision = truth[lines[0]].mean()
    sensitivity = prediction[lines[1]].mean()

    def betti(mask):
        values = np.pad(~mask, 1, constant_values=True).astype(float)
        cells = CubicalComplex(top_dimensional_cells=values)
        cells.compute_persistence()
        return cells.persistent_betti_numbers(0.5, 0.5)[:2]

    errors = np.abs(np.subtract(betti(prediction), betti(truth)))
    return {
        "hd95": monai_metrics.compute_hausdorff_distance(
            *given, percentile=95, **spaced
        ).item(),
        "nsd": monai_metrics.compute_surface_dice(*given, [max(size)], **spaced).item(),
        "cldice": 2 * precision * sensitivity / (precision + sensitivity),
        "betti0_error": errors[0],
        "betti1_error": errors[1],
    }


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_vessels_of_six_eyes_are_scored_as_by_monai_and_gudhi(realdata, monai_metrics):
    maps = sorted(realdata.glob(MAPS))
    if len(maps) < 6:
        pytest.skip("the maps of six subjects are not among the real samples")
    for path in maps:
        volume = read_volume(path)
        truth = volume.labels["RV"].data > 0
        prediction = volume.labels["artery"].data > 0
        prediction |= np.roll(volume.labels["vein"].data > 0, 1, axis=2)
        found = evaluate(prediction, truth, geometry=volume.geometry).only("all")
        size = volume.geometry.spacing[1:]
        told = oracles(prediction[0], truth[0], size, monai_metrics)
        for key, expected in told.items():
            assert found[key] == pytest.approx(expected, rel=1e-5), (path.name, key)
