"""Labels of scans, found and read: files, masks, projects, volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_octa_sam2 import make_phantom
from napari_octa_sam2.errors import ReadError, VolumeError
from napari_octa_sam2.metrics.subjects import (
    Subject,
    distinct_names,
    find_subjects,
    ids_by_class,
    is_project,
    read_subject,
)
from napari_octa_sam2.project import store
from napari_octa_sam2.project.store import About
from napari_octa_sam2.prompts import PromptObject, PromptSet
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume
from napari_octa_sam2.volume.phantom.records import PhantomConfig
from napari_octa_sam2.volume.writers import write_image, write_labels

SCAN = ScanGeometry((0.01, 0.02, 0.03), "mm")
PIXELS = ScanGeometry()


def two_objects() -> np.ndarray:
    data = np.zeros((4, 12, 16), np.uint8)
    data[1, 2:6, 2:6] = 1
    data[2, 7:9, 3:9] = 2
    return data


def labelled(classes=None, data=None) -> LabelSet:
    return LabelSet(two_objects() if data is None else data, {}, classes or {})


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def project_of(folder: Path) -> Path:
    data = two_objects()
    objects = (PromptObject(1, "big vein", "vein"), PromptObject(2))
    project = store.begin(About.of(data, "eye 1", "", SCAN), folder)
    project.document.begin()
    project.document.set_prompts(PromptSet(objects))
    for index in (1, 2):
        project.document.write(index, data[index].astype(np.uint16))
    project.close()
    return project.path


@pytest.mark.parametrize("name", ["eye.nii.gz", "eye.tif", "eye.npy", "eye.ome.zarr"])
def test_a_file_of_labels_is_a_subject(tmp_path, name):
    data, classes = two_objects(), {1: "vein", 2: "FAZ"}
    path = write_labels(tmp_path / name, data, SCAN, classes=classes)
    assert find_subjects([path]) == [path]
    subject = read_subject(path)
    assert (subject.name, subject.source) == ("eye", path)
    assert subject.geometry.spacing == pytest.approx(SCAN.spacing)
    assert subject.shape == data.shape
    assert subject.one().classes == classes
    assert {cls: mask.sum() for cls, mask in subject.masks().items()} == {
        "vein": 16,
        "FAZ": 12,
    }


def test_a_project_is_a_subject(tmp_path):
    path = project_of(tmp_path / "work")
    assert is_project(path)
    assert find_subjects([tmp_path / "work"]) == [path]
    subject = read_subject(path)
    assert subject.name.startswith("eye_1")
    assert subject.geometry == SCAN
    np.testing.assert_array_equal(subject.one().data, two_objects())
    assert subject.one().names[1] == "big vein"
    assert list(subject.masks()) == ["vein"]


def test_a_project_that_lost_changes_is_refused(tmp_path):
    path = project_of(tmp_path)
    journal = path / store.JOURNAL
    text = journal.read_text("utf-8")
    journal.write_text(text.replace('"slice":1', '"slice":2'), "utf-8")
    with pytest.raises(ReadError, match=r"are all there, found eye_1.* damaged"):
        read_subject(path)


def test_a_project_of_strange_changes_is_refused(tmp_path):
    path = project_of(tmp_path)
    project = store.resume(path)
    project.note({"do": "labels", "layer": 1, "content": "AA=="})
    project.close()
    with pytest.raises(ReadError, match=r"malformed one \("):
        read_subject(path)


def test_a_volume_brings_its_labels(tmp_path):
    kinds = {"RV": labelled({1: "RV", 2: "RV"}), "FAZ": labelled({1: "FAZ"})}
    image = np.arange(4 * 12 * 16, dtype=np.uint16).reshape(4, 12, 16)
    path = write_image(
        tmp_path / "eye.ome.zarr", OctaVolume(image, SCAN, labels=kinds, name="eye")
    )
    subject = read_subject(path)
    assert set(subject.labels) == {"RV", "FAZ"}
    assert subject.image is not None
    np.testing.assert_array_equal(subject.image, image)
    with pytest.raises(ReadError, match="found FAZ, RV; choose with --labels NAME"):
        subject.one()
    assert read_subject(path, labels="RV").one().classes == {1: "RV", 2: "RV"}
    with pytest.raises(ReadError, match="labels called 'AV', found FAZ, RV"):
        read_subject(path, labels="AV")


def test_an_image_without_labels_is_refused(tmp_path):
    volume = OctaVolume(two_objects() * 9, SCAN)
    zarr = write_image(tmp_path / "eye.ome.zarr", volume)
    npy = write_image(tmp_path / "eye.npy", volume)
    for path in (zarr, npy):
        with pytest.raises(ReadError, match="found an image"):
            read_subject(path)
        with pytest.raises(ReadError, match="labels called 'RV', found none"):
            read_subject(path, labels="RV")


def test_projections_of_octa_500_bring_the_labels_beside_them(tmp_path):
    root, mask = tmp_path / "OCTA_3M", np.zeros((30, 30), np.uint8)
    mask[10:20, 10:20] = 255
    path = save(root / "ProjectionMaps" / "OCTA(ILM_OPL)" / "10301.bmp", mask // 2)
    save(root / "GT_FAZ" / "10301.bmp", mask)
    save(root / "GT_Capillary" / "10301.bmp", 255 - mask)
    subject = read_subject(path)
    assert subject.name == "10301 ILM_OPL"
    assert subject.slice_names == ("ILM_OPL",)
    assert subject.geometry.spacing[1:] == (0.1, 0.1)
    masks = subject.masks()
    assert (masks["FAZ"].sum(), masks["vessel"].sum()) == (100, 800)


def test_unknown_spacing_can_be_given_but_never_changed(tmp_path):
    mask = save(tmp_path / "mask.png", np.eye(8, dtype=np.uint8) * 255)
    assert not read_subject(mask).geometry.known
    for given in ((0.02, 0.03), (0.5, 0.02, 0.03)):
        assert read_subject(mask, spacing=given).geometry.spacing[1:] == (0.02, 0.03)
    known = write_labels(tmp_path / "known.npy", two_objects(), SCAN)
    assert read_subject(known, spacing=(1, 1, 1)).geometry == SCAN
    unknown = write_labels(tmp_path / "unknown.npy", two_objects(), PIXELS)
    with pytest.raises(ReadError, match="depth, row and column"):
        read_subject(unknown, spacing=(0.02, 0.03))
    given = read_subject(unknown, spacing=(0.01, 0.02, 0.03))
    assert given.geometry == SCAN


def test_surfaces_can_be_given(tmp_path):
    phantom = make_phantom(PhantomConfig(depth=8, size=32))
    labels = phantom.volume.labels["objects"]
    path = write_labels(tmp_path / "eye.npy", labels.data, phantom.volume.geometry)
    np.save(tmp_path / "surfaces.npy", phantom.surfaces)
    subject = read_subject(path, surfaces=tmp_path / "surfaces.npy")
    assert list(subject.surfaces) == ["ILM", "IPL", "OPL", "ISOS", "RPE", "BM"]
    np.testing.assert_allclose(subject.surfaces["BM"], phantom.surfaces[5], rtol=1e-6)
    assert read_subject(path).surfaces == {}


def test_a_folder_stands_for_what_is_in_it(tmp_path):
    labels = two_objects()
    paths = [
        write_labels(tmp_path / "in" / name, labels, SCAN)
        for name in ("a.nii.gz", "b.ome.zarr", "c.npy")
    ]
    paths.append(save(tmp_path / "in" / "d.png", labels[1] * 255))
    (tmp_path / "in" / "read me.txt").write_text("labels")
    save(tmp_path / "in" / ".hidden.png", labels[1])
    (tmp_path / "in" / "folder").mkdir()
    assert find_subjects([tmp_path / "in"]) == paths
    again = tmp_path / "in" / ".." / "in" / "c.npy"
    assert len(find_subjects([tmp_path / "in", paths[0], again])) == len(paths)


def test_nothing_to_find_is_told(tmp_path):
    with pytest.raises(ReadError, match="found nothing there"):
        find_subjects([tmp_path / "no"])
    with pytest.raises(ReadError, match="found none"):
        find_subjects([tmp_path])
    text = tmp_path / "labels.txt"
    text.write_text("1")
    with pytest.raises(ReadError, match="found another format"):
        read_subject(text)


def test_labels_without_any_class_are_vessels():
    assert ids_by_class(labelled()) == {"vessel": [1, 2]}
    assert ids_by_class(labelled({1: "other"})) == {"vessel": [1, 2]}
    assert ids_by_class(labelled({1: "vein"})) == {"vein": [1]}
    assert ids_by_class(labelled({1: "vein", 2: "vein"})) == {"vein": [1, 2]}
    assert ids_by_class(labelled(data=two_objects() * 0)) == {}
    assert ids_by_class(labelled(data=two_objects() > 0)) == {"vessel": [1]}


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_what_is_no_label_is_refused(dtype):
    data = two_objects().astype(dtype) - np.array(0.5, dtype)
    data[0, 0, 0] = -1
    subject = Subject("eye", {"labels": labelled(data=data)})
    with pytest.raises(VolumeError, match=f"integers from 0, found {dtype.__name__}"):
        subject.masks()


def test_classes_can_be_set():
    subject = Subject("eye", {"labels": labelled({1: "vein"})}, SCAN)
    changed = subject.with_classes({1: "artery", 2: "FAZ"})
    assert set(changed.masks()) == {"artery", "FAZ"}
    assert set(subject.masks()) == {"vein"}


def test_label_sets_may_overlap_and_share_a_class():
    kinds = {"one": labelled({1: "vein"}), "two": labelled({1: "FAZ", 2: "vein"})}
    masks = Subject("eye", kinds, SCAN).masks()
    assert (masks["FAZ"].sum(), masks["vein"].sum()) == (16, 28)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["x/a.npy", "x/b.npy"], ["a", "b"]),
        (["x/a.npy", "y/a.npy"], ["x/a.npy", "y/a.npy"]),
        (["x/a.npy", "x/a.png"], ["x/a.npy", "x/a.png"]),
        (["x/in/a.npy", "y/in/a.npy"], ["x/in/a.npy", "y/in/a.npy"]),
        ([], []),
    ],
)
def test_names_are_told_apart_by_folders(paths, names):
    places = [Path(path) for path in paths]
    assert distinct_names([path.stem for path in places], places) == names


def test_a_path_that_comes_twice_has_no_name():
    with pytest.raises(ReadError, match=r"found .*a\.npy again"):
        distinct_names(["a", "a"], [Path("x/a.npy"), Path("x/../x/a.npy")])
