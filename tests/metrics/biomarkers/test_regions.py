"""Regions against the areas of circles and their quadrants."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.biomarkers.regions import (
    NAMES,
    make_regions,
    sector_outlines,
)
from napari_octa_sam2.volume.geometry import ScanGeometry

RINGS = {"fovea": (0, 0.5), "parafovea": (0.5, 1.5), "perifovea": (1.5, 3)}
NINE = ("C", "S1", "N1", "I1", "T1", "S2", "N2", "I2", "T2")


def scan(row: float, col: float) -> ScanGeometry:
    return ScanGeometry((1.0, row, col), "mm")


def regions(names, shape, geometry, centre, laterality="OD", faz=None):
    made = make_regions(
        names, shape, geometry, centre=centre, laterality=laterality, faz=faz
    )
    return {region.name: region for region in made}


def measured(region, geometry) -> float:
    return region.weights.sum(dtype=float) * math.prod(geometry.spacing[1:])


def area(name: str) -> float:
    rings = RINGS | {"C": (0, 0.5), "1": (0.5, 1.5), "2": (1.5, 3)}
    inner, outer = rings.get(name) or rings[name[1]]
    return math.pi * (outer**2 - inner**2) / (4 if name[-1] in "12" else 1)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.floats(0.015, 0.1), st.floats(0.015, 0.1)),
    st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
)
def test_areas_are_within_half_a_percent(spacing, offset):
    geometry = scan(*spacing)
    shape = tuple(math.ceil(6.2 / s) + 3 for s in spacing)
    centre = tuple(n // 2 + o for n, o in zip(shape, offset, strict=True))
    found = regions([*RINGS, "etdrs"], shape, geometry, centre)
    assert set(found) == {*RINGS, *NINE}
    for name, region in found.items():
        assert measured(region, geometry) == pytest.approx(area(name), rel=5e-3)
        assert region.coverage == pytest.approx(1, abs=5e-3)
        assert region.why_not == ""


def test_areas_of_a_usual_scan_are_within_a_tenth_of_a_percent():
    geometry = scan(6 / 400, 6 / 400)
    found = regions(["etdrs"], (420, 420), geometry, (207.3, 211.8))
    for name in NINE:
        assert measured(found[name], geometry) == pytest.approx(area(name), rel=1e-3)


def test_weights_are_fractions_and_sectors_make_up_their_ring():
    found = regions([*RINGS, "etdrs"], (130, 90), scan(0.05, 0.08), (64.2, 44.7))
    for ring, number in (("parafovea", "1"), ("perifovea", "2")):
        parts = sum(found[side + number].weights for side in "SNIT")
        np.testing.assert_allclose(parts, found[ring].weights, atol=1e-6)
    for region in found.values():
        assert region.weights.dtype == np.float32
        assert region.weights.min() >= 0
        assert region.weights.max() <= 1
        assert ((region.weights > 0) & (region.weights < 1)).any()


def test_a_region_smaller_than_a_pixel_keeps_its_area():
    geometry = scan(2, 2)
    region = regions(["fovea"], (5, 5), geometry, (2.0, 2.0))["fovea"]
    assert measured(region, geometry) == pytest.approx(math.pi / 4, rel=0.05)
    assert np.flatnonzero(region.weights) == [12]


@pytest.mark.parametrize(("laterality", "nasal"), [("OD", 1), ("OS", -1)])
def test_superior_is_up_and_nasal_is_towards_the_disc(laterality, nasal):
    found = regions(["etdrs"], (301, 301), scan(0.02, 0.02), (150, 150), laterality)
    towards = {"S": (-1, 0), "I": (1, 0), "N": (0, nasal), "T": (0, -nasal)}
    for side, (row, col) in towards.items():
        for ring, radius in (("1", 50), ("2", 110)):
            weights = found[side + ring].weights
            assert weights[150 + radius * row, 150 + radius * col] == 1
            assert weights[150 - radius * row, 150 - radius * col] == 0


@settings(max_examples=20, deadline=None)
@given(st.floats(60, 70), st.floats(60, 70))
def test_a_left_eye_is_the_mirror_image_of_a_right_one(row, col):
    geometry, shape = scan(0.05, 0.05), (131, 131)
    right = regions(["etdrs"], shape, geometry, (row, col), "OD")
    left = regions(["etdrs"], shape, geometry, (row, 130 - col), "OS")
    for name in NINE:
        mirrored = left[name].weights[:, ::-1]
        # A sample on the border of two pixels may fall to either side.
        np.testing.assert_allclose(mirrored, right[name].weights, atol=0.07)


def test_a_scan_that_is_cut_off_tells_how_much_is_in_it():
    geometry = scan(3 / 300, 3 / 300)
    middle, edge = (149.5, 149.5), (-0.5, 149.5)
    whole = regions(["fovea", "parafovea", "S2"], (300, 300), geometry, middle)
    assert whole["parafovea"].coverage == pytest.approx(1, abs=2e-3)
    # Of S2, a scan of 3 mm holds what is left of a triangle beside the inner circle.
    corners = (1.5**2 - math.pi * 1.5**2 / 4) / area("S2")
    assert whole["S2"].coverage == pytest.approx(corners, rel=5e-3)
    half = regions(["fovea", "S1", "I1"], (300, 300), geometry, edge)
    assert half["fovea"].coverage == pytest.approx(0.5, abs=2e-3)
    assert half["fovea"].why_not.endswith("90% of the region in the scan, found 50.0%")
    assert half["S1"].coverage == 0
    assert half["I1"].why_not == ""


def test_without_laterality_only_nasal_and_temporal_are_missing():
    found = regions(["etdrs"], (301, 301), scan(0.02, 0.02), (150, 150), "")
    for name, region in found.items():
        assert ("laterality" in region.why_not) == (name[0] in "NT")
        assert bool(region.weights.any()) == (name[0] not in "NT")


def test_pixels_have_no_millimetres():
    faz = np.zeros((40, 60), bool)
    faz[10:20, 10:20] = True
    found = regions(NAMES, (40, 60), ScanGeometry(), (20, 30), "OD", faz)
    available = {name for name, region in found.items() if not region.why_not}
    assert available == {"whole", "without faz", "superior", "inferior"}
    assert "found pixels" in found["fovea"].why_not
    assert found["whole"].weights.sum() == 2400
    assert found["without faz"].weights.sum() == 2300
    assert not found["without faz"].weights[faz].any()


def test_halves_meet_at_the_fovea():
    found = regions(["superior", "inferior"], (10, 4), ScanGeometry(), (3.25, 2))
    upper, lower = found["superior"].weights, found["inferior"].weights
    assert upper[:, 0].tolist() == [1, 1, 1, 0.75, 0, 0, 0, 0, 0, 0]
    np.testing.assert_array_equal(upper + lower, 1)


@pytest.mark.parametrize("faz", [None, np.zeros((8, 8), bool)])
def test_without_a_faz_nothing_is_without_it(faz):
    region = regions(["without faz"], (8, 8), ScanGeometry(), (4, 4), faz=faz)
    assert "found none" in region["without faz"].why_not


def test_order_is_kept_and_each_comes_once():
    made = make_regions(
        ["S1", "etdrs", "whole", "S1"],
        (9, 9),
        scan(1, 1),
        centre=(4, 4),
        laterality="OD",
    )
    names = [region.name for region in made]
    assert names[:2] == ["S1", "C"]
    assert len(names) == len(set(names)) == 10


@pytest.mark.parametrize("centre", [(-1, 5), (5, 10), (math.nan, 5)])
def test_a_centre_outside_the_scan_is_refused(centre):
    with pytest.raises(VolumeError, match="inside the scan of 10 x 10"):
        regions(["whole"], (10, 10), scan(1, 1), centre)


def test_unknown_regions_and_other_masks_are_refused():
    with pytest.raises(VolumeError, match="found macula"):
        regions(["whole", "macula"], (10, 10), scan(1, 1), (5, 5))
    for faz in (np.zeros((10, 9), bool), np.zeros((10, 10))):
        with pytest.raises(VolumeError, match=r"mask of the FAZ of shape \(10, 10\)"):
            regions(["without faz"], (10, 10), scan(1, 1), (5, 5), faz=faz)


def polygon_area(polygon: np.ndarray) -> float:
    (y, x), (y1, x1) = polygon[:-1].T, polygon[1:].T
    return abs(float((x * y1 - x1 * y).sum())) / 2


def test_outlines_enclose_the_area_and_lie_where_the_weights_are():
    geometry, centre = scan(0.02, 0.04), (160.5, 81.0)
    drawn = sector_outlines(NAMES, geometry, centre=centre, laterality="OS")
    assert set(drawn) == {*RINGS, *NINE}
    found = regions(list(drawn), (322, 163), geometry, centre, "OS")
    rows, cols = np.indices((322, 163))
    for name, polygons in drawn.items():
        areas = sorted((polygon_area(p) * 0.02 * 0.04 for p in polygons), reverse=True)
        enclosed = areas[0] - sum(areas[1:])
        assert enclosed == pytest.approx(area(name), rel=2e-3)
        np.testing.assert_allclose(polygons[0][0], polygons[0][-1], atol=1e-9)
        weights, extent = found[name].weights, polygons[0]
        inside = weights > 0.5
        assert extent[:, 0].min() - 1 <= rows[inside].min()
        assert rows[inside].max() <= extent[:, 0].max() + 1
        assert extent[:, 1].min() - 1 <= cols[inside].min()
        assert cols[inside].max() <= extent[:, 1].max() + 1


def test_what_has_no_place_has_no_outline():
    assert not sector_outlines(NAMES, ScanGeometry(), centre=(5, 5), laterality="OD")
    drawn = sector_outlines(["etdrs"], scan(1, 1), centre=(5, 5), laterality="")
    assert set(drawn) == {"C", "S1", "I1", "S2", "I2"}
