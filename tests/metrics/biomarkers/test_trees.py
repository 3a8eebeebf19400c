"""Figures in the volume of shapes whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.biomarkers.network import vessel_network
from napari_octa_sam2.metrics.biomarkers.trees import (
    volume_figures,
)
from napari_octa_sam2.metrics.definitions.volumes import VOLUMES
from napari_octa_sam2.volume.geometry import ScanGeometry

SCAN = ScanGeometry((0.003, 0.015, 0.015), "mm")
CUBE = ScanGeometry((0.01, 0.01, 0.01), "mm")


def measured(mask, geometry, voxels=None):
    network = vessel_network(mask, geometry.spacing)
    return volume_figures(mask, network, geometry=geometry, voxels=voxels)


def cage(n: int, period: int, width: int) -> np.ndarray:
    """Bars along the edges of n x n x n cubes; they end at the outer junctions."""
    shape = (n * period + width,) * 3
    at_bar = np.arange(shape[0]) % period < width
    bars = [
        np.ix_(*(at_bar if a != axis else at_bar | True for a in range(3)))
        for axis in range(3)
    ]
    mask = np.zeros(shape, bool)
    for bar in bars:
        mask[bar] = True
    return mask


def test_a_cage():
    mask = cage(2, 26, 3)
    figures = measured(mask, CUBE)
    edges, nodes = 3 * 2 * 3**2, 3**3
    length = edges * 0.26
    volume = mask.size * 1e-6
    assert figures["length_3d"].value == pytest.approx(length, rel=0.03)
    assert figures["junctions"].value == nodes
    assert figures["loops"].value == edges - nodes + 1
    assert figures["parts"].value == 1
    assert figures["length_density_3d"].value == pytest.approx(
        length / volume, rel=0.03
    )
    assert figures["junction_density_3d"].value == pytest.approx(nodes / volume)
    assert figures["junctions_per_length_3d"].value == pytest.approx(
        nodes / length, rel=0.03
    )
    assert figures["volume"].value == pytest.approx(mask.sum() * 1e-6)
    assert figures["volume_fraction"].value == pytest.approx(mask.mean())


def test_a_straight_vessel_in_flat_voxels():
    depth, row = np.indices((40, 16)) - np.array([19.5, 7.5])[:, None, None]
    disc = np.hypot(depth * 0.003, row * 0.015) <= 0.045
    mask = np.repeat(disc[..., None], 60, axis=2)
    figures = measured(mask, SCAN)
    assert figures["length_3d"].value == pytest.approx(0.9, rel=0.03)
    diameter = 2 * np.sqrt(disc.sum() * 45 / np.pi)
    for key in ("diameter_mean_3d", "diameter_median_3d"):
        assert figures[key].value == pytest.approx(diameter, rel=0.05)
        assert figures[key].unit == "um"
    assert figures["diameter_sd_3d"].value < 0.1 * diameter
    assert figures["tortuosity_3d"].value == pytest.approx(1, abs=0.01)
    assert figures["junctions"].value == figures["loops"].value == 0


def test_fractions_of_given_voxels():
    mask = cage(1, 12, 3)
    whole, half = measured(mask, CUBE), measured(mask, CUBE, voxels=mask.size // 2)
    ratio = mask.size / (mask.size // 2)
    for key in ("volume_fraction", "length_density_3d", "junction_density_3d"):
        assert half[key].value == pytest.approx(ratio * whole[key].value)
    assert half["volume"].value == whole["volume"].value


def test_an_arc_is_longer_than_its_chord():
    depth, row, col = np.indices((9, 50, 50)) - np.array([4, 0, 0])[:, None, None, None]
    arc = np.hypot(np.hypot(row, col) - 35, depth) <= 2.5
    figures = measured(arc, ScanGeometry())
    assert figures["length_3d"].value == pytest.approx(35 * np.pi / 2, rel=0.03)
    assert figures["length_3d"].unit == "pixel"
    assert figures["tortuosity_3d"].value == pytest.approx(np.pi / np.sqrt(8), rel=0.02)


@pytest.mark.parametrize("specks", [0, 1])
def test_nothing_to_measure(specks):
    mask = np.zeros((5, 6, 7), bool)
    mask.reshape(-1)[100 : 100 + specks] = True
    figures = measured(mask, SCAN)
    assert figures["volume"].value == pytest.approx(specks * 0.003 * 0.015**2)
    assert figures["parts"].value == specks
    for key in ("length_3d", "length_density_3d", "junctions", "loops"):
        assert figures[key].value == 0
    for key in ("diameter_mean_3d", "junctions_per_length_3d", "tortuosity_3d"):
        assert "found none" in figures[key].why_not
    assert set(figures) == set(VOLUMES)


def test_what_does_not_belong_together_is_refused():
    mask = cage(1, 8, 2)
    network = vessel_network(mask, CUBE.spacing)
    with pytest.raises(VolumeError, match="of one shape"):
        volume_figures(mask[1:], network, geometry=CUBE)
    with pytest.raises(VolumeError, match=r"spacing \(0.003, 0.015, 0.015\)"):
        volume_figures(mask, network, geometry=SCAN)


def test_every_definition_is_complete():
    for key, definition in VOLUMES.items():
        assert key == definition.key
        for text in (definition.title, definition.formula, definition.source):
            assert len(text) > 3
        assert definition.bias
