from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from napari_octa_sam2.bench import gpu
from napari_octa_sam2.cli import app

USUAL = ("--cases", "gpu", "--device", "cpu", "--precision", "fp32", "--objects", "1")


def run(*arguments):
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def test_json_is_all_that_is_printed():
    result = run(*USUAL, "--random", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["complete"] is True
    assert [row["case"] for row in told["rows"]] == ["gpu", "gpu"]
    assert told["record"]["settings"]["cases"] == ["gpu"]
    assert "rows 2/2" in result.stderr


def test_the_table_is_printed_and_everything_is_written(tmp_path: Path):
    result = run(*USUAL, "--out", tmp_path / "figures")
    assert result.exit_code == 0, result.output
    assert "not measured: the device is cpu, not cuda" in result.stdout
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert names == ["bench.json", "bench.png", "table.md"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cases", "nose"], "found nose"),
        (["--model", "sam3"], "unknown model 'sam3'"),
        (["--sizes", "500"], "multiples of 64"),
        (["--attention", "sparse"], "expected"),
    ],
)
def test_what_cannot_be_measured_is_told_in_one_line(arguments, message):
    result = run(*USUAL, *arguments)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: expected") or (
        "unknown model" in result.stderr
    )
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("option", ["--sizes", "--objects", "--slices"])
def test_wrong_usage(option):
    result = run(*USUAL, option, "1,many")
    assert result.exit_code == 2
    assert "expected whole numbers" in result.stderr


def test_a_file_in_place_of_the_folder_is_told_before_the_work(tmp_path, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("measured before the folder was looked at")

    monkeypatch.setattr("napari_octa_sam2.bench.run.run_bench", never)
    (tmp_path / "taken").write_text("")
    result = run(*USUAL, "--out", tmp_path / "taken")
    assert result.exit_code == 1
    assert "expected a folder for the figures" in result.stderr


def test_ctrl_c_shows_what_is_done(tmp_path, monkeypatch):
    measure = gpu.measure

    def interrupted(*arguments):
        for row in measure(*arguments):
            yield row
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(gpu, "measure", interrupted)
    result = run(*USUAL, "--out", tmp_path)
    assert result.exit_code == 1
    assert result.stdout.startswith("INCOMPLETE")
    assert "error: interrupted" in result.stderr
    told = json.loads((tmp_path / "bench.json").read_text())
    assert told["complete"] is False
    assert len(told["rows"]) == 1
