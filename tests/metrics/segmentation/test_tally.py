"""The live tally: always what a whole evaluation would say."""

from __future__ import annotations

import numpy as np
import pytest

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.segmentation import tally as tally_module
from napari_octa_sam2.metrics.segmentation.comparison import OVERLAP
from napari_octa_sam2.metrics.segmentation.evaluation import evaluate
from napari_octa_sam2.metrics.segmentation.tally import SliceTally
from napari_octa_sam2.volume.geometry import ScanGeometry

NAMES = {2: "vein"}
CLASSES = {1: "artery", 2: "vein"}


@pytest.fixture
def truth():
    labels = np.zeros((12, 20, 30), np.uint8)
    labels[2:6, 5:15, 5:25] = 1
    labels[4:9, 8:18, 10:30] = 2
    return labels


def as_evaluated(prediction, truth):
    whole = evaluate(
        prediction, truth, geometry=ScanGeometry(), names=NAMES, classes=CLASSES
    )
    told = {
        (row.level, *row.labels.items()): {k: row[k] for k in OVERLAP}
        for level in ("object", "all")
        for row in whole.at(level)
    }
    return told, {row.labels["slice"]: row["dice"] for row in whole.at("slice")}


def as_tallied(tally):
    rows = [row for row in tally.results().rows if row.level != "slice"]
    told = {(r.level, *r.labels.items()): {k: r[k] for k in OVERLAP} for r in rows}
    return told, dice_by_slice(tally)


def dice_by_slice(tally):
    return {r.labels["slice"]: r["dice"] for r in tally.results().at("slice")}


def test_equal_to_an_evaluation_after_every_edit(truth):
    rng = np.random.default_rng(0)
    tally = SliceTally(truth, NAMES, CLASSES)
    prediction = np.zeros_like(truth)
    assert tally.update(prediction) == list(range(12))
    assert as_tallied(tally) == as_evaluated(prediction, truth)
    for _ in range(12):
        index, row, col = rng.integers(0, (12, 15, 25))
        prediction[index, row : row + 5, col : col + 9] = rng.integers(0, 4)
        changed = tally.update(prediction)
        assert changed in ([], [index])
        assert as_tallied(tally) == as_evaluated(prediction, truth)
    assert (prediction == 3).any()
    assert tally.results().notes[0].startswith("only in the prediction: 3 (")


def test_only_what_changed_is_counted(truth, monkeypatch):
    tally = SliceTally(truth)
    prediction = truth.copy()
    tally.update(prediction)
    counted = []
    original = tally_module.count_jointly
    monkeypatch.setattr(
        tally_module,
        "count_jointly",
        lambda *pair: counted.append(1) or original(*pair),
    )
    assert tally.update(prediction) == []
    assert not counted
    prediction[3, 0, 0] = prediction[7, 0, 0] = 1
    assert tally.update(prediction, [3, 4]) == [3]
    assert dice_by_slice(tally)[7] == 1  # not asked for
    assert tally.update(prediction) == [7]
    assert len(counted) == 2


def test_slices_never_seen_are_looked_at(truth):
    tally = SliceTally(truth)
    assert tally.update(truth, [3]) == list(range(12))
    assert set(dice_by_slice(tally).values()) == {1}


def test_a_moved_object_is_noticed(truth):
    # The same bytes at another place: a sum of them would not tell.
    tally = SliceTally(truth)
    tally.update(truth)
    assert tally.update(np.roll(truth, 8, 2)) == list(range(2, 9))


def test_views_and_masks_are_taken(truth):
    turned = np.ascontiguousarray(truth.transpose(1, 2, 0)).transpose(2, 0, 1)
    tally = SliceTally(turned > 0)
    tally.update(turned > 0)
    assert tally.results().only("all")["dice"] == 1


def test_bad_input_is_refused(truth):
    tally = SliceTally(truth)
    with pytest.raises(VolumeError, match="call update first"):
        tally.results()
    with pytest.raises(VolumeError, match="shape of the truth"):
        tally.update(truth[1:])
    with pytest.raises(VolumeError, match="slices from 0 to 11, found 12"):
        tally.update(truth, [12])
    with pytest.raises(VolumeError, match="found float64"):
        tally.update(truth.astype(float))
    with pytest.raises(VolumeError, match="found float64"):
        SliceTally(truth.astype(float))
