"""What the bundled model must be able to do, on phantoms that it was not trained on."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import pytest

from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.metrics.overlap import dice
from napari_octa_sam2.model.loading import load_model
from napari_octa_sam2.protocol.clicks import annotate
from napari_octa_sam2.volume.phantom import make_enface

FIELDS = ((304, 3.0), (400, 6.0))


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def phantoms():
    return [
        make_enface(seed, size, field, faz_diameter_mm=0.5, quality=0.8)
        for seed, (size, field) in enumerate(FIELDS * 2)
    ]


def after(model, image, truth, *, whole=None, clicks=0):
    """Return the mask after a class prompt or clicks."""
    session = Session(image[None], model, device="cpu")
    return annotate(session, truth, whole=whole, limit=clicks).mask


@pytest.mark.parametrize(
    ("name", "least"), [("RV", 0.78), ("FAZ", 0.82), ("vessel", 0.65)]
)
def test_whole_classes_are_found(model, phantoms, name, least):
    found = [
        dice(after(model, image, masks[name], whole=name), masks[name])
        for image, masks, _ in phantoms
    ]
    assert fmean(found) > least


def test_one_click_finds_the_faz(model, phantoms):
    found = [
        dice(after(model, image, masks["FAZ"], clicks=1), masks["FAZ"])
        for image, masks, _ in phantoms
    ]
    assert fmean(found) > 0.9


def test_the_refinement_head_is_worth_its_time(model, phantoms):
    plain = replace(model, refinement=None)
    gains = [
        dice(after(model, image, masks["RV"], whole="RV"), masks["RV"])
        - dice(after(plain, image, masks["RV"], whole="RV"), masks["RV"])
        for image, masks, _ in phantoms
    ]
    assert min(gains) > 0.02
    assert fmean(gains) > 0.1


def test_clicks_on_one_vessel_do_not_bring_the_others(model, phantoms):
    found, all_vessels = [], []
    for image, masks, instances in phantoms:
        mask = after(model, image, instances == 1, clicks=3)
        found.append(dice(mask, instances == 1))
        all_vessels.append(dice(masks["RV"], instances == 1))
        assert (mask & (instances != 1) & masks["RV"]).sum() < 0.5 * mask.sum()
    assert fmean(found) > fmean(all_vessels) + 0.05
