"""Graders whose labels are files, or folders of scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_octa_sam2.errors import ReadError, VolumeError
from napari_octa_sam2.metrics.agreement.files import REGIONS, agree_files, graders
from napari_octa_sam2.metrics.agreement.graders import POOLED
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume
from napari_octa_sam2.volume.writers import write_image, write_labels

SCAN = ScanGeometry((1.0, 0.03, 0.03), "mm")
CLASSES = {1: "artery", 2: "vein"}
SUBJECTS = ("s1", "s2", "s3", "s4")


def write(path: Path, width: int = 4, at: int = 10, **options) -> Path:
    """Write a scan with an artery of so many pixels, and a vein."""
    data = np.zeros((1, 40, 40), np.uint8)
    data[0, at : at + width] = 1
    data[0, 30:33] = 2
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_labels(
        path, data, SCAN, **{"classes": CLASSES, "names": {1: "a"}} | options
    )


@pytest.fixture
def folders(tmp_path) -> list[Path]:
    """Three graders of four scans; the second draws wider, the third misses one."""
    for number, subject in enumerate(SUBJECTS):
        write(tmp_path / "ann" / f"{subject}.npy", 3 + number)
        write(tmp_path / "bob" / f"{subject}.tif", 4 + number)
        if subject != "s4":
            write(tmp_path / "cyd" / f"{subject}.nii.gz", 3 + number)
    return [tmp_path / name for name in ("ann", "bob", "cyd")]


def test_two_files_of_one_scan(tmp_path):
    paths = [write(tmp_path / "ann.npy", 4), write(tmp_path / "bob.npy", 8)]
    results, measured = agree_files(paths, biomarkers=False)
    assert measured == {}
    pair = {"subject": "scan", "grader": "ann", "other": "bob"}
    artery = results.only("graders", **pair, **{"class": "artery"})
    assert artery["dice"] == pytest.approx(2 * 4 / (4 + 8))
    assert results.only("graders", **pair, **{"class": "vein"})["dice"] == 1
    assert results.levels() == ["graders"]
    assert results.settings == {"graders": ["ann", "bob"], "subjects": ["scan"]}


def test_folders_belong_together_by_the_names_of_scans(folders):
    told = []
    results = agree_files(folders, progress=lambda *step: told.append(step)).results
    assert results.settings["graders"] == ["ann", "bob", "cyd"]
    assert results.settings["subjects"] == list(SUBJECTS)
    assert "cyd has no labels of s4: compared without" in results.notes
    pooled = results.only(
        "graders", subject=POOLED, grader="ann", other="bob", **{"class": "artery"}
    )
    assert pooled["dice"] == pytest.approx(2 * 18 / (18 + 22))
    same = results.only(
        "graders", subject=POOLED, grader="ann", other="cyd", **{"class": "all"}
    )
    assert same["dice"] == same["kappa"] == 1
    assert told[0] == (0, 11, "ann, s1")
    assert told[-1] == (11, 11, "")


def test_what_the_labels_measure_is_compared(folders):
    results, measured = agree_files(folders)
    vad = {"biomarker": "vad", "region": "whole", "class": "artery"}
    row = results.only("biomarker", **vad, grader="ann", other="bob")
    assert row["subjects"] == 4
    assert row["bias"] == pytest.approx(-1 / 40)
    assert row["icc31"] == pytest.approx(1)
    assert row["icc21"] < 1
    assert results.only("biomarker", **vad, grader="all", other="all")["subjects"] == 3
    regions = {r.labels["region"] for r in results.at("biomarker", biomarker="vad")}
    assert regions <= set(REGIONS)
    whole = {"region": "whole", "class": "artery"}
    by_subject = {
        grader: [found.only("region", subject=s, **whole)["vad"] for s in SUBJECTS[:3]]
        for grader, found in measured.items()
    }
    assert by_subject == {
        "ann": pytest.approx([3 / 40, 4 / 40, 5 / 40]),
        "bob": pytest.approx([4 / 40, 5 / 40, 6 / 40]),
        "cyd": pytest.approx([3 / 40, 4 / 40, 5 / 40]),
    }


def test_one_kind_of_labels_can_be_chosen(tmp_path):
    kinds = np.zeros((2, 1, 40, 40), np.uint8)
    paths = []
    for name, width in (("ann", 4), ("bob", 8)):
        kinds[0, 0, 10 : 10 + width], kinds[1, 0, 20:30] = 1, 1
        labels = {
            "AV": LabelSet(kinds[0].copy(), classes={1: "artery"}),
            "FAZ": LabelSet(kinds[1].copy(), classes={1: "FAZ"}),
        }
        volume = OctaVolume(kinds[0] * 9, SCAN, labels=labels, name=name)
        paths.append(write_image(tmp_path / f"{name}.ome.zarr", volume))
    with pytest.raises(ReadError, match="found AV, FAZ; choose with --labels NAME"):
        agree_files(paths)
    results, measured = agree_files(paths, labels="AV")
    artery = results.only("graders", subject="scan", **{"class": "artery"})
    assert artery["dice"] == pytest.approx(2 * 4 / (4 + 8))
    assert "faz" not in measured["ann"].levels()
    results = agree_files(paths, labels="FAZ", biomarkers=False).results
    assert results.only("graders", subject="scan", **{"class": "FAZ"})["dice"] == 1


def test_classes_and_spacing_can_be_given(tmp_path):
    unknown = ScanGeometry()
    for name, width in (("ann", 3), ("bob", 6)):
        data = np.zeros((1, 40, 40), np.uint8)
        data[0, 10 : 10 + width] = 1
        for subject in SUBJECTS[:2]:
            (tmp_path / name).mkdir(exist_ok=True)
            write_labels(tmp_path / name / f"{subject}.npy", data, unknown)
    paths = [tmp_path / "ann", tmp_path / "bob"]
    plain = agree_files(paths).results
    assert {r.labels["class"] for r in plain.at("graders")} == {"all", "vessel"}
    results = agree_files(paths, classes={1: "vein"}, spacing=(0.03, 0.03)).results
    assert {r.labels["class"] for r in results.at("graders")} == {"all", "vein"}
    units = [
        found.only("biomarker", biomarker="vdi", region="whole").figures["bias"].unit
        for found in (plain, results)
    ]
    assert units == ["pixel", "um"]


def test_one_grader_only_is_refused(folders):
    for paths in (folders[:1], []):
        with pytest.raises(VolumeError, match="expected at least two graders"):
            agree_files(paths)
    with pytest.raises(ReadError, match=r"expected each path once, found .*ann again"):
        agree_files([folders[0], folders[1], folders[0]])


def test_graders_are_called_by_as_many_folders_as_tell_them_apart(tmp_path):
    paths = [
        write(tmp_path / grader / "labels" / "10301.npy") for grader in ("ann", "bob")
    ]
    assert list(graders(paths)) == ["ann/labels/10301.npy", "bob/labels/10301.npy"]
    folders = [path.parent for path in paths]
    assert list(graders(folders)) == ["ann/labels", "bob/labels"]


def test_a_folder_that_is_not_there_or_empty_is_refused(tmp_path, folders):
    with pytest.raises(ReadError, match="found nothing there"):
        graders([folders[0], tmp_path / "no"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReadError, match="found none"):
        graders([folders[0], tmp_path / "empty"])


def test_files_and_folders_do_not_mix(folders):
    with pytest.raises(ReadError, match="a folder of each, found both"):
        graders([folders[0], folders[1] / "s1.tif"])


def test_two_files_of_a_scan_in_one_folder_are_refused(folders):
    write(folders[0] / "s1.tif")
    with pytest.raises(ReadError, match=r"one file of s1, found s1\.npy and s1\.tif"):
        graders(folders)


def test_graders_without_a_scan_in_common_are_refused(tmp_path):
    paths = [
        write(tmp_path / "ann" / "s1.npy").parent,
        write(tmp_path / "bob" / "s2.npy").parent,
    ]
    with pytest.raises(VolumeError, match="found none in common among ann, bob"):
        agree_files(paths, biomarkers=False)


def test_labels_of_another_shape_are_refused(tmp_path):
    one = write(tmp_path / "ann.npy")
    other = write_labels(tmp_path / "bob.npy", np.ones((1, 40, 41), np.uint8), SCAN)
    with pytest.raises(VolumeError, match="expected labels of one shape"):
        agree_files([one, other], biomarkers=False)


def test_labels_that_measure_nothing_are_compared_and_told(folders):
    empty = np.zeros((1, 40, 40), np.uint8)
    write_labels(folders[0] / "s1.npy", empty, SCAN, classes=CLASSES)
    results = agree_files(folders[:2]).results
    note = next(n for n in results.notes if n.startswith("ann, s1 was not measured"))
    assert "found no voxel of either" in note
    pair = {"subject": "s1", "grader": "ann", "other": "bob", "class": "all"}
    assert results.only("graders", **pair)["dice"] == 0
    vad = {"biomarker": "vad", "region": "whole", "class": "artery"}
    assert results.only("biomarker", **vad)["subjects"] == 3


def test_after_a_cancel_the_overlap_is_still_there(folders):
    asked = iter([False, False, True])
    results, measured = agree_files(folders, cancelled=lambda: next(asked))
    assert measured == {}
    assert results.levels() == ["graders"]
    assert any(note.startswith("cancelled:") for note in results.notes)


def test_a_file_is_read_once_for_labels_and_spacing(folders, monkeypatch):
    from napari_octa_sam2.metrics.agreement import files

    found = []

    def read(path, **options):
        found.append(path)
        return original(path, **options)

    original = files.read_subject
    monkeypatch.setattr(files, "read_subject", read)
    agree_files(folders, biomarkers=False)
    assert len(found) == len(set(found)) == 11
