"""Slabs, surfaces, flattening and the depth of flow, against analytic truth."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from napari_octa_sam2.errors import PromptError, VolumeError
from napari_octa_sam2.volume import OctaVolume, ScanGeometry
from napari_octa_sam2.volume.flatten import Flattening, flatten, unflatten
from napari_octa_sam2.volume.flow import depths_of_flow
from napari_octa_sam2.volume.phantom import Phantom, PhantomConfig, make_phantom
from napari_octa_sam2.volume.slabs import (
    Slab,
    project,
    slabs_from_surfaces,
    three_slabs,
)
from napari_octa_sam2.volume.surfaces import (
    DepthLimit,
    estimate_surface,
    resolve_limits,
)

SHAPE = (20, 5, 6)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(PhantomConfig(seed=1))


def depth_ramp(dtype: type = float) -> np.ndarray:
    """A volume whose voxels are their depth."""
    data = np.arange(SHAPE[0], dtype=dtype)[:, None, None]
    return np.broadcast_to(data, SHAPE).copy()


def tilted() -> np.ndarray:
    return 3 + 0.5 * np.arange(5)[:, None] + 0.25 * np.arange(6)


# projections -----------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, float])
def test_both_depths_are_included(dtype):
    data = depth_ramp(dtype)
    mean, top = project(data, 4, 9), project(data, 4, 9, "max")
    assert mean.dtype == top.dtype == np.float32
    np.testing.assert_array_equal(mean, np.full(SHAPE[1:], 6.5))
    np.testing.assert_array_equal(top, np.full(SHAPE[1:], 9))


def test_a_slice_is_in_the_slab_where_its_middle_is_between_the_surfaces():
    first, last = tilted(), tilted() + 2.5
    expected = np.empty(SHAPE[1:])
    for at in np.ndindex(*SHAPE[1:]):
        inside = [k for k in range(SHAPE[0]) if first[at] <= k <= last[at]]
        assert len(inside) in (2, 3)
        expected[at] = np.mean(inside)
    np.testing.assert_allclose(project(depth_ramp(), first, last), expected)
    np.testing.assert_allclose(
        project(depth_ramp(), first, 19, "max"), np.full(SHAPE[1:], 19)
    )


def test_missing_voxels_are_left_out_and_empty_columns_are_nan():
    data = depth_ramp()
    data[5, 0, 0] = np.nan
    data[7, 0, 0] = np.inf
    data[:, 1, 1] = np.nan
    surface = np.full(SHAPE[1:], 4.0)
    surface[2, 2], surface[3, 3] = np.nan, 8.2
    last = np.full(SHAPE[1:], 8.0)
    last[3, 3] = 8.8
    for how, value in (("mean", (4 + 6 + 8) / 3), ("max", 8)):
        image = project(data, surface, last, how)
        assert image[0, 0] == value
        assert np.argwhere(np.isnan(image)).tolist() == [[1, 1], [2, 2], [3, 3]]


def test_maximum_of_negative_values():
    np.testing.assert_array_equal(project(depth_ramp() - 30, 0, 3, "max"), -27)


def test_a_large_volume_is_not_copied():
    data = np.ones((100, 200, 200), np.uint8)
    tracemalloc.start()
    project(data, 0, 99)
    project(data, np.full((200, 200), 3.3), 99, "max")
    estimate_surface(np.concatenate([data * 0, data]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * data.nbytes  # a float copy of the last is 8 times as large


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (5, 4, "behind in 30 of 30"),
        (-1, 4, "0 to 19"),
        (0, 20, "0 to 19"),
        (np.zeros((6, 5)), 4, r"\(5, 6\)"),
        (np.full(SHAPE[1:], np.nan), 4, "no finite"),
        (np.zeros(SHAPE[1:], complex), 4, "complex"),
    ],
)
def test_depths_that_make_no_slab_are_refused(first, last, words):
    with pytest.raises(VolumeError, match=words):
        project(depth_ramp(), first, last)


def test_crossing_surfaces_name_the_place():
    last = tilted() + 1
    last[3, 4] -= 2
    with pytest.raises(VolumeError, match=r"1 of 30 columns .* row 3, column 4"):
        project(depth_ramp(), tilted(), last)


def test_what_is_no_volume_or_no_projection_is_refused():
    with pytest.raises(VolumeError, match="3-D"):
        project(np.zeros((4, 4)), 0, 0)
    with pytest.raises(VolumeError, match="median"):
        project(depth_ramp(), 0, 4, "median")


# slabs of OCTA-500 -----------------------------------------------------------


def test_three_slabs_are_those_of_the_phantom(phantom):
    volume = three_slabs(phantom.volume, phantom.surfaces)
    assert volume.slice_names == ("FULL", "ILM_OPL", "OPL_BM")
    assert volume.data.dtype == np.uint8
    assert volume.geometry == phantom.volume.geometry
    assert "nominal" in volume.provenance["depth_spacing"]
    for name, image in zip(volume.slice_names, volume.data, strict=True):
        # a slice exactly on the OPL is in one slab there, in both here
        same = image == phantom.projections[name]
        assert same.mean() > 0.9999, name


def test_slabs_without_surfaces_and_with_too_few():
    (full,) = slabs_from_surfaces(None, 20)
    assert (full.name, full.first, full.last, full.how) == ("FULL", 0, 19, "mean")
    with pytest.raises(VolumeError, match="add OPL"):
        slabs_from_surfaces({"ILM": 1, "BM": 9}, 20)
    with pytest.raises(VolumeError, match="the 6 surfaces"):
        slabs_from_surfaces(np.zeros((3, 5, 6)), 20)


def test_three_slabs_of_unknown_spacing_with_missing_columns():
    data = depth_ramp()
    data[:, 0, 0] = np.nan
    volume = three_slabs(OctaVolume(data), {"ILM": 2, "OPL": 5, "BM": 9})
    assert volume.geometry == ScanGeometry()
    assert "depth_spacing" not in volume.provenance
    assert volume.provenance["white"] == {"FULL": 9.5, "ILM_OPL": 5, "OPL_BM": 9}
    expected = np.full(SHAPE[1:], 255)
    expected[0, 0] = 0
    for image in volume.data:
        np.testing.assert_array_equal(image, expected)


def test_depths_of_a_slab_under_a_pixel_are_those_projected():
    surface = tilted()
    surface[0, 1] = np.nan
    slab = Slab("x", surface, surface + 2.2, "max")
    image = slab.project(depth_ramp())
    assert slab.depths_at(0, 0) == range(3, 6)
    assert slab.depths_at(0, 1) == range(0)
    for row, col in np.argwhere(np.isfinite(image)):
        assert slab.depths_at(row, col)[-1] == image[row, col]
    assert Slab("y", 2, 4).depths_at(1, 1) == range(2, 5)


# surfaces --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "mean", "most"),
    [
        (PhantomConfig(seed=1), 0.25, 0.8),
        (PhantomConfig(seed=2, quality=0.4), 0.5, 1.4),
        (PhantomConfig(seed=3, size=400, field_mm=6), 0.35, 1.0),
        # slices a third as thick
        (PhantomConfig(seed=1, depth=160, depth_mm=0.5), 1.4, 3.3),
    ],
    ids=["good", "noisy", "6 mm", "thin slices"],
)
def test_surface_of_a_phantom(config, mean, most):
    """Mean error and its 95th percentile, in slices."""
    phantom = make_phantom(config)
    error = np.abs(estimate_surface(phantom.volume.data) - phantom.surfaces[0])
    assert error.mean() < mean
    assert np.percentile(error, 95) < most


def step(surface: np.ndarray, depth: int = 40) -> np.ndarray:
    k = np.arange(depth)[:, None, None]
    return np.where(k >= surface, 100.0, 0)


def test_surface_is_scale_free_and_fills_gaps():
    surface = np.full((42, 50), 17.0)
    data = step(surface)
    found = estimate_surface(data)
    assert found.shape == surface.shape
    assert found.dtype == np.float32
    assert np.abs(found - surface).max() < 1.01
    np.testing.assert_allclose(estimate_surface(data / 1e6), found, atol=0.01)
    data[:, 10:22, 10:22] = 0  # no signal: filled from around
    data[:, 30:34, 30:34] = np.nan
    np.testing.assert_allclose(estimate_surface(data), found, atol=0.7)


def test_a_volume_without_a_surface():
    with pytest.raises(VolumeError, match="everywhere"):
        estimate_surface(np.full((9, 20, 20), 7, np.uint8))


def test_limits_are_estimated_once_and_clipped(monkeypatch):
    from napari_octa_sam2.volume import surfaces

    calls = []
    monkeypatch.setattr(
        surfaces, "estimate_surface", lambda data: calls.append(1) or tilted()
    )
    limits = [
        DepthLimit(4),
        DepthLimit(-1, "estimated"),
        DepthLimit(14, "estimated"),
        DepthLimit(2, tilted()),
    ]
    fixed, before, behind, own = resolve_limits(depth_ramp(), limits)
    assert (fixed, calls) == (4, [1])
    np.testing.assert_array_equal(before, tilted() - 1)
    np.testing.assert_array_equal(behind, np.minimum(tilted() + 14, 19))
    np.testing.assert_array_equal(own, tilted() + 2)
    with pytest.raises(VolumeError, match="millimetres"):
        resolve_limits(depth_ramp(), [DepthLimit(-5, tilted() + 15)])


# flattening ------------------------------------------------------------------


def test_flattening_puts_the_surface_on_one_slice():
    surface = tilted()
    nearest = np.floor(surface + 0.5)
    flat, flattening = flatten(depth_ramp(np.uint8), surface)
    assert flat.dtype == np.uint8
    assert flattening.at == 3
    np.testing.assert_array_equal(flat[3], nearest)
    for k in range(SHAPE[0]):
        source = k - 3 + nearest
        np.testing.assert_array_equal(flat[k], np.where(source < 20, source, 0))
    chosen, record = flatten(depth_ramp(), surface, at=11)
    np.testing.assert_array_equal(chosen[11], nearest)
    assert record.at == 11


def test_by_default_nothing_behind_the_surface_is_lost(phantom):
    data, surface = phantom.volume.data, phantom.surfaces[0]
    flat, flattening = flatten(data, surface)
    back = unflatten(flat, flattening)
    behind = np.arange(len(data))[:, None, None] >= np.floor(surface + 0.5)
    np.testing.assert_array_equal(back[behind], data[behind])


@pytest.mark.parametrize("at", [None, 0, 9, 19])
def test_labels_come_back_where_they_were_drawn(at):
    rng = np.random.default_rng(0)
    surface = rng.uniform(0, 19, SHAPE[1:])
    flat, flattening = flatten(depth_ramp() + 1, surface, at)
    scanned = flat > 0
    labels = rng.integers(1, 200, SHAPE).astype(np.uint8)
    back = unflatten(labels, flattening)
    assert back.dtype == np.uint8
    # each label that was drawn on the scan lies on the voxel it was drawn on
    np.testing.assert_array_equal(flattening.apply(back), np.where(scanned, labels, 0))
    assert (back > 0).sum() == scanned.sum()
    # and the other way round
    again = unflatten(flattening.apply(labels), flattening)
    np.testing.assert_array_equal(again, np.where(back > 0, labels, 0))


def test_the_record_survives_json_and_is_small(phantom):
    flat, flattening = flatten(phantom.volume.data, phantom.surfaces[0])
    text = json.dumps(flattening.to_json())
    assert len(text) < 20_000
    read = Flattening.from_json(json.loads(text))
    assert (read.at, read.depth) == (flattening.at, flattening.depth)
    np.testing.assert_array_equal(read.shifts, flattening.shifts)
    np.testing.assert_array_equal(unflatten(flat, read), unflatten(flat, flattening))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"shifts": "no base64"},
        {"shifts": "AAAA"},
        {"shape": [4, 4]},
        {"shape": None},
    ],
)
def test_damaged_records_are_refused(change):
    record = flatten(depth_ramp(), tilted())[1].to_json()
    with pytest.raises(VolumeError, match="flatten the scan again"):
        Flattening.from_json(record | change)
    del record["depth"]
    with pytest.raises(VolumeError, match="depth"):
        Flattening.from_json(record)


def test_what_cannot_be_flattened_is_refused():
    hole = tilted()
    hole[1, 1] = np.nan
    with pytest.raises(VolumeError, match="found none in 1"):
        flatten(depth_ramp(), hole)
    with pytest.raises(VolumeError, match="found 20"):
        flatten(depth_ramp(), tilted(), at=20)
    _, flattening = flatten(depth_ramp(), tilted())
    with pytest.raises(VolumeError, match="its grid"):
        unflatten(np.zeros((4, 5, 6)), flattening)


# flow ------------------------------------------------------------------------


def tubes(*tubes: tuple[float, float, float], depth: int = 60) -> np.ndarray:
    """Tubes along the rows of a noisy volume: (depth, radius, brightness) each."""
    k, _, col = np.ogrid[:depth, :9, :9]
    data = np.random.default_rng(0).uniform(8, 12, (depth, 9, 9))
    for centre, radius, brightness in tubes:
        inside = (k - centre) ** 2 + (col - 4) ** 2 <= radius**2
        data = np.where(inside, brightness, data)
    return data


def test_tubes_are_found_strongest_first():
    data = tubes((12, 2.2, 150), (30, 3, 220), (48, 2.2, 190))
    assert depths_of_flow(data, 4, 4) == [30, 48, 12]
    assert depths_of_flow(data, 4, 4, most=1) == [30]
    assert depths_of_flow(data.astype(np.uint8), 0, 4) == [30, 48, 12]


def test_faint_tubes_count_only_without_brighter_ones():
    data = tubes((12, 2.2, 60), (40, 3, 220))
    assert depths_of_flow(data, 4, 4) == [40]
    assert depths_of_flow(data, 4, 4, range(30)) == [12]
    slab = Slab("inner", np.full((9, 9), 5.5), np.full((9, 9), 20.0), "max")
    assert depths_of_flow(data, 4, 4, slab.depths_at(4, 4)) == [12]


def test_a_tube_fills_its_slab():
    """The background is that of the whole column, not of the slab."""
    data = tubes((30, 4, 200))
    assert depths_of_flow(data, 4, 4, range(28, 33)) == [30]


def test_missing_voxels_do_not_matter():
    data = tubes((30, 3, 200))
    data[:, 3] = np.nan
    data[50:, :, :] = np.nan
    assert depths_of_flow(data, 4, 4) == [30]
    data[:] = np.where(np.arange(9) < 7, np.nan, data)
    with pytest.raises(PromptError, match="no finite"):
        depths_of_flow(data, 4, 4)


def test_where_there_is_no_flow():
    with pytest.raises(PromptError, match="no flow"):
        depths_of_flow(np.full((20, 9, 9), 7, np.uint8), 4, 4)
    dark = tubes((30, 3, 200))
    dark[:20] = 0
    with pytest.raises(PromptError, match="slices 2 to 9"):
        depths_of_flow(dark, 4, 4, range(2, 10))


def test_pixels_and_depths_outside_are_refused():
    data = tubes((30, 3, 200))
    for row, col in ((9, 4), (4, -1)):
        with pytest.raises(PromptError, match="within 9 x 9"):
            depths_of_flow(data, row, col)
    for depths in (range(0), range(-2, 4), range(50, 61), range(0, 9, 2)):
        with pytest.raises(VolumeError, match="consecutive slices of 0 to 59"):
            depths_of_flow(data, 4, 4, depths)


def test_large_vessels_of_a_phantom_are_found_between_ilm_and_opl(phantom):
    data, classes = phantom.volume.data, phantom.classes
    slab = slabs_from_surfaces(phantom.surfaces, len(data))[1]
    inner = ndimage.binary_erosion(phantom.masks["RV"])
    pixels = np.argwhere(inner)[::37]
    found = 0
    for row, col in pixels:
        depth = depths_of_flow(data, row, col, slab.depths_at(row, col))[0]
        found += bool(np.isin(classes[depth - 1 : depth + 2, row, col], (1, 2)).any())
    assert len(pixels) > 50
    assert found / len(pixels) > 0.95
