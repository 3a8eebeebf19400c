from __future__ import annotations

import csv
import json
import os
import shutil
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_octa_sam2.cli import app
from napari_octa_sam2.errors import ModelError, ReadError
from napari_octa_sam2.model.appearance import Appearance
from napari_octa_sam2.model.promptless.model import write_promptless
from napari_octa_sam2.protocol import targets
from napari_octa_sam2.protocol.automatic import run as protocol
from napari_octa_sam2.protocol.automatic import speed
from napari_octa_sam2.protocol.automatic.run import TASK_NAMES, run_automatic
from napari_octa_sam2.protocol.automatic.tasks import TASKS, FindTask
from napari_octa_sam2.protocol.records import Target
from napari_octa_sam2.protocol.report import figure_title

QUICK = ("rossa", "faz-enface")


@pytest.fixture(autouse=True)
def _small_slice(monkeypatch):
    monkeypatch.setattr(speed, "SIZE", 48)


@pytest.fixture
def knowing(monkeypatch, phantom):
    """Let `find` answer with the truth of the phantom, changed by a function."""
    asked = []

    def answer_with(change):
        def find(volume, settings, **options):
            (cls,) = settings.classes
            asked.append((cls, settings.views, options["device"]))
            mask = change(phantom[1][cls])
            return SimpleNamespace(labels=SimpleNamespace(data=mask[None]))

        monkeypatch.setattr(protocol, "find", find)
        return asked

    return answer_with


def outcome(report):
    return {task.label: (task.measured, task.available) for task in report.tasks}


def task_of(cls):
    return FindTask("task", "title", lambda folder: {}, cls)


def test_targets_are_those_of_the_clicks():
    assert [task.name for task in TASKS] == [task.name for task in targets.EN_FACE]
    by_name = {task.name: task for task in TASKS}
    assert by_name["rv-enface-3mm"].targets == {
        "dice@auto": Target(0.87),
        "cldice@auto": Target(0.90),
        "above Frangi": Target(0.95),
    }
    assert by_name["rossa"].targets == {"dice@auto": Target(0.91)}
    assert by_name["faz-enface"].cls == "FAZ"
    assert by_name["artery"].targets == {}


def test_figures_of_a_mask_are_those_of_its_class():
    truth = np.zeros((40, 40), bool)
    truth[10:14] = True
    half = truth.copy()
    half[:, 20:] = False
    image = truth * 60 + np.random.default_rng(0).integers(0, 200, truth.shape)
    faz = task_of("FAZ").judge(half, image, truth, "a")
    assert faz.values == {"dice@auto": pytest.approx(2 / 3)}
    artery = task_of("artery").judge(half, image, truth, "a")
    assert list(artery.values) == ["dice@auto", "cldice@auto"]
    worse, better = (
        task_of("RV").judge(mask, image, truth, "a").values for mask in (half, truth)
    )
    assert 1 > worse["dice@frangi"] == better["dice@frangi"] > 0.7
    assert (worse["above Frangi"], better["above Frangi"]) == (0, 1)
    assert worse["cldice@auto"] < 0.8 < better["cldice@auto"] == 1


def test_every_class_that_the_model_knows_is_judged(samples, promptless):
    told = []
    report = run_automatic(
        samples,
        promptless,
        subjects=1,
        device="cpu",
        progress=lambda done, total, note: told.append((done, total)),
    )
    assert report.complete
    assert outcome(report) == {
        "faz-enface": (1, 3),
        "rv-enface-3mm test": (1, 1),
        "rv-enface-3mm val": (1, 2),
        "rv-enface-6mm val": (1, 1),
        "rossa val": (1, 2),
        "speed": (1, 1),
    }
    assert told == [(done, 6) for done in range(7)]
    (timed,) = report.tasks[-1].samples
    assert timed.values["slice [ms]"] == pytest.approx(
        1000 * np.median(timed.detail["slice_seconds"])
    )
    assert len(timed.detail["slice_seconds"]) == speed.PASSES
    record = report.record
    assert record["model"] == {
        "name": "random",
        "sha256": "abc",
        "network": "block-unet",
        "classes": ["RV", "FAZ"],
    }
    assert record["protocol"]["cleaning"]["RV"]["threshold"] == 0.5
    assert {"device", "precision", "threads"} <= set(record)
    assert f"measured on cpu, {record['precision']}, " in report.table()


def test_the_truth_meets_every_target(samples, promptless, knowing):
    asked = knowing(lambda mask: mask)
    report = run_automatic(
        samples,
        promptless,
        tasks=["rv-enface-3mm", "faz-enface"],
        device="cpu",
        views=8,
    )
    assert set(asked) == {("FAZ", 8, "cpu"), ("RV", 8, "cpu")}
    for task in report.tasks:
        assert all(task.met(task.figure(key)) for key in task.targets)
    rows = [row for row in report.figures() if row[0] == "rv-enface-3mm val"]
    assert [row[1] for row in rows] == [
        *("Dice, no prompt", "clDice, no prompt", "above Frangi")
    ]
    assert figure_title("dice@frangi") == "Dice, Frangi filter"


def test_a_mask_beside_the_vessels_meets_none(samples, promptless, knowing):
    knowing(np.logical_not)
    report = run_automatic(samples, promptless, tasks=["rv-enface-6mm"], device="cpu")
    (task,) = report.tasks
    assert [task.met(task.figure(key)) for key in task.judged] == [False] * 3
    assert task.figure("above Frangi").mean == 0
    assert task.figure("dice@frangi").mean > 0.3


def test_an_image_without_the_class_is_passed_over(samples, promptless, tmp_path):
    shutil.copytree(samples / "rossa", tmp_path / "rossa")
    Image.new("L", (96, 96)).save(tmp_path / "rossa/val/label/8.png")
    report = run_automatic(tmp_path, promptless, tasks=["rossa"], device="cpu")
    (task,) = report.tasks
    assert [sample.name for sample in task.samples] == ["9"]
    assert "faz-enface" not in report.record["tasks_without_samples"]


def test_what_cannot_be_judged_is_refused(samples, promptless, tmp_path):
    with pytest.raises(ModelError, match=r"finds artery.*random.*RV, FAZ"):
        run_automatic(samples, promptless, tasks=["rossa", "artery"])
    with pytest.raises(ReadError, match="expected the folder"):
        run_automatic(tmp_path / "missing", promptless)
    with pytest.raises(ReadError, match="expected samples of rossa"):
        run_automatic(tmp_path, promptless, tasks=["rossa"])
    with pytest.raises(ModelError, match="device"):
        run_automatic(samples, promptless, device="cuda:9")


def test_stopping_keeps_what_is_done(samples, promptless):
    told = []
    report = run_automatic(
        samples,
        promptless,
        tasks=QUICK,
        device="cpu",
        progress=lambda done, total, note: told.append(done),
        cancelled=lambda: len(told) > 2,
    )
    assert not report.complete
    assert outcome(report) == {"faz-enface": (2, 3)}
    assert report.tasks[0].met(report.tasks[0].figure("dice@auto")) is None


def test_a_slow_network_is_timed_once(promptless, monkeypatch):
    monkeypatch.setattr(speed, "PATIENCE", 0.0)
    assert len(speed.slice_seconds(promptless, device="cpu")) == 1
    monkeypatch.setattr(speed, "PATIENCE", 100.0)
    assert len(speed.slice_seconds(promptless, device="cpu", passes=2)) == 2
    assert speed.slice_seconds(promptless, stopped=lambda: True) == []
    assert speed.measure(promptless, stopped=lambda: True).samples == ()


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(
        app,
        ["evaluate", "--protocol", "automatic", *(str(a) for a in arguments)],
    )


@pytest.fixture
def usual(promptless, samples, tmp_path):
    """Options of a short run of a model that was written to a file."""
    file = tmp_path / "trained.safetensors"
    network = promptless.network
    write_promptless(file, network.config, Appearance(), network.state_dict())
    few = ("--tasks", ",".join(QUICK), "--subjects", 1, "--device", "cpu")
    return ["--model", file, "--realdata", samples, *few]


def test_the_command_judges_a_trained_file(run, usual, tmp_path):
    result = run(*usual, "--out", tmp_path / "figures")
    assert result.exit_code == 0, result.output
    assert "Dice, no prompt" in result.stdout
    assert "samples 2/2" in result.stderr
    files = sorted((tmp_path / "figures").iterdir())
    assert [path.name for path in files] == [
        *("automatic.csv", "automatic.json", "automatic.md", "automatic.png")
    ]
    with files[0].open() as file:
        values = {row["figure"] for row in csv.DictReader(file)}
    assert values == {"dice@auto", "cldice@auto", "dice@frangi", "above Frangi"}
    told = json.loads(files[1].read_text())
    assert told["record"]["model"]["name"] == "trained"
    assert len(told["record"]["model"]["sha256"]) == 64
    assert "trained: automatic protocol" in files[2].read_text()
    assert "NoC" not in files[2].read_text()
    with Image.open(files[3]) as plot:
        assert (
            len(np.unique(np.asarray(plot.convert("RGB")).reshape(-1, 3), axis=0)) > 9
        )


def test_views_reach_the_record(run, usual):
    result = run(*usual, "--views", 8, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["record"]["protocol"]["views"] == 8


def test_the_bundled_model_is_judged_by_default(run, usual, monkeypatch, promptless):
    asked = []

    def load(name):
        asked.append(name)
        return promptless

    monkeypatch.setattr("napari_octa_sam2.model.promptless.model.load_promptless", load)
    assert run(*usual[2:], "--json").exit_code == 0
    assert asked == ["octa-auto"]


def test_ctrl_c_shows_what_is_done(run, usual, tmp_path, monkeypatch):
    measure = protocol._measure

    def interrupted(*arguments, **options):
        samples = measure(*arguments, **options)
        os.kill(os.getpid(), signal.SIGINT)
        return samples

    monkeypatch.setattr(protocol, "_measure", interrupted)
    result = run(*usual, "--out", tmp_path)
    assert result.exit_code == 1
    assert result.stdout.startswith("INCOMPLETE")
    assert "rossa" not in result.stdout
    assert json.loads((tmp_path / "automatic.json").read_text())["complete"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--no-refine"], 2, "--refine does not go with --protocol automatic"),
        (["--tasks", "faz-sequence"], 2, "found faz-sequence"),
        (["--protocol", "clicks", "--views", "8"], 2, "--views needs --protocol"),
        (["--model", "octa-nano"], 1, "expected a promptless model"),
    ],
)
def test_wrong_usage(run, usual, arguments, code, message):
    result = run(*usual, *arguments)
    assert result.exit_code == code, result.output
    text = "".join(result.stderr.replace("│", "").split())
    assert "".join(message.split()) in text


def test_speed_is_a_task():
    assert TASK_NAMES[-1] == "speed"
