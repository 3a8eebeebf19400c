"""Evaluation of label volumes whose scores are known by construction."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest

from napari_octa_sam2.errors import VolumeError, WriteError
from napari_octa_sam2.metrics import overlap
from napari_octa_sam2.metrics.evaluation import evaluate
from napari_octa_sam2.volume.geometry import ScanGeometry

GEOMETRY = ScanGeometry((0.5, 0.01, 0.02), "mm")


@pytest.fixture
def truth():
    """Two boxes: object 1 on slices 2 to 5, object 3 on slices 4 to 7."""
    labels = np.zeros((10, 40, 50), np.uint8)
    labels[2:6, 5:15, 5:25] = 1
    labels[4:8, 25:35, 10:30] = 3
    return labels


@pytest.fixture
def prediction(truth):
    """Object 1 five columns to the right, object 3 missed, a false object 7."""
    labels = np.zeros_like(truth)
    labels[2:6, 5:15, 10:30] = 1
    labels[9, 38, 40:44] = 7
    return labels


def test_objects_are_scored_by_id(prediction, truth):
    result = evaluate(prediction, truth, geometry=GEOMETRY, names={3: "FAZ"})
    first, third = result.objects
    assert (first.object, first.name, third.object, third.name) == (
        1,
        "object 1",
        3,
        "FAZ",
    )
    assert first.dice == first.precision == first.recall == 0.75
    assert first.iou == pytest.approx(0.6)
    assert first.hd95 == pytest.approx(5 * 0.02)
    voxel = 0.5 * 0.01 * 0.02
    assert first.volume_truth == pytest.approx(800 * voxel)
    assert (third.dice, third.recall, third.cldice) == (0, 0, 0)
    assert third.volume_prediction == 0
    assert math.isnan(third.hd95)
    assert result.false_objects == {7: 4}


def test_pooled_scores_include_false_objects(prediction, truth):
    pooled = evaluate(prediction, truth, geometry=GEOMETRY).pooled
    assert pooled.object is None
    assert pooled.dice == overlap.dice(prediction > 0, truth > 0)
    assert pooled.precision == pytest.approx(600 / 804)
    assert pooled.recall == pytest.approx(600 / 1600)


def test_dice_of_each_slice(prediction, truth):
    result = evaluate(prediction, truth, geometry=GEOMETRY)
    assert result.objects[0].slice_dice == dict.fromkeys(range(2, 6), 0.75)
    assert result.objects[1].slice_dice == dict.fromkeys(range(4, 8), 0.0)
    assert sorted(result.pooled.slice_dice) == [2, 3, 4, 5, 6, 7, 9]
    assert result.pooled.slice_dice[4] == pytest.approx(2 * 150 / 600)


def test_a_perfect_prediction(truth):
    result = evaluate(truth, truth, geometry=GEOMETRY, slicewise=False)
    for scores in (*result.objects, result.pooled):
        row = scores.row()
        assert [row[k] for k in ("dice", "iou", "precision", "recall", "cldice")] == [
            1
        ] * 5
        assert row["hd95"] == 0
    assert not result.false_objects


def test_slices_restrict_the_comparison(prediction, truth):
    result = evaluate(prediction, truth, geometry=GEOMETRY, slices=slice(2, 4))
    assert [s.object for s in result.objects] == [1]
    assert result.slices == (2, 4)
    assert result.objects[0].slice_dice == {2: 0.75, 3: 0.75}
    assert result.false_objects == {}
    last = evaluate(prediction, truth, geometry=GEOMETRY, slices=slice(-1, None))
    assert (last.objects, last.slices, last.pooled.dice) == ((), (9, 10), 0)


def test_empty_labels_agree():
    empty = np.zeros((3, 8, 8), np.uint16)
    result = evaluate(empty, empty, geometry=ScanGeometry())
    assert result.objects == ()
    assert (result.pooled.dice, result.pooled.cldice, result.unit) == (1, 1, "pixel")
    assert math.isnan(result.pooled.hd95)


def test_masks_are_labels_of_one_object(truth):
    result = evaluate(truth > 0, truth > 0, geometry=GEOMETRY)
    assert [s.object for s in result.objects] == [1]


def test_the_choice_of_skeleton_is_passed_on():
    # A sheet along the slices: seen slice by slice a line, in 3-D a surface.
    truth = np.zeros((20, 30, 30), np.uint8)
    truth[2:18, 10:13, 3:27] = 1
    prediction = truth.copy()
    prediction[2:10] = 0
    slicewise = evaluate(prediction, truth, geometry=GEOMETRY, slicewise=True)
    volumetric = evaluate(prediction, truth, geometry=GEOMETRY, slicewise=False)
    assert slicewise.pooled.cldice == pytest.approx(2 / 3)
    assert volumetric.pooled.cldice != pytest.approx(2 / 3, abs=0.01)
    assert slicewise.to_json()["cldice"] == "slicewise"
    assert volumetric.to_json()["cldice"] == "3-D"


def test_csv_round_trip(prediction, truth, tmp_path):
    result = evaluate(prediction, truth, geometry=GEOMETRY, names={1: "a, b"})
    result.write_csv(tmp_path / "scores.csv")
    with open(tmp_path / "scores.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [r["object"] for r in rows] == ["1", "3", "all"]
    assert rows[0]["name"] == "a, b"
    for read, written in zip(rows, result.rows(), strict=True):
        assert read["unit"] == "mm"
        for key, value in written.items():
            if isinstance(value, float):
                assert float(read[key]) == pytest.approx(value, nan_ok=True, rel=1e-15)


def test_json_round_trip(prediction, truth):
    result = evaluate(prediction, truth, geometry=GEOMETRY)
    content = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert content == result.to_json()
    assert content["objects"][0]["hd95"] == pytest.approx(0.1)
    assert content["objects"][1]["hd95"] is None
    assert content["pooled"]["slice_dice"]["9"] == 0
    assert content["false_objects"] == {"7": 4}


def test_table_is_aligned(prediction, truth):
    result = evaluate(prediction, truth, geometry=GEOMETRY, names={1: "artery"})
    header, *rows, false = result.table().splitlines()
    assert "HD95 [mm]" in header
    assert "truth [mm^3]" in header
    assert len({len(line) for line in (header, *rows)}) == 1
    assert rows[0].split()[:3] == ["1", "artery", "0.75"]
    assert "n/a" in rows[1]
    assert rows[-1].startswith("all")
    assert false == "only in the prediction: 7 (4 voxels)"


def test_a_csv_that_cannot_be_written(truth, tmp_path):
    result = evaluate(truth, truth, geometry=GEOMETRY)
    with pytest.raises(WriteError, match=r"missing.scores\.csv"):
        result.write_csv(tmp_path / "missing" / "scores.csv")


def test_different_shapes_are_both_named(truth):
    with pytest.raises(VolumeError, match=r"\(10, 40, 50\), found \(9, 40, 50\)"):
        evaluate(truth[1:], truth, geometry=GEOMETRY)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((4, 4), np.uint8), "3-D array"),
        (np.zeros((2, 4, 4), np.float32), "integers from 0 to 65535, found float32"),
        (np.full((2, 4, 4), -1, np.int16), "found int16 from -1"),
        (np.full((2, 4, 4), 70000, np.int32), "to 70000"),
    ],
)
def test_what_is_no_label_volume_is_refused(labels, message):
    with pytest.raises(VolumeError, match=message):
        evaluate(labels, labels, geometry=GEOMETRY)


@pytest.mark.parametrize("slices", [slice(10, None), slice(5, 3), slice(0, 8, 2)])
def test_slices_must_be_contiguous_and_inside(truth, slices):
    with pytest.raises(VolumeError, match="contiguous slices within 0 to 10"):
        evaluate(truth, truth, geometry=GEOMETRY, slices=slices)
