"""The FAZ against discs and ellipses, whose figures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ellipe

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.biomarkers.faz import faz_figures, faz_notes, faz_shape
from napari_octa_sam2.metrics.definitions.faz import FAZ
from napari_octa_sam2.volume.geometry import ScanGeometry

PIXELS = ScanGeometry()
SHAPES = ("circularity", "acircularity", "axis_ratio", "solidity")
offsets = st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))


def scan(row: float, col: float) -> ScanGeometry:
    return ScanGeometry((1.0, row, col), "mm")


def ellipse(major, minor, angle=0.0, centre=(0.0, 0.0), size=(1.0, 1.0)):
    """Mask of an ellipse of these half axes, its centre in the middle pixel."""
    rows, cols = (math.ceil(major / s) + 4 for s in size)
    y, x = np.mgrid[-rows : rows + 1, -cols : cols + 1]
    y, x = (y - centre[0]) * size[0], (x - centre[1]) * size[1]
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    return (along / major) ** 2 + (across / minor) ** 2 <= 1


def values(mask, geometry=PIXELS):
    figures = faz_figures(mask, geometry=geometry)
    return {key.removeprefix("faz_"): f.value for key, f in figures.items()}


def misses(radius, centre):
    """How far the figures of a disc are off, as shares of the truth."""
    found = values(ellipse(radius, radius, centre=centre))
    truth = {
        "area": math.pi * radius**2,
        "perimeter": 2 * math.pi * radius,
        "diameter": 2 * radius,
        **dict.fromkeys(("circularity", "acircularity", "axis_ratio"), 1),
    }
    off = {key: abs(found[key] / value - 1) for key, value in truth.items()}
    feret = max(abs(found[key] - 2 * radius) for key in ("feret_max", "feret_min"))
    return off | {"feret": feret, "solidity": 1 - found["solidity"]}


ROUND = {
    "area": 0.015,
    "perimeter": 0.0075,
    "circularity": 0.015,
    "acircularity": 0.0075,
    "axis_ratio": 0.02,
    "diameter": 0.0075,
    "feret": 1.01,  # pixels
    "solidity": 0.035,
}


def test_discs_are_round():
    # One in 650 has a radius and a place at which single pixels stick out all around.
    rng = np.random.default_rng(0)
    discs = [(rng.uniform(15, 100), rng.uniform(-0.5, 0.5, 2)) for _ in range(1000)]
    found = [misses(*disc) for disc in discs]
    kept = [all(off[key] <= most for key, most in ROUND.items()) for off in found]
    assert np.mean(kept) >= 0.995
    for key, most in (("circularity", 0.015), ("perimeter", 0.0125), ("area", 0.02)):
        assert max(off[key] for off in found) <= most


def test_single_pixels_that_stick_out_cost_under_three_percent():
    for radius in range(15, 101):
        assert values(ellipse(radius, radius))["circularity"] > 0.97


@settings(max_examples=40, deadline=None)
@given(st.floats(25, 90), st.floats(1.1, 1.6), st.floats(0, math.pi), offsets)
def test_an_ellipse_has_its_axes(major, ratio, angle, centre):
    minor = major / ratio
    found = values(ellipse(major, minor, angle, centre))
    assert found["axis_ratio"] == pytest.approx(ratio, rel=0.015)
    assert found["major"] == pytest.approx(2 * major, rel=0.01)
    assert found["minor"] == pytest.approx(2 * minor, rel=0.015)
    assert found["feret_max"] == pytest.approx(2 * major, abs=1)
    assert found["feret_min"] == pytest.approx(2 * minor, abs=1)
    length = 4 * major * ellipe(1 - 1 / ratio**2)
    assert found["perimeter"] == pytest.approx(length, rel=0.0125)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.3, 1.0), offsets)
def test_pixels_need_not_be_square(radius, centre):
    size = (0.01, 0.02)
    geometry, mask = scan(*size), ellipse(radius, radius, 0, centre, size)
    found = values(mask, geometry)
    assert found["area"] == pytest.approx(math.pi * radius**2, rel=0.015)
    assert found["perimeter"] == pytest.approx(2 * math.pi * radius, rel=0.0125)
    assert found["axis_ratio"] == pytest.approx(1, abs=0.02)
    assert found["feret_max"] == pytest.approx(2 * radius, abs=0.0201)
    assert found["feret_min"] == pytest.approx(2 * radius, abs=0.0201)


def test_a_rectangle_has_its_feret_diameters_and_solidity():
    mask = np.zeros((40, 60), bool)
    mask[10:22, 5:45] = True
    found = values(mask)
    assert found["area"] == 480
    assert found["solidity"] == 1
    assert found["feret_min"] == 12
    assert found["feret_max"] == pytest.approx(math.hypot(40, 11))
    # The variance of a uniform side of length a is a²/12, pixels taken as areas.
    assert found["major"] == pytest.approx(4 * 40 / math.sqrt(12))
    assert found["minor"] == pytest.approx(4 * 12 / math.sqrt(12))


def test_half_of_a_disc_is_not_convex_where_it_is_cut_out():
    disc = ellipse(40, 40)
    rows, cols = np.indices(disc.shape)
    quarter = (rows >= disc.shape[0] // 2) & (cols >= disc.shape[1] // 2)
    found = values(disc & ~quarter)
    # Three quarters of a disc, whose hull closes the quarter with a triangle.
    assert found["solidity"] == pytest.approx(
        3 * math.pi / 4 / (3 * math.pi / 4 + 1 / 2), rel=0.02
    )


blobs = st.integers(0, 10_000).map(
    lambda seed: np.random.default_rng(seed).random((2, 5, 6)) > 0.4
)


@settings(max_examples=30, deadline=None)
@given(blobs, st.floats(0.5, 2), st.floats(0.5, 2))
def test_figures_do_not_depend_on_how_the_scan_lies(blob, row, col):
    mask = np.kron(blob[0], np.ones((3, 3))).astype(bool)
    mask[4:12, 4:12] = True  # one part is the largest, however it lies
    found = values(mask, scan(row, col))
    for other, size in (
        (mask[::-1], (row, col)),
        (mask[:, ::-1], (row, col)),
        (mask.T, (col, row)),
    ):
        assert values(other, scan(*size)) == pytest.approx(found, nan_ok=True)


def test_lengths_and_areas_scale_with_the_spacing():
    mask = ellipse(30, 20, 0.4)
    once, twice = values(mask, scan(0.01, 0.01)), values(mask, scan(0.02, 0.02))
    for key, definition in FAZ.items():
        name = key.removeprefix("faz_")
        if name != "fd300":
            assert twice[name] == pytest.approx(once[name] * 2**definition.length)


def test_units_are_those_of_the_geometry():
    mask = ellipse(30, 20)
    units = {k: f.unit for k, f in faz_figures(mask, geometry=scan(1, 1)).items()}
    assert list(units) == list(FAZ)
    assert (units["faz_area"], units["faz_perimeter"]) == ("mm^2", "mm")
    assert {units[f"faz_{shape}"] for shape in SHAPES} == {""}
    assert faz_figures(mask, geometry=PIXELS)["faz_area"].unit == "pixel^2"


def test_the_largest_of_several_parts_is_measured_and_told():
    mask = np.zeros((60, 60), bool)
    mask[10:40, 10:40] = True
    alone = values(mask)
    mask[50:55, 40:60] = True
    assert values(mask) == pytest.approx(alone, nan_ok=True)
    (note,) = faz_notes(mask)
    assert "2 parts; the largest, with 90% of its pixels" in note


def test_a_cut_off_faz_and_holes_are_told():
    mask = np.zeros((30, 30), bool)
    mask[0:20, 10:25] = True
    (note,) = faz_notes(mask)
    assert "touches the border" in note
    mask = np.zeros((30, 30), bool)
    mask[5:20, 5:20] = True
    assert faz_notes(mask) == ()
    mask[10:12, 10:12] = False
    (note,) = faz_notes(mask)
    assert "holes of 4 pixels" in note


def test_an_empty_mask_measures_nothing():
    mask = np.zeros((20, 20), bool)
    figures = faz_figures(mask, geometry=PIXELS, vessels=~mask)
    assert set(figures) == set(FAZ)
    assert not any(figure.available for figure in figures.values())
    assert {f.why_not for f in figures.values()} == {
        "expected a FAZ among the labels, found none"
    }
    assert faz_shape(mask, PIXELS) is None
    assert faz_notes(mask) == ()


def test_a_single_pixel_can_be_measured():
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    found = values(mask)
    assert found["area"] == found["axis_ratio"] == found["solidity"] == 1
    assert found["feret_max"] == 1


@pytest.mark.parametrize("size", [(0.01, 0.01), (0.01, 0.02)])
def test_fd300_is_the_share_of_vessels_in_the_ring(size):
    radius, middle = 0.35, 0.5
    wide = [ellipse(r, r, 0, (0, 0), size) for r in (radius, middle, 0.8)]
    shape = wide[-1].shape

    def placed(mask):
        edges = [
            (big - small) // 2 for big, small in zip(shape, mask.shape, strict=True)
        ]
        return np.pad(mask, [(e, e) for e in edges])

    faz, vessels = placed(wide[0]), placed(wide[1])
    found = faz_figures(faz, geometry=scan(*size), vessels=vessels)["fd300"]
    ring = (radius + 0.3) ** 2 - radius**2
    assert found.value == pytest.approx((middle**2 - radius**2) / ring, rel=0.03)
    assert found.unit == ""
    half = np.zeros(shape, bool)
    half[:, : shape[1] // 2] = True
    found = faz_figures(faz, geometry=scan(*size), vessels=half)["fd300"]
    assert found.value == pytest.approx(0.5, abs=0.02)


def test_fd300_says_why_it_is_not_there():
    mask = ellipse(20, 20)
    why = [
        faz_figures(mask, geometry=geometry, vessels=vessels)["fd300"].why_not
        for geometry, vessels in (
            (scan(0.01, 0.01), None),
            (PIXELS, mask),
            (scan(0.01, 0.01), mask),
        )
    ]
    assert "labels of all vessels" in why[0]
    assert "found pixels" in why[1]
    assert why[2] == "expected 0.3 mm of scan on all sides of the FAZ, found 0.040 mm"


def test_masks_that_are_none_are_refused():
    mask = np.ones((5, 5), bool)
    for bad in (np.ones((5, 5), np.uint8), np.ones((2, 5, 5), bool)):
        for call in (faz_shape, lambda m, g: faz_figures(m, geometry=g)):
            with pytest.raises(VolumeError, match="boolean mask of the FAZ"):
                call(bad, PIXELS)
    with pytest.raises(VolumeError, match=r"the vessels of shape \(5, 5\)"):
        faz_figures(mask, geometry=PIXELS, vessels=np.ones((5, 6), bool))


@pytest.mark.parametrize("size", [(1.0, 1.0), (1.0, 2.0)])
def test_what_is_drawn_fits_the_mask(size):
    major, minor, angle = 50.0, 30.0, 0.6
    mask = ellipse(major, minor, angle, (0.2, -0.3), size)
    shape = faz_shape(mask, scan(*size))
    assert shape is not None
    middle = np.array(mask.shape) // 2 + [0.2, -0.3]
    np.testing.assert_allclose(shape.centroid, middle, atol=0.05)
    for polygon in (shape.outline, shape.ellipse()):
        np.testing.assert_allclose(polygon[0], polygon[-1], atol=1e-9)
        y, x = ((polygon - middle) * size).T
        along = x * math.cos(angle) + y * math.sin(angle)
        across = y * math.cos(angle) - x * math.sin(angle)
        distance = np.hypot(along / major, across / minor)
        np.testing.assert_allclose(distance, 1, atol=0.05)
    figures = values(mask, scan(*size))
    for ends, name in ((shape.feret_max, "feret_max"), (shape.feret_min, "feret_min")):
        length = np.hypot(*((ends[1] - ends[0]) * size))
        assert length == pytest.approx(figures[name])


def test_the_angle_of_the_ellipse_runs_from_columns_to_rows():
    shape = faz_shape(ellipse(40, 20, 0.5), PIXELS)
    assert shape is not None
    assert shape.angle == pytest.approx(0.5, abs=0.01)
    assert shape.axes == pytest.approx((80, 40), rel=0.01)
