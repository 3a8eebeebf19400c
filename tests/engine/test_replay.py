"""Projects done once more give the same labels, bit for bit."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from safetensors.torch import load_file, save_file

from napari_octa_sam2.engine.replay import replay
from napari_octa_sam2.errors import ModelError, ReadError, VolumeError
from napari_octa_sam2.project import store
from napari_octa_sam2.project.journal import Journal, read_events
from napari_octa_sam2.project.store import Project
from napari_octa_sam2.prompts import Prompt
from napari_octa_sam2.volume.octa_volume import OctaVolume

path = Path(__file__).parents[1] / "driver.py"
spec = importlib.util.spec_from_file_location("octa_driver", path)
assert spec is not None
assert spec.loader is not None
driver_module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(driver_module)
Driver, begun, tissue, random_action = (
    getattr(driver_module, name)
    for name in ("Driver", "begun", "tissue", "random_action")
)


@pytest.fixture
def data() -> np.ndarray:
    made: np.ndarray = tissue()
    return made


@pytest.fixture
def volume(data: np.ndarray) -> OctaVolume:
    return OctaVolume(data, name="tissue")


def driver_of(project: Project, data: np.ndarray) -> Any:
    viewer = ViewerModel()
    return Driver(viewer, viewer.add_image(data, name="tissue"), project)


@pytest.fixture
def driver(data: np.ndarray, checkpoint: Path) -> Any:
    """A new annotation with the small network."""
    made = driver_of(begun(data), data)
    made.open(str(checkpoint))
    return made


def assert_replayed(driver: Any, volume: OctaVolume, **options: Any) -> Any:
    """The replay gives what is in the document; return it."""
    expected = driver.annotation.document.volume()
    again = replay(driver.annotation.project.path, volume, **options)
    assert again.different == ()
    np.testing.assert_array_equal(again.segmentation.labels.data, expected)
    assert again.segmentation.complete
    return again


def other_weights(checkpoint: Path, folder: Path) -> Path:
    changed = {k: v * 1.01 for k, v in load_file(checkpoint).items()}
    path = folder / "other.safetensors"
    save_file(changed, path)
    shutil.copy(checkpoint.with_suffix(".yaml"), path.with_suffix(".yaml"))
    return path


def test_clicks_and_a_propagation(driver: Any, volume: OctaVolume) -> None:
    driver.click(2, 24, 30)
    driver.work()
    driver.click(2, 50, 10, positive=False)
    driver.work()
    assert driver.propagate() == 6
    assert driver.annotation.document.labelled_slices() == list(range(6))
    again = assert_replayed(driver, volume)
    record = again.segmentation.record
    assert record["model"] == driver.annotation.labels.metadata["record"]["model"]
    assert record["prompts"] == driver.annotation.prompts().to_json()
    assert len(again.segmentation.confidence) == 6


def test_everything_that_a_user_can_do(
    driver: Any, volume: OctaVolume, checkpoint: Path, tmp_path: Path
) -> None:
    annotation = driver.annotation
    driver.click(2, 24, 30)
    driver.work()

    def meanwhile(number: int) -> bool:
        """Correct during the propagation, then stop it."""
        if number == 1:
            driver.click(3, 40, 42)
            driver.click(1, 10, 10, positive=False)
        if number == 2:
            annotation.add_object()
            driver.click(4, 30, 41)
        return number == 3

    assert driver.propagate("both", None, meanwhile) == 3
    driver.propagate("forward", range(1, 5))
    driver.propagate()
    driver.paint(3, 12, 12, 1)
    driver.paint(4, 50, 50, 0, size=9)
    driver.go_to(2)
    annotation.select_object(1)
    assert annotation.toggle_lock()
    annotation.add_prompts([Prompt(2, 5, box=(20, 20, 40, 44))])
    driver.work()
    driver.propagate("backward")
    annotation.undo()
    annotation.undo()
    driver.work()
    annotation.redo()
    driver.propagate()
    driver.open(str(other_weights(checkpoint, tmp_path)))
    driver.work()
    driver.click(0, 22, 22)
    driver.propagate()
    annotation.duplicate_object(1)
    annotation.change_object(2, locked=True)
    driver.propagate()
    annotation.merge_objects([1, 3])
    annotation.suppress(True)
    driver.work()
    driver.propagate("forward", range(4))
    annotation.undo()
    driver.click(5, 5, 5)
    annotation.remove_object(2)
    driver.work()
    driver.propagate()
    done = {event["do"] for event in store.read_project(annotation.project.path)[1]}
    assert done >= {"answer", "visit", "ended", "undo", "redo", "labels", "prompts"}
    assert_replayed(driver, volume)


def test_many_random_sessions(
    data: np.ndarray, volume: OctaVolume, checkpoint: Path
) -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        driver = driver_of(begun(data), data)
        driver.open(str(checkpoint))
        for _ in range(10):
            random_action(driver, rng)
        assert_replayed(driver, volume)
        driver.annotation.close()


def test_a_project_that_was_resumed(
    driver: Any, data: np.ndarray, volume: OctaVolume, checkpoint: Path
) -> None:
    driver.click(2, 24, 30)
    driver.work()
    driver.propagate("forward")
    driver.annotation.close()
    path = driver.annotation.project.path
    again = driver_of(store.resume(path), data)
    again.open(str(checkpoint))
    again.work()
    again.click(1, 30, 41)
    again.work()
    again.propagate()
    assert_replayed(again, volume)


@pytest.mark.parametrize("kind", ["answer", "visit"])
def test_a_crash_between_a_mask_and_its_labels(
    driver: Any, data: np.ndarray, volume: OctaVolume, checkpoint: Path, kind: str
) -> None:
    driver.click(2, 24, 30)
    driver.work()
    driver.propagate("forward")
    driver.annotation.close()
    path = driver.annotation.project.path
    events, _ = read_events(path / store.JOURNAL)
    last = max(n for n, event in enumerate(events) if event["do"] == kind)
    assert events[last + 1]["do"] == "labels"
    rewrite(path, lambda found: found[: last + 1])
    assert replay(path, volume).different == ()
    resumed = driver_of(store.resume(path), data)
    resumed.annotation.add_object()
    resumed.open(str(checkpoint))
    resumed.work()
    resumed.click(3, 41, 30)
    resumed.work()
    assert_replayed(resumed, volume)


def test_what_is_not_as_it_was_is_named(driver: Any, volume: OctaVolume) -> None:
    driver.click(2, 24, 30)
    driver.work()
    driver.propagate()
    driver.annotation.close()

    def move_the_click(events: list[Any]) -> list[Any]:
        for event in events:
            if event["do"] == "answer":
                event["prompts"][0]["points"] = [[50.0, 50.0]]
        return events

    rewrite(driver.annotation.project.path, move_the_click)
    again = replay(driver.annotation.project.path, volume)
    assert 2 in again.different


def test_other_weights_are_refused(
    driver: Any, volume: OctaVolume, checkpoint: Path, tmp_path: Path
) -> None:
    driver.click(2, 24, 30)
    driver.work()
    other = other_weights(checkpoint, tmp_path)
    path = driver.annotation.project.path
    with pytest.raises(ModelError, match=r"expected weights with SHA-256 .* other"):
        replay(path, volume, model=other)
    moved = tmp_path / "moved.safetensors"
    shutil.copy(checkpoint, moved)
    shutil.copy(checkpoint.with_suffix(".yaml"), moved.with_suffix(".yaml"))
    assert_replayed(driver, volume, model=moved, device="cpu")


def test_a_weight_file_that_was_changed_is_refused(
    data: np.ndarray, volume: OctaVolume, checkpoint: Path, tmp_path: Path
) -> None:
    used = other_weights(checkpoint, tmp_path)
    driver = driver_of(begun(data), data)
    driver.open(str(used))
    driver.click(2, 24, 30)
    driver.work()
    shutil.copy(checkpoint, used)
    with pytest.raises(ModelError, match="expected weights with SHA-256"):
        replay(driver.annotation.project.path, volume)


def test_another_volume_is_refused(driver: Any, data: np.ndarray) -> None:
    other = data.copy()
    other[0, 0, 0] += 1
    with pytest.raises(VolumeError, match=r"expected the volume .* tissue is of"):
        replay(driver.annotation.project.path, OctaVolume(other, name="other"))


def rewrite(path: Path, change: Callable[[list[Any]], list[Any]]) -> None:
    events, _ = read_events(path / store.JOURNAL)
    (path / store.JOURNAL).unlink()
    journal = Journal(path / store.JOURNAL)
    for event in change(events):
        journal.append({k: v for k, v in event.items() if k != "n"})
    journal.close()


OPEN = {"do": "open", "model": "octa-nano"}


@pytest.mark.parametrize(
    "event",
    [
        {},
        OPEN,
        OPEN | {"record": []},
        OPEN | {"record": {"model": {"sha256": ""}}},
        {"do": "answer", "object": 1, "slice": 0, "step": 0, "shown": True},
        {"do": "answer", "prompts": [{"object": 1}]},
        {
            "do": "answer",
            "object": 1,
            "slice": 99,
            "prompts": [{"object": 1, "slice": 99, "absent": True}],
        },
        {"do": "propagate", "direction": "up", "slices": [0], "objects": []},
        {"do": "visit"},
        {"do": "ended"},
        {"do": "labels", "slice": 99, "step": 0, "content": ""},
        {"do": "prompts", "kept": 99, "content": {"version": 1}},
    ],
)
def test_a_malformed_journal_is_refused(
    driver: Any, volume: OctaVolume, event: dict[str, Any]
) -> None:
    driver.click(2, 24, 30)
    driver.work()
    driver.annotation.close()
    path = driver.annotation.project.path
    rewrite(path, lambda found: [*found, event, {"do": "begin"}])
    with pytest.raises(ReadError, match="journal is malformed"):
        replay(path, volume)


def test_an_answer_without_a_model_is_refused(driver: Any, volume: OctaVolume) -> None:
    driver.click(2, 24, 30)
    driver.work()
    path = driver.annotation.project.path
    rewrite(path, lambda found: [e for e in found if e["do"] != "open"])
    with pytest.raises(ReadError, match="an answer comes before a model"):
        replay(path, volume)


def test_what_is_no_project_is_refused(volume: OctaVolume, tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="expected a project"):
        replay(tmp_path, volume)


def test_a_project_without_the_network_needs_none(
    data: np.ndarray, volume: OctaVolume
) -> None:
    driver = driver_of(begun(data), data)
    driver.paint(3, 12, 12, 1)
    driver.paint(3, 30, 30, 2)
    driver.annotation.undo()
    again = assert_replayed(driver, volume)
    assert "model" not in again.segmentation.record


def test_progress_is_told_and_cancelling_keeps_what_is_done(
    driver: Any, volume: OctaVolume
) -> None:
    driver.click(2, 24, 30)
    driver.work()
    driver.propagate()
    told: list[tuple[int, int]] = []
    path = driver.annotation.project.path
    total = len(json_lines(path))
    threads = torch.get_num_threads()
    again = replay(
        path,
        volume,
        progress=lambda done, of: told.append((done, of)),
        cancelled=lambda: len(told) == total - 3,
    )
    assert told == [(n, total) for n in range(1, total - 2)]
    assert not again.segmentation.complete
    assert again.segmentation.labels.data.any()
    assert torch.get_num_threads() == threads


def json_lines(path: Path) -> list[Any]:
    text = (path / store.JOURNAL).read_text("utf-8")
    return [json.loads(line.partition(" ")[2]) for line in text.splitlines() if line]
