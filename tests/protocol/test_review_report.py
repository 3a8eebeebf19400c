"""What a run of the review protocol is written as, and the command that runs it."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_octa_sam2.cli import app
from napari_octa_sam2.cli import evaluation as command
from napari_octa_sam2.errors import WriteError
from napari_octa_sam2.protocol.review.plot import STYLES
from napari_octa_sam2.protocol.review.records import Review, Reviews
from napari_octa_sam2.protocol.review.report import FILES, Report
from napari_octa_sam2.protocol.review.reviewer import Effort, Step
from napari_octa_sam2.protocol.review.strategies import TITLES

RECORD = {"model": {"name": "octa-test", "sha256": "abc"}, "threads": 2}


def review(sample, strategy, visits, last=0.95):
    dices = [*np.linspace(0.3, 0.8, visits - 1).tolist(), last]
    steps = [Step(1, k, Effort(clicks=1), dice, 0.5) for k, dice in enumerate(dices)]
    return Review(sample, strategy, 10, tuple(steps))


@pytest.fixture
def report():
    reviews = (
        *(review("one", "queue", 3), review("one", "uniform", 5)),
        *(review("two", "queue", 6), review("two", "uniform", 10, last=0.85)),
    )
    task = Reviews("vessels", "a title", 1, 1, reviews)
    return Report(RECORD, (task,), complete=True)


def test_the_sums_compare_with_uniform_stepping(report):
    header, *rows = report.sums()
    queue, uniform = (dict(zip(header, row, strict=True)) for row in rows)
    assert (queue["strategy"], queue["samples"]) == ("review queue", "2")
    assert (queue["slices"], queue["visited"], queue["clicks"]) == ("20", "9", "9")
    assert (queue["visited, of uniform"], queue["seconds"]) == ("60%", "4")
    assert (queue["reached"], uniform["reached"]) == ("2", "1")


def test_single_samples_stand_together(report):
    header, *rows = report.singles()
    table = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["sample"] for row in table] == ["one", "one", "two", "two"]
    assert table[0]["Dice, first click"] == "0.300"
    assert table[3]["Dice"] == "0.850"


def test_everything_is_written(report, tmp_path):
    paths = report.write(tmp_path / "new")
    assert [path.name for path in paths] == list(FILES)
    as_json, as_csv, as_markdown, as_plot = paths
    assert Report.from_json(json.loads(as_json.read_text())) == report
    with as_csv.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 + 5 + 6 + 10
    assert (rows[2]["visit"], float(rows[2]["dice"])) == ("3", 0.95)
    assert "| vessels | review queue | 2 |" in as_markdown.read_text()
    with Image.open(as_plot) as plot:
        pixels = np.asarray(plot.convert("RGB")).reshape(-1, 3)
    for name in ("queue", "uniform"):
        colour = [int(STYLES[name]["color"][k : k + 2], 16) for k in (1, 3, 5)]
        assert (pixels == colour).all(1).sum() > 50, name


def test_every_strategy_has_a_style():
    assert set(STYLES) == set(TITLES)
    for field in ("color", "ls", "marker"):
        assert len({style[field] for style in STYLES.values()}) == len(STYLES)


def test_a_strategy_that_is_not_through_is_not_compared(report):
    (task,) = report.tasks
    part = Reviews("vessels", "a title", 1, 0, task.reviews[:3])
    stopped = Report(RECORD, (part,), complete=False)
    assert [row[1] for row in stopped.sums()[1:]] == ["review queue"]
    assert "**Incomplete" in stopped.markdown()


def test_a_run_that_measured_nothing_is_written(tmp_path):
    Report(RECORD, (), complete=False).write(tmp_path)
    assert json.loads((tmp_path / "review.json").read_text())["tasks"] == []


def test_a_file_is_no_folder(report, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(WriteError, match="expected a folder"):
        report.write(tmp_path / "taken")


@pytest.fixture
def run(monkeypatch, tiny_model):
    monkeypatch.setattr(command, "load", lambda name, **_: tiny_model)
    return lambda *arguments: CliRunner().invoke(
        app, ["evaluate", "--protocol", "review", *(str(a) for a in arguments)]
    )


def test_the_command_prints_the_table_and_writes(run, samples, tmp_path):
    result = run("--realdata", samples, "--tasks", "faz-sequence", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "uniform stepping" in result.stdout
    assert {path.name for path in tmp_path.iterdir()} >= set(FILES)


def test_tasks_are_those_of_the_protocol(run, samples):
    result = run("--realdata", samples, "--tasks", "rossa")
    assert result.exit_code == 2
    text = "".join(result.stderr.replace("│", "").split())
    assert "rv-together,foundrossa" in text
