"""Many subjects, and the files they come from."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import numpy as np
import pytest

from napari_octa_sam2.errors import ReadError, VolumeError
from napari_octa_sam2.metrics.segmentation.cohort import (
    CANCELLED,
    Case,
    evaluate_cohort,
)
from napari_octa_sam2.metrics.segmentation.comparison import OVERLAP
from napari_octa_sam2.metrics.segmentation.evaluation import evaluate
from napari_octa_sam2.metrics.segmentation.overlap import confusion
from napari_octa_sam2.metrics.segmentation.pairing import pair_files
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.writers import write_labels

GEOMETRY = ScanGeometry((0.5, 0.01, 0.02), "mm")


def case(subject, width, geometry=GEOMETRY, found=8):
    truth = np.zeros((3, 20, 30), np.uint8)
    truth[:, 5:15, 4 : 4 + width] = 1
    prediction = np.zeros_like(truth)
    prediction[:, 5:15, 4 : 4 + found] = 1
    return Case(subject, prediction, truth, geometry, {1: "vein"}, {1: "vein"})


def test_subjects_are_told_one_by_one_and_together():
    cases = [case("a", 8), case("b", 16), case("c", 10)]
    result = evaluate_cohort(cases)
    dice = []
    for given in cases:
        alone = evaluate(
            given.prediction,
            given.truth,
            geometry=GEOMETRY,
            names=given.names,
            classes=given.classes,
        )
        row = result.only("all", subject=given.subject)
        assert row.figures == alone.only("all").figures
        assert len(result.at("slice", subject=given.subject)) == 3
        dice.append(row["dice"])
    rows = {row.labels["statistic"]: row for row in result.at("subjects")}
    assert list(rows) == ["mean", "sd", "min", "max", "n", "n_missing", "pooled"]
    told = {name: row["dice"] for name, row in rows.items()}
    assert told["mean"] == pytest.approx(fmean(dice))
    assert told["sd"] == pytest.approx(stdev(dice))
    assert (told["min"], told["max"]) == (min(dice), max(dice))
    assert (told["n"], told["n_missing"]) == (3, 0)
    assert rows["mean"].figures["hd95"].unit == "mm"
    counts = confusion(
        *(np.stack([getattr(c, k) for c in cases]) > 0 for k in ("prediction", "truth"))
    )
    assert {k: rows["pooled"][k] for k in rows["pooled"].figures} == {
        k: getattr(counts, k) for k in OVERLAP
    }


def test_a_figure_that_a_subject_has_not_is_counted():
    result = evaluate_cohort([case("a", 8), case("b", 8, found=0)], per_slice=False)
    by_statistic = {
        row.labels["statistic"]: row.figures.get("hd") for row in result.at("subjects")
    }
    assert by_statistic["mean"].value == 0
    assert "expected 2 or more subjects" in by_statistic["sd"].why_not
    assert by_statistic["n"].value == by_statistic["n_missing"].value == 1


def test_units_are_never_mixed():
    cases = [case("a", 8), case("b", 10, ScanGeometry())]
    result = evaluate_cohort(cases, per_slice=False)
    mean = result.only("subjects", statistic="mean")
    assert "one unit, found mm and pixel" in mean.figures["hd"].why_not
    assert not math.isnan(mean["dice"])
    assert result.settings["unit"] == {"a": "mm", "b": "pixel"}
    assert result.settings["centrelines"] == "slice by slice"
    assert result.notes[0].startswith("b: the spacing is unknown")


def test_cases_are_read_one_at_a_time_and_can_be_cancelled():
    read, told = [], []

    def cases():
        for name in "abc":
            read.append(name)
            yield case(name, 8)

    result = evaluate_cohort(
        cases(),
        per_slice=False,
        progress=lambda *step: told.append(step),
        cancelled=lambda: len(read) == 2,
    )
    assert read == ["a", "b"]
    assert told == [(1, None, "a"), (2, None, "b")]
    assert result.notes[-1] == CANCELLED
    assert result.only("subjects", statistic="n")["dice"] == 2


def test_bad_subjects_are_named():
    with pytest.raises(VolumeError, match="found 'a' again"):
        evaluate_cohort([case("a", 8), case("a", 8)], per_slice=False)
    with pytest.raises(VolumeError, match="found none"):
        evaluate_cohort([])
    odd = case("odd", 8)
    odd = Case("odd", odd.prediction[1:], odd.truth, GEOMETRY)
    with pytest.raises(VolumeError, match="odd was left out: expected a prediction"):
        evaluate_cohort([odd])
    result = evaluate_cohort([case("a", 8), odd, case("b", 8)], per_slice=False)
    assert {r.labels["subject"] for r in result.at("all")} == {"a", "b"}
    assert any(note.startswith("odd was left out") for note in result.notes)


def files(folder, *names):
    labels = np.ones((2, 4, 5), np.uint8)
    folder.mkdir()
    for name in names:
        write_labels(folder / name, labels, GEOMETRY)
    return folder


def test_files_are_matched_without_their_suffixes(tmp_path):
    one = files(tmp_path / "one", "s1.ome.zarr", "s2.nii.gz", "s3.npy", "s9.tif")
    other = files(tmp_path / "other", "s1.npy", "s2.tif", "s3.ome.zarr", "s4.npy")
    (one / "notes.txt").write_text("not labels")
    (one / ".hidden.npy").write_bytes(b"")
    pairs, notes = pair_files(one, other)
    assert [tuple(pair) for pair in pairs] == [
        ("s1", one / "s1.ome.zarr", other / "s1.npy"),
        ("s2", one / "s2.nii.gz", other / "s2.tif"),
        ("s3", one / "s3.npy", other / "s3.ome.zarr"),
    ]
    assert [note.rsplit(": ")[-1] for note in notes] == ["s9", "s4"]
    assert notes[0].startswith(str(one))


def test_folders_that_do_not_match(tmp_path):
    one = files(tmp_path / "one", "s1.npy", "s1.tif")
    other = files(tmp_path / "other", "s2.npy")
    with pytest.raises(ReadError, match=r"one file of s1, found s1\.npy and s1\.tif"):
        pair_files(one, other)
    with pytest.raises(ReadError, match="found s2 and s3"):
        pair_files(other, files(tmp_path / "third", "s3.npy"))
    with pytest.raises(ReadError, match="found none"):
        pair_files(other, files(tmp_path / "empty"))
    with pytest.raises(ReadError, match="expected a folder"):
        pair_files(tmp_path / "nowhere", other)
