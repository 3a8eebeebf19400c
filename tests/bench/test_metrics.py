"""The case of metrics on small scans of trees."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from napari_octa_sam2.bench import alone, metrics
from napari_octa_sam2.bench.alone import Peak
from napari_octa_sam2.bench.metric_parts import PARTS, distance_map_hd95
from napari_octa_sam2.bench.trees import OBJECTS, make_scan

SLICES = 48
REGIONS = 1 + 1 + 1 + 9  # whole, without FAZ, parafovea, ETDRS


@pytest.fixture
def small(settings):
    return replace(settings, slices=(SLICES,), repeats=3)


@pytest.fixture
def scan():
    return make_scan(SLICES, seed=1)


class TestScan:
    def test_field_and_proportions_are_those_of_a_scan(self, scan):
        assert scan.truth.shape == scan.prediction.shape == (48, 30, 30)
        assert scan.truth.dtype == scan.prediction.dtype == np.uint8
        assert scan.geometry.unit == "mm"
        assert scan.geometry.spacing == pytest.approx((2 / 48, 0.2, 0.2))

    def test_truth_has_every_tree(self, scan):
        assert np.unique(scan.truth).tolist() == list(range(OBJECTS + 1))

    def test_prediction_is_moved_with_holes_and_one_false_object(self, scan):
        moved = np.zeros_like(scan.truth)
        moved[..., 1:] = scan.truth[..., :-1]
        wrong = scan.prediction != moved
        false = scan.prediction == OBJECTS + 1
        holes = wrong & ~false
        assert false.any()
        assert not moved[false].any()
        assert holes.any()
        assert not scan.prediction[holes].any()

    def test_seeds_give_the_same_scan_or_another(self, scan):
        np.testing.assert_array_equal(make_scan(SLICES, 1).prediction, scan.prediction)
        assert (make_scan(SLICES, 2).truth != scan.truth).any()


class TestParts:
    @pytest.fixture
    def answer(self, small):
        return lambda part: metrics.measure_here(small, f"metrics: {part}")

    def test_evaluation_is_of_everything(self, answer):
        found = answer("evaluate")
        assert found["shape"] == [48, 30, 30]
        assert found["peak_bytes"] > 0
        assert len(found["seconds"]) == 1
        rows = int(re.match(r"rows: (\d+)", found["note"])[1])
        assert rows > OBJECTS + 2 + 1 + SLICES // 2  # classes, all, and slices

    @pytest.mark.parametrize("known", ["known", "sought"])
    def test_live_counts_are_those_of_a_recount(self, answer, known):
        found = answer(f"live, slice {known}")
        assert found["difference"] == 0
        assert len(found["seconds"]) == len(found["reference_seconds"]) == 3

    def test_both_ways_find_the_same_distance(self, answer):
        found = answer("HD95 of all")
        assert found["difference"] == pytest.approx(0, abs=1e-12)
        assert found["hd95_mm"][0] >= 0.2  # all is moved by a pixel
        assert found["reference_seconds"][0] > 0

    def test_biomarkers_are_of_planes_volumes_and_objects(self, answer):
        found = answer("biomarkers")
        assert len(found["seconds"]) == 1
        assert found["note"].startswith(f"rows: {REGIONS * 3 + 1 + 3 + OBJECTS + 1},")

    @pytest.mark.parametrize(
        ("classes", "rows"),
        [("no classes", 1), ("by class", 3 + 1)],  # the last one is artery to vein
    )
    def test_biomarkers_of_a_plane(self, answer, classes, rows):
        found = answer(f"live biomarkers, {classes}")
        assert len(found["seconds"]) == 3
        assert found["note"].startswith(f"rows: {rows},")


def test_distance_maps_of_a_box_that_moved():
    masks = np.zeros((2, 12, 10, 10), bool)
    masks[0, 1:11, 2:5, 2:5] = masks[1, 1:11, 2:5, 6:9] = True
    assert distance_map_hd95(*masks, (9.0, 5.0, 0.5)) == pytest.approx(2)


def test_a_row_a_part(small, watch, monkeypatch):
    def peak(settings, who, size, objects, slices, look):
        if who == "metrics: evaluate":
            return Peak(slices, None, "failed: killed, as when memory ends")
        raw = {"seconds": [1.0, 2.0, 9.0], "reference_seconds": [6.0], "note": "fine"}
        return Peak(slices, 5e6, raw=raw)

    monkeypatch.setattr(metrics, "peak_alone", peak)
    rows = list(metrics.measure(small, watch))
    assert len(rows) == metrics.count(small) == len(PARTS)
    assert watch.notes[0] == "metrics, 48 slices, evaluate"
    failed, done = rows[:2]
    assert set(failed.figures.values()) == {None}
    assert failed.note == "failed: killed, as when memory ends"
    assert done.point == {"slices": 48, "objects": 10, "part": "biomarkers"}
    assert done.figures == {
        "reference [s]": 6,
        "time [s]": 2,
        "ratio": 3,
        "reference peak [MB]": None,
        "peak [MB]": 5,
        "relative difference": None,
    }


def test_a_process_is_asked_for_a_part(small, capsys):
    who = "metrics: live, slice known"
    alone.main(json.dumps({"who": who, "settings": small.to_json()}))
    assert json.loads(capsys.readouterr().out)["difference"] == 0
