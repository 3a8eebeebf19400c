from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from napari_octa_sam2.errors import WriteError
from napari_octa_sam2.protocol.records import Sample, Target, TaskReport
from napari_octa_sam2.protocol.report import Report, figure_title

RECORD = {
    "model": {"name": "octa-test", "sha256": "abc"},
    "device": "cpu",
    "precision": "fp32",
    "threads": 2,
    "protocol": {"name": "clicks"},
}


def enface(name, dice, noc):
    """Return a sample whose Dice rises from 0.5 by a step a click up to `dice`."""
    curve = [None, *np.linspace(0.5, dice, 10).tolist()]
    values = {f"dice@{k}": curve[k] for k in (1, 3, 5, 10)}
    values |= {f"cldice@{k}": curve[k] for k in (1, 3, 5, 10)}
    for level in ("0.80", "0.85", "0.90"):
        values |= {
            f"noc@{level}": noc or 20,
            f"reached@{level}": float(noc is not None),
        }
    return Sample(name, values, detail={"dice": curve, "clicks": []})


@pytest.fixture
def report():
    common = {"split": "", "title": "a title", "prompts": "clicks"}
    images = TaskReport(
        name="faz",
        judged=("dice@10", "cldice@10"),
        targets={"dice@10": Target(0.9)},
        available=2,
        measured=2,
        samples=(enface("one", 0.9, 4), enface("two", 0.96, None)),
        **common,
    )
    sequence = TaskReport(
        name="seq",
        judged=("dice", "false area [px]"),
        targets={"dice": Target(0.8)},
        available=1,
        measured=1,
        samples=(
            Sample(
                "10301 FAZ", {"dice": 0.7, "false area [px]": 3.0}, {0: 0.6, 1: 0.8}
            ),
        ),
        **common,
    )
    timed = TaskReport(
        name="speed",
        judged=("click [ms]",),
        targets={"click [ms]": Target(60, at_most=True)},
        available=1,
        measured=1,
        samples=(Sample("octa-test", {"click [ms]": 35.0}),),
        **common,
    )
    return Report(RECORD, (images, sequence, timed), complete=True)


def test_the_table_shows_figures_and_targets(report):
    header, *rows = report.figures()
    table = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["figure"] for row in table] == [
        "Dice, 10 clicks",
        "clDice, 10 clicks",
        "Dice, by object",
        "false area [px]",
        "Dice, by slice",
        "click [ms]",
    ]
    assert table[0]["mean"] == "0.93"
    assert (table[0]["min"], table[0]["worst"]) == ("0.9", "one")
    assert (table[0]["target"], table[0]["met"]) == (">= 0.9", "yes")
    assert (table[1]["target"], table[1]["met"]) == ("", "")
    assert (table[2]["n"], table[2]["SD"], table[2]["met"]) == ("1", "n/a", "no")
    assert (table[4]["n"], table[4]["worst"]) == ("2", "10301 FAZ slice 0")
    assert (table[5]["target"], table[5]["met"]) == ("<= 60", "yes")
    lines = report.table().splitlines()
    assert lines[0].startswith("task   figure")
    assert "INCOMPLETE" not in report.table()


def test_the_curves_show_means_after_clicks(report):
    header, dice, cldice = report.curves()
    row = dict(zip(header, dice, strict=True))
    assert row["class prompt"] == "n/a"
    assert row["1 click"] == "0.5"
    assert row["10 clicks"] == "0.93"
    assert row["NoC@0.85"] == "12"  # 4, and 20 where it is not reached
    assert row["not reached"] == "1/1/1"
    assert cldice[-1] == ""


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("dice@0", "Dice, class prompt"),
        ("cldice@1", "clDice, 1 click"),
        ("slice dice", "Dice, by slice"),
        ("slices/s", "slices/s"),
    ],
)
def test_figures_have_titles(key, title):
    assert figure_title(key) == title


def test_everything_is_written(report, tmp_path):
    paths = report.write(tmp_path / "new" / "folder")
    assert [path.name for path in paths] == [
        *("clicks.json", "clicks.csv", "clicks.md", "clicks.png")
    ]
    as_json, as_csv, as_markdown, as_plot = paths
    assert json.loads(as_json.read_text()) == report.to_json()
    with as_csv.open() as file:
        rows = list(csv.DictReader(file))
    (value,) = (
        row["value"]
        for row in rows
        if (row["figure"], row["sample"]) == ("dice@10", "two")
    )
    assert float(value) == 0.96
    assert sum(row["figure"] == "slice dice" for row in rows) == 2
    text = as_markdown.read_text()
    assert "| faz | Dice, 10 clicks | 2 |" in text
    assert '"sha256": "abc"' in text
    with Image.open(as_plot) as plot:
        pixels = np.asarray(plot.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_the_values_of_a_part_are_marked(report, tmp_path):
    stopped = Report(RECORD, report.tasks, complete=False)
    assert stopped.table().startswith("INCOMPLETE: the run was stopped")
    assert "**Incomplete" in stopped.markdown()
    stopped.write(tmp_path)
    assert json.loads((tmp_path / "clicks.json").read_text())["complete"] is False


def test_a_run_that_measured_nothing_is_written(tmp_path):
    nothing = Report(RECORD, (), complete=False)
    nothing.write(tmp_path)
    assert json.loads((tmp_path / "clicks.json").read_text())["tasks"] == []


def test_a_file_is_no_folder(report, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(WriteError, match="expected a folder"):
        report.write(tmp_path / "taken")
