from __future__ import annotations

import json
import os
import signal

import pytest
from typer.testing import CliRunner

from napari_octa_sam2.cli import app
from napari_octa_sam2.cli import evaluation as command
from napari_octa_sam2.protocol import run as protocol


@pytest.fixture
def run(monkeypatch, tiny_model):
    """Run `evaluate` with a network of random weights in place of the bundled one."""
    monkeypatch.setattr(command, "load", lambda name, **_: tiny_model)
    return lambda *arguments: CliRunner().invoke(
        app, ["evaluate", *(str(a) for a in arguments)]
    )


@pytest.fixture
def usual(samples):
    tasks = "rossa,faz-enface"
    return [
        *("--protocol", "clicks", "--realdata", samples),
        *("--tasks", tasks, "--subjects", 1, "--device", "cpu"),
    ]


def test_json_is_all_that_is_printed(run, usual):
    result = run(*usual, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["complete"] is True
    assert [task["task"] for task in told["tasks"]] == ["faz-enface", "rossa"]
    assert told["tasks"][0]["samples"][0]["sample"] == "10001"
    assert told["record"]["model"]["name"] == "random"
    assert "samples 2/2" in result.stderr


def test_the_table_is_printed_and_everything_is_written(run, usual, tmp_path):
    out = tmp_path / "figures"
    result = run(*usual, "--out", out)
    assert result.exit_code == 0, result.output
    assert "faz-enface" in result.stdout
    assert "Dice, 1 click" in result.stdout
    assert ">= 0.9" in result.stdout
    assert sorted(path.name for path in out.iterdir()) == [
        *("clicks.csv", "clicks.json", "clicks.md", "clicks.png")
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected PREDICTION and TRUTH"),
        (["labels.npy"], "expected PREDICTION and TRUTH"),
        (["--protocol", "clicks"], "expected --realdata"),
        (["--protocol", "scribbles", "--realdata", "x"], "scribbles"),
        (["a.npy", "b.npy", "--protocol", "clicks", "--realdata", "x"], "does not go"),
        (["a.npy", "--protocol", "clicks", "--realdata", "x"], "does not go"),
        (
            ["--protocol", "clicks", "--realdata", "x", "--tolerance", "1"],
            "--tolerance",
        ),
        (["--protocol", "clicks", "--realdata", "x", "--range", "1:2"], "--range"),
        (["a.npy", "b.npy", "--realdata", "x"], "--realdata"),
        (["a.npy", "b.npy", "--model", "octa-nano"], "--model"),
        (["a.npy", "b.npy", "--no-refine"], "--refine needs --protocol"),
        (
            ["--protocol", "clicks", "--realdata", "x", "--tasks", "faz-enface,nose"],
            "found nose",
        ),
        (["--protocol", "clicks", "--realdata", "x", "--subjects", "0"], "--subjects"),
    ],
)
def test_wrong_usage(run, arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    # the box that the message is printed in may break it anywhere
    text = "".join(result.stderr.replace("│", "").split())
    assert "".join(message.split()) in text


@pytest.mark.parametrize(
    ("arguments", "used"),
    [
        ([], {"refine": True}),
        (["--no-refine"], {"refine": False}),
    ],
)
def test_the_refinement_head_can_be_chosen(
    run, usual, tiny_model, monkeypatch, arguments, used
):
    asked = []

    def load(name, **options):
        asked.append((name, options))
        return tiny_model

    monkeypatch.setattr(command, "load", load)
    result = run(*usual, "--tasks", "rossa", *arguments, "--json")
    assert result.exit_code == 0, result.output
    assert asked == [("octa-nano", used)]
    assert json.loads(result.stdout)["record"]["model"]["refinement"] is False


def test_a_folder_that_is_not_there_is_told_in_one_line(run, tmp_path):
    result = run("--protocol", "clicks", "--realdata", tmp_path / "missing")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "expected the folder of the real samples" in result.stderr
    assert result.stdout == ""


def test_a_file_in_place_of_the_folder_is_told_before_the_work(
    run, usual, tmp_path, monkeypatch
):
    def never(*arguments, **options):
        raise AssertionError("measured before the folder was looked at")

    monkeypatch.setattr(protocol, "run_clicks", never)
    (tmp_path / "taken").write_text("")
    result = run(*usual, "--out", tmp_path / "taken")
    assert result.exit_code == 1
    assert "expected a folder for the figures" in result.stderr


def test_ctrl_c_shows_what_is_done(run, usual, tmp_path, monkeypatch):
    measure = protocol._measure

    def interrupted(*arguments):
        samples = measure(*arguments)
        os.kill(os.getpid(), signal.SIGINT)
        return samples

    monkeypatch.setattr(protocol, "_measure", interrupted)
    result = run(*usual, "--out", tmp_path)
    assert result.exit_code == 1
    assert result.stdout.startswith("INCOMPLETE")
    assert "faz-enface" in result.stdout
    assert "rossa" not in result.stdout
    assert "error: interrupted" in result.stderr
    assert json.loads((tmp_path / "clicks.json").read_text())["complete"] is False
