"""Figures in the plane of maps whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.biomarkers.density import vessel_figures
from napari_octa_sam2.metrics.biomarkers.network import vessel_network
from napari_octa_sam2.metrics.definitions.vessels import VESSELS

PIXEL = 0.015


def measured(mask, weights=None, size=PIXEL, unit="mm"):
    network = vessel_network(mask, (size, size))
    return vessel_figures(
        mask, network, weights=weights, spacing=(size, size), unit=unit
    )


def lattice(width: int = 3, period: int = 20, n: int = 10) -> np.ndarray:
    mask = np.zeros((n * period, n * period), bool)
    for at in range(n):
        start = at * period + period // 2
        mask[start : start + width] = mask[:, start : start + width] = True
    return mask


def test_a_lattice():
    mask = lattice()
    figures = measured(mask)
    area, length = (200 * PIXEL) ** 2, 20 * 200 * PIXEL
    covered = 1 - (17 / 20) ** 2
    assert figures["area"].value == pytest.approx(area)
    assert figures["vad"].value == pytest.approx(covered)
    assert figures["length"].value == pytest.approx(length, rel=0.03)
    assert figures["vld"].value == pytest.approx(length / area, rel=0.03)
    assert figures["vdi"].value == pytest.approx(
        1000 * covered * area / length, rel=0.03
    )
    assert figures["junction_density"].value == pytest.approx(100 / area)
    assert figures["junctions_per_length"].value == pytest.approx(
        100 / length, rel=0.03
    )
    assert figures["diameter_median"].value == pytest.approx(3000 * PIXEL, rel=0.02)
    assert figures["tortuosity"].value == pytest.approx(1, abs=0.005)
    assert figures["curvature"].value < 1


def test_units():
    figures = measured(lattice())
    told = {key: figure.unit for key, figure in figures.items()}
    assert told["vld"] == told["vpi"] == told["curvature"] == "mm^-1"
    assert told["vdi"] == told["diameter_mean"] == told["diameter_sd"] == "um"
    assert told["junction_density"] == "mm^-2"
    assert told["vad"] == told["lacunarity"] == ""
    in_pixels = measured(lattice(), size=1, unit="pixel")
    assert in_pixels["vdi"].unit == "pixel"
    assert in_pixels["vld"].unit == "pixel^-1"
    assert in_pixels["vdi"].value == pytest.approx(
        figures["vdi"].value / 1000 / PIXEL, rel=1e-6
    )
    assert set(figures) == set(VESSELS) - {"coverage", "avr"}


def test_half_a_plane_has_half_the_length():
    mask = lattice()
    whole, half = measured(mask), np.zeros(mask.shape)
    half[:, :100] = 1
    left, right = measured(mask, half), measured(mask, 1 - half)
    for key in ("area", "length"):
        assert left[key].value == pytest.approx(whole[key].value / 2, rel=0.01)
        assert left[key].value + right[key].value == pytest.approx(whole[key].value)
    for key in ("vad", "vld", "vdi", "junction_density", "diameter_mean"):
        assert left[key].value == pytest.approx(whole[key].value, rel=0.03)
    assert left["vpi"].value == pytest.approx(whole["vpi"].value, rel=0.03)


def test_a_weight_of_everything_changes_nothing():
    mask = lattice()
    whole, weighted = measured(mask), measured(mask, np.ones(mask.shape))
    for key, figure in whole.items():
        assert weighted[key].value == pytest.approx(figure.value), key


def test_parts_of_pixels_count_in_part():
    mask = lattice()
    faint = measured(mask, np.full(mask.shape, 0.5))
    whole = measured(mask)
    for key in ("area", "length"):
        assert faint[key].value == pytest.approx(whole[key].value / 2)
    for key in ("vad", "vld", "vdi", "vpi", "junction_density", "diameter_sd"):
        assert faint[key].value == pytest.approx(whole[key].value)


@pytest.mark.parametrize("radius", [20, 40])
def test_perimeter_and_complexity_of_a_disc(radius):
    row, col = np.indices((110, 110)) - 54.7
    figures = measured(np.hypot(row, col) <= radius)
    perimeter = figures["vpi"].value * figures["area"].value
    assert perimeter == pytest.approx(2 * np.pi * radius * PIXEL, rel=0.01)
    assert figures["vci"].value == pytest.approx(1, rel=0.02)


def test_a_semicircle_is_half_pi_times_its_chord():
    row, col = np.indices((120, 120)) - 59.6
    ring = np.abs(np.hypot(row, col) - 40) <= 2
    figures = measured(ring & (row <= 0))
    assert figures["tortuosity"].value == pytest.approx(np.pi / 2, rel=0.03)
    assert figures["curvature"].value == pytest.approx(1 / (40 * PIXEL), rel=0.05)
    loop = measured(ring)
    assert "no loop" in loop["tortuosity"].why_not
    assert loop["curvature"].value == pytest.approx(1 / (40 * PIXEL), rel=0.05)


def test_diameters_are_means_by_length():
    mask = np.zeros((80, 200), bool)
    mask[10:14] = True
    mask[40:48, :100] = True
    figures = measured(mask)
    mean = (200 * 4 + 100 * 8) / 300 * 1000 * PIXEL
    assert figures["diameter_mean"].value == pytest.approx(mean, rel=0.03)
    assert figures["diameter_median"].value == pytest.approx(4000 * PIXEL, rel=0.02)
    spread = np.sqrt(2 / 9) * 4000 * PIXEL
    assert figures["diameter_sd"].value == pytest.approx(spread, rel=0.08)


def test_an_empty_mask():
    figures = measured(np.zeros((100, 100), bool))
    zero = {"vad", "vld", "vpi", "length", "junction_density"}
    for key in zero:
        assert figures[key].value == 0
    for key in set(figures) - zero - {"area"}:
        assert not figures[key].available
        assert "found none" in figures[key].why_not


def test_a_region_that_is_not_there():
    mask = lattice()
    for figure in measured(mask, np.zeros(mask.shape)).values():
        assert figure.why_not == "the region has no pixel in the scan"


def test_a_region_smaller_than_the_boxes():
    mask, small = lattice(), np.zeros((200, 200))
    small[50:58, 50:58] = 1
    figures = measured(mask, small)
    assert "box of 32 pixels" in figures["fractal_dimension"].why_not
    assert "box of 0.15 mm" in figures["lacunarity"].why_not
    assert figures["vad"].available


def test_what_does_not_belong_together_is_refused():
    mask = lattice()
    network = vessel_network(mask, (PIXEL, PIXEL))
    one = {"spacing": (PIXEL, PIXEL), "unit": "mm"}
    with pytest.raises(VolumeError, match="of one shape"):
        vessel_figures(mask[1:], network, **one)
    with pytest.raises(VolumeError, match="of one shape"):
        vessel_figures(mask, network, weights=np.ones((3, 3)), **one)
    with pytest.raises(VolumeError, match=r"network of spacing \(1, 1\)"):
        vessel_figures(mask, network, spacing=(1, 1), unit="pixel")


def test_every_definition_is_complete():
    for key, definition in VESSELS.items():
        assert key == definition.key
        for text in (definition.title, definition.formula, definition.source):
            assert len(text) > 3
        assert definition.bias
