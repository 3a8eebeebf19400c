"""Centre lines of shapes whose length, diameter, junctions and ends are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial import cKDTree

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.biomarkers.network import Network, vessel_network
from napari_octa_sam2.metrics.biomarkers.perimeter import crofton_perimeter
from napari_octa_sam2.metrics.segmentation.skeleton import skeletonize

DEPTH = (0.003, 0.012, 0.012)  # mm, about the voxel of a scan


def drawn(curve, diameter, shape, spacing=1.0) -> np.ndarray:
    """A tube around points of a curve, in physical units."""
    size = np.broadcast_to(spacing, len(shape))
    places = np.indices(shape).reshape(len(shape), -1).T * size
    reach = diameter / 2 + 1e-9
    distance, _ = cKDTree(curve).query(places, distance_upper_bound=reach)
    return np.isfinite(distance).reshape(shape)


def line(start, end, step=0.05) -> np.ndarray:
    start, end = np.asarray(start, float), np.asarray(end, float)
    count = int(np.linalg.norm(end - start) / step) + 2
    return start + np.linspace(0, 1, count)[:, None] * (end - start)


def band(angle: float, width: float, offset: float = 0, n: int = 150) -> np.ndarray:
    """A vessel through the whole plane, `offset` beside its centre."""
    row, col = np.indices((n, n)) - (n - 1) / 2
    across = np.cos(angle) * row - np.sin(angle) * col
    return np.abs(across - offset) <= width / 2


def in_ball(shape, spacing, radius) -> np.ndarray:
    size = np.broadcast_to(spacing, len(shape))
    away = (np.indices(shape).T - (np.array(shape) - 1) / 2) * size
    return (np.linalg.norm(away, axis=-1) <= radius).T


def within(network: Network, radius: float, centre) -> tuple[float, float]:
    """Length of centre lines, and mean diameter, in a ball."""
    away = (network.points - centre) * network.spacing
    steps = network.lengths
    # a step on the edge of the ball counts by the part inside
    part = np.clip((radius - np.linalg.norm(away, axis=1)) / steps + 0.5, 0, 1)
    return part @ steps, np.average(network.diameters, weights=part * steps)


@pytest.mark.parametrize("width", [2.5, 4, 6, 9])
@pytest.mark.parametrize(
    "degrees", [0, 5, 11.25, 22.5, 33, 45, 60, 80, 90, 118, 135, 170]
)
def test_a_straight_vessel_in_the_plane(degrees, width):
    for offset in (0.1, 0.4):
        vessel = band(np.deg2rad(degrees), width, offset)
        network = vessel_network(vessel, (1, 1))
        assert len(network.branches.length) == 1
        length, diameter = within(network, 55, (74.5, 74.5))
        assert length == pytest.approx(110, rel=0.03)
        if width >= 4:  # the pixels' own width is up to 6 % off
            drawn_width = vessel[in_ball(vessel.shape, 1, 55)].sum() / 110
            assert diameter == pytest.approx(drawn_width, rel=0.05)
            assert diameter == pytest.approx(width, rel=0.12)


DIRECTIONS = [
    (1, 0, 0),
    (0, 0, 1),
    (0, 1, 1),
    (1, 1, 1),
    (1, 2, 3),
    (0.1, 1, 0.2),
    (0.5, -0.3, 1),
    (1, 0.1, -0.05),
]


@pytest.mark.parametrize("width", [3, 4, 6])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_straight_vessel_in_a_volume(direction, width):
    shape = (50, 50, 50)
    direction = np.asarray(direction) / np.linalg.norm(direction)
    centre = np.array(shape) / 2 - 0.3
    tube = line(centre - 60 * direction, centre + 60 * direction)
    vessel = drawn(tube, width, shape)
    network = vessel_network(vessel, (1, 1, 1))
    length, diameter = within(network, 20, centre)
    assert length == pytest.approx(40, rel=0.03)
    if width >= 4:
        area = vessel[in_ball(shape, 1, 20)].sum() / 40
        assert diameter == pytest.approx(2 * np.sqrt(area / np.pi), rel=0.05)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_straight_vessel_in_flat_voxels(direction):
    shape = np.array((160, 40, 40))
    direction = np.asarray(direction) / np.linalg.norm(direction)
    centre = shape * DEPTH / 2
    tube = line(centre - 0.6 * direction, centre + 0.6 * direction, 0.0005)
    network = vessel_network(drawn(tube, 0.05, shape, DEPTH), DEPTH)
    length, diameter = within(network, 0.18, centre / DEPTH)
    assert length == pytest.approx(0.36, rel=0.03)
    assert diameter == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize("radius", [8, 12, 20, 50])
def test_a_circle(radius):
    row, col = np.indices((130, 130)) - 64.3
    ring = np.abs(np.hypot(row, col) - radius) <= 2
    network = vessel_network(ring, (0.01, 0.01))
    circumference = 0.01 * 2 * np.pi * radius
    assert network.length == pytest.approx(circumference, rel=0.03)
    assert network.branches.is_loop.tolist() == [True]
    assert network.branches.turning[0] == pytest.approx(2 * np.pi, rel=0.05)
    assert len(network.junctions) == len(network.ends) == 0
    assert np.median(network.diameters) == pytest.approx(0.04, rel=0.05)


def test_a_wave():
    x = np.linspace(-20, 220, 5000)
    wave = np.stack([50 + 12 * np.sin(2 * np.pi * x / 60), x], axis=1)
    network = vessel_network(drawn(wave, 4, (100, 200)), (1, 1))
    inside = np.abs(network.points[:, 1] - 99.5) <= 90
    part = wave[np.abs(wave[:, 1] - 99.5) <= 90]
    length = np.linalg.norm(np.diff(part, axis=0), axis=1).sum()
    assert network.lengths[inside].sum() == pytest.approx(length, rel=0.03)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.25, 1, 1)])
def test_a_helix(spacing):
    turn = np.linspace(0, 4 * np.pi, 4000)
    axis = 8 + 18 * turn / (2 * np.pi)
    helix = np.stack([axis, 20 + 12 * np.sin(turn), 20 + 12 * np.cos(turn)], axis=1)
    shape = (int(52 / spacing[0]), 40, 40)
    network = vessel_network(drawn(helix, 5, shape, spacing), spacing)
    length = 5 + 4 * np.pi * np.hypot(12, 18 / (2 * np.pi))  # to the tips of its caps
    assert len(network.branches.length) == 1
    assert network.length == pytest.approx(length, rel=0.03)
    assert np.median(network.diameters) == pytest.approx(5, rel=0.05)


def tree(root, angle, length, depth) -> list[np.ndarray]:
    end = root + length * np.array([np.cos(angle), np.sin(angle)])
    branch = [line(root, end)]
    if depth:
        for turn in (-0.6, 0.6):
            branch += tree(end, angle + turn, length * 0.7, depth - 1)
    return branch


def test_a_binary_tree():
    curve = np.concatenate(tree(np.array([10.0, 100.0]), 0.0, 60, 3))
    network = vessel_network(drawn(curve, 4, (190, 200)), (1, 1))
    length = 60 * sum((2 * 0.7) ** level for level in range(4)) + 9 * 2  # caps
    assert len(network.branches.length) == 1 + 2 + 4 + 8
    assert len(network.junctions) == 1 + 2 + 4
    assert len(network.ends) == 1 + 8
    assert network.branches.has_end.sum() == 1 + 8
    assert network.length == pytest.approx(length, rel=0.03)


@pytest.mark.parametrize(
    ("width", "period"), [(1, 12), (2, 12), (2, 16), (3, 16), (4, 25), (7, 40)]
)
def test_a_lattice(width, period):
    n = 5
    lattice = np.zeros((n * period, n * period), bool)
    for at in range(n):
        start = at * period + period // 2
        lattice[start : start + width] = lattice[:, start : start + width] = True
    network = vessel_network(lattice, (1, 1))
    assert len(network.junctions) == n * n
    assert len(network.ends) == 4 * n
    assert len(network.branches.length) == 2 * n * (n + 1)
    assert network.length == pytest.approx(2 * n * n * period, rel=0.03)


@pytest.mark.parametrize("degrees", [60, 75, 90])
def test_a_crossing_is_one_junction(degrees):
    crossing = band(0.2, 4) | band(0.2 + np.deg2rad(degrees), 4)
    network = vessel_network(crossing, (1, 1))
    assert len(network.junctions) == 1
    np.testing.assert_allclose(network.junctions[0], 74.5, atol=1.5)
    assert len(network.branches.length) == len(network.ends) == 4


def test_two_vessels_of_different_widths():
    mask = np.zeros((60, 120), bool)
    mask[10:14] = mask[30:41] = True
    network = vessel_network(mask, (0.01, 0.01))
    for rows, width in ((slice(5, 20), 0.04), (slice(25, 45), 0.11)):
        row, col = network.points.T
        here = (row > rows.start) & (row < rows.stop) & (np.abs(col - 59.5) < 50)
        assert network.diameters[here] == pytest.approx(width, rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_a_noisy_thick_vessel_has_no_spurs(seed):
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.standard_normal((60, 200)), 1.2)
    distance = np.abs(np.arange(60) - 29.5)[:, None]
    thick = distance + 0.7 * noise / noise.std() <= 8
    network = vessel_network(thick, (1, 1))
    assert len(network.junctions) == 0
    assert within(network, 70, (29.5, 99.5))[0] == pytest.approx(140, rel=0.03)


def test_a_branch_that_leaves_its_vessel_is_no_spur():
    mask = np.zeros((60, 120), bool)
    mask[20:31] = mask[30:50, 60:63] = True
    network = vessel_network(mask, (1, 1))
    assert len(network.junctions) == 1
    assert len(network.branches.length) == 3


@pytest.mark.parametrize("shape", [(9, 9), (1, 1), (4, 5, 6), (1, 1, 1)])
@pytest.mark.parametrize("specks", [0, 1])
def test_nothing_to_measure(shape, specks):
    mask = np.zeros(shape, bool)
    mask.reshape(-1)[:specks] = True
    network = vessel_network(mask, (1,) * len(shape))
    assert network.length == 0
    assert network.points.shape == (0, len(shape))
    assert network.junctions.shape == network.ends.shape == (0, len(shape))
    assert network.diameters.shape == network.branches.length.shape == (0,)


def test_a_speck_beside_a_vessel_has_no_length():
    mask = np.zeros((20, 20), bool)
    mask[5, 5] = mask[10, 3:17] = True
    network = vessel_network(mask, (1, 1))
    assert network.length == pytest.approx(14)
    assert network.diameters == pytest.approx(1)


def test_a_skeleton_at_hand_is_used():
    mask = band(0.3, 6)
    given = vessel_network(mask, (1, 1), skeleton=skeletonize(mask))
    own = vessel_network(mask, (1, 1))
    assert given.length == pytest.approx(own.length, rel=0.03)
    nothing = vessel_network(mask, (1, 1), skeleton=np.zeros_like(mask))
    assert nothing.length == 0


def test_spacing_scales_lengths_and_diameters():
    mask = band(0.3, 6) | band(1.4, 4)
    one, tenth = vessel_network(mask, (1, 1)), vessel_network(mask, (0.1, 0.1))
    np.testing.assert_allclose(tenth.lengths, one.lengths / 10, atol=1e-6)
    np.testing.assert_allclose(tenth.diameters, one.diameters / 10, atol=1e-5)


def test_bad_input_is_refused():
    mask = np.zeros((5, 5), bool)
    with pytest.raises(VolumeError, match=r"2-D or 3-D mask, found shape \(5,\)"):
        vessel_network(mask[0], (1,))
    with pytest.raises(VolumeError, match="expected 2 positive spacings"):
        vessel_network(mask, (1, 0))
    with pytest.raises(VolumeError, match=r"mask's shape \(5, 5\), found \(4, 5\)"):
        vessel_network(mask, (1, 1), skeleton=mask[1:])


@pytest.mark.parametrize("radius", [10, 20, 40, 80])
@pytest.mark.parametrize("spacing", [(1, 1), (0.5, 1), (1, 0.5)])
def test_the_perimeter_of_a_disc(radius, spacing):
    shape = [int(2.4 * radius / size) for size in spacing]
    row, col = (np.indices(shape).T * spacing - 1.2 * radius - 0.2).T
    disc = np.hypot(row, col) <= radius
    perimeter = crofton_perimeter(disc, spacing)
    assert perimeter == pytest.approx(2 * np.pi * radius, rel=0.015)


def test_the_perimeter_is_that_of_scikit_image():
    from skimage.measure import perimeter_crofton

    noise = gaussian_filter(np.random.default_rng(0).standard_normal((60, 80)), 2)
    blobs = np.pad(noise > 0.02, 1)
    expected = perimeter_crofton(blobs, directions=4)
    assert crofton_perimeter(blobs, (1, 1)) == pytest.approx(expected)
    assert crofton_perimeter(blobs, (1, 1), np.ones(blobs.shape)) == pytest.approx(
        expected
    )


def test_diameters_do_not_run_along_other_vessels():
    crossing = band(0.2, 5) | band(1.8, 5)
    network = vessel_network(crossing, (1, 1))
    assert distance_transform_edt(crossing).max() < 4.5
    assert network.diameters.max() < 2 * (2 * 4.5 + 1)
    assert np.median(network.diameters) == pytest.approx(5, rel=0.1)


def test_a_ring_of_three_pixels_is_no_vessel() -> None:
    mask = np.array([[0, 0, 1], [1, 1, 0], [0, 1, 0]], bool)
    assert vessel_network(mask, (1.0, 1.0)).length == 0
