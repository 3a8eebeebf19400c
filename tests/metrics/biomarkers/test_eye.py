"""Bennett's correction of magnification, and what it refuses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.biomarkers.eye import Eye, magnified
from napari_octa_sam2.volume.geometry import ScanGeometry

SCAN = ScanGeometry((0.003, 0.01, 0.02), "mm")
DEVICES = {"Zeiss Cirrus 6000": 24.46, "optovue": 23.82, "Topcon Triton": 24.39}


@pytest.mark.parametrize(("device", "reference"), DEVICES.items())
def test_an_eye_of_the_reference_length_stays_as_it_is(device, reference):
    geometry, magnification = magnified(SCAN, Eye("OD", reference, device))
    assert geometry == SCAN
    assert magnification.factor == 1
    assert magnification.reference_length == reference
    assert not magnification.why_not


def test_a_long_eye_is_scaled_en_face_and_not_in_depth():
    geometry, magnification = magnified(SCAN, Eye(axial_length=26.82, device="Cirrus"))
    factor = 25.0 / 22.64
    assert magnification.factor == pytest.approx(factor)
    assert geometry.spacing == pytest.approx((0.003, 0.01 * factor, 0.02 * factor))
    assert geometry.unit == "mm"
    assert "1.1042" in magnification.sentence()
    assert "24.46 mm (Cirrus)" in magnification.sentence()


def test_the_area_of_an_optovue_scan_follows_the_published_constant():
    # Sampson et al., Invest Ophthalmol Vis Sci 2017;58:3065
    _, magnification = magnified(SCAN, Eye(axial_length=25.5, device="Optovue"))
    published = 0.002066 * (25.5 - 1.82) ** 2
    assert magnification.factor**2 == pytest.approx(published, rel=1e-4)


def test_a_reference_length_that_is_given_goes_before_that_of_the_device():
    eye = Eye(axial_length=24.0, device="Cirrus", reference_length=24.0)
    geometry, magnification = magnified(SCAN, eye)
    assert geometry == SCAN
    assert magnification.source == "given"


@given(st.floats(18, 36), st.floats(18, 36))
def test_the_way_back_undoes_the_correction(length, reference):
    there, _ = magnified(SCAN, Eye(axial_length=length, reference_length=reference))
    back, _ = magnified(there, Eye(axial_length=reference, reference_length=length))
    assert back.spacing == pytest.approx(SCAN.spacing)


def test_without_an_axial_length_it_says_uncorrected():
    geometry, magnification = magnified(SCAN, Eye("OS", device="Spectralis"))
    assert geometry == SCAN
    written = json.loads(json.dumps(magnification.to_json()))
    assert written["state"] == "uncorrected"
    assert written["factor"] == 1
    assert "axial length is not known" in magnification.sentence()


def test_pixels_cannot_be_corrected_and_it_says_so():
    geometry, magnification = magnified(ScanGeometry(), Eye("", 26.0, "Cirrus"))
    assert geometry == ScanGeometry()
    assert magnification.to_json()["state"] == "uncorrected"
    assert "spacing is not known" in magnification.why_not


def test_settings_tell_a_correction():
    _, magnification = magnified(SCAN, Eye(axial_length=26.0, device="Topcon"))
    told = json.loads(json.dumps(magnification.to_json()))
    assert told["state"] == "corrected"
    assert (told["axial_length"], told["reference_length"]) == (26.0, 24.39)


@pytest.mark.parametrize("device", ["Heidelberg", "SPECTRALIS OCT2"])
def test_a_scanner_that_corrects_itself_is_not_corrected_twice(device):
    with pytest.raises(VolumeError, match="by itself; leave the axial length out"):
        magnified(SCAN, Eye(axial_length=26.0, device=device, reference_length=24.0))


@pytest.mark.parametrize(
    ("device", "found"), [(None, "found neither"), ("Nidek", "found device 'Nidek'")]
)
def test_an_axial_length_alone_is_refused(device, found):
    with pytest.raises(VolumeError, match=found):
        magnified(SCAN, Eye(axial_length=26.0, device=device))


@pytest.mark.parametrize("length", [0.0, 2.4, 17.9, 36.1, 24000, float("nan")])
def test_implausible_lengths_are_refused(length):
    with pytest.raises(VolumeError, match="axial length from 18 to 36 mm"):
        Eye(axial_length=length)
    with pytest.raises(VolumeError, match="reference length from 18 to 36 mm"):
        Eye(reference_length=length)


def test_an_unknown_laterality_is_refused():
    with pytest.raises(VolumeError, match="found 'left'"):
        Eye(laterality="left")
