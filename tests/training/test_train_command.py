"""The command that trains."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from napari_octa_sam2.cli import app
from napari_octa_sam2.model.loading import load_model
from napari_octa_sam2.training.fit import StepReport
from napari_octa_sam2.training.folder import Status, TrainingFolder, read_columns
from napari_octa_sam2.training.recipe import recipe_names
from napari_octa_sam2.training.run import Report

COMMAND = [sys.executable, "-m", "napari_octa_sam2", "train"]
SETTINGS = {
    "fit.minutes": "0",
    "fit.steps": "2",
    "fit.workers": "0",
    "clip.native": "32",
    "clip.size": "0",
    "clip.objects": "1",
    "trained.adapter.kind": "none",
    "trained.parts": "{mask_decoder: 1e-3, adapters: null, refinement: null}",
}

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    return lambda *arguments: CliRunner().invoke(
        app, ["train", *(str(a) for a in arguments)]
    )


def settings(**changes: str) -> list[str]:
    known = SETTINGS | {key.replace("__", "."): v for key, v in changes.items()}
    return [part for key, v in known.items() for part in ("--set", f"{key}={v}")]


def plain(text: str) -> str:
    """Return a usage error without the box that it is printed in."""
    return " ".join(text.replace("│", " ").split())


def test_recipes_are_listed(run: Run) -> None:
    result = run("--recipes")
    assert result.exit_code == 0, result.output
    listed = [line.split()[0] for line in result.stdout.splitlines() if line.strip()]
    assert [name for name in listed if name in recipe_names()] == list(recipe_names())


def test_check_looks_at_the_data_alone(run: Run, pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["--recipe", "quick", "--check", "--out", out, "--data"]
    result = run(*arguments, pairs)
    assert result.exit_code == 0, result.output
    assert "training: 2 subjects, 2 samples, 2 slices with labels" in result.stderr
    assert "validation: 1 subjects" in result.stderr
    assert not out.exists()


def test_check_fails_where_a_training_could_not_start(
    run: Run, pairs: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad" / "label").mkdir(parents=True)
    (tmp_path / "bad" / "image").symlink_to(pairs / "image")
    arguments = ["--recipe", "quick", "--check"]
    result = run(*arguments, "--data", tmp_path / "bad")
    assert result.exit_code == 1
    assert "eye0.png: expected an image with labels" in result.stderr
    result = run(*arguments)
    assert result.exit_code == 1
    assert "error: the recipe quick learns from data that are given" in result.stderr
    result = run(*arguments, "--data", tmp_path / "missing")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "found nothing there" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected --out DIR"),
        (["--check"], "expected --recipe NAME"),
        (["--out", "run", "--set", "fit.steps=3"], "expected --recipe NAME"),
        (["--out", "run", "--model", "octa-nano"], "expected --recipe NAME"),
        (["--recipe", "refinement"], "expected --out DIR"),
    ],
)
def test_wrong_usage_exits_with_2(run: Run, arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in plain(result.stderr)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "giga"], "expected a recipe of quick"),
        (["--recipe", "quick", "--set", "fit.stepz=1"], "fit.stepz"),
        (["--recipe", "octa-nano", "--model", "octa-nano"], "leave out the model"),
        (["--recipe", "quick"], "name a data set"),
        ([], "found no settings.yaml"),
    ],
)
def test_what_cannot_be_trained_is_told(
    run: Run, arguments: list[str], message: str, tmp_path: Path
) -> None:
    result = run(*arguments, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert message in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_training_writes_a_model_and_goes_on_by_its_folder(
    run: Run, stock: Path, pairs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    begin = ["--recipe", "quick", "--data", pairs, "--model", stock, "--out", out]
    result = run(*begin, *settings())
    assert result.exit_code == 0, result.output
    weights = out / "model" / "stock-quick.safetensors"
    assert result.stdout == f"model written to {weights}\n"
    assert "steps 2/2 of training: loss" in result.stderr
    assert "mean Dice of the samples that were held out" in result.stderr
    assert load_model(weights).name == "stock-quick"
    before = weights.read_bytes()
    again = run("--out", out)
    assert again.exit_code == 0, again.output
    assert again.stdout == result.stdout
    assert "mean Dice of the samples that were held out" in again.stderr
    assert weights.read_bytes() == before
    other = run(*begin, *settings(fit__steps="3"))
    assert other.exit_code == 1
    assert "a training with other settings" in other.stderr


def reports(*states: Status) -> Iterator[Report]:
    step = StepReport(0, 1.5, 0.25, 0.5, math.nan, 1.0, 30.0)
    for state in states:
        yield Report(state, replace(step, step=state.step - 1))


@pytest.mark.parametrize(
    ("last", "line"),
    [
        (
            Status(phase="a", step=1, steps=3, best=0.5),
            "steps 1/3 of a: loss 1.500, "
            "Dice 0.250 prompted, 0.500 followed, held out 0.500 at best, 1 min left",
        ),
        (
            Status(phase="a", step=1, budget=600, seconds=30),
            "steps 1 of a: loss 1.500, "
            "Dice 0.250 prompted, 0.500 followed, 10 min left",
        ),
    ],
)
def test_progress_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, last: Status, line: str
) -> None:
    monkeypatch.setattr("napari_octa_sam2.training.run.train", lambda *_: reports(last))
    assert run("--out", tmp_path).stderr.splitlines()[0] == line


@pytest.mark.parametrize("worker_dies", [False, True])
def test_what_was_interrupted_says_how_to_go_on(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, worker_dies: bool
) -> None:
    def stopping(folder: Path, should_stop: Callable[[], bool]) -> Iterator[Report]:
        yield from reports(Status(phase="a", step=1, steps=3))
        signal.raise_signal(signal.SIGINT)
        assert should_stop()
        if worker_dies:
            raise RuntimeError("DataLoader worker exited unexpectedly")

    monkeypatch.setattr("napari_octa_sam2.training.run.train", stopping)
    result = run("--out", tmp_path)
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: interrupted; ")
    assert f"`train --out {tmp_path}` goes on" in last


def test_an_error_of_the_training_is_no_interruption(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def failing(*_: object) -> Iterator[Report]:
        yield from reports(Status(phase="a", step=1, steps=3))
        raise RuntimeError("DataLoader worker exited unexpectedly")

    monkeypatch.setattr("napari_octa_sam2.training.run.train", failing)
    result = run("--out", tmp_path)
    assert result.exit_code == 1
    assert "DataLoader worker exited" in result.stderr.splitlines()[-1]
    assert "interrupted" not in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_leaves_a_checkpoint(stock: Path, pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["--recipe", "quick", "--data", pairs, "--model", stock, "--out", out]
    # with a worker, which Ctrl-C in a shell reaches as well
    arguments += settings(fit__steps="100000", fit__workers="1")
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a shell's background ignores Ctrl-C, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        folder, deadline = TrainingFolder(out), time.monotonic() + 120
        while not read_columns(folder.log).get("step"):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in stderr
    assert stderr.splitlines()[-1].startswith("error: interrupted; ")
    assert folder.status().state == "stopped"
    assert folder.checkpoint.is_file()
    assert not folder.is_running()
