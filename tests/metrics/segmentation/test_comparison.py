"""All figures of two masks at once, beside the functions of each."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.definitions.segmentation import SEGMENTATION
from napari_octa_sam2.metrics.segmentation import comparison, overlap, surface
from napari_octa_sam2.metrics.segmentation.betti import betti_numbers
from napari_octa_sam2.metrics.segmentation.cal import connectivity_area_length
from napari_octa_sam2.metrics.segmentation.comparison import Comparison
from napari_octa_sam2.metrics.segmentation.topology import cldice

SPACING = (0.5, 0.01, 0.02)


@pytest.fixture
def pair():
    rng = np.random.default_rng(4)
    noise = ndimage.gaussian_filter(rng.standard_normal((2, 8, 30, 30)), (0, 1, 2, 2))
    truth = noise[0] > 0.05
    truth[0] = truth[-1] = False
    return truth & (noise[1] > -0.05), truth


@pytest.mark.parametrize("slicewise", [True, False])
def test_figures_are_those_of_the_functions(pair, slicewise):
    found = Comparison(*pair, SPACING, "mm", 0.03, slicewise=slicewise).figures()
    assert {k: f.value for k, f in found.items() if k in overlap.__dict__} == {
        k: getattr(overlap, k)(*pair)
        for k in ("dice", "iou", "precision", "recall", "specificity")
    }
    assert found["cldice"].value == cldice(*pair, slicewise=slicewise)
    assert found["hd"].value == surface.hausdorff(*pair, SPACING)
    assert found["hd95"].value == surface.hausdorff95(*pair, SPACING)
    assert found["assd"].value == surface.assd(*pair, SPACING)
    assert found["nsd"].value == surface.nsd(*pair, SPACING, 0.03)
    predicted, real = map(betti_numbers, pair)
    for k in range(3):
        told = [found[f"betti{k}{end}"].value for end in ("", "_reference", "_error")]
        assert told == [predicted[k], real[k], abs(predicted[k] - real[k])]
    euler = [b[0] - b[1] + b[2] for b in (predicted, real)]
    assert found["euler_error"].value == abs(euler[0] - euler[1])
    assert found["volume_prediction"].value == pytest.approx(pair[0].sum() * 1e-4)
    assert found["volume_reference"].value == pytest.approx(pair[1].sum() * 1e-4)
    units = {k: f.unit for k, f in found.items() if f.unit}
    assert units == dict.fromkeys(("hd", "hd95", "assd"), "mm") | dict.fromkeys(
        ("volume_prediction", "volume_reference"), "mm^3"
    )
    assert list(found) == [key for key in SEGMENTATION if key in found]


@pytest.mark.parametrize("slicewise", [True, False])
def test_planes_are_compared_like_images(pair, slicewise):
    found = dict(Comparison(*pair, SPACING, "mm", slicewise=slicewise).planes())
    assert sorted(found) == list(range(1, 7))
    for index, plane in found.items():
        images = pair[0][index], pair[1][index]
        figures = Comparison(*images, SPACING[1:], "mm").figures()
        assert plane.figures() == figures
        assert figures["cal"].value == connectivity_area_length(*images).cal
        assert "betti2" not in figures


def test_what_lies_beside_the_masks_is_true_background(pair):
    whole = np.zeros((2, 20, 40, 50), bool)
    whole[:, 4:12, 5:35, 7:37] = pair
    cut = Comparison(*pair, SPACING, "mm", grid=whole.shape[1:])
    assert cut.figures() == Comparison(*whole, SPACING, "mm").figures()
    planes = dict(cut.planes())
    assert planes[3].figures() == Comparison(*whole[:, 7], SPACING[1:], "mm").figures()


def test_what_figures_share_is_computed_once(pair, monkeypatch):
    calls = []

    def counted(name):
        original = getattr(comparison, name)

        def call(*given, **options):
            calls.append(name)
            return original(*given, **options)

        monkeypatch.setattr(comparison, name, call)

    for name in ("surface_distances", "skeletonize", "betti_numbers"):
        counted(name)
    both = Comparison(*pair, SPACING, slicewise=True)
    assert both.figures() == both.figures()
    assert sorted(calls) == sorted(
        ["surface_distances", *2 * ["skeletonize"], *2 * ["betti_numbers"]]
    )
    calls.clear()
    assert all(plane.figures() for _, plane in both.planes())
    assert "skeletonize" not in calls


def test_empty_masks_have_no_distance_but_all_else():
    empty, filled = np.zeros((3, 9, 9), bool), np.ones((3, 9, 9), bool)
    for pair, names in (
        ((empty, filled), "prediction"),
        ((filled, empty), "truth"),
        ((empty, empty), "prediction and truth"),
    ):
        found = Comparison(*pair, SPACING, "mm").figures()
        missing = {key: f for key, f in found.items() if not f.available}
        assert set(missing) == {"hd", "hd95", "assd"}
        assert all(f.why_not.endswith(f"none in {names}") for f in missing.values())
        value = float(names == "prediction and truth")
        assert found["dice"].value == found["nsd"].value == found["cldice"].value
        assert found["dice"].value == value


def test_the_default_tolerance_is_a_pixel_of_the_plane(pair):
    assert Comparison(*pair, (0.5, 0.01, 0.02)).tolerance == 0.02
    with pytest.raises(VolumeError, match="tolerance of 0 or more"):
        Comparison(*pair, SPACING, tolerance=-1)
