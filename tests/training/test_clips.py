"""From a scene to a clip: what is cut, how it is turned, and how its light changes."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.prompts import SEGMENTABLE
from napari_octa_sam2.training.data.clips import (
    ONE_OBJECT,
    Clip,
    ClipConfig,
    cut_clip,
)
from napari_octa_sam2.training.data.effects import EFFECTS, apply_effects
from napari_octa_sam2.training.data.scenes import Scene

RV, FAZ = SEGMENTABLE.index("RV"), SEGMENTABLE.index("FAZ")
PLAIN = ClipConfig(
    frames=3,
    native=64,
    objects=1,
    zoom=(1, 1),
    tilt=0,
    quarter_turns=False,
    mirror=False,
    min_area=4,
    effects={},
)
TURNED = replace(
    PLAIN,
    native=48,
    objects=4,
    zoom=(0.7, 1.6),
    tilt=30,
    quarter_turns=True,
    mirror=True,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def bars(depth: int = 6, labelled: np.ndarray | None = None) -> Scene:
    """Two bright bars that move from slice to slice, below a disc."""
    instances = np.zeros((depth, 64, 64), np.uint8)
    for z in range(depth):
        instances[z, 10 + 2 * z : 18 + 2 * z, 5:60] = 1
        instances[z, 44:52, 5 + z : 40 + z] = 2
    rows, cols = np.indices((64, 64))
    disc = np.repeat(((rows - 32) ** 2 + (cols - 52) ** 2 < 40)[None], depth, 0)
    images = np.where((instances > 0) | disc, 0.9, 0.1).astype(np.float32)
    classes = {"RV": instances > 0, "FAZ": disc}
    return Scene(images, instances, classes, labelled)


def blob(side: int = 64, channels: int = 0) -> Scene:
    """One slice, three times over, with a lopsided shape that is also its image."""
    mask = np.zeros((3, side, side), bool)
    mask[:, side // 8 : side // 2, side // 4 : side // 2] = True
    mask[:, side // 8 : side // 4, side // 2 : side - side // 8] = True
    images = mask.astype(np.float32)
    if channels:
        images = np.repeat(images[:, None], channels, 1)
    return Scene(images, mask.astype(np.uint8), {"RV": mask})


def cut(scene: Scene, config: ClipConfig, seed: int = 0) -> Clip:
    clip = cut_clip(scene, config, rng(seed))
    assert clip is not None
    return clip


def near_border(mask: np.ndarray) -> np.ndarray:
    grown = ndimage.binary_dilation(mask, iterations=2)
    return grown & ~ndimage.binary_erosion(mask, iterations=2, border_value=1)


def test_clips_are_reproducible_and_have_their_shapes():
    config = replace(TURNED, effects={"scanner": 1.0, "noise": 0.5})
    first, again = (cut(bars(), config, 5) for _ in range(2))
    for field in fields(Clip):
        assert torch.equal(getattr(first, field.name), getattr(again, field.name))
    assert first.images.shape == (3, 1, 48, 48)
    assert first.masks.shape == (4, 3, 48, 48)
    assert first.classes.shape == (len(SEGMENTABLE), 3, 48, 48)
    assert first.labelled.tolist() == [True] * 3
    assert {int(i) for i in first.known.nonzero()[:, 1]} == {RV, FAZ}
    assert not torch.equal(first.images, cut(bars(), config, 6).images)
    both = Clip.stacked([first, again])
    assert both.masks.shape == (2, 4, 3, 48, 48)


@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("channels", [0, 3])
def test_images_and_masks_are_turned_together(crop: bool, channels: int):
    config = replace(TURNED, crop=crop, objects=1, whole=0, pieces=0)
    for seed in range(10):
        clip = cut(blob(channels=channels), config, seed)
        image = clip.images.numpy()
        assert image.shape[1] == (channels or 1)
        seen = clip.classes[RV].numpy()
        for channel in range(image.shape[1]):
            np.testing.assert_array_equal(image[:, channel] > 0.5, seen)
        # labels are taken from the nearest pixel, edges are interpolated
        apart = clip.masks[0, 0].numpy() ^ seen[0]
        assert not (apart & ~near_border(seen[0])).any()


@pytest.mark.parametrize("crop", [True, False])
def test_slices_are_turned_alike(crop: bool):
    for seed in range(10):
        clip = cut(blob(), replace(TURNED, crop=crop), seed)
        for stack in (clip.images, clip.classes.transpose(0, 1), clip.masks[0]):
            assert torch.equal(stack, stack[:1].expand_as(stack))


@pytest.mark.parametrize("crop", [True, False])
def test_quarter_turns_and_mirrors_are_all_there(crop: bool):
    scene = blob()
    turned = [
        np.rot90(flipped, k)
        for flipped in (scene.images[0], scene.images[0][:, ::-1])
        for k in range(4)
    ]
    config = replace(PLAIN, crop=crop, quarter_turns=True, mirror=True)
    found = set()
    for seed in range(60):
        image = cut(scene, config, seed).images[0, 0].numpy()
        (which,) = (i for i, t in enumerate(turned) if np.allclose(t, image, atol=1e-3))
        found.add(which)
    assert found == set(range(8))
    still = cut(scene, replace(PLAIN, crop=crop)).images[0, 0].numpy()
    np.testing.assert_allclose(still, scene.images[0], atol=1e-3)


def test_without_crop_the_whole_slice_is_scaled():
    mask = np.zeros((1, 40, 80), bool)
    mask[0, 10:20, 20:60] = True
    scene = Scene(mask.astype(np.float32), mask.astype(np.uint8), {"RV": mask})
    clip = cut(scene, replace(PLAIN, frames=1, native=80, crop=False))
    expected = np.zeros((80, 80), bool)
    expected[20:40, 20:60] = True
    np.testing.assert_array_equal(clip.classes[RV, 0].numpy(), expected)


def test_a_bar_is_tilted_by_no_more_than_allowed():
    mask = np.zeros((1, 96, 96), bool)
    mask[0, 44:52, 8:88] = True
    scene = Scene(mask.astype(np.float32), mask.astype(np.uint8), {"RV": mask})
    config = replace(PLAIN, frames=1, native=96, crop=False, tilt=20)
    angles = []
    for seed in range(40):
        pixels = np.argwhere(cut(scene, config, seed).classes[RV, 0].numpy())
        row, col = np.linalg.eigh(np.cov(pixels.T))[1][:, -1]
        angles.append(np.rad2deg(np.arctan(row / col)))
    assert -20.5 < min(angles) < -12
    assert 12 < max(angles) < 20.5


def thickness(zoom: float) -> float:
    """Area of the bars over half the length of their border."""
    config = replace(TURNED, zoom=(zoom, zoom), tilt=0, objects=0)
    masks = [cut(bars(), config, i).classes[RV].numpy() for i in range(12)]
    area = sum(int(mask.sum()) for mask in masks)
    border = sum(int((np.diff(m, axis=a)).sum()) for m in masks for a in (1, 2))
    return 2 * area / border


def test_zoom_changes_the_size_of_things_by_that_much():
    assert thickness(2.0) == pytest.approx(2 * thickness(1.0), rel=0.25)


def slices_of(clip: Clip) -> list[int]:
    """Return which slices of `numbered` a clip is of."""
    return [round(float(value) * 100) for value in clip.images[:, 0].amax((1, 2))]


def numbered(depth: int, labelled: list[int] | None = None) -> Scene:
    """Slices as bright as their number says."""
    mask = np.ones((depth, 64, 64), bool)
    images = mask * np.arange(depth, dtype=np.float32)[:, None, None] / 100
    known = None if labelled is None else np.isin(np.arange(depth), labelled)
    return Scene(images, mask.astype(np.uint8), {"RV": mask}, known)


@pytest.mark.parametrize(("max_stride", "widest"), [(2, 2), (0, 4), (9, 4)])
def test_slices_are_evenly_spaced_and_lead_both_ways(max_stride: int, widest: int):
    config = replace(PLAIN, max_stride=max_stride)
    orders = [slices_of(cut(numbered(10), config, seed)) for seed in range(60)]
    strides = {order[1] - order[0] for order in orders}
    assert all(order[2] - order[1] == order[1] - order[0] for order in orders)
    assert strides == {s for w in range(1, widest + 1) for s in (w, -w)}
    assert {z for order in orders for z in order} == set(range(10))


def test_sparse_truth_is_at_both_ends_of_a_clip():
    for seed in range(20):
        clip = cut(numbered(30, [3, 12, 27]), replace(PLAIN, frames=4), seed)
        order = slices_of(clip)
        assert {order[0], order[-1]} <= {3, 12, 27}
        assert order[0] != order[-1]
        labelled = [z in (3, 12, 27) for z in order]
        assert clip.labelled.tolist() == labelled
        assert clip.known[:, RV].tolist() == labelled


@pytest.mark.parametrize("depth", [1, 8])
def test_a_clip_begins_on_the_only_slice_with_truth(depth: int):
    for seed in range(10):
        clip = cut(numbered(depth, [depth // 2]), PLAIN, seed)
        assert slices_of(clip)[0] == depth // 2
        assert clip.labelled[0]


def test_nothing_is_cut_where_nothing_is_labelled_or_too_small():
    assert cut_clip(numbered(4, []), PLAIN, rng()) is None
    assert cut_clip(bars(), replace(PLAIN, min_area=1000, whole=0), rng()) is None


def test_the_number_of_slices_is_drawn_between_its_bounds():
    config = replace(PLAIN, frames=5, least_frames=2)
    assert {config.draw_frames(rng(seed)) for seed in range(60)} == {2, 3, 4, 5}
    assert {PLAIN.draw_frames(rng(seed)) for seed in range(5)} == {3}
    clip = cut_clip(numbered(9), config, rng(), 2)
    assert clip is not None
    assert len(clip.images) == 2


def test_whole_classes_are_asked_for_by_name_and_once():
    config = replace(PLAIN, objects=3, whole=1, pieces=0)
    for seed in range(10):
        clip = cut(bars(), config, seed)
        asked = clip.asked.tolist()
        assert sorted(asked) == [ONE_OBJECT, RV, FAZ]
        for mask, index in zip(clip.masks, asked, strict=True):
            if index != ONE_OBJECT:
                assert torch.equal(mask, clip.classes[index])


def test_single_objects_are_labels_or_the_faz():
    config = replace(PLAIN, whole=0, pieces=0)
    scene = bars()
    found = set()
    for seed in range(40):
        clip = cut(scene, replace(config, max_stride=1), seed)
        mask = clip.masks[0].numpy()
        kind = "FAZ" if torch.equal(clip.masks[0], clip.classes[FAZ]) else "vessel"
        found.add(kind)
        if kind == "vessel":
            assert ndimage.label(mask[0])[1] == 1
            assert not (mask & ~clip.classes[RV].numpy()).any()
            assert mask.sum() < clip.classes[RV].sum()
    assert found == {"FAZ", "vessel"}


def test_a_piece_hangs_together_and_is_seen_on_the_first_slice():
    config = replace(PLAIN, whole=0, pieces=1, labels=("RV",))
    for seed in range(20):
        mask = cut(bars(), config, seed).masks[0].numpy()
        assert ndimage.label(mask, np.ones((3, 3, 3)))[1] == 1
        assert mask[0].any()


def test_labels_limit_what_objects_are_of():
    for whole in (0.0, 1.0):
        config = replace(PLAIN, whole=whole, labels=("FAZ",))
        for seed in range(10):
            clip = cut(bars(), config, seed)
            assert torch.equal(clip.masks[0], clip.classes[FAZ])


def test_a_share_of_whole_classes_may_be_absent():
    scene = bars()
    gone = {name: np.zeros_like(mask) for name, mask in scene.classes.items()}
    scene = Scene(scene.images, scene.instances, {"RV": gone["RV"]})
    config = replace(PLAIN, whole=1, pieces=0)
    never, always = (
        [int(cut(scene, replace(config, absent=s), i).asked[0]) for i in range(10)]
        for s in (0.0, 1.0)
    )
    assert set(never) == {ONE_OBJECT}
    assert set(always) == {RV}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("aorta",)}, "expected classes of .* found 'aorta'"),
        ({"frames": 0}, "at least one slice"),
        ({"native": 8}, "16 pixels a side"),
        ({"effects": {"sparkle": 0.5}}, "found 'sparkle'"),
        ({"effects": {"noise": 1.5}}, "share of 0 to 1 for the effect noise"),
    ],
)
def test_settings_that_cannot_be(changes: dict, message: str):
    with pytest.raises(TrainingError, match=message):
        replace(PLAIN, **changes)


ALIKE = ("brightness", "contrast", "gamma", "blur", "sharpen", "histogram")
CHANNELS = ("shuffle channels", "one channel")


def slices(channels: int = 3, seed: int = 0) -> np.ndarray:
    """Two slices that are the same, of different channels."""
    one = rng(seed).uniform(0.2, 0.8, (channels, 32, 32)).astype(np.float32)
    return np.concatenate([one, one])


@pytest.mark.parametrize("name", EFFECTS)
def test_an_effect_changes_what_it_should_and_repeats(name: str):
    given = slices()
    kept = given.copy()
    changed, again = (apply_effects(given, 3, {name: 1.0}, rng(4)) for _ in range(2))
    np.testing.assert_array_equal(given, kept)
    np.testing.assert_array_equal(changed, again)
    assert changed.shape == given.shape
    assert changed.dtype == np.float32
    assert 0 <= changed.min() < changed.max() <= 1
    assert not np.array_equal(changed, given)
    np.testing.assert_array_equal(apply_effects(given, 3, {name: 0.0}, rng(4)), given)


@pytest.mark.parametrize("name", [*ALIKE, *CHANNELS])
def test_light_changes_on_all_slices_alike(name: str):
    for seed in range(5):
        changed = apply_effects(slices(), 3, {name: 1.0}, rng(seed))
        np.testing.assert_array_equal(changed[:3], changed[3:])


@pytest.mark.parametrize("name", ["scanner", "noise", "impulses", "dropout"])
def test_noise_is_fresh_on_every_slice(name: str):
    changed = apply_effects(slices(), 3, {name: 1.0}, rng())
    assert not np.array_equal(changed[:3], changed[3:])


def effect(name: str, images: np.ndarray, seed: int) -> np.ndarray:
    return np.asarray(EFFECTS[name](images, 3, rng(seed)))


def test_effects_are_what_their_names_say():
    given = slices()
    greys = np.linspace(0, 1, 64).reshape(1, 8, 8).repeat(3, 0)
    for seed in range(8):
        shift = effect("brightness", given, seed) - given
        assert np.ptp(shift) < 1e-6
        assert abs(shift.mean()) <= 0.2
        contrast = effect("contrast", given, seed)
        assert contrast.mean() == pytest.approx(given.mean(), abs=1e-5)
        assert 0.74 < contrast.std() / given.std() < 1.51
        assert effect("blur", given, seed).std() < given.std()
        assert effect("sharpen", given, seed).std() > given.std()
        assert 0.005 < (effect("noise", given, seed) - given).std() < 0.11
        struck = effect("impulses", given, seed)
        assert set(np.unique(struck[struck != given])) <= {0, 1}
        assert 0.03 < (struck != given).mean() < 0.07
        dropped = effect("dropout", given, seed)
        assert (dropped[dropped != given] == 0).all()
        assert 0.005 < (dropped != given).mean() < 0.12
        for name in ("gamma", "histogram"):
            bent = effect(name, greys, seed)[0].ravel()
            assert (bent[0], bent[-1]) == (0, 1)
            assert (np.diff(bent) >= 0).all()


def test_channels_are_exchanged_or_one_is_shown():
    given = slices()[:3]
    orders = set()
    for seed in range(40):
        mixed = effect("shuffle channels", given, seed)
        orders.add(tuple(int((mixed[i] == given).all((1, 2)).argmax()) for i in (0, 1)))
        (shown,) = {
            int((channel == given).all((1, 2)).argmax())
            for channel in effect("one channel", given, seed)
        }
        assert shown in range(3)
    assert orders == set(itertools.permutations(range(3), 2))
