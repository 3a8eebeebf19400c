"""Each case on the smallest network that stock SAM 2 runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from napari_octa_sam2.bench import (
    absent,
    clicks,
    gpu,
    machine,
    memory,
    roofline,
    second_pass,
    speed,
)
from napari_octa_sam2.bench.alone import Peak, peak_alone
from napari_octa_sam2.bench.contest import reference_name
from napari_octa_sam2.bench.runs import Stopped
from napari_octa_sam2.bench.settings import MEMORY_SLICES

TOLERANCE = 1e-4


def assert_equal_masks(row, compared):
    assert row.figures["min IoU"] == pytest.approx(1, abs=2e-3)
    assert row.figures["worst logit difference"] <= TOLERANCE
    assert row.raw["masks_compared"] == compared
    assert row.raw["foreground_share"][1] > 0, "nothing was compared"


def test_speed_compares_every_slice_with_stock(settings, watch):
    (row,) = speed.measure(settings, watch)
    slices = row.raw["fill_slices"] + settings.repeats
    assert slices == 9  # seven in the memory bank, one to warm up, one timed
    assert_equal_masks(row, 2 * slices)
    assert len(row.raw["reference_seconds"]) == slices
    assert row.figures["engine [s/slice]"] == row.raw["engine_seconds"][-1]
    assert watch.notes[-1] == "speed, input 128, objects 2, slice 9"


def test_a_network_that_stock_cannot_run_meets_the_plain_engine(settings, watch):
    settings = replace(settings, model="octa-nano", attention="pooled")
    assert reference_name(settings) == "the engine in fp32 with exact attention"
    (row,) = speed.measure(settings, watch)
    assert row.figures["worst logit difference"] > 0  # pooling changes a little
    (row,) = speed.measure(replace(settings, attention="exact"), watch)
    assert row.figures["worst logit difference"] == pytest.approx(0, abs=1e-6)


def test_clicks_cold_warm_and_prefetched(settings, watch):
    rows = list(clicks.measure(settings, watch))
    assert [(r.point["click"], r.point["clicks"]) for r in rows] == [
        ("cold", 1),
        ("warm", clicks.WARM),
        ("prefetched", 1),
    ]
    for row in rows:
        assert row.figures["engine 90 % [ms]"] >= row.figures["engine [ms]"] > 0
    assert len(rows[1].raw["reference_seconds"]) == clicks.WARM
    assert rows[2].figures["reference [ms]"] is None


@pytest.mark.parametrize("sample", [None, 2])
def test_second_pass_finds_what_stock_finds(settings, watch, sample):
    settings = replace(settings, slices=(5,), sample=sample)
    changed, everything = second_pass.measure(settings, watch)
    assert changed.raw["engine_slices"][0] == 2  # the one that was corrected
    assert everything.raw["engine_slices"] == list(range(5))
    assert_equal_masks(changed, sample or 3)
    assert_equal_masks(everything, sample or 5)
    seconds = everything.raw["reference_seconds"]
    total = everything.figures["reference, all slices [s]"]
    assert changed.figures["reference, all slices [s]"] == total
    assert ("scaled" in everything.note) == (sample is not None)
    if sample:
        assert total == pytest.approx(sum(seconds) * 5 / 2)
    else:
        assert total == sum(seconds)


def test_absent_objects_are_half_of_them(settings, watch):
    (row,) = absent.measure(replace(settings, objects=(1, 4)), watch)
    assert row.point == {"input": 128, "objects": 4, "absent": 2}
    assert len(row.raw["absent_seconds"]) == len(row.raw["present_seconds"]) == 9
    assert row.figures["cost ratio"] > 0


def test_roofline_has_all_stages_of_both(settings, watch, monkeypatch):
    monkeypatch.setattr(machine, "SHAPES", ((256, 256, 256),))
    rows = list(roofline.measure(replace(settings, objects=(1,)), watch))
    stages = ["encode", "recall", "decode", "remember"]
    for run in ("reference", "engine"):
        assert [r.point["stage"] for r in rows if r.point["run"] == run] == stages
    work = {(r.point["run"], r.point["stage"]): r.figures["work [GFLOP]"] for r in rows}
    assert work["engine", "encode"] == pytest.approx(work["reference", "encode"], 0.02)
    assert work["engine", "recall"] < work["reference", "recall"]
    for row in rows:
        figures = row.figures
        rate = figures["work [GFLOP]"] / figures["time [s/slice]"]
        assert figures["share of peak"] * figures["peak [GFLOP/s]"] == pytest.approx(
            rate
        )


def test_without_cuda_the_rows_say_so(settings, watch):
    rows = list(gpu.measure(settings, watch))
    assert [row.point["model"] for row in rows] == list(gpu.MODELS)
    for row in rows:
        assert set(row.figures.values()) == {None}
        assert row.note == "not measured: the device is cpu, not cuda"


@pytest.mark.slow
def test_stock_grows_with_the_slices(settings):
    looks = []
    few, many = (
        peak_alone(settings, "reference", 128, 1, n, lambda: looks.append(1))
        for n in (4, 120)
    )
    frames = 116 * 3 * 128 * 128 * 4  # bytes of input that it holds for the others
    assert many.bytes - few.bytes > frames / 2
    assert len(many.raw["seconds"]) == 120
    assert looks


def test_a_process_that_fails_says_why(settings):
    broken = replace(settings, model="sam3")
    peak = peak_alone(broken, "engine", 128, 1, 4, lambda: None)
    assert peak.bytes is None
    assert peak.note.startswith("failed: napari_octa_sam2.errors.ModelError: unknown")


def test_a_process_is_ended_when_stopped(settings):
    def look():
        raise Stopped

    with pytest.raises(Stopped):
        peak_alone(settings, "engine", 128, 1, 500, look)


class TestLongPoints:
    """Points beyond the limit, with peaks that are known."""

    @pytest.fixture
    def rows(self, settings, watch, monkeypatch):
        def peak(settings, who, size, objects, slices, look):
            asked.append((who, slices))
            slope = {"reference": 15, "engine": 0}[who]
            raw = {"start_bytes": 5e6, "seconds": [9.0] * slices}
            return Peak(slices, 1e6 * (900 + slope * slices), raw=raw)

        asked = []
        monkeypatch.setattr(memory, "peak_alone", peak)
        settings = replace(settings, objects=(8,), limit=10)
        rows = list(memory.measure(settings, watch))
        # 640 slices of 9 s are 96 minutes, 64 are 9.6
        assert sorted(set(asked)) == [
            (who, n) for who in ("engine", "reference") for n in (16, 64)
        ]
        return rows

    def test_stock_is_extrapolated_and_marked(self, rows):
        assert [row.point["slices"] for row in rows] == list(MEMORY_SLICES)
        for row in rows:
            slices = row.point["slices"]
            expected = 900 + 15 * slices
            assert row.figures["reference [MB]"] == pytest.approx(expected)
            assert row.raw["reference_extrapolated"] == (slices > 64)
            assert ("reference extrapolated" in row.note) == (slices > 64)

    def test_the_engine_is_not(self, rows):
        assert rows[1].figures["engine, whole process [MB]"] == pytest.approx(905)
        assert rows[1].figures["engine / reference"] == pytest.approx(900 / 1860)
        assert rows[3].figures["engine [MB]"] is None
        assert rows[3].figures["engine / reference"] is None
        assert "engine not measured: about 96 min" in rows[3].note


def test_of_a_network_without_stock_the_engine_alone(settings, watch, monkeypatch):
    def peak(settings, who, size, objects, slices, look):
        assert who == "engine"
        return Peak(slices, 2e6, raw={"start_bytes": 1e6, "seconds": [1.0]})

    monkeypatch.setattr(memory, "peak_alone", peak)
    settings = replace(settings, model="octa-nano", slices=(4,))
    (row,) = memory.measure(settings, watch)
    assert row.figures["engine [MB]"] == 2
    assert row.figures["reference [MB]"] is None
    assert "stock SAM 2 has no such network" in row.note
