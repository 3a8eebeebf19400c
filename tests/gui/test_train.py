"""The Train dock, with real trainings in processes of their own."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict, replace

import numpy as np
import pytest
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QMenu, QMessageBox, QPushButton, QTextBrowser

from napari_octa_sam2.training.data.formats import write_annotated
from napari_octa_sam2.training.folder import ROOT_VARIABLE, Status, TrainingFolder
from napari_octa_sam2.widgets.segment.dock import SegmentWidget
from napari_octa_sam2.widgets.train import process
from napari_octa_sam2.widgets.train.data import LayerPair
from napari_octa_sam2.widgets.train.view import smoothed

TASK_MS = 60_000
TRAIN_MS = 180_000
SMALL = "clip.native=48 clip.size=64 fit.clips=1 fit.workers=0 fit.warmup=0"
SIDE = 64


def vessels(seed=0, depth=3):
    """Bright tubes on a dark ground with their labels, ``(depth, SIDE, SIDE)``."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (depth, SIDE, SIDE))
    labels = np.zeros(image.shape, np.uint8)
    labels[:, 20 + seed : 28 + seed] = 1
    labels[:, :, 40:47] = 2
    return (image + 150 * (labels > 0)).astype(np.uint8), labels


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """The folder of all trainings."""
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "trainings"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path / "trainings"


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 1000)
    image, labels = vessels()
    viewer.add_image(image, name="scan")
    labels[2] = 0
    viewer.add_labels(labels, name="mine", metadata={"classes": {1: "artery"}})
    return viewer


@pytest.fixture
def widget(qtbot, viewer):
    widget = open_dock(qtbot, viewer)
    yield widget
    widget.close()
    qtbot.waitUntil(lambda: not widget._looker.busy, timeout=TASK_MS)


@pytest.fixture
def data(tmp_path):
    """A folder of two annotated subjects."""
    return written(tmp_path / "annotated", (1, 2))


def written(folder, seeds):
    for seed in seeds:
        image, labels = vessels(seed)
        write_annotated(
            folder / f"{seed}.npz",
            image,
            labels,
            classes={1: "vessel", 2: "vessel"},
            labelled=[0, 1, 2],
            name=f"eye {seed}",
            subject=f"subject {seed}",
        )
    return folder


def open_dock(qtbot, viewer):
    _, widget = viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Train")
    settle(qtbot, widget)
    return widget


def settle(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=TASK_MS)


def push(qtbot, widget, name):
    (button,) = [b for b in widget.findChildren(QPushButton) if b.text() == name]
    assert button.isEnabled()
    widget.ensureWidgetVisible(button)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def set_small(widget, steps, more=""):
    widget.recipe.unit.setCurrentText("steps")
    widget.recipe.amount.setValue(steps)
    widget.recipe.settings.setText(f"{SMALL} {more}")


def wait_for(qtbot, widget, state, timeout=TRAIN_MS):
    """Wait until the dock shows a training in this state."""

    ends = ("failed", state)
    qtbot.waitUntil(
        lambda: widget._shown is not None and widget._shown.state in ends,
        timeout=timeout,
    )
    assert widget._shown.state == state, widget._shown.message


def wait_for_steps(qtbot, widget, steps):
    """Wait until the dock shows so many steps."""
    qtbot.waitUntil(
        lambda: (
            widget._shown is not None
            and (widget._shown.step >= steps or widget._shown.state == "failed")
        ),
        timeout=TRAIN_MS,
    )
    assert widget._shown.state != "failed", widget._shown.message


def enabled(widget):
    return {n for n, b in widget.training.buttons.items() if b.isEnabled()}


def left_behind(root, state, name="2026-11-20_10-30-00-000001_quick", **fields):
    """The folder that a training left."""
    folder = TrainingFolder(root / name)
    folder.path.mkdir(parents=True)
    folder.settings.write_text("name: quick\n")
    folder.write_status(Status(state, **fields))
    return folder


# before a training -----------------------------------------------------------


def test_recipes_and_what_they_train_are_offered(widget):
    recipe = widget.recipe
    assert recipe.recipe.itemText(0) == "quick"
    assert "annotated slices" in recipe.about.text()
    assert recipe.model.model == "octa-nano"
    checked = {name for name, box in recipe.parts.items() if box.isChecked()}
    assert checked == {"adapters", "refinement"}
    assert (recipe.amount.value(), recipe.unit.currentText()) == (15, "minutes")
    assert recipe.overrides == ()
    assert recipe.other_model is None
    assert enabled(widget) == set()


def test_settings_are_those_that_were_changed(widget):
    recipe = widget.recipe
    recipe.parts["adapters"].setChecked(False)
    recipe.parts["mask_decoder"].setChecked(True)
    recipe.unit.setCurrentText("epochs")
    recipe.amount.setValue(2.5)
    recipe.labels["FAZ"].setChecked(True)
    recipe.labels["RV"].setChecked(True)
    recipe.settings.setText("fit.seed=3 clip.size=128")
    recipe.model.model = "sam2.1_hiera_tiny"
    assert recipe.overrides == (
        "trained.parts.adapters=null",
        "trained.parts.mask_decoder=0.0001",
        "fit.minutes=0",
        "fit.epochs=2.5",
        "fit.steps=0",
        "clip.labels=[RV,FAZ]",
        "fit.seed=3",
        "clip.size=128",
    )
    assert recipe.other_model == "sam2.1_hiera_tiny"


def test_layers_are_written_and_looked_at(qtbot, viewer, widget, root):
    widget.data.cls.setCurrentText("vein")
    push(qtbot, widget, "Add layers")
    (pair,) = widget.data.sources.sources
    assert pair.text == "scan + mine (vein)"
    push(qtbot, widget, "Add layers")
    assert widget.data.sources.count() == 1
    push(qtbot, widget, "Check [F6]")
    settle(qtbot, widget)

    said = widget.run.report.toPlainText()
    assert "artery [pixels]" in said
    assert "vein [pixels]" in said
    assert "found none beside the 1 subject" in said
    assert widget.status.text() == "Ready to train, with 1 to note."
    (file,) = root.glob("*_quick/data/01-scan.npz")
    with np.load(file) as archive:
        assert archive["labelled"].tolist() == [0, 1]
        np.testing.assert_array_equal(archive["labels"], viewer.layers["mine"].data)
        classes = json.loads(str(archive["about"]))["classes"]
    assert classes == {"1": "artery", "2": "vein"}

    # nothing was begun: no training, and nothing left when the dock goes
    assert widget.training.training.count() == 1
    widget.close()
    assert list(root.iterdir()) == []


def test_a_fatal_problem_disables_the_start(qtbot, widget, data):
    image, labels = vessels(1)
    write_annotated(
        data / "copy.npz",
        image[:1] * np.float32(np.nan),
        labels[:1],
        classes={1: "FAZ", 2: "FAZ"},
        labelled=[0],
        name="broken",
        subject="subject 3",
    )
    widget.data.sources.add(data)
    assert widget.run.start.isEnabled()
    push(qtbot, widget, "Start [F7]")
    settle(qtbot, widget)
    said = widget.run.report.toPlainText()
    assert "Prevents the start" in said
    assert "copy.npz" in said
    assert "NaN" in said
    assert not widget.run.start.isEnabled()
    # other data may do
    (data / "copy.npz").unlink()
    widget.recipe.settings.setText("fit.seed=1")
    assert widget.run.start.isEnabled()
    push(qtbot, widget, "Check [F6]")
    settle(qtbot, widget)
    assert "subjects" in widget.run.report.toPlainText()
    assert widget.run.start.isEnabled()


def test_errors_are_told_in_a_sentence(qtbot, viewer, widget, notices, tmp_path):
    push(qtbot, widget, "Check [F6]")
    settle(qtbot, widget)
    assert "name a data set" in widget.run.report.toPlainText()
    widget.data.sources.add(tmp_path / "nowhere")
    push(qtbot, widget, "Check [F6]")
    settle(qtbot, widget)
    assert "found nothing there" in notices[-1]
    assert notices[-1] == widget.status.text()
    widget.recipe.settings.setText("fit.speed=1")
    push(qtbot, widget, "Start [F7]")
    settle(qtbot, widget)
    assert "fit.speed" in notices[-1]
    widget.recipe.settings.setText("")

    sources = widget.data.sources
    sources.item(0).setSelected(True)
    QTest.keyClick(sources, Qt.Key.Key_Delete)
    assert sources.sources == []
    small = viewer.add_labels(np.ones((3, 32, 32), np.uint8), name="small")
    sources.add(LayerPair(viewer.layers["scan"], small, "FAZ"))
    push(qtbot, widget, "Check [F6]")
    settle(qtbot, widget)
    assert "of the same shape" in notices[-1]
    # a layer that goes takes its pair with it
    viewer.layers.remove(small)
    assert sources.sources == []
    widget.data.labels.offer([])
    push(qtbot, widget, "Add layers")
    assert "Choose an image" in notices[-1]


def test_a_path_is_dropped_on_the_list(widget, data):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(data)), QUrl("https://example.org/x")])
    event = QDropEvent(
        QPointF(5, 5),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    widget.data.sources.dropEvent(event)
    assert widget.data.sources.sources == [data]


def test_projects_are_offered(widget, projects):
    menu = QMenu(widget)
    widget.data.offer_projects(menu)
    assert [a.text() for a in menu.actions()] == ["No project yet"]
    made = projects / "eye.octa.zarr"
    made.mkdir(parents=True)
    widget.data.offer_projects(menu)
    (action,) = menu.actions()
    assert action.text() == "eye"
    action.trigger()
    assert widget.data.sources.sources == [made]


def test_a_check_is_cancelled(qtbot, widget, data, monkeypatch):
    import threading

    from napari_octa_sam2.training.data import problems

    go, looked = threading.Event(), []
    really = problems._of_sample

    def slow(sample):
        looked.append(sample)
        assert go.wait(20)
        return really(sample)

    monkeypatch.setattr(problems, "_of_sample", slow)
    widget.data.sources.add(data)
    push(qtbot, widget, "Check [F6]")
    qtbot.waitUntil(lambda: bool(looked), timeout=TASK_MS)
    assert not widget.run.start.isEnabled()
    push(qtbot, widget, "Cancel")
    go.set()
    settle(qtbot, widget)
    assert widget.status.text() == "The check was cancelled."
    assert len(looked) == 1


# a training ------------------------------------------------------------------


def test_train_on_layers_and_use_the_model(qtbot, viewer, widget, data, notices):
    push(qtbot, widget, "Add layers")
    widget.data.sources.add(data)
    set_small(widget, 3)
    push(qtbot, widget, "Start [F7]")
    settle(qtbot, widget)
    path = widget._path
    assert path.name.endswith("_quick")
    assert (path / "data" / "01-scan.npz").is_file()
    assert not widget.run.start.isEnabled()
    assert {"Pause", "Cancel"} <= enabled(widget)
    wait_for(qtbot, widget, "finished")

    panel = widget.training
    assert "before" in panel.state.text()
    assert any("Training has finished" in text for text in notices)
    assert panel.progress.value() == panel.progress.maximum()
    assert panel.training.currentText().endswith("quick: finished")
    (loss,) = panel.loss.series
    assert loss.steps.tolist() == [1, 2, 3]
    names = [series.name for series in panel.dice.series]
    assert "prompted" in names
    assert names[-1] == "validation"
    assert panel.dice.series[-1].steps.tolist() == [0, 3]
    qtbot.waitUntil(lambda: panel.picture.height() > 50, timeout=TASK_MS)
    assert widget.run.start.isEnabled()

    push(qtbot, widget, "Model card")
    (card,) = [b for b in widget.findChildren(QTextBrowser) if b.isWindow()]
    assert "Mean Dice" in card.toPlainText()
    card.close()

    push(qtbot, widget, "Use this model")
    settle(qtbot, widget)
    docks = viewer.window.dock_widgets.values()
    (segment,) = [d for d in docks if isinstance(d, SegmentWidget)]
    weights = TrainingFolder(path).weights()
    assert segment.source.model == str(weights)
    segment.source.image = viewer.layers["scan"]
    segment.click_at_depths(viewer.layers["scan"], [1], 24, 20)
    qtbot.waitUntil(
        lambda: (segment.annotation.labels.data[1] == 1).any(), timeout=TRAIN_MS
    )
    record = segment.annotation.labels.metadata["record"]
    assert str(weights.stem) in json.dumps(record)
    segment.close()


def test_pause_and_resume(qtbot, widget, data):
    widget.data.sources.add(data)
    set_small(widget, 4000)
    push(qtbot, widget, "Start [F7]")
    settle(qtbot, widget)
    wait_for_steps(qtbot, widget, 1)
    assert "left" in widget.training.progress.format()
    push(qtbot, widget, "Pause [F8]")
    wait_for(qtbot, widget, "stopped")
    folder = TrainingFolder(widget._path)
    assert not folder.is_running()
    assert folder.checkpoint.is_file()
    steps = folder.status().step
    assert {"Resume", "Remove"} <= enabled(widget)
    assert "Pause" not in enabled(widget)

    push(qtbot, widget, "Resume")
    wait_for_steps(qtbot, widget, steps + 1)
    assert widget._shown.state == "running"
    push(qtbot, widget, "Pause [F8]")
    wait_for(qtbot, widget, "stopped")
    assert folder.status().step > steps


def test_cancel_and_remove_ask_first(qtbot, widget, data, monkeypatch):
    answers, asked = [], []

    def answer(parent, title, text):
        asked.append(text)
        return answers.pop(0)

    monkeypatch.setattr(QMessageBox, "question", answer)
    yes, no = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No
    widget.data.sources.add(data)
    set_small(widget, 4000)
    push(qtbot, widget, "Start [F7]")
    settle(qtbot, widget)
    wait_for_steps(qtbot, widget, 1)
    answers[:] = [no, yes]
    push(qtbot, widget, "Cancel")
    assert widget._shown.state == "running"
    push(qtbot, widget, "Cancel")
    qtbot.waitUntil(lambda: "Remove" in enabled(widget), timeout=TRAIN_MS)
    path = widget._path
    assert not TrainingFolder(path).is_running()
    answers[:] = [no, yes]
    push(qtbot, widget, "Remove")
    assert path.is_dir()
    push(qtbot, widget, "Remove")
    assert not path.exists()
    qtbot.waitUntil(lambda: widget.training.training.count() == 1, timeout=TASK_MS)
    assert len(asked) == 4
    assert str(path) in asked[-1]


def test_a_training_that_fails_says_why(qtbot, widget, data, notices):
    widget.data.sources.add(data)
    set_small(widget, 3)
    push(qtbot, widget, "Check [F6]")
    settle(qtbot, widget)
    for file in data.iterdir():
        file.unlink()
    push(qtbot, widget, "Start [F7]")
    wait_for(qtbot, widget, "failed")
    assert str(data) in widget.training.state.text()
    assert any("Training failed" in text for text in notices)
    # with the data back, it goes on
    written(data, (1, 2))
    push(qtbot, widget, "Resume")
    wait_for(qtbot, widget, "finished")


def test_a_process_that_is_killed_leaves_its_last_words(qtbot, widget, data):
    widget.data.sources.add(data)
    set_small(widget, 4000)
    push(qtbot, widget, "Start [F7]")
    settle(qtbot, widget)
    wait_for_steps(qtbot, widget, 1)
    folder = TrainingFolder(widget._path)
    with folder.output.open("a") as output:
        output.write("Killed\n")
    os.kill(process._processes[folder.path].pid, signal.SIGKILL)
    wait_for(qtbot, widget, "interrupted")
    assert "Resume goes on" in widget.training.state.text()
    assert "Killed" in widget.training.state.text()


def test_a_process_that_cannot_begin_says_why(qtbot, widget, data, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    widget.data.sources.add(data)
    push(qtbot, widget, "Start [F7]")
    wait_for(qtbot, widget, "failed")
    assert "ended with code 1" in widget.training.state.text()


# opened again ----------------------------------------------------------------


def test_an_interrupted_training_is_found_again(qtbot, viewer, root):
    folder = left_behind(root, "running", step=7, steps=20, seconds=70.0)
    folder.output.write_text("out of memory\n")
    widget = open_dock(qtbot, viewer)
    chooser = widget.training.training
    qtbot.waitUntil(lambda: chooser.count() == 2, timeout=TASK_MS)
    assert chooser.itemText(1) == "2026-11-20 10:30 quick: interrupted"
    assert "was interrupted" in widget.training.state.text()
    chooser.setCurrentIndex(1)
    wait_for(qtbot, widget, "interrupted")
    assert "out of memory" in widget.training.state.text()
    assert widget.training.progress.value() == 350
    assert enabled(widget) == {"Resume", "Remove", "Open folder"}
    widget.close()


def test_a_running_training_is_followed_at_once(qtbot, viewer, root):
    old = left_behind(root, "stopped")
    folder = left_behind(root, "running", "mine", step=1, steps=4, seconds=10.0)
    os.utime(folder.settings, (1, 1))  # not the newest
    with folder.lock():
        widget = open_dock(qtbot, viewer)
        wait_for(qtbot, widget, "running")
        assert widget._path == folder.path
        assert widget.training.progress.format() == "step 1 of 4, 30 s left (25%)"
        folder.write_status(replace(folder.status(), step=2, seconds=20.0))
        wait_for_steps(qtbot, widget, 2)
        assert not widget.run.start.isEnabled()
        push(qtbot, widget, "Pause [F8]")
        assert folder.stop_is_asked()
        qtbot.waitUntil(lambda: "Pause" not in enabled(widget), timeout=TASK_MS)
        folder.write_status(Status(**asdict(folder.status()) | {"state": "stopped"}))
    wait_for(qtbot, widget, "stopped")
    states = [widget.training.training.itemText(i) for i in (1, 2)]
    assert states == ["2026-11-20 10:30 quick: stopped", "mine: stopped"]
    assert old.path != widget._path
    widget.close()


def test_a_closed_dock_no_longer_looks(qtbot, viewer, root, widget):
    assert widget.timer.isActive()
    widget.hide()
    assert not widget.timer.isActive()
    widget.show()
    assert widget.timer.isActive()
    widget.close()
    assert not widget.timer.isActive()
    offered = widget.data.image.count()
    viewer.add_image(np.zeros((3, 8, 8)), name="late")
    assert widget.data.image.count() == offered


def test_smoothing_leaves_out_what_is_unknown():
    values = np.array([1.0, np.nan, 3.0, 5.0, np.nan, np.nan])
    expected = [1.0, 1.0, 3.0, 4.0, 5.0, np.nan]
    np.testing.assert_allclose(smoothed(values, 2), expected)
    np.testing.assert_allclose(smoothed(np.arange(5.0), 1), np.arange(5.0))
