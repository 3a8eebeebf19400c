"""Every layout of labelled images, and how scenes are drawn."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from napari_octa_sam2.errors import ModelError, ReadError, TrainingError
from napari_octa_sam2.model.appearance import COLOURS, Appearance, colour_table
from napari_octa_sam2.project import store
from napari_octa_sam2.prompts import PromptObject, PromptSet
from napari_octa_sam2.training.config import DataConfig
from napari_octa_sam2.training.data.drawing import Drawn, Mixture, Pool
from napari_octa_sam2.training.data.formats import find_samples, write_annotated
from napari_octa_sam2.training.data.formats.building import (
    components,
    components_by_value,
)
from napari_octa_sam2.training.data.phantoms import PhantomProjections, PhantomVolumes
from napari_octa_sam2.training.data.problems import describe, find_problems
from napari_octa_sam2.training.data.scenes import Sample, Scene, normalised
from napari_octa_sam2.training.data.splits import Split, hold_out
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume
from napari_octa_sam2.volume.writers import write_image

CONFIG = DataConfig()
SIDE = 16


def picture(seed: int = 0, shape: tuple[int, ...] = (SIDE, SIDE)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)


def mask(*boxes: tuple[int, int, int, int], side: int = SIDE) -> np.ndarray:
    drawn = np.zeros((side, side), np.uint8)
    for top, left, bottom, right in boxes:
        drawn[top:bottom, left:right] = 255
    return drawn


SMALL, LARGE = (1, 1, 3, 3), (6, 6, 12, 12)
DIAGONAL = (3, 3, 5, 5)  # touches SMALL at a corner


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def only(path: Path, config: DataConfig = CONFIG) -> Sample:
    (sample,) = find_samples(path, config)
    return sample


def by_name(path: Path, config: DataConfig = CONFIG) -> dict[str, Sample]:
    samples = find_samples(path, config)
    found = {s.name: s for s in samples}
    assert len(found) == len(samples)
    return found


def problems(sample: Sample) -> list[str]:
    other = Sample("other", "other", (), lambda: Scene(*[np.ones((1, 2, 2))] * 2, {}))
    return [p.text for p in find_problems(Split((other,), (sample,)))]


# --- what scenes are built of


def test_components_touch_at_corners_and_the_largest_is_first() -> None:
    labels = components(mask(SMALL, DIAGONAL, LARGE) > 0)
    assert labels.dtype == np.uint8
    assert labels[7, 7] == 1
    assert labels[1, 1] == labels[4, 4] == 2
    assert components(mask(SMALL, LARGE) > 0, most=1).max() == 1


def test_components_by_value_are_apart() -> None:
    values = np.zeros((8, 8), np.uint8)
    values[:4, :4], values[:4, 4:], values[6:, :2], values[6:, 6:] = 1, 2, 2, 7
    labels = components_by_value(values)
    assert np.unique(labels).tolist() == [0, 1, 2, 3, 4]
    for number in range(1, 5):
        assert len(np.unique(values[labels == number])) == 1


def test_window_is_in_percentiles() -> None:
    ramp = np.arange(101, dtype=np.float32).reshape(1, 1, 101)
    np.testing.assert_allclose(
        normalised(ramp, (20, 60))[0, 0], np.clip((np.arange(101) - 20) / 40, 0, 1)
    )


# --- OCTA-500


def octa500(root: Path, subject: str, labels: Mapping[str, np.ndarray]) -> None:
    slabs = ("FULL", "ILM_OPL", "OPL_BM")
    for seed, slab in enumerate(slabs, int(subject)):
        save(
            root / "ProjectionMaps" / f"OCTA({slab})" / f"{subject}.bmp", picture(seed)
        )
    for kind, drawn in labels.items():
        save(root / kind / f"{subject}.bmp", drawn)


VESSELS = {
    "GT_LargeVessel": mask(SMALL, LARGE),
    "GT_Capillary": mask(SMALL, LARGE, (14, 0, 15, 16)),
    "GT_FAZ": mask((3, 10, 5, 14)),
}


def test_octa500_slices(tmp_path: Path) -> None:
    octa500(tmp_path / "OCTA_3M", "10301", VESSELS)
    config = DataConfig(projections=("FULL", "OPL_BM"))
    sample = only(tmp_path, config)
    assert (sample.name, sample.subject, len(sample.files)) == ("10301", "10301", 5)
    scene = sample.read()
    assert scene.images.shape == (2, SIDE, SIDE)
    maps = np.stack([picture(10301), picture(10303)])
    np.testing.assert_array_equal(scene.images, normalised(maps))
    assert scene.alike
    assert scene.labelled is None
    assert sorted(scene.classes) == ["FAZ", "RV", "capillary", "vessel"]
    expected = VESSELS["GT_Capillary"] & ~VESSELS["GT_LargeVessel"]
    np.testing.assert_array_equal(scene.classes["capillary"], [expected > 0] * 2)
    assert scene.instances.dtype == np.uint8
    assert np.unique(scene.instances).tolist() == [0, 1, 2]
    np.testing.assert_array_equal(scene.instances > 0, scene.classes["RV"])


def test_octa500_channels(tmp_path: Path) -> None:
    octa500(tmp_path, "10001", VESSELS)
    order = ("OPL_BM", "FULL", "ILM_OPL")
    scene = only(tmp_path, DataConfig(projections=order, as_channels=True)).read()
    maps = np.stack([picture(10003), picture(10001), picture(10002)])
    np.testing.assert_array_equal(scene.images, normalised(maps)[None])
    assert scene.instances.shape == (1, SIDE, SIDE)
    assert not scene.alike
    with pytest.raises(TrainingError, match="three projections"):
        find_samples(tmp_path, DataConfig(as_channels=True))


def test_octa500_is_limited_to_a_field_and_to_whole_subjects(tmp_path: Path) -> None:
    octa500(tmp_path / "OCTA_3M", "10301", VESSELS)
    octa500(tmp_path / "OCTA_6M", "10001", VESSELS)
    octa500(tmp_path / "OCTA_6M", "10002", VESSELS)
    lost = tmp_path / "OCTA_6M" / "ProjectionMaps" / "OCTA(FULL)" / "10002.bmp"
    lost.unlink()
    assert set(by_name(tmp_path)) == {"10001", "10002", "10301"}
    both = DataConfig(projections=("ILM_OPL", "FULL"))
    assert set(by_name(tmp_path, both)) == {"10001", "10301"}
    assert set(by_name(tmp_path, DataConfig(field_of_view="6M"))) == {"10001", "10002"}
    with pytest.raises(TrainingError, match="without a single sample"):
        find_samples(tmp_path / "OCTA_6M", DataConfig(field_of_view="3M"))


def test_octa500_without_labels(tmp_path: Path) -> None:
    octa500(tmp_path, "10301", {})
    assert "image with labels" in problems(only(tmp_path))[0]


# --- pairs


def test_pairs(tmp_path: Path) -> None:
    save(tmp_path / "image" / "1.png", picture())
    save(tmp_path / "label" / "1.png", mask(SMALL, DIAGONAL, LARGE))
    sample = only(tmp_path)
    assert (sample.name, sample.subject) == ("1", f"{tmp_path.name}/1")
    scene = sample.read()
    np.testing.assert_array_equal(scene.images[0], normalised(picture()))
    drawn = mask(SMALL, DIAGONAL, LARGE) > 0
    np.testing.assert_array_equal(scene.classes["RV"][0], drawn)
    assert scene.instances.max() == 2
    assert problems(sample) == []


def test_splits_of_pairs(tmp_path: Path) -> None:
    for split, stem in (("train", "10301"), ("val", "10441"), ("val", "1")):
        save(tmp_path / split / "image" / f"{stem}.png", picture(int(stem)))
        save(tmp_path / split / "label" / f"{stem}.png", mask(LARGE))
    found = by_name(tmp_path)
    subjects = {name: s.subject for name, s in found.items()}
    assert subjects == {
        "train/10301": "10301",
        "val/10441": "10441",
        "val/1": "val/1",
    }
    split = hold_out(list(found.values()), CONFIG)
    assert [s.name for s in split.training] == ["train/10301"]
    assert set(by_name(tmp_path / "train")) == {"10301"}


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (None, "image with labels"),
        (mask(LARGE, side=SIDE + 1), "17 x 17"),
        (picture(3), "0 and 255"),
        (mask(), "only empty masks"),
    ],
)
def test_problems_of_pairs(
    tmp_path: Path, label: np.ndarray | None, message: str
) -> None:
    save(tmp_path / "image" / "1.png", picture())
    (tmp_path / "label").mkdir()
    if label is not None:
        save(tmp_path / "label" / "1.png", label)
    (text,) = problems(only(tmp_path))
    assert message in text


def test_a_damaged_image(tmp_path: Path) -> None:
    path = save(tmp_path / "image" / "1.png", picture())
    save(tmp_path / "label" / "1.png", mask(LARGE))
    path.write_bytes(path.read_bytes()[:60])
    (text,) = problems(only(tmp_path))
    assert str(path) in text


# --- sequences of SAM-OCTA2


def rv_layer(drawn: np.ndarray, image: np.ndarray) -> np.ndarray:
    panels = np.zeros((SIDE, 4 * SIDE, 3), np.uint8)
    panels[:, 2 * SIDE : 3 * SIDE, 1] = drawn
    panels[:, 3 * SIDE :] = image[..., None]
    return panels


def test_sequences(tmp_path: Path) -> None:
    root = tmp_path / "RV_LayerSequence"
    for z in (7, 8):
        save(root / "10301" / f"{z}.png", rv_layer(mask(SMALL, LARGE), picture(z)))
        save(root / "10301" / str(z) / "00.png", mask(SMALL))
        save(root / "10301" / str(z) / "04.png", mask(LARGE))
    save(root / "10302" / "5.png", rv_layer(mask(SMALL, LARGE), picture()))
    found = by_name(root)
    assert {n: s.subject for n, s in found.items()} == {
        "10301 RV": "10301",
        "10302 RV": "10302",
    }
    scene = found["10301 RV"].read()
    np.testing.assert_array_equal(
        scene.images, normalised(np.stack([picture(7), picture(8)]))
    )
    assert np.unique(scene.instances).tolist() == [0, 1, 5]
    np.testing.assert_array_equal(scene.classes["RV"][1], mask(SMALL, LARGE) > 0)
    assert found["10302 RV"].read().instances.max() == 2
    assert found["10301 RV"].files[0].name == "7.png"
    assert only(root / "10302").name == "10302 RV"


# --- NIfTI


def save_nifti(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array.T, np.eye(4)), path)


def nifti_set(
    root: Path, content: Mapping[str, object], labels: np.ndarray, key: str = "label"
) -> dict[str, Sample]:
    volume = picture(0, labels.shape).astype(np.float32)
    for name in ("a", "b"):
        save_nifti(root / "imagesTr" / f"{name}.nii.gz", volume)
        save_nifti(root / "labelsTr" / f"{name}.nii.gz", labels)
    entries = [
        {"image": f"./imagesTr/{n}.nii.gz", key: f"./labelsTr/{n}.nii.gz"} for n in "ab"
    ]
    index = {"training": entries[:1], "validation": entries[1:], **content}
    (root / "dataset.json").write_text(json.dumps(index))
    return by_name(root)


VALUES = np.zeros((3, 6, 7), np.uint8)
VALUES[0, :2, :2], VALUES[1, 2, 2], VALUES[2, 4:, 5:] = 1, 1, 2


@pytest.mark.parametrize(
    "labels",
    [
        {"0": "background", "1": "rv", "2": "tumour"},
        {"background": 0, "RV": 1, "tumour": 2},
    ],
)
def test_nifti_with_named_values(tmp_path: Path, labels: dict[str, object]) -> None:
    found = nifti_set(tmp_path, {"labels": labels}, VALUES)
    assert {n: s.subject for n, s in found.items()} == {
        "training/a": "a",
        "validation/b": "b",
    }
    scene = found["training/a"].read()
    assert scene.images.shape == VALUES.shape
    np.testing.assert_array_equal(scene.images, normalised(picture(0, VALUES.shape)))
    assert set(scene.classes) == {"RV"}
    np.testing.assert_array_equal(scene.classes["RV"], VALUES == 1)
    # connected across slices by a corner
    assert scene.instances[0, 0, 0] == scene.instances[1, 2, 2]
    assert scene.instances.max() == 2


def test_nifti_with_many_values_holds_objects(tmp_path: Path) -> None:
    ids = np.arange(126).reshape(3, 6, 7).astype(np.float64)
    scene = nifti_set(tmp_path, {}, ids, "seg")["validation/b"].read()
    np.testing.assert_array_equal(scene.instances, ids)
    assert scene.classes == {}


def test_nifti_with_a_folder_a_subject(tmp_path: Path) -> None:
    entries = []
    for subject in ("s1", "s2"):
        save_nifti(tmp_path / subject / "image.nii", picture(0, VALUES.shape))
        save_nifti(tmp_path / subject / "seg.nii", VALUES)
        entries.append({"image": f"{subject}/image.nii", "seg": f"{subject}/seg.nii"})
    index = tmp_path / "splits.json"
    index.write_text(json.dumps({"training": entries}))
    subjects = {name: s.subject for name, s in by_name(index).items()}
    assert subjects == {
        "training/s1/image": "s1/image",
        "training/s2/image": "s2/image",
    }
    index.write_text(json.dumps({"training": ["s1/image.nii"]}))
    with pytest.raises(TrainingError, match="correct the index"):
        find_samples(index, CONFIG)


def test_problems_of_nifti(tmp_path: Path) -> None:
    halves = nifti_set(tmp_path, {}, VALUES.astype(np.float32) / 2)
    assert "labels as integers" in problems(halves["training/a"])[0]
    volume = np.ones(VALUES.shape, np.float32)
    volume[1, 1, 1] = np.nan
    save_nifti(tmp_path / "imagesTr" / "a.nii.gz", volume)
    assert "1 pixels that are NaN" in problems(halves["training/a"])[0]
    save_nifti(tmp_path / "imagesTr" / "a.nii.gz", picture(0, (3, 6, 8)))
    save_nifti(tmp_path / "labelsTr" / "a.nii.gz", VALUES)
    assert "3 x 6 x 8" in problems(halves["training/a"])[0]


# --- SAM-Med2D


def med2d(root: Path) -> None:
    save(root / "images" / "x_1.png", picture(1, (SIDE, SIDE, 3)))
    save(root / "images" / "y.png", picture(2))
    save(root / "masks" / "x_1_liver_000.png", mask(SMALL))
    save(root / "masks" / "x_1_aorta_000.png", mask(LARGE) // 255)
    save(root / "masks" / "x_1_tumour_000.png", mask((10, 10, 14, 14)))
    save(root / "masks" / "x_1_cyst_000.png", mask((14, 1, 16, 3)))
    save(root / "masks" / "y_liver_000.png", mask(SMALL))


def index_med2d(root: Path) -> None:
    masks = [f"set/masks/x_1_{n}_000.png" for n in ("liver", "aorta", "tumour", "cyst")]
    train = {"set/images/x_1.png": masks}
    test = {"set/masks/y_liver_000.png": "set/images/y.png"}
    (root / "image2label_train.json").write_text(json.dumps(train))
    (root / "label2image_test.json").write_text(json.dumps(test))


def test_med2d_packs_overlapping_masks(tmp_path: Path) -> None:
    med2d(tmp_path)
    index_med2d(tmp_path)
    found = by_name(tmp_path)
    assert {n: s.subject for n, s in found.items()} == {
        "train/x_1 1": "x_1",
        "train/x_1 2": "x_1",
        "test/y": "y",
    }
    first = found["train/x_1 1"].read()
    colours = np.moveaxis(picture(1, (SIDE, SIDE, 3)), -1, 0)
    np.testing.assert_array_equal(first.images, normalised(colours)[None])
    assert first.instances.shape == (1, SIDE, SIDE)
    assert first.instances[0, 1, 1] == 1
    assert first.instances[0, 11, 11] == 2
    assert first.instances[0, 15, 1] == 3
    second = found["train/x_1 2"].read().instances[0]
    np.testing.assert_array_equal(second > 0, mask((10, 10, 14, 14)) > 0)
    assert found["test/y"].read().images.shape == (1, 3, SIDE, SIDE)
    assert len(find_samples(tmp_path / "label2image_test.json", CONFIG)) == 1


def test_med2d_without_an_index(tmp_path: Path) -> None:
    med2d(tmp_path)
    assert set(by_name(tmp_path)) == {"x_1 1", "x_1 2", "y"}


def test_problems_of_med2d(tmp_path: Path) -> None:
    med2d(tmp_path)
    index_med2d(tmp_path)
    save(tmp_path / "masks" / "y_liver_000.png", picture(4))
    assert "0 and 255" in problems(by_name(tmp_path)["test/y"])[0]
    (tmp_path / "masks" / "x_1_aorta_000.png").unlink()
    alone = by_name(tmp_path)["train/x_1 2"]
    assert "no such file" in problems(alone)[0]
    (tmp_path / "label2image_test.json").write_text("{")
    with pytest.raises(TrainingError, match="damaged"):
        find_samples(tmp_path, CONFIG)


# --- B-scans with 14 tissues


def test_dilab(tmp_path: Path) -> None:
    values = np.zeros((10, 12, 3), np.uint8)
    values[:3, :, 0], values[5:7, :4, 0], values[5:7, 6:, 0] = 1, 13, 13
    values[..., 2] = 99
    save(
        tmp_path / "imagesgreyscale" / "a.png", np.stack([picture(0, (10, 12))] * 3, -1)
    )
    save(tmp_path / "masks14" / "a.png", values)
    sample = only(tmp_path)
    scene = sample.read()
    assert scene.images.shape == (1, 10, 12)
    assert np.unique(scene.instances).tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(scene.instances[0] > 0, values[..., 0] > 0)
    assert scene.classes == {}
    values[0, 0, 0] = 14
    path = save(tmp_path / "masks14" / "a.png", values)
    (text,) = problems(sample)
    assert str(path) in text
    assert "found 14" in text


# --- annotated slices


IDS = np.zeros((4, 8, 9), np.uint16)
IDS[1, 1:3, 1:3], IDS[1, 5:7, 5:7], IDS[2, 0, 0], IDS[3, 2, 2] = 300, 2, 5, 7


def annotated(path: Path, **changes: object) -> Path:
    settings = {
        "classes": {300: "RV", 2: "other", 5: "FAZ", 7: "vein"},
        "labelled": [1, 2, 0],
        "name": "eye 1 today",
        "subject": "eye 1",
    }
    labels = changes.pop("labels", IDS)
    return write_annotated(path, picture(0, IDS.shape), labels, **settings | changes)


def test_annotated_slices_come_back(tmp_path: Path) -> None:
    path = annotated(tmp_path / "new" / "eye")
    assert path == tmp_path / "new" / "eye.npz"
    assert [p.name for p in path.parent.iterdir()] == ["eye.npz"]
    for given in (path, path.parent):
        sample = only(given)
        assert (sample.name, sample.subject) == ("eye 1 today", "eye 1")
    scene = sample.read()
    np.testing.assert_array_equal(scene.images, normalised(picture(0, IDS.shape)))
    assert scene.labelled is not None
    assert scene.labelled.tolist() == [True, True, True, False]
    np.testing.assert_array_equal(scene.instances[:3], IDS[:3])
    assert not scene.instances[3].any()
    assert set(scene.classes) == {"RV", "FAZ"}
    np.testing.assert_array_equal(scene.classes["RV"], scene.instances == 300)
    counts = describe(Split((sample,), ()))["training"]
    assert (counts["slices"], counts["objects"]) == (3, 3)


def test_names_that_are_repeated_are_numbered(tmp_path: Path) -> None:
    annotated(tmp_path / "a.npz")
    annotated(tmp_path / "b.npz")
    assert set(by_name(tmp_path)) == {"eye 1 today", "eye 1 today (2)"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": IDS[:2]}, "same shape"),
        ({"labels": IDS.astype(float)}, "labels of integers"),
        ({"classes": {1: "nerve"}}, "found nerve"),
        ({"labelled": []}, "none"),
        ({"labelled": [4]}, "from 0 to 3"),
    ],
)
def test_annotations_that_do_not_fit(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        annotated(tmp_path / "a.npz", **changes)
    assert not any(tmp_path.glob("*.npz"))


def test_other_archives_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=IDS)
    with pytest.raises(TrainingError, match="annotated slices"):
        find_samples(tmp_path, CONFIG)
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(TrainingError, match="damaged"):
        find_samples(tmp_path, CONFIG)


def test_sparse_pictures_of_sam_octa2(tmp_path: Path) -> None:
    folder = tmp_path / "RV_Annotation"
    both = np.hstack([picture(), mask(SMALL, LARGE)])
    save(folder / "10456_277.png", both)
    save(folder / "10456_280.png", np.stack([both] * 3, -1))
    found = by_name(folder)
    assert {n: s.subject for n, s in found.items()} == {
        "10456_277": "10456",
        "10456_280": "10456",
    }
    one, other = (s.read() for s in found.values())
    np.testing.assert_array_equal(one.images, other.images)
    assert one.instances.shape == (1, SIDE, SIDE)
    assert one.instances.max() == 2
    assert set(one.classes) == {"RV"}
    np.testing.assert_array_equal(one.classes["RV"], one.instances > 0)


# --- projects and images with labels


def project_of(path: Path) -> store.Project:
    data = picture(0, (5, 8, 9))
    np.save(path, data)
    about = store.About.of(data, "eye 1", str(path), ScanGeometry())
    project = store.begin(about)
    project.document.begin()
    objects = (PromptObject(1, "big", "RV"), PromptObject(2))
    project.document.set_prompts(PromptSet(objects))
    for index, number in ((1, 1), (3, 2)):
        labels = project.document.labels(index)
        labels[2:5, 2:5] = number
        project.document.write(index, labels)
    project.close()
    return project


def test_projects(tmp_path: Path, projects: Path) -> None:
    project = project_of(tmp_path / "eye.npy")
    for given in (project.path, projects):
        sample = only(given)
        assert sample.subject == "eye 1"
    assert [f.name for f in sample.files] == ["eye.npy", "journal.jsonl"]
    scene = sample.read()
    np.testing.assert_array_equal(scene.images, normalised(picture(0, (5, 8, 9))))
    assert scene.labelled is not None
    assert np.flatnonzero(scene.labelled).tolist() == [1, 3]
    assert set(scene.classes) == {"RV"}
    np.testing.assert_array_equal(scene.classes["RV"], scene.instances == 1)
    np.save(tmp_path / "eye.npy", picture(1, (5, 8, 9)))
    with pytest.raises(ReadError, match="original file"):
        sample.read()


def test_images_with_labels(tmp_path: Path) -> None:
    data = picture(0, (4, 8, 9))
    labels = {"truth": LabelSet(IDS, {300: "big"}, {300: "RV", 2: "other"})}
    volume = OctaVolume(data, name="eye", labels=labels)
    write_image(tmp_path / "eye.ome.zarr", volume)
    sample = only(tmp_path / "eye.ome.zarr")
    assert (sample.name, sample.subject) == ("eye truth", "eye")
    scene = sample.read()
    assert scene.labelled is not None
    assert scene.labelled.tolist() == [False, True, True, True]
    np.testing.assert_array_equal(scene.classes["RV"], IDS == 300)
    np.testing.assert_array_equal(scene.instances, IDS)


# --- what is no data set


def test_what_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing there"):
        find_samples(tmp_path / "gone", CONFIG)
    with pytest.raises(TrainingError, match="an empty folder"):
        find_samples(tmp_path, CONFIG)
    (tmp_path / "notes.json").write_text("[]")
    with pytest.raises(TrainingError, match=r"a folder with notes\.json"):
        find_samples(tmp_path, CONFIG)
    with pytest.raises(TrainingError, match="a file of another kind"):
        find_samples(tmp_path / "notes.json", CONFIG)


def test_samples_travel_to_other_processes(tmp_path: Path) -> None:
    save(tmp_path / "image" / "1.png", picture())
    save(tmp_path / "label" / "1.png", mask(LARGE))
    sample = pickle.loads(pickle.dumps(only(tmp_path)))
    np.testing.assert_array_equal(sample.read().images[0], normalised(picture()))


# --- drawing


class Numbers:
    """Scenes that hold the turn they were made in, and a number of the generator."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def draw(self, rng: np.random.Generator, turn: int) -> Scene:
        self.made.append(turn)
        images = np.array([[[turn, rng.integers(10**6)]]], np.float32)
        return Scene(images, np.zeros((1, 1, 2), np.uint8), {})


def drawn(source: Pool | Mixture, turns: range) -> list[list[float]]:
    return [
        source.draw(np.random.default_rng([5, t]), t).images.ravel().tolist()
        for t in turns
    ]


def test_a_resumed_pool_goes_on_as_an_unbroken_one() -> None:
    unbroken = drawn(Pool(Numbers(), size=4, reuse=3, seed=1), range(60))
    resumed = drawn(Pool(Numbers(), size=4, reuse=3, seed=1), range(25, 60))
    assert resumed == unbroken[25:]
    assert drawn(Pool(Numbers(), size=4, reuse=3, seed=2), range(60)) != unbroken


def test_a_pool_makes_each_scene_once_and_lets_it_go() -> None:
    numbers = Numbers()
    for turn, (number, _) in enumerate(
        drawn(Pool(numbers, size=4, reuse=5), range(200))
    ):
        assert turn // 5 <= number < turn // 5 + 4
    assert len(numbers.made) == len(set(numbers.made))
    assert len(numbers.made) <= 200 / 5 + 4


def test_a_mixture_draws_by_share_and_counts_turns_by_it() -> None:
    often, seldom = Numbers(), Numbers()
    drawn(Mixture(((often, 3.0), (seldom, 1.0))), range(400))
    assert len(often.made) == pytest.approx(300, abs=30)
    assert len(seldom.made) + len(often.made) == 400
    assert max(often.made) <= 300
    assert max(seldom.made) <= 100


def test_samples_are_read_once_while_there_is_room() -> None:
    reads: list[int] = []

    def sample(number: int) -> Sample:
        def read() -> Scene:
            reads.append(number)
            images = np.full((1, 256, 256), number, np.float32)  # a quarter MiB
            return Scene(images, np.zeros((1, 256, 0), np.uint8), {})

        return Sample(str(number), str(number), (), read)

    samples = [sample(n) for n in range(3)]
    rng = np.random.default_rng(0)
    roomy = Drawn(samples)
    seen = {int(roomy.draw(rng, t).images[0, 0, 0]) for t in range(40)}
    assert seen == {0, 1, 2}
    assert sorted(reads) == [0, 1, 2]
    reads.clear()
    tight = Drawn(samples, cache_mb=0.5)
    order = [int(tight.draw(rng, t).images[0, 0, 0]) for t in range(40)]
    held: list[int] = []
    expected = []
    for number in order:
        if number not in held:
            expected.append(number)
        held = [*(n for n in held if n != number), number][-2:]
    assert reads == expected
    with pytest.raises(TrainingError, match="found none"):
        Drawn([])


def test_phantoms_follow_the_generator() -> None:
    first, again = (
        PhantomProjections().draw(np.random.default_rng(3), 0) for _ in range(2)
    )
    np.testing.assert_array_equal(first.images, again.images)
    assert first.images.shape == first.instances.shape
    assert first.classes["RV"].any()


@pytest.mark.slow
def test_phantom_volumes_show_neighbouring_depths() -> None:
    scene = PhantomVolumes().draw(np.random.default_rng(0), 0)
    assert scene.images.shape == scene.instances.shape
    assert len(scene.images) == 160
    assert not scene.alike
    assert scene.classes["RV"][scene.instances > 0].mean() > 0.99


# --- colours


def test_colours() -> None:
    assert len(COLOURS) == 20
    for name in COLOURS:
        table = colour_table(name)
        assert (table.shape, table.dtype) == ((256, 3), np.float32)
        assert table.min() >= 0
        assert table.max() <= 1
    np.testing.assert_allclose(colour_table("autumn")[[0, 255]], [[1, 0, 0], [1, 1, 0]])
    with pytest.raises(ModelError, match="parula"):
        Appearance(colours="parula")


# --- real samples


@pytest.mark.parametrize(
    ("folder", "samples", "validation"),
    [("octa500-rv/3M", 150, 10), ("octa500-rv/6M", 200, 20), ("rossa", 818, 100)],
)
def test_real_pairs(realdata: Path, folder: str, samples: int, validation: int) -> None:
    found = by_name(realdata / folder)
    assert len(found) == samples
    split = hold_out(list(found.values()), CONFIG)
    assert len(split.validation) == validation
    assert len(split.training) == samples - validation
    some = Split(split.training[::20], split.validation[::20])
    assert find_problems(some) == []


def test_real_octa500(realdata: Path) -> None:
    root = realdata / "sam-octa-extend" / "datasets" / "OCTA-500"
    config = DataConfig(projections=("FULL", "ILM_OPL", "OPL_BM"), as_channels=True)
    found = by_name(root, config)
    assert sorted(found) == ["10001", "10002", "10003", "10301", "10302", "10303"]
    scene = found["10301"].read()
    assert scene.images.shape == (1, 3, 304, 304)
    assert set(scene.classes) == {"RV", "artery", "vein", "FAZ", "vessel", "capillary"}
    assert scene.instances.max() == 11
    other = realdata / "sam-octa2" / "datasets" / "OCTA500" / "3M"
    assert set(only(other).read().classes) == {"RV", "FAZ"}


def test_real_sequences_and_annotations(realdata: Path) -> None:
    root = realdata / "sam-octa2" / "datasets" / "OCTA500"
    vessels = only(root / "RV_LayerSequence").read()
    assert vessels.images.shape == (10, 512, 512)
    assert set(vessels.classes) == {"RV"}
    assert vessels.instances.max() > 1
    assert only(root / "FAZ_LayerSequence").read().classes["FAZ"].any(axis=(1, 2)).all()
    pictures = by_name(root / "RV_Annotation")
    assert len(pictures) == 5
    assert {s.subject for s in pictures.values()} == {
        "10456",
        "10457",
        "10459",
        "10460",
    }
    assert not any(problems(s) for s in pictures.values())


def test_real_med2d(realdata: Path) -> None:
    found = by_name(realdata / "sam-med2d" / "data_demo")
    assert len({s.subject for s in found.values()}) == 4  # the fifth has no mask
    assert sum(len(s.files) - 1 for s in found.values()) == 30
    objects = sum(np.unique(s.read().instances).size - 1 for s in found.values())
    assert objects == 30
