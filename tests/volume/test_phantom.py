"""Phantoms: the truth is exact, the image shows it, equal seeds agree."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from scipy import ndimage

from napari_octa_sam2 import __version__
from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.volume.phantom import (
    Phantom,
    PhantomConfig,
    as_drawn,
    make_enface,
    make_phantom,
)
from napari_octa_sam2.volume.phantom.anatomy import draw_eye
from napari_octa_sam2.volume.phantom.capillaries import draw_mesh
from napari_octa_sam2.volume.phantom.retina import Rim, SmoothField, draw_rim
from napari_octa_sam2.volume.phantom.scanner import AxialSpeckle, speckle
from napari_octa_sam2.volume.phantom.trees import MURRAY
from napari_octa_sam2.volume.phantom.tubes import paint_tubes

ENFACE = ("RV", "artery", "vein", "FAZ", "capillary", "vessel")
SMALL = PhantomConfig(seed=3, depth=24, size=96)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(SMALL)


def paint(shape, spacing, start, end, radius):
    out = np.zeros(shape, np.uint8)
    radii = np.broadcast_to(np.asarray(radius, float), (1, 2))
    paint_tubes(out, spacing, np.array([start]), np.array([end]), radii, np.ones(1))
    return out


def test_straight_tube_has_the_volume_of_a_capsule():
    spacing, radius, length = (0.005, 0.01, 0.01), 0.06, 0.5
    start = np.array([0.15, 0.2, 0.2])
    way = np.array([0.2, 0.6, 0.7]) / np.linalg.norm([0.2, 0.6, 0.7])
    out = paint((80, 80, 80), spacing, start, start + length * way, radius)
    expected = np.pi * radius**2 * length + 4 / 3 * np.pi * radius**3
    assert out.sum() * np.prod(spacing) == pytest.approx(expected, rel=0.01)


def test_tapered_tube_has_the_radius_asked_for_everywhere():
    step = 0.0025
    ends = (0.2, 0.2, -1), (0.2, 0.2, 2)
    out = paint((161, 161, 3), (step, step, 0.5), *ends, (0.16, 0.1))
    radius = np.sqrt(out.sum((0, 1)) * step**2 / np.pi)
    asked = 0.16 - 0.06 * (np.array([0, 0.5, 1]) + 1) / 3
    np.testing.assert_allclose(radius, asked, rtol=0.01)


def test_tapered_tube_has_the_volume_of_a_frustum_with_caps():
    wide, thin, length, step = 0.09, 0.05, 0.4, 0.004
    way = np.array([0.48, 0.6, 0.64])
    start = np.array([0.12, 0.12, 0.12])
    out = paint((100, 110, 110), (step,) * 3, start, start + length * way, (wide, thin))
    frustum = np.pi * length / 3 * (wide**2 + wide * thin + thin**2)
    caps = 2 / 3 * np.pi * (wide**3 + thin**3)
    assert out.sum() * step**3 == pytest.approx(frustum + caps, rel=0.01)


def test_flat_tube_has_the_length_asked_for():
    radius, step = 0.03, 0.002
    for length in (0.3, 0.6):
        way = np.array([0.6, 0.8]) * length
        out = paint((350, 350), (step, step), (0.1, 0.1), 0.1 + way, radius)
        area = out.sum() * step**2
        found = (area - np.pi * radius**2) / (2 * radius)
        assert found == pytest.approx(length, rel=0.01)


def test_thicker_tube_wins_whatever_the_order():
    starts = np.array([[0.5, 0.1], [0.1, 0.5]])
    ends = np.array([[0.5, 0.9], [0.9, 0.5]])
    radii = np.array([[0.1, 0.1], [0.05, 0.05]])
    for order in ([0, 1], [1, 0]):
        out = np.zeros((100, 100), np.uint8)
        ids = np.array([1, 2])[order]
        paint_tubes(out, (0.01, 0.01), starts[order], ends[order], radii[order], ids)
        assert out[50, 50] == 1
        assert out[20, 50] == 2


def test_mesh_has_loops_of_the_width_asked_for():
    rim = Rim((0.5, 0.5), 0.1, np.zeros(3), np.zeros(3))
    axis = np.arange(400) * 0.0025
    inside = np.hypot(axis[:, None] - 0.5, axis[None] - 0.5) < 0.1
    for spacing in (0.06, 0.1):
        mesh = draw_mesh(np.random.default_rng(0), axis, spacing, rim)
        assert np.isinf(mesh.distance[inside]).all()
        _, loops = ndimage.label(mesh.distance > 0.003)
        # Some edges are left out, each of which joins two loops.
        assert 0.45 < loops * spacing**2 < 1.1
        assert mesh.gain.min() >= 0
        assert mesh.gain.max() <= 1


def test_circular_rim_is_a_circle():
    rim = Rim((1.0, 2.0), 0.25, np.zeros(4), np.zeros(4))
    np.testing.assert_allclose(
        rim.beyond(np.array([1.0, 1.5]), np.array([2.5, 2.0])), [0.25, 0.25]
    )


def test_fourier_rim():
    rim = Rim((0.0, 0.0), 0.5, np.array([0, 0.2]), np.array([0, 0.1]))
    angle = np.linspace(-3, 3, 7)
    radius = 0.5 * (1 + 0.2 * np.cos(2 * angle) + 0.1 * np.sin(2 * angle))
    beyond = rim.beyond(radius * np.sin(angle), radius * np.cos(angle))
    np.testing.assert_allclose(beyond, 0, atol=1e-5)


def test_bifurcations_obey_murray():
    eye = draw_eye(np.random.default_rng(1), 64, 3.0, 0.5, 4, 0.055)
    parent, flow = eye.trees.parent, eye.trees.radius**MURRAY
    linked = parent >= 0
    split = np.bincount(parent[linked], minlength=len(parent)) == 2
    daughters = np.bincount(parent[linked], flow[linked], len(parent))
    # Veins are wider than arteries, but no tree is of both.
    assert (eye.trees.kind[linked] == eye.trees.kind[parent[linked]]).all()
    assert split.sum() > 20
    excess = flow[split] / daughters[split] - 1
    assert (excess > 0).all()
    assert np.median(excess) < 0.05
    assert (parent[linked] < np.flatnonzero(linked)).all()


def test_equal_seeds_agree_and_others_differ(phantom):
    again, other = make_phantom(SMALL), make_phantom(PhantomConfig(4, 24, 96))
    np.testing.assert_array_equal(again.volume.data, phantom.volume.data)
    np.testing.assert_array_equal(
        again.volume.labels["objects"].data, phantom.volume.labels["objects"].data
    )
    assert (other.volume.data != phantom.volume.data).mean() > 0.2


def test_shapes_types_and_geometry(phantom):
    volume, shape = phantom.volume, (24, 96, 96)
    assert volume.data.shape == shape
    assert volume.data.dtype == np.uint8
    assert volume.geometry.unit == "mm"
    np.testing.assert_allclose(volume.geometry.spacing, (0.58 / 24, 3 / 96, 3 / 96))
    for truth in (phantom.vessels, phantom.capillaries, phantom.faz):
        assert truth.shape == shape
        assert truth.dtype == bool
        assert truth.any()
    assert set(phantom.projections) == {"FULL", "ILM_OPL", "OPL_BM"}
    assert set(phantom.masks) == {*ENFACE}
    for image in phantom.projections.values():
        assert image.shape == (96, 96)
        assert image.dtype == np.uint8
    assert phantom.surfaces.shape == (6, 96, 96)
    assert (np.diff(phantom.surfaces, axis=0) > 0).all()
    assert phantom.surfaces.min() >= 0
    assert phantom.surfaces.max() < 24


def test_faz_holds_no_vessel(phantom):
    assert not (phantom.faz & phantom.vessels).any()
    assert not (phantom.faz & phantom.capillaries).any()
    assert not (phantom.vessels & phantom.capillaries).any()
    flat = phantom.masks["FAZ"]
    assert not (flat & phantom.masks["vessel"]).any()
    diameter = 2 * np.sqrt(flat.sum() / np.pi) * 3 / 96
    assert diameter == pytest.approx(SMALL.faz_diameter_mm, rel=0.15)


def test_ids_match_the_centrelines():
    phantom = make_phantom(PhantomConfig(3, 48, 160, vessel_radius_mm=0.07))
    labels = phantom.volume.labels["objects"]
    last = max(labels.names)
    assert labels.classes[last] == "FAZ"
    np.testing.assert_array_equal(labels.data == last, phantom.faz)
    np.testing.assert_array_equal(
        (labels.data > 0) & (labels.data < last), phantom.vessels
    )
    lines = phantom.centrelines
    assert {c.object for c in lines} == set(range(1, last))
    assert set(np.unique(labels.data)) <= set(range(last + 1))
    step = np.array(phantom.volume.geometry.spacing)
    hits = total = 0
    for line in lines:
        thick = line.radius > 0.55 * np.linalg.norm(step)
        at = np.round(line.points[thick] / step).astype(int)
        at = at[((at >= 0) & (at < labels.data.shape)).all(1)]
        values = labels.data[tuple(at.T)]
        assert (values > 0).all()
        hits, total = hits + (values == line.object).sum(), total + len(at)
    assert total > 20
    assert hits > 0.85 * total


def test_vessels_lie_between_ilm_and_opl(phantom):
    step = phantom.volume.geometry.spacing[0]
    z, row, col = np.nonzero(phantom.vessels)
    above = phantom.surfaces[0][row, col] - z
    assert above.max() * step < 0.02
    assert (z < phantom.surfaces[2][row, col] + 1).all()


def test_masks_are_the_projected_truth(phantom):
    flat = phantom.vessels.any(0)
    np.testing.assert_array_equal(phantom.masks["RV"], flat)
    np.testing.assert_array_equal(phantom.masks["artery"] | phantom.masks["vein"], flat)
    assert not (flat & phantom.masks["capillary"]).any()
    np.testing.assert_array_equal(
        phantom.masks["vessel"], flat | phantom.masks["capillary"]
    )


def test_classes_are_one_another_s_sums(phantom):
    mask = phantom.class_mask
    np.testing.assert_array_equal(mask("RV"), mask("artery") ^ mask("vein"))
    np.testing.assert_array_equal(mask("vessel"), mask("RV") ^ mask("capillary"))
    assert not (mask("vessel") & mask("FAZ")).any()
    np.testing.assert_array_equal(phantom.classes > 0, mask("vessel") | mask("FAZ"))
    for cls in ("artery", "vein"):
        np.testing.assert_array_equal(phantom.masks[cls], mask(cls).any(0))
    np.testing.assert_array_equal(mask("vessel", 12), mask("vessel")[12])
    np.testing.assert_array_equal(mask("FAZ", slice(8, 20)), mask("FAZ")[8:20])
    with pytest.raises(VolumeError, match=r"expected a class of .*RV.*'nerve'"):
        mask("nerve")


@pytest.mark.parametrize("seed", [3, 11])
def test_faz_has_the_area_of_its_outline(seed):
    config = PhantomConfig(seed=seed, depth=8, size=400, faz_diameter_mm=0.7)
    rim = draw_eye(np.random.default_rng(seed), 400, 3.0, 0.7, 4, 0.048).rim
    angle = np.linspace(0, 2 * np.pi, 3000, endpoint=False)
    order = np.arange(1, len(rim.cosines) + 1)[:, None]
    waves = rim.cosines @ np.cos(order * angle) + rim.sines @ np.sin(order * angle)
    y, x = rim.radius * (1 + waves) * np.array([np.sin(angle), np.cos(angle)])
    polygon = abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
    flat = make_phantom(config).masks["FAZ"]
    assert flat.sum() * (3 / 400) ** 2 == pytest.approx(polygon, rel=0.01)


def test_faz_reaches_from_ilm_to_opl(phantom):
    outline = phantom.masks["FAZ"] & ~phantom.vessels.any(0)
    ilm, _, opl, *_ = phantom.surfaces
    z = np.arange(24)[:, None, None]
    inner = (z >= ilm) & (z <= opl)
    np.testing.assert_array_equal(phantom.faz[:, outline], inner[:, outline])


def test_given_extent_holds_the_inner_retina_tilted_and_bent():
    thick = PhantomConfig(seed=5, depth=160, size=48, depth_mm=0.5)
    surfaces = make_phantom(thick).surfaces
    assert thick.spacing[0] == pytest.approx(0.003125)
    assert surfaces[0].min() >= 0
    assert surfaces[2].max() < 160
    # One horizontal slice meets several layers.
    assert np.ptp(surfaces[2]) > 20
    assert (np.diff(surfaces, axis=0) > 0).all()


def test_large_vessels_cast_shadows():
    seen = make_phantom(PhantomConfig(seed=2, depth=96, size=160, quality=1))
    thick = seen.vessels.sum(0) > 5
    z = np.arange(96)[:, None, None]
    nuclear = (z > seen.surfaces[2] + 3) & (z < seen.surfaces[3] - 3)
    beside = ~seen.vessels.any(0)
    data = seen.volume.data
    assert thick.sum() > 50
    assert data[nuclear & thick].mean() < 0.7 * data[nuclear & beside].mean()


def test_image_shows_the_vessels(phantom):
    image, masks = phantom.projections["ILM_OPL"].astype(float), phantom.masks
    tissue = ~masks["vessel"] & ~masks["FAZ"]
    assert image[masks["RV"]].mean() > 1.5 * image[tissue].mean()
    assert image[masks["FAZ"]].mean() < 0.7 * image[~masks["FAZ"]].mean()
    data = phantom.volume.data.astype(float)
    assert data[phantom.vessels].mean() > 1.15 * data[phantom.capillaries].mean()
    z = np.arange(24)[:, None, None]
    vitreous = z < phantom.surfaces[0] - 2
    assert data[vitreous].mean() < 0.1 * data[phantom.vessels].mean()


def test_speckle_has_the_moments_asked_for():
    rng = np.random.default_rng(0)
    for grain in (None, (0.6, 0.9)):
        noise = speckle(rng, (300, 300), 6.0, grain)
        assert noise.mean() == pytest.approx(1, abs=0.02)
        assert noise.var() == pytest.approx(1 / 6, rel=0.06)


def test_speckle_of_a_volume_changes_over_the_reach():
    noise = AxialSpeckle(np.random.default_rng(0), (13, 200, 200), reach=3.0)
    planes = np.stack([noise.at(k) for k in range(13)])
    np.testing.assert_allclose(planes.std((1, 2)), 1, atol=0.05)
    like = [np.corrcoef(planes[0].ravel(), p.ravel())[0, 1] for p in planes[1:]]
    assert like[0] > 0.8
    assert abs(like[3]) < 0.1


def test_smooth_field_has_unit_variance_and_agrees_with_its_samples():
    axis = np.arange(0, 8, 0.05)
    wave = SmoothField(np.random.default_rng(0), 8.0, 0.3)
    grid = wave.on_grid(axis)
    assert grid.std() == pytest.approx(1, abs=0.1)
    points = np.array([[0.5, 1.0], [3.3, 6.05], [7.0, 2.2]])
    rows, cols = np.round(points / 0.05).astype(int).T
    np.testing.assert_allclose(wave.at(points), grid[rows, cols], atol=0.15)


def test_poor_quality_is_noisier():
    good, poor = (
        make_phantom(PhantomConfig(3, 24, 96, quality=q)).volume.data for q in (1, 0)
    )
    truth = make_phantom(SMALL).vessels

    def contrast(data: np.ndarray) -> float:
        return float(data[truth].mean() / data[truth].std())

    assert contrast(good) > contrast(poor)


def test_provenance_holds_the_resolved_config(phantom):
    provenance = phantom.volume.provenance
    assert provenance["version"] == __version__
    expected = asdict(SMALL) | {"depth_mm": pytest.approx(0.58)}
    assert provenance["phantom"] == expected
    assert phantom.volume.describe()["provenance"]["phantom"]["seed"] == 3


@pytest.mark.parametrize(
    "nonsense",
    [
        {"size": 0},
        {"depth": -4},
        {"field_mm": float("nan")},
        {"quality": 1.5},
        {"pairs": 0},
        {"depth_mm": 0},
        {"faz_diameter_mm": 9},
        {"seed": -1},
        {"size": 96.5},
        {"size": "96"},
    ],
)
def test_nonsense_is_refused(nonsense):
    with pytest.raises(VolumeError, match=next(iter(nonsense))):
        PhantomConfig(**nonsense)


def test_enface():
    image, masks, instances = make_enface(5, 128)
    assert image.shape == (128, 128)
    assert image.dtype == instances.dtype == np.uint8
    np.testing.assert_array_equal(masks["RV"], instances > 0)
    np.testing.assert_array_equal(masks["artery"] ^ masks["vein"], masks["RV"])
    assert not (masks["FAZ"] & masks["vessel"]).any()
    np.testing.assert_array_equal(masks["capillary"], masks["vessel"] & ~masks["RV"])
    tissue = ~masks["vessel"] & ~masks["FAZ"]
    assert image[masks["RV"]].mean() > 1.5 * image[tissue].mean()
    np.testing.assert_array_equal(make_enface(5, 128)[0], image)
    assert (make_enface(6, 128)[0] != image).any()


def test_some_fields_have_no_fovea_unless_it_is_asked_for():
    empty = [s for s in range(60) if not make_enface(s, 48)[1]["FAZ"].any()]
    assert 0 < len(empty) < 15
    for seed in empty:
        assert make_enface(seed, 48, faz_diameter_mm=0.6)[1]["FAZ"].any()


def test_enface_refuses_nonsense():
    with pytest.raises(VolumeError, match="field_mm"):
        make_enface(0, field_mm=0)


def test_rim_diameter():
    rim = draw_rim(np.random.default_rng(2), (1.5, 1.5), 0.6)
    axis = np.arange(300) * 0.01
    area = (rim.beyond(axis[:, None], axis[None]) < 0).sum() * 1e-4
    assert 2 * np.sqrt(area / np.pi) == pytest.approx(0.6, rel=0.1)


def test_vessels_are_drawn_wider_and_deeper_than_they_are():
    labels = np.zeros((13, 9, 9), np.uint8)
    labels[4, 4, 4] = 7
    drawn = as_drawn(labels)
    assert np.flatnonzero(drawn[:, 4, 4]).tolist() == list(range(9))
    assert np.flatnonzero(drawn[4, :, 4]).tolist() == [2, 3, 4, 5, 6]
    assert np.flatnonzero(drawn[4, 4]).tolist() == [2, 3, 4, 5, 6]
    assert set(np.unique(drawn)) == {0, 7}
    labels[0, 0, 0] = 1  # nothing comes round from the other end
    assert as_drawn(labels)[-1].sum() == 0
    # half as many slices where they are twice as far apart
    drawn = as_drawn(labels, spacing=0.00625)
    assert np.flatnonzero(drawn[:, 4, 4]).tolist() == [2, 3, 4, 5, 6]
