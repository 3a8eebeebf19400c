"""Evaluation of label volumes whose figures are known by construction."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.definitions.segmentation import SEGMENTATION
from napari_octa_sam2.metrics.segmentation import overlap
from napari_octa_sam2.metrics.segmentation.comparison import Comparison
from napari_octa_sam2.metrics.segmentation.evaluation import CANCELLED, evaluate
from napari_octa_sam2.volume.geometry import ScanGeometry

GEOMETRY = ScanGeometry((0.5, 0.01, 0.02), "mm")
CLASSES = {1: "artery", 3: "FAZ", 7: "artery"}


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


def test_objects_are_compared_by_id(prediction, truth):
    result = evaluate(prediction, truth, geometry=GEOMETRY, names={3: "FAZ"})
    first, third = result.at("object")
    assert first.labels == {"object": 1, "name": "object 1"}
    assert third.labels == {"object": 3, "name": "FAZ"}
    assert first["dice"] == first["precision"] == first["recall"] == 0.75
    assert first["iou"] == pytest.approx(0.6)
    assert first["accuracy"] == pytest.approx(1 - 400 / truth.size)
    assert first["hd95"] == pytest.approx(5 * 0.02)
    assert first["betti0"] == first["betti0_reference"] == 1
    voxel = 0.5 * 0.01 * 0.02
    assert first["volume_reference"] == pytest.approx(800 * voxel)
    assert third["volume_prediction"] == 0
    assert [third[k] for k in ("dice", "recall", "cldice", "nsd")] == [0] * 4
    assert third["betti0_error"] == 1
    assert math.isnan(third["hd95"])
    assert "none in prediction" in third.figures["hd95"].why_not


def test_false_objects_are_told_and_pooled(prediction, truth):
    result = evaluate(prediction, truth, geometry=GEOMETRY)
    (note,) = result.notes
    assert note.startswith("only in the prediction: 7 (4 voxels)")
    pooled = result.only("all")
    assert pooled["dice"] == overlap.dice(prediction > 0, truth > 0)
    assert pooled["precision"] == pytest.approx(600 / 804)
    assert pooled["recall"] == pytest.approx(600 / 1600)
    assert pooled["ap50"] == 1 / (1 + 1 + 1)  # found, missed, false
    assert pooled["ap75"] == 0
    assert pooled["ap"] == pytest.approx(3 / 10 / 3)  # IoU 0.6: three of ten


def test_classes_are_compared_as_one_mask(prediction, truth):
    result = evaluate(prediction, truth, geometry=GEOMETRY, classes=CLASSES)
    artery, faz = result.at("class")
    assert artery.labels == {"class": "artery"}
    assert artery["precision"] == pytest.approx(600 / 804)
    assert (faz.labels["class"], faz["dice"]) == ("FAZ", 0)
    assert result.only("object", object=1).labels["class"] == "artery"
    assert not evaluate(prediction, truth, geometry=GEOMETRY).at("class")


def test_a_row_for_each_slice(prediction, truth):
    result = evaluate(prediction, truth, geometry=GEOMETRY)
    by_object = {
        i: {r.labels["slice"]: r["dice"] for r in result.at("object slice", object=i)}
        for i in (1, 3)
    }
    assert by_object == {
        1: dict.fromkeys(range(2, 6), 0.75),
        3: dict.fromkeys(range(4, 8), 0.0),
    }
    pooled = {row.labels["slice"]: row for row in result.at("slice")}
    assert sorted(pooled) == [2, 3, 4, 5, 6, 7, 9]
    assert pooled[4]["dice"] == pytest.approx(2 * 150 / 600)
    for index in (2, 4, 9):
        image = Comparison(
            prediction[index] > 0, truth[index] > 0, GEOMETRY.spacing[1:], "mm"
        )
        assert str(pooled[index].figures) == str(image.figures())
    assert {"cal", "nsd", "betti1_error"} < pooled[2].figures.keys()
    assert result.levels() == ["object", "all", "slice", "object slice"]
    whole = evaluate(prediction, truth, geometry=GEOMETRY, per_slice=False)
    assert whole.levels() == ["object", "all"]
    assert whole.only("all").figures == result.only("all").figures


def test_every_definition_but_that_of_clicks_is_told(truth):
    scores = np.where(truth > 0, 0.9, 0.1)
    result = evaluate(truth, truth, geometry=GEOMETRY, scores=scores)
    told = {key for level in result.levels() for key in result.keys(level)}
    assert told == SEGMENTATION.keys() - {"noc"}


@pytest.mark.parametrize("slicewise", [True, False])
def test_a_perfect_prediction(truth, slicewise):
    result = evaluate(
        truth, truth, geometry=GEOMETRY, slicewise=slicewise, classes=CLASSES
    )
    for row in result.rows:
        for key, figure in row.figures.items():
            if key in ("hd", "hd95", "assd") or key.endswith("_error"):
                assert figure.value == 0
            elif not key.startswith(("betti", "volume")):
                assert figure.value == 1
    assert result.notes == ()


def test_slices_restrict_the_comparison(prediction, truth):
    result = evaluate(prediction, truth, geometry=GEOMETRY, slices=slice(2, 4))
    assert [row.labels["object"] for row in result.at("object")] == [1]
    assert result.settings["slices"] == [2, 4]
    assert [row.labels["slice"] for row in result.at("object slice")] == [2, 3]
    assert result.notes == ()
    last = evaluate(prediction, truth, geometry=GEOMETRY, slices=slice(-1, None))
    assert (last.at("object"), last.only("all")["dice"]) == ((), 0)
    assert last.only("slice").labels == {"slice": 9}


def test_scores_are_ranked_in_the_slices_that_are_compared(truth):
    scores = np.where(truth > 0, 1.0, 0.0)
    scores[8:] = 2.0
    part = {"geometry": GEOMETRY, "per_slice": False, "scores": scores}
    found = evaluate(truth, truth, slices=slice(0, 8), **part).only("all")
    assert found["average_precision"] == 1
    found = evaluate(truth, truth, **part).only("all")
    assert found["average_precision"] == pytest.approx(1600 / (1600 + 2 * 2000))
    empty = np.zeros_like(truth)
    figure = evaluate(truth, empty, **part).only("all").figures["average_precision"]
    assert "reference with voxels" in figure.why_not


def test_an_object_on_one_slice_of_many_is_measured_in_the_volume():
    truth = np.zeros((9, 30, 30), np.uint8)
    truth[4, 5:15, 5:15] = 1
    prediction = np.zeros_like(truth)
    prediction[4, 7:13, 7:13] = 1
    found = evaluate(prediction, truth, geometry=GEOMETRY, per_slice=False)
    # Every voxel has a neighbour outside in depth: all of the square is surface.
    whole = Comparison(prediction > 0, truth > 0, GEOMETRY.spacing, "mm")
    assert found.only("object")["assd"] == pytest.approx(whole.distances.assd)
    assert len(whole.distances.to_prediction) == 100


def test_settings_tell_what_figures_depend_on(truth):
    told = evaluate(truth, truth, geometry=GEOMETRY, per_slice=False).settings
    assert told["tolerance"] == 0.02
    assert told["tolerance_origin"] == "one en-face pixel"
    assert told["centrelines"] == "slice by slice"
    assert told["unit"] == "mm"
    told = evaluate(
        truth, truth, geometry=GEOMETRY, per_slice=False, tolerance=0.1, slicewise=False
    ).settings
    assert (told["tolerance"], told["tolerance_origin"]) == (0.1, "given")
    assert told["centrelines"] == "3-D"


def test_an_unknown_spacing_is_told(prediction, truth):
    result = evaluate(prediction, truth, geometry=ScanGeometry(), per_slice=False)
    assert "spacing is unknown" in result.notes[0]
    figure = result.only("object", object=1).figures["hd"]
    assert (figure.value, figure.unit) == (5, "pixel")


def test_empty_labels_agree():
    empty = np.zeros((3, 8, 8), np.uint16)
    result = evaluate(empty, empty, geometry=ScanGeometry())
    (pooled,) = result.rows
    ones = ("dice", "nsd", "cldice", "ap", "specificity", "accuracy")
    assert [pooled[key] for key in ones] == [1] * 6
    assert math.isnan(pooled["hd95"])


def test_masks_and_any_integers_are_labels(truth):
    for labels in (truth > 0, (truth > 0).astype(np.int64) * 40000):
        result = evaluate(labels, labels, geometry=GEOMETRY)
        (row,) = result.at("object")
        assert row["dice"] == 1
        assert row.labels["object"] == labels.max()


def test_the_choice_of_skeleton_is_passed_on():
    # A sheet along the slices: seen slice by slice a line, in 3-D a surface.
    truth = np.zeros((20, 30, 30), np.uint8)
    truth[2:18, 10:13, 3:27] = 1
    prediction = truth.copy()
    prediction[2:10] = 0
    slicewise, volumetric = (
        evaluate(
            prediction, truth, geometry=GEOMETRY, slicewise=choice, per_slice=False
        ).only("all")["cldice"]
        for choice in (True, False)
    )
    assert slicewise == pytest.approx(2 / 3)
    assert volumetric != pytest.approx(2 / 3, abs=0.01)


def test_progress_ends_at_the_total_and_never_goes_back(prediction, truth):
    told = []
    evaluate(
        prediction,
        truth,
        geometry=GEOMETRY,
        names={1: "vein"},
        progress=lambda *step: told.append(step),
    )
    done = [step[0] for step in told]
    assert done == sorted(done)
    assert {step[1] for step in told} == {told[-1][1]}
    assert 0.9 < done[-1] / told[-1][1] <= 1
    assert told[0][2] == "all"
    assert {"vein", "object 3"} < {step[2] for step in told}


def test_a_cancelled_evaluation_returns_what_is_done(prediction, truth):
    asked = []
    result = evaluate(
        prediction,
        truth,
        geometry=GEOMETRY,
        cancelled=lambda: asked.append(1) or len(asked) == 3,
    )
    assert result.levels() == ["all", "slice"]
    assert len(result.rows) == 3
    assert result.notes[-1] == CANCELLED


def test_results_are_ready_for_json(prediction, truth):
    result = evaluate(prediction, truth, geometry=GEOMETRY, classes=CLASSES)
    content = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert content == result.to_json()
    assert content["notes"] == list(result.notes)


def test_different_shapes_are_both_named(truth):
    with pytest.raises(VolumeError, match=r"\(10, 40, 50\), found \(9, 40, 50\)"):
        evaluate(truth[1:], truth, geometry=GEOMETRY)
    with pytest.raises(VolumeError, match="scores of the shape of the truth"):
        evaluate(truth, truth, geometry=GEOMETRY, scores=np.ones((2, 2, 2)))


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


def test_a_tolerance_must_be_a_length(truth):
    with pytest.raises(VolumeError, match=r"tolerance of 0 or more, found -0\.1"):
        evaluate(truth, truth, geometry=GEOMETRY, tolerance=-0.1)
