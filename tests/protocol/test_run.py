from __future__ import annotations

from itertools import islice
from statistics import median

import numpy as np
import pytest

from napari_octa_sam2.bench.engine import EngineRun
from napari_octa_sam2.bench.stock import StockRun
from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.errors import ModelError, ReadError
from napari_octa_sam2.protocol import run, speed
from napari_octa_sam2.protocol.run import run_clicks

ENFACE = ("rv-enface-3mm", "faz-enface")


def outcome(report):
    """Return samples measured and available by task and split."""
    return {task.label: (task.measured, task.available) for task in report.tasks}


def without_classes(model, monkeypatch):
    monkeypatch.setattr(model.network, "classes", (), raising=False)
    return model


def test_a_model_is_measured_on_every_task(samples, tiny_model):
    told = []
    names = [name for name in run.TASK_NAMES if name != "speed"]
    report = run_clicks(
        samples,
        tiny_model,
        tasks=names,
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
        "vessels": (1, 3),
        "artery": (1, 3),
        "vein": (1, 3),
        "faz-sequence": (1, 1),
        "rv-sequence-1": (1, 1),
        "rv-sequence-3": (1, 1),
    }
    assert told == [(done, 11) for done in range(12)]
    by_name = {task.name: task for task in report.tasks}
    vessels = [s.name for s in by_name["rv-sequence-1"].samples]
    assert vessels == ["10301 vessel 00", "10301 vessel 04"]
    held = [list(s.slices) for s in by_name["rv-sequence-1"].samples]
    assert held == [[0, 1, 2], [1]]
    prompted = [s.detail["clicks"] for s in by_name["rv-sequence-3"].samples]
    assert prompted[0] == {"0": 1, "1": 1, "2": 1}
    assert prompted[1] == {"1": 1}


def test_what_is_measured_does_not_depend_on_the_run(samples, tiny_model):
    first, second = (
        run_clicks(samples, tiny_model, tasks=ENFACE, device="cpu") for _ in range(2)
    )
    assert first.to_json() == second.to_json()
    assert first.record["model"]["name"] == "random"
    assert first.record["threads"] >= 1
    assert first.record["protocol"]["noc_cap"] == 20


def test_a_model_without_classes_gets_plain_clicks(samples, tiny_model, monkeypatch):
    model = without_classes(tiny_model, monkeypatch)
    report = run_clicks(samples, model, tasks=["rossa"], device="cpu")
    (task,) = report.tasks
    assert task.judged == ("dice@5", "cldice@5")
    assert list(task.targets) == ["dice@5"]
    assert "class" not in task.prompts
    assert "dice@0" not in task.samples[0].values
    assert task.samples[0].detail["dice"][0] is None


def test_a_class_prompt_is_judged_before_any_click(
    samples, phantom, oracle, tiny_model, monkeypatch
):
    image, masks = phantom
    monkeypatch.setattr(tiny_model.network, "classes", ("RV",), raising=False)

    def session(data, model, **_):
        if data.shape[1:] != image.shape:
            return Session(data, model, device="cpu")
        return oracle(masks["RV"][None], whole=masks["RV"])

    monkeypatch.setattr(run, "Session", session)
    report = run_clicks(samples, tiny_model, tasks=["rv-enface-3mm"], device="cpu")
    for task in report.tasks:
        assert task.judged == ("dice@0", "cldice@0")
        figures = {figure.key: figure for figure in task.figures()}
        assert figures["dice@0"].mean == figures["cldice@0"].mean == 1
        assert task.met(figures["dice@0"]) is True
        assert task.met(figures["cldice@0"]) is True
        assert figures["noc@0.90"].mean == 0
        assert figures["reached@0.90"].mean == 1


def test_an_image_without_the_object_is_passed_over(samples, tmp_path, tiny_model):
    import shutil

    from PIL import Image

    shutil.copytree(samples / "rossa", tmp_path / "rossa")
    Image.new("L", (96, 96)).save(tmp_path / "rossa/val/label/8.png")
    report = run_clicks(tmp_path, tiny_model, tasks=["rossa"], device="cpu")
    (task,) = report.tasks
    assert [sample.name for sample in task.samples] == ["9"]
    assert (task.measured, task.available) == (2, 2)


def test_stopping_keeps_what_is_done(samples, tiny_model):
    told = []
    report = run_clicks(
        samples,
        tiny_model,
        tasks=ENFACE,
        device="cpu",
        progress=lambda done, total, note: told.append(done),
        cancelled=lambda: len(told) > 2,
    )
    assert not report.complete
    assert outcome(report) == {"faz-enface": (2, 3)}
    (task,) = report.tasks
    assert task.met(task.figure("dice@1")) is None
    assert report.to_json()["complete"] is False
    assert report.table().startswith("INCOMPLETE")


def test_stopping_reaches_into_a_sequence(samples, tiny_model):
    asked = iter([False, False, True])
    report = run_clicks(
        samples,
        tiny_model,
        tasks=["faz-sequence"],
        device="cpu",
        cancelled=lambda: next(asked, True),
    )
    assert outcome(report) == {"faz-sequence": (0, 1)}
    assert not report.complete
    assert report.tasks[0].samples == ()


def test_a_folder_without_samples_is_refused(samples, tmp_path, tiny_model):
    with pytest.raises(ReadError, match="expected the folder"):
        run_clicks(tmp_path / "missing", tiny_model)
    with pytest.raises(ReadError, match="expected samples of faz-enface"):
        run_clicks(tmp_path, tiny_model)
    (tmp_path / "rossa").symlink_to(samples / "rossa")
    with pytest.raises(ReadError, match="expected samples of vein, found none"):
        run_clicks(tmp_path, tiny_model, tasks=["rossa", "vein"])
    with pytest.raises(ModelError, match="device"):
        run_clicks(samples, tiny_model, device="cuda:9")


def test_tasks_without_samples_are_told(samples, tmp_path, tiny_model, monkeypatch):
    monkeypatch.setattr(speed, "measure", lambda model, stopped: [])
    (tmp_path / "rossa").symlink_to(samples / "rossa")
    report = run_clicks(tmp_path, tiny_model, subjects=1, device="cpu")
    assert [task.name for task in report.tasks] == ["rossa", "speed"]
    missing = report.record["tasks_without_samples"]
    assert {*missing, "rossa", "speed"} == set(run.TASK_NAMES)


def test_speed_is_that_of_the_medians(tiny_model, monkeypatch):
    monkeypatch.setattr(speed, "STOCK_SIZE", 128)
    monkeypatch.setattr(speed, "SIZE", 64)
    monkeypatch.setattr(speed, "FOLLOWED", 3)
    (sample,) = speed.measure(tiny_model, lambda: False)
    detail, values = sample.detail, sample.values
    assert [len(v) for v in detail.values()] == [20, 9, 3]
    own, stock = median(detail["slice_seconds"]), median(detail["stock_slice_seconds"])
    assert values["slices/s"] == pytest.approx(1 / own)
    assert values["times stock"] == pytest.approx(stock / own)
    assert values["click [ms]"] == pytest.approx(1000 * median(detail["click_seconds"]))
    assert speed.measure(tiny_model, lambda: True) == []


def test_slices_are_timed_one_by_one(tiny_model, monkeypatch):
    monkeypatch.setattr(speed, "SIZE", 32)
    data = np.zeros((4, 32, 32), np.uint8)
    run = EngineRun(data, tiny_model, device="cpu")
    times = list(islice(speed.slice_times(run), 9))
    assert len(times) == 3
    assert min(times) > 0


def test_the_rival_is_sam2s_own_predictor(monkeypatch):
    monkeypatch.setattr(speed, "STOCK_SIZE", 128)
    run = speed.stock_run(np.zeros((2, 32, 32), np.uint8))
    assert isinstance(run, StockRun)
    assert run.predictor.image_size == 128
