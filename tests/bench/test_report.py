from __future__ import annotations

import json
import math

import pytest

from napari_octa_sam2.bench.plot import PANELS, draw
from napari_octa_sam2.bench.records import Row
from napari_octa_sam2.bench.report import FILES, STOPPED, Report
from napari_octa_sam2.bench.settings import CASE_NAMES
from napari_octa_sam2.errors import WriteError

RECORD = {
    "model": "sam2.1_hiera_tiny",
    "weights": "random",
    "reference": "sam2 1.1.0 in fp32",
    "precision": "bf16",
    "processor": "Fast CPU",
    "gpu": None,
    "threads": 2,
}


def two(case, point, names, note=""):
    return Row(case, point, {n: i + 1.5 for i, n in enumerate(names)}, note)


@pytest.fixture
def report() -> Report:
    at = {"input": 512, "objects": 4}
    long = {**at, "slices": 640}
    rows = (
        two("speed", at, ["reference [s/slice]", "engine [s/slice]", "ratio"]),
        two("clicks", {"input": 512, "click": "warm"}, ["reference [ms]"]),
        two("second-pass", at, ["reference, all slices [s]", "engine [s]"]),
        two("absent", at, ["all present [s/slice]", "some absent [s/slice]"]),
        two("memory", {**at, "slices": 16}, ["reference [MB]", "engine [MB]"]),
        Row(
            "memory",
            long,
            {"reference [MB]": 8e4, "engine [MB]": None},
            "reference extrapolated; engine not measured: about 96 min",
            {"reference_extrapolated": True},
        ),
        two("roofline", {"run": "engine", **at, "stage": "recall"}, ["share of peak"]),
        two("gpu", at, ["reference [frames/s]", "engine [frames/s]"]),
        two(
            "training",
            {"input": 1024, "slices": 8},
            ["without checkpointing [GB]", "with checkpointing [GB]"],
        ),
        two(
            "metrics",
            {"slices": 640, "objects": 10, "part": "evaluate"},
            ["reference [s]", "time [s]"],
        ),
    )
    return Report(RECORD, rows, True)


def test_json_and_back(report):
    text = json.dumps(report.to_json())
    assert Report.from_json(json.loads(text)) == report


def test_what_is_not_finite_becomes_none():
    row = Row("speed", {}, {"a": math.nan, "b": math.inf, "c": 1.0, "d": None})
    assert row.to_json()["figures"] == {"a": None, "b": None, "c": 1.0, "d": None}


def test_table(report):
    headline, *blocks = report.table().split("\n\n")
    assert headline == (
        "sam2.1_hiera_tiny (random weights): the engine in bf16; "
        "reference: sam2 1.1.0 in fp32; on Fast CPU, threads: 2"
    )
    assert [block.splitlines()[0] for block in blocks] == list(CASE_NAMES)
    assert blocks[0].splitlines()[1:] == [
        "input  objects  reference [s/slice]  engine [s/slice]  ratio",
        "512    4        1.5                  2.5               3.5",
    ]
    last = blocks[4].splitlines()[-1]
    assert "8e+04" in last
    assert "not measured" in last
    assert "engine not measured: about 96 min" in last


def test_an_incomplete_run_says_so(report):
    part = Report(RECORD, report.rows[:1], False)
    assert part.table().startswith(STOPPED)
    assert STOPPED in part.markdown()
    assert STOPPED not in report.markdown()


def test_everything_is_written(report, tmp_path):
    paths = report.write(tmp_path / "new" / "folder")
    assert [path.name for path in paths] == list(FILES)
    assert Report.from_json(json.loads(paths[0].read_text())) == report
    assert "| input | objects | reference [s/slice]" in paths[1].read_text()
    assert paths[2].read_bytes().startswith(b"\x89PNG")


def test_a_file_in_the_way_is_refused(report, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(WriteError, match="expected a folder"):
        report.write(tmp_path / "taken")


def test_picture_has_a_panel_a_case_with_units(report):
    panels = [axes for axes in draw(report).axes if axes.axison]
    assert list(PANELS) == list(CASE_NAMES)
    labels = [axes.get_xlabel() + axes.get_ylabel() for axes in panels]
    assert len(labels) == len(CASE_NAMES)
    for label in labels:
        assert "[" in label
    memory = panels[list(PANELS).index("memory")]
    hollow = [line for line in memory.lines if line.get_markerfacecolor() == "white"]
    assert [tuple(line.get_xydata()[0]) for line in hollow] == [(640, 8e4)]


def test_picture_of_nothing():
    assert draw(Report(RECORD, (), False)).get_suptitle().startswith("sam2.1")
