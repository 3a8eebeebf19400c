"""Whole trainings: what stops them before they begin, and what they leave behind."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from napari_octa_sam2 import __version__
from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.errors import ModelError, TrainingError
from napari_octa_sam2.model.appearance import Appearance
from napari_octa_sam2.model.card import phase_rows, read_record
from napari_octa_sam2.model.loading import LoadedModel, file_sha256, load_model
from napari_octa_sam2.model.tuned import read_origin
from napari_octa_sam2.prompts import Prompt
from napari_octa_sam2.training.config import ClipConfig, DataConfig
from napari_octa_sam2.training.data.formats import find_samples, write_annotated
from napari_octa_sam2.training.data.scenes import Sample, Scene
from napari_octa_sam2.training.folder import (
    ROOT_VARIABLE,
    Status,
    TrainingFolder,
    append_row,
    find_trainings,
    read_columns,
    trainings_root,
)
from napari_octa_sam2.training.plan import Plan, begin, make_plan, make_source
from napari_octa_sam2.training.recipe import read_recipe
from napari_octa_sam2.training.run import keep_rows, train
from napari_octa_sam2.training.validation import compared, judge, write_picture

SHORT = (
    *("fit.minutes=0", "fit.steps=2", "fit.workers=0", "fit.warmup=0"),
    *("clip.native=32", "clip.size=0", "clip.objects=1", "trained.adapter.kind=none"),
    *("trained.parts={mask_decoder: 1e-3}", "trained.parts.adapters=null"),
    *("trained.parts.refinement=null", "fit.clips=1"),
)


def plan_of(stock: Path, *data: Path, changes: tuple[str, ...] = ()) -> Plan:
    return make_plan(
        "quick", model=str(stock), given=data, overrides=[*SHORT, *changes]
    )


@pytest.fixture
def begun(stock: Path, pairs: Path, tmp_path: Path) -> TrainingFolder:
    """A training of two steps that is due."""
    return begin(plan_of(stock, pairs), tmp_path / "run")


def texts(plan: Plan) -> str:
    return "\n".join(f"{p.file}: {p.text}" for p in plan.problems)


@pytest.fixture
def own(pairs: Path, tmp_path: Path) -> Path:
    """A copy of the images with their vessels, to be spoiled."""
    return Path(shutil.copytree(pairs, tmp_path / "own"))


def redraw(file: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(file)


# --- bad data, found before a training


def test_data_without_a_problem_are_counted(stock: Path, pairs: Path) -> None:
    plan = plan_of(stock, pairs)
    assert plan.ready
    assert plan.problems == []
    assert (plan.counts["training"]["subjects"], plan.counts["training"]["slices"]) == (
        2,
        2,
    )
    assert plan.counts["validation"]["samples"] == 1
    assert list(plan.counts["training"]["classes"]) == ["RV"]


def test_progress_is_told(stock: Path, pairs: Path) -> None:
    told: list[tuple[int, int]] = []
    make_plan("quick", given=[pairs], progress=lambda *done: told.append(done))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_empty_masks_are_a_note(stock: Path, own: Path) -> None:
    redraw(own / "label" / "eye1.png", np.zeros((96, 96), np.uint8))
    plan = plan_of(stock, own)
    assert plan.ready
    assert "eye1.png" in texts(plan)
    assert "only empty masks" in texts(plan)


def test_nothing_but_empty_masks_ends_with_a_reason(
    stock: Path, own: Path, tmp_path: Path
) -> None:
    for file in (own / "label").iterdir():
        redraw(file, np.zeros((96, 96), np.uint8))
    # classes that are absent are learned from, single objects are not
    changes = ("data.holdout=none", "clip.whole=0")
    folder = begin(plan_of(stock, own, changes=changes), tmp_path / "run")
    with pytest.raises(TrainingError, match="found none in"):
        list(train(folder.path))
    assert folder.status().state == "failed"
    assert "found none in" in folder.status().message


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("none", "expected an image with labels"),
        ("size", "expected labels of 96 x 96 pixels like the image, found 40 x 96"),
        ("values", "expected a mask of the values 0 and 1"),
        ("damaged", "eye1.png"),
    ],
)
def test_bad_labels_are_found_before_a_training(
    stock: Path, own: Path, tmp_path: Path, spoil: str, message: str
) -> None:
    label = own / "label" / "eye1.png"
    if spoil == "none":
        label.unlink()
    elif spoil == "size":
        redraw(label, np.zeros((40, 96), np.uint8))
    elif spoil == "values":
        redraw(label, np.arange(96 * 96, dtype=np.uint8).reshape(96, 96))
    else:
        label.write_bytes(label.read_bytes()[:60])
    plan = plan_of(stock, own)
    assert not plan.ready
    assert "eye1.png" in texts(plan)
    assert message in texts(plan)
    with pytest.raises(TrainingError, match=r"eye1\.png"):
        begin(plan, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_missing_values_are_found_before_a_training(
    stock: Path, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).random((2, 32, 32)).astype(np.float32)
    images[1, 3, 4] = np.nan
    labels = np.zeros((2, 32, 32), np.uint8)
    labels[:, 8:20, 8:20] = 1
    file = write_annotated(
        tmp_path / "nan.npz",
        *(images, labels),
        classes={1: "RV"},
        labelled=[0, 1],
        name="n",
        subject="s",
    )
    plan = plan_of(stock, file)
    assert not plan.ready
    assert "nan.npz: expected finite grey values, found 1 pixels" in texts(plan)


def test_one_subject_is_learned_from_and_nothing_is_judged(
    stock: Path, own: Path, tmp_path: Path
) -> None:
    for name in ("eye1", "eye2"):
        (own / "image" / f"{name}.png").unlink()
    plan = plan_of(stock, own)
    assert plan.ready
    assert "found none beside the 1 subject to learn from" in texts(plan)
    folder = begin(plan, tmp_path / "run")
    assert len(list(train(folder.path))) == 2
    assert folder.weights() is not None
    assert folder.status().best is None
    (card,) = folder.model.glob("*.md")
    assert "No subject was held out" in card.read_text("utf-8")


def test_the_same_image_in_both_parts_is_a_leak(stock: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32)).astype(np.uint8)
    for part, names in (("train", "ab"), ("val", "cd")):
        for name in names:
            for kind in ("image", "label"):
                path = tmp_path / "set" / part / kind / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                redraw(path, pixels if kind == "image" else np.eye(32, dtype=np.uint8))
            pixels = pixels if name == "b" else pixels[::-1].copy()
    plan = plan_of(stock, tmp_path / "set")
    assert not plan.ready
    assert "found the same one as" in texts(plan)


def test_no_subject_is_in_both_parts(maps: Path, stock: Path) -> None:
    # the same subjects twice: they stay together
    plan = plan_of(stock, maps, maps, changes=("data.holdout=fraction",))
    assert plan.ready
    assert plan.counts["training"]["subjects"] == 2
    assert plan.counts["training"]["samples"] == 4


def test_there_must_be_something_to_learn_from(stock: Path, tmp_path: Path) -> None:
    plan = plan_of(stock)
    assert not plan.ready
    assert "learns from data that are given, and there are none" in texts(plan)
    with pytest.raises(TrainingError, match="name a data set"):
        begin(plan, tmp_path / "run")
    with pytest.raises(TrainingError, match="found nothing there"):
        plan_of(stock, tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match="found an empty folder"):
        plan_of(stock, tmp_path / "empty")


def test_synthetic_data_alone_are_a_note() -> None:
    plan = make_plan("refinement")
    assert plan.ready
    assert "synthetic ones alone" in texts(plan)


def test_a_full_disk_is_told_and_leaves_the_checkpoint(
    begun: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = train(begun.path)
    next(steps)
    full = OSError(errno.ENOSPC, "No space left on device")

    def fail(*_: object) -> None:
        raise full

    monkeypatch.setattr("napari_octa_sam2.training.run.append_row", fail)
    with pytest.raises(TrainingError, match=r"No space left.*make room"):
        list(steps)
    monkeypatch.undo()
    assert begun.status().state == "failed"
    assert list(train(begun.path))[-1].status.step == 2


def test_a_tracker_that_is_not_installed_is_named(stock: Path, pairs: Path) -> None:
    missing = [n for n in ("wandb", "mlflow") if find_spec(n) is None]
    if not missing:
        pytest.skip("both trackers are installed")
    plan = plan_of(stock, pairs, changes=(f"fit.trackers={missing}",))
    assert not plan.ready
    assert f"pip install {missing[0]}" in texts(plan)


def test_an_unknown_source_is_named(pairs: Path) -> None:
    samples = find_samples(pairs, DataConfig())
    with pytest.raises(TrainingError, match="found 'rossa'"):
        make_source(DataConfig(mix={"rossa": 1.0}), samples, 0)
    with pytest.raises(TrainingError, match=r"empty data\.mix"):
        make_source(DataConfig(mix={"given": 1.0}), [], 0)


# --- folders


def test_a_folder_is_of_one_training(
    begun: TrainingFolder, stock: Path, pairs: Path, tmp_path: Path
) -> None:
    before = begun.settings.read_text("utf-8")
    assert begin(plan_of(stock, pairs), begun.path).path == begun.path
    with pytest.raises(TrainingError, match="a training with other settings"):
        begin(plan_of(stock, pairs, changes=("fit.seed=9",)), begun.path)
    assert begun.settings.read_text("utf-8") == before
    with pytest.raises(TrainingError, match="expected the folder of a training"):
        list(train(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="choose another folder"):
        begin(plan_of(stock, pairs), tmp_path / "file")


def test_one_process_trains_at_a_time(
    begun: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_octa_sam2.training.run.LOCK_WAIT", 0)
    code = (
        "import sys; from napari_octa_sam2.training.folder import TrainingFolder\n"
        "with TrainingFolder(sys.argv[1]).lock():\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(begun.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert begun.is_running()
        with pytest.raises(TrainingError, match="trained by another process"):
            list(train(begun.path))
        other.communicate("")
    assert not begun.is_running()


def test_a_process_that_was_killed_leaves_an_interrupted_training(
    tmp_path: Path,
) -> None:
    folder = TrainingFolder(tmp_path)
    assert folder.status() == Status()
    folder.write_status(Status("running", step=3, steps=4))
    assert folder.status() == Status("interrupted", step=3, steps=4)
    with folder.lock():
        # of this process the lock is another object's
        assert filelock.FileLock(tmp_path / "run.lock").is_locked is False
        assert folder.status().state == "running"
    assert folder.status().state == "interrupted"
    for damaged in ("{", "[]", '{"state": "new", "colour": 1}'):
        (tmp_path / "status.json").write_text(damaged)
        assert folder.status() == Status()


def test_done_is_the_larger_share_of_steps_and_time() -> None:
    assert Status(step=5, steps=20).done == 0.25
    assert Status(step=5, steps=20, seconds=30, budget=60).done == 0.5
    assert Status(seconds=90, budget=60).done == 1
    assert Status("finished").done == 1
    assert Status().done == 0


def test_trainings_are_found_the_newest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    assert trainings_root() == tmp_path
    assert find_trainings() == []
    for age, name in enumerate(("young", "old")):
        file = tmp_path / name / "settings.yaml"
        file.parent.mkdir()
        file.write_text("")
        os.utime(file, (1e9 - age, 1e9 - age))
    (tmp_path / "other").mkdir()
    assert [f.path.name for f in find_trainings()] == ["young", "old"]
    assert find_trainings(tmp_path / "other") == []


def test_a_line_that_was_cut_short_is_ignored_and_removed(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    assert read_columns(file) == {}
    for step in range(3):
        append_row(file, {"phase": "a", "step": step, "loss": 0.5})
    with file.open("a") as stream:
        stream.write("a,3,0.")
    expected = {"phase": ["a"] * 3, "step": ["0", "1", "2"], "loss": ["0.5"] * 3}
    assert read_columns(file) == expected
    # what is written from here on must not be glued to it
    keep_rows(file, "a", 3)
    append_row(file, {"phase": "a", "step": 3, "loss": 0.25})
    assert read_columns(file)["step"] == ["0", "1", "2", "3"]
    keep_rows(file, "a", 1)
    append_row(file, {"phase": "b", "step": 0, "loss": 0.1})
    keep_rows(file, "a", 1)
    assert read_columns(file)["step"] == ["0", "0"]
    file.write_text("phase,st")
    keep_rows(file, "a", 0)
    assert not file.exists()


# --- what a training leaves behind


@pytest.fixture(scope="module")
def finished(
    stock: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory
) -> TrainingFolder:
    """A training in two phases that is done."""
    folder = tmp_path_factory.mktemp("finished")
    recipe = folder / "mine.yaml"
    recipe.write_text(
        "about: Two phases.\n"
        "fit: {steps: 3, workers: 0}\n"
        "clip: {native: 32, size: 0, objects: 1}\n"
        "data: {window: [1, 99]}\n"
        "phases:\n"
        "  - {name: first, trained: {parts: {mask_decoder: 1.0e-3}}}\n"
        "  - {name: second, trained: {parts: {memory: 1.0e-3, mask_decoder: 1.0e-3}},"
        " fit: {steps: 2, seed: 4}}\n",
        "utf-8",
    )
    plan = make_plan(recipe, model=str(stock), given=[pairs])
    opened = begin(plan, folder / "run")
    assert len(list(train(opened.path))) == 5
    return opened


def test_a_training_tells_what_it_learned_from(
    finished: TrainingFolder, pairs: Path
) -> None:
    record = json.loads(finished.record.read_text("utf-8"))
    assert (record["recipe"], record["version"]) == ("mine", __version__)
    assert record["environment"]["torch"] == torch.__version__
    entries = record["data"]["training"] + record["data"]["validation"]
    assert {e["name"] for e in entries} == {"eye0", "eye1", "eye2"}
    assert len(record["data"]["validation"]) == 1
    listed = {f["file"]: f["sha256"] for e in entries for f in e["files"]}
    assert {Path(f) for f in listed} == set(pairs.rglob("*.png"))
    for file, sha256 in listed.items():
        assert sha256 == hashlib.sha256(Path(file).read_bytes()).hexdigest()


def test_a_training_can_be_repeated_from_its_settings(
    finished: TrainingFolder, pairs: Path, stock: Path
) -> None:
    recipe = read_recipe(finished.settings)
    assert recipe.given == (str(pairs),)
    assert recipe.model == str(stock)
    (beside,) = finished.model.glob("*.recipe.yaml")
    assert read_recipe(beside) == recipe


def test_the_record_of_the_result_is_one_of_a_training(
    finished: TrainingFolder, stock: Path
) -> None:
    weights = finished.weights()
    assert weights is not None
    assert weights.name == "stock-mine.safetensors"
    record = read_record(weights.with_suffix(".json"), file_sha256(weights))
    assert record is not None
    assert record["bytes"] == weights.stat().st_size
    assert record["model"] == {"name": str(stock), "sha256": file_sha256(stock)}
    header, first, second = phase_rows(record)
    assert dict(zip(header, first, strict=True)) | {"hours": ""} == {
        "phase": "first",
        "data": "100% given",
        "clips": "1 of 1 x 32 px at 0",
        "steps": "3",
        "learning rate": "0.001",
        "seed": "0",
        "hours": "",
    }
    assert (second[0], second[3], second[5]) == ("second", "2", "4")
    assert len(record["curves"]["first"]["loss"]) == 3
    seconds = sum(map(float, read_columns(finished.log)["seconds"]))
    assert record["seconds"] == pytest.approx(seconds, abs=1)
    assert record["validation"]["best"] >= record["validation"]["before"]


def test_the_card_tells_what_users_must_know(finished: TrainingFolder) -> None:
    (card,) = finished.model.glob("*.md")
    text = card.read_text("utf-8")
    weights = finished.weights()
    assert weights is not None
    assert file_sha256(weights) in text
    assert "# mine\n\nTwo phases." in text
    assert "Mean Dice of 1 samples" in text
    assert "not for diagnosis" in text


def test_the_log_has_a_line_a_step_and_validation_its_own(
    finished: TrainingFolder,
) -> None:
    log = read_columns(finished.log)
    assert log["phase"] == ["first"] * 3 + ["second"] * 2
    assert log["step"] == ["0", "1", "2", "0", "1"]
    assert all(np.isfinite(float(v)) for v in log["loss"])
    judged = read_columns(finished.validation)
    assert {*zip(judged["phase"], judged["step"], strict=True)} == {
        *(("first", "0"), ("first", "3"), ("second", "0"), ("second", "2"))
    }
    assert all(0 <= float(v) <= 1 for v in judged["dice"])
    assert [p.name for p in finished.pictures()] == [
        *("first-000000.png", "first-000003.png"),
        *("second-000000.png", "second-000002.png"),
    ]
    assert list(finished.tensorboard.rglob("events.*"))


def test_what_is_finished_stays_so(finished: TrainingFolder) -> None:
    weights = finished.weights()
    assert weights is not None
    before, status = weights.read_bytes(), finished.status()
    assert status.state == "finished"
    assert status.best is not None
    assert list(train(finished.path)) == []
    assert weights.read_bytes() == before
    assert finished.status() == status
    assert not finished.checkpoint.exists()


def test_the_result_wants_slices_as_it_was_trained(finished: TrainingFolder) -> None:
    weights = finished.weights()
    assert weights is not None
    origin = read_origin(weights)
    assert origin is not None
    assert origin.appearance == Appearance(window=(1.0, 99.0))
    assert load_model(weights).network.appearance == origin.appearance


def test_a_network_from_random_weights_is_found_with_its_configuration(
    pairs: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "fresh.yaml"
    recipe.write_text(
        "about: Fresh.\nmodel: ''\nconfig: octa-nano.yaml\n"
        "trained: {parts: {network: 1.0e-3, refinement: 1.0e-3}}\n"
        "fit: {steps: 1, workers: 0}\n"
        "clip: {native: 32, size: 64, objects: 1}\ndata: {holdout: none}\n"
    )
    folder = begin(make_plan(recipe, given=[pairs]), tmp_path / "run")
    list(train(folder.path))
    weights = folder.weights()
    assert weights is not None
    assert weights.name == "fresh.safetensors"
    model = load_model(weights)
    assert model.classes
    assert model.refinement is not None


# --- stopping and going on


def test_a_training_stops_and_goes_on_as_if_it_had_not(
    stock: Path, pairs: Path, tmp_path: Path
) -> None:
    plan = plan_of(stock, pairs, changes=("fit.steps=4",))
    whole = begin(plan, tmp_path / "whole")
    unbroken = [r.step.loss for r in train(whole.path)]
    folder = begin(plan, tmp_path / "run")
    losses = []
    for report in train(folder.path):
        losses.append(report.step.loss)
        assert folder.status().state == "running"
        if len(losses) == 1:
            folder.ask_to_stop()
    assert len(losses) == 2
    assert folder.status().state == "stopped"
    assert folder.checkpoint.exists()
    assert folder.weights() is None
    folder.allow()
    losses += [r.step.loss for r in train(folder.path)]
    assert losses == unbroken
    assert folder.status().state == "finished"
    assert read_columns(folder.log)["step"] == ["0", "1", "2", "3"]
    first, second = whole.weights(), folder.weights()
    assert first is not None
    assert second is not None
    assert first.read_bytes() == second.read_bytes()


def test_who_leaves_a_training_has_stopped_it(begun: TrainingFolder) -> None:
    reports = train(begun.path)
    next(reports)
    reports.close()
    assert begun.status().state == "stopped"
    assert not begun.is_running()
    assert len(list(train(begun.path))) >= 1
    assert begun.status().state == "finished"


def test_a_training_runs_in_a_process_of_its_own(begun: TrainingFolder) -> None:
    begun.ask_to_stop()  # of an earlier time
    process = begun.start()
    assert process.wait(120) == 0, begun.output.read_text("utf-8")
    assert begun.status().state == "finished"
    assert "model written to" in begun.output.read_text("utf-8")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_training_that_was_killed_goes_on(
    stock: Path, pairs: Path, tmp_path: Path
) -> None:
    changes = ("fit.steps=100000", "fit.save_every=0")
    folder = begin(plan_of(stock, pairs, changes=changes), tmp_path / "run")
    process = folder.start()
    deadline = time.monotonic() + 120
    while len(read_columns(folder.log).get("step", [])) < 3:
        assert time.monotonic() < deadline, folder.output.read_text("utf-8")
        assert process.poll() is None, folder.output.read_text("utf-8")
        time.sleep(0.05)
    assert folder.status().state == "running"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert folder.status().state == "interrupted"
    report = next(train(folder.path))
    assert report.step.step >= 2
    steps = [int(s) for s in read_columns(folder.log)["step"]]
    assert steps == list(range(len(steps)))


# --- what goes wrong in a training


def test_data_that_are_gone_are_named(stock: Path, own: Path, tmp_path: Path) -> None:
    folder = begin(plan_of(stock, own), tmp_path / "run")
    shutil.rmtree(own)
    with pytest.raises(TrainingError, match="own"):
        list(train(folder.path))
    assert folder.status().state == "failed"
    assert str(own) in folder.status().message


def test_another_checkpoint_than_the_trained_one_is_refused(
    finished: TrainingFolder, stock: Path, tmp_path: Path
) -> None:
    weights = finished.weights()
    assert weights is not None
    base = tmp_path / stock.name
    shutil.copy(stock, base)
    shutil.copy(stock.with_suffix(".yaml"), base.with_suffix(".yaml"))
    plan = make_plan(
        "quick",
        model=str(base),
        given=[find_pairs(finished)],
        overrides=[*SHORT, "data.holdout=none"],
    )
    folder = begin(plan, tmp_path / "run")
    list(train(folder.path))
    state = torch.load(base, weights_only=True)
    state["model"]["no_mem_embed"] += 1
    torch.save(state, base)
    result = folder.weights()
    assert result is not None
    with pytest.raises(ModelError, match=r"was trained on .* with SHA-256"):
        load_model(result)
    base.unlink()
    with pytest.raises(ModelError, match="found no file"):
        load_model(result)


def find_pairs(folder: TrainingFolder) -> Path:
    return Path(read_recipe(folder.settings).given[0])


def test_half_precision_needs_a_gpu(
    begun: TrainingFolder,
    stock: Path,
    pairs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    changes = ("fit.precision=fp16",)
    folder = begin(plan_of(stock, pairs, changes=changes), tmp_path / "fp16")
    with pytest.raises(TrainingError, match="expected a GPU"):
        list(train(folder.path))
    assert folder.status().state == "failed"


def test_a_part_that_is_not_there_is_named(
    stock: Path, pairs: Path, tmp_path: Path
) -> None:
    changes = ("trained.parts.refinement=1e-3",)
    folder = begin(plan_of(stock, pairs, changes=changes), tmp_path / "run")
    with pytest.raises(TrainingError, match="no refinement head to train"):
        list(train(folder.path))


def test_a_fine_tuned_model_can_be_fine_tuned(
    maps: Path, stock: Path, tmp_path: Path
) -> None:
    """With clicks that name classes, which the first of them has."""
    changes = [*SHORT, "data.folds=3", "clip.labels=[RV]", "fit.epochs=0"]
    first = begin(
        make_plan("sam-octa", model=str(stock), given=[maps], overrides=changes),
        tmp_path / "first",
    )
    list(train(first.path))
    weights = first.weights()
    assert weights is not None
    assert load_model(weights).classes == ("RV", "artery", "vein", "FAZ")
    changes = [*SHORT, "data.holdout=none"]
    second = begin(
        make_plan("quick", model=str(weights), given=[maps], overrides=changes),
        tmp_path / "second",
    )
    list(train(second.path))
    again = second.weights()
    assert again is not None
    model = load_model(again)
    assert model.classes == ("RV", "artery", "vein", "FAZ")
    assert model.network.appearance == Appearance()


# --- validation


def scene(depth: int = 3) -> Scene:
    classes = np.zeros((depth, 32, 32), bool)
    classes[:, 4:20, 10:14] = True
    images = 0.2 + 0.6 * classes.astype(np.float32)
    labelled = np.ones(depth, bool)
    labelled[0] = depth == 1
    return Scene(images, classes.astype(np.uint8) * 7, {"RV": classes}, labelled)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Prompt]:
    """The prompts that sessions get."""
    prompts: list[Prompt] = []
    add = Session.add

    def listed(self: Session, prompt: Prompt) -> object:
        prompts.append(prompt)
        return add(self, prompt)

    monkeypatch.setattr(Session, "add", listed)
    return prompts


def test_classes_are_asked_for_and_objects_clicked_on(
    checkpoint: Path, stock: Path, asked: list[Prompt]
) -> None:
    sample = Sample("one", "one", (), scene)
    judged = list(judge(load_model(checkpoint), [sample], ClipConfig(whole=0.5)))
    assert [(j.sample, j.object) for j in judged] == [("one", "RV"), ("one", "7")]
    # on the first slice with truth
    assert [(p.slice, p.whole) for p in asked] == [(1, "RV"), (1, None)]
    assert scene().instances[1][tuple(int(v) for v in asked[1].points[0])] == 7
    asked.clear()
    clip = ClipConfig(whole=1.0)
    judged = list(judge(load_model(stock), [sample], clip))
    assert [(p.whole, len(p.points)) for p in asked] == [(None, 1)]
    assert [j.object for j in judged] == ["RV"]
    assert (
        list(judge(load_model(stock), [sample], ClipConfig(labels=("FAZ",), whole=1.0)))
        == []
    )


class Oracle(Session):
    """Answers with the truth but for the last slice, where nothing is found."""

    def add(self, prompt: Prompt) -> object:  # type: ignore[override]
        return self._answer(prompt.slice)

    def propagate(self, *arguments: object) -> object:  # type: ignore[override]
        return (self._answer(z) for z in range(len(self.data)))

    def _answer(self, index: int) -> object:
        truth = scene().classes["RV"][index] & (index < 2)

        class Found:
            slice = index

            def mask(self, number: int) -> np.ndarray:
                return truth

        return Found()


def test_figures_are_means_over_the_slices_with_truth(
    stock: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("napari_octa_sam2.training.validation.Session", Oracle)
    sample = Sample("one", "one", (), scene)
    model = load_model(stock)
    (judged,) = judge(model, [sample], ClipConfig(whole=1.0))
    assert (judged.dice, judged.iou) == (0.5, 0.5)  # right on 1, nothing on 2, 0 free
    assert judged.picture.shape == (32, 32, 3)
    write_picture(tmp_path / "new" / "p.png", [judged, replace(judged, dice=0.1)])
    with Image.open(tmp_path / "new" / "p.png") as picture:
        assert picture.size == (512, 256)


def test_a_picture_tells_right_from_wrong() -> None:
    image = np.zeros((1, 4))
    mask = np.array([[True, True, False, False]])
    truth = np.array([[True, False, True, False]])
    right, beside, missed, nothing = compared(image, mask, truth)[0].tolist()
    assert right[1] > right[0]
    assert beside[0] > beside[1] > beside[2] == 0
    assert missed[2] > missed[0]
    assert nothing == [0, 0, 0]


def test_projections_as_channels_are_judged_as_a_volume_of_maps(
    stock: Path, maps: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []

    def session(data: np.ndarray, model: LoadedModel, **options: str) -> Session:
        seen.append(data)
        return Session(data, model, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("napari_octa_sam2.training.validation.Session", session)
    order = ("OPL_BM", "ILM_OPL", "FULL")
    config = DataConfig(projections=order, as_channels=True)
    model = load_model(stock)
    model.network.appearance = Appearance(composite=order)
    sample = find_samples(maps, config)[0]
    clip = ClipConfig(whole=1.0, labels=("FAZ",))
    assert [j.object for j in judge(model, [sample], clip)] == ["FAZ"]
    composite = sample.read().images[0]
    np.testing.assert_array_equal(seen[0], composite[[2, 1, 0]])
    # a network that sees one slice is shown their mean
    model.network.appearance = Appearance()
    list(judge(model, [sample], clip))
    np.testing.assert_array_equal(seen[1], composite.mean(0, keepdims=True))


def test_the_mean_of_phases_is_of_whole_networks(pairs: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "three.yaml"
    recipe.write_text(
        """
model: ""
config: octa-nano.yaml
averaged: [b, c]
data: {holdout: none}
clip: {native: 32, size: 64, objects: 1}
loss: {grid: {object_score: 1.0}}
fit: {steps: 1, workers: 0}
phases:
  - {name: a, trained: {parts: {network: 1.0e-3, refinement: 1.0e-3}}}
  - {name: b, trained: {parts: {refinement: 1.0e-3}}}
  - {name: c, trained: {parts: {network: 1.0e-3, refinement: 1.0e-3}}}
"""
    )
    folder = begin(make_plan(recipe, given=[pairs]), tmp_path / "run")
    list(train(folder.path))
    a, b, c = (load_file(folder.path / f"{name}.safetensors") for name in "abc")
    result = load_file(folder.weights() or "")
    network, head = "no_mem_embed", "last.bias"
    assert not torch.equal(a[f"network.{network}"], c[f"network.{network}"])
    mean = (a[f"network.{network}"] + c[f"network.{network}"]) / 2  # b left it alone
    torch.testing.assert_close(result[network], mean.half())
    mean = (b[f"refinement.{head}"] + c[f"refinement.{head}"]) / 2
    torch.testing.assert_close(result[f"refinement.{head}"], mean.half())
