"""The Segment dock, with real mouse and key events in a real viewer."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_octa_sam2.engine.segment import segment
from napari_octa_sam2.prompts import Prompt, PromptSet
from napari_octa_sam2.widgets.segment.objects import CLASS
from napari_octa_sam2.widgets.segment.worker import Ended, Open, Opened

MODEL_MS = 60_000


def canvas_of(viewer):
    return viewer.window._qt_viewer.canvas.native


def press(viewer, key):
    QTest.keyClick(canvas_of(viewer), key)


def click(viewer, layer, position, modifier=Qt.KeyboardModifier.NoModifier):
    """Click on the canvas where `position`, in pixels of `layer`, is drawn."""
    world = np.array(layer.data_to_world(position))[-2:]
    canvas = canvas_of(viewer)
    centre = np.array(viewer.scene.camera.center)[-2:]
    size = np.array([canvas.height(), canvas.width()])
    row, col = (world - centre) * viewer.scene.camera.zoom + size / 2
    point = QPoint(round(col), round(row))
    QTest.mouseMove(canvas, point)
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, modifier, point)


def begin(qtbot, viewer, widget, target):
    """Press the click tool, click on the vessel, wait for its mask."""
    index, row, col, _ = target
    viewer.dims.set_current_step(0, index)
    viewer.reset_view()
    press(viewer, Qt.Key.Key_W)
    click(viewer, widget.annotation.image, (index, row, col))
    qtbot.waitUntil(
        lambda: (widget.annotation.labels.data[index] == 1).any(), timeout=MODEL_MS
    )
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=MODEL_MS)


def test_the_main_job(qtbot, viewer, widget, target, tmp_path):
    index, row, col, _ = target
    image = widget.source.image
    before = image.data.copy()
    begin(qtbot, viewer, widget, target)
    annotation = widget.annotation
    assert annotation.points.data.round().tolist() == [[index, row, col]]
    labels = annotation.labels
    near = np.s_[max(0, row - 5) : row + 6, max(0, col - 5) : col + 6]
    assert (labels.data[index][near] == 1).any()
    assert not labels.data[index + 1 :].any()
    assert labels.data.dtype == np.uint8
    np.testing.assert_array_equal(labels.scale, image.scale)
    assert labels.units == image.units
    assert labels.axis_labels == ("depth", "slow", "fast")

    # propagate, and stop before it is through
    steps = []
    widget.propagation.progress.valueChanged.connect(steps.append)
    press(viewer, Qt.Key.Key_G)
    qtbot.waitUntil(lambda: len(steps) >= 2, timeout=MODEL_MS)
    press(viewer, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=MODEL_MS)
    assert "Stopped after" in widget.status.text()
    stopped_at = max(steps)
    assert stopped_at < len(labels.data)
    kept = labels.data.copy()
    # the viewer answers
    viewer.dims.set_current_step(0, 0)
    press(viewer, Qt.Key.Key_Right)
    assert viewer.dims.current_step[0] == 1

    # the rest: goes on where it stopped
    steps.clear()
    press(viewer, Qt.Key.Key_G)
    qtbot.waitUntil(lambda: "Propagated" in widget.status.text(), timeout=MODEL_MS)
    assert widget.propagation.progress.maximum() <= len(labels.data) - stopped_at
    np.testing.assert_array_equal(labels.data[index], kept[index])
    press(viewer, Qt.Key.Key_G)
    qtbot.waitUntil(lambda: "already" in widget.status.text(), timeout=MODEL_MS)

    # one click more, and back
    complete = labels.data.copy()
    viewer.dims.set_current_step(0, index)
    press(viewer, Qt.Key.Key_W)
    away = (10, 10) if row > 150 else (290, 290)
    click(viewer, image, (index, *away), Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: len(annotation.points.data) == 2, timeout=MODEL_MS)
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=MODEL_MS)
    assert annotation.points.features["label"].tolist() == ["positive", "negative"]
    press(viewer, Qt.Key.Key_U)
    assert len(annotation.points.data) == 1
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=MODEL_MS)
    np.testing.assert_array_equal(labels.data, complete)

    # save, reopen: the same labels and prompts
    widget.commands.save_labels(tmp_path / "labels.ome.zarr")
    widget.commands.save_prompts(tmp_path / "prompts.json")
    assert PromptSet.read(tmp_path / "prompts.json") == annotation.prompts()
    (opened,) = viewer.open(tmp_path / "labels.ome.zarr", plugin="napari-octa-sam2")
    assert isinstance(opened, Labels)
    assert opened.metadata["names"] == {1: "object 1"}
    assert labels.metadata["record"]["model"]["name"] == "octa-nano"
    np.testing.assert_array_equal(opened.data, labels.data)
    np.testing.assert_allclose(opened.scale, image.scale)
    np.testing.assert_array_equal(image.data, before)


def test_box_objects_and_loaded_prompts(qtbot, viewer, widget, target, tmp_path):
    index, _, _, mask = target
    begin(qtbot, viewer, widget, target)
    annotation = widget.annotation
    press(viewer, Qt.Key.Key_N)
    assert annotation.current == 2
    assert widget.objects.table.rowCount() == 2
    press(viewer, Qt.Key.Key_R)
    assert annotation.drawn.shapes.mode == "add_rectangle"
    rows, cols = np.argwhere(mask).min(0), np.argwhere(mask).max(0)
    corners = [
        (index, rows[0], rows[1]), (index, rows[0], cols[1]),
        (index, cols[0], cols[1]), (index, cols[0], rows[1]),
    ]  # fmt: skip
    annotation.drawn.shapes.add_rectangles(np.array(corners, float))
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=MODEL_MS)
    assert (annotation.labels.data[index] == 2).any()
    widget.commands.save_prompts(tmp_path / "p.json")
    saved = annotation.labels.data.copy()
    widget.commands.run("remove")
    assert not (annotation.labels.data == 2).any()
    widget.commands.load_prompts(tmp_path / "p.json")
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=MODEL_MS)
    np.testing.assert_array_equal(annotation.labels.data, saved)


def test_everything_of_a_class_is_asked_for_and_corrected(
    qtbot, viewer, widget, phantom, checkpoint, tmp_path, notices
):
    """Random weights: what counts is that a file replays what was seen."""
    index = 5

    def settle():
        qtbot.waitUntil(lambda: not widget.runner.busy, timeout=MODEL_MS)
        return labels.data[index].copy()

    def replayed(path):
        given, only = PromptSet.read(path), range(index, index + 1)
        done = segment(phantom.volume, given, model=checkpoint, slices=only)
        return done.labels.data[index]

    widget.source.model = str(checkpoint)
    press(viewer, Qt.Key.Key_N)
    annotation, labels = widget.annotation, widget.annotation.labels
    table = widget.objects.table
    table.selectRow(0)
    widget.commands.run("remove")
    assert list(annotation.objects) == [2]
    viewer.dims.set_current_step(0, index)
    assert not settle().any()
    assert not widget.prompts.ask.isEnabled()
    press(viewer, Qt.Key.Key_K)
    assert "Choose the class" in notices[-1]
    assert annotation.prompts().prompts == ()

    table.cellWidget(0, CLASS).setCurrentText("FAZ")
    assert widget.prompts.ask.isEnabled()
    press(viewer, Qt.Key.Key_K)
    asked = settle()
    assert (asked == 2).any()
    row, col = np.argwhere(asked == 2)[0]
    click(viewer, annotation.image, (index, row, col), Qt.KeyboardModifier.AltModifier)
    corrected = settle()
    assert (corrected != asked).any()
    widget.commands.save_prompts(tmp_path / "p.json")
    first, second = PromptSet.read(tmp_path / "p.json").prompts
    assert first == Prompt(2, index, whole="FAZ")
    assert (second.object, second.slice, second.labels) == (2, index, (0,))
    np.testing.assert_array_equal(replayed(tmp_path / "p.json"), corrected)

    press(viewer, Qt.Key.Key_U)
    np.testing.assert_array_equal(settle(), asked)
    press(viewer, Qt.Key.Key_U)
    assert not settle().any()
    assert annotation.prompts().prompts == ()
    widget.commands.load_prompts(tmp_path / "p.json")
    np.testing.assert_array_equal(settle(), corrected)
    assert annotation.prompts().prompts == (first, second)


def test_a_model_without_class_prompts_says_so(viewer, widget):
    widget.commands.run("new")
    widget.objects.table.cellWidget(1, CLASS).setCurrentText("FAZ")
    assert widget.prompts.ask.toolTip() == "The model is not loaded yet."
    widget.runner.close()
    record = {"model": {"name": "stock"}, "device": "cpu"}
    asked = Open(widget.annotation.data, "stock", "cpu")
    widget.conversation._respond(Opened(asked, record, ()))
    assert not widget.prompts.ask.isEnabled()
    assert "cannot be asked for every FAZ" in widget.prompts.ask.toolTip()
    widget.conversation._respond(Opened(asked, record, ("RV", "FAZ")))
    assert widget.prompts.ask.isEnabled()
    widget.objects.table.selectRow(0)
    assert "Choose the class" in widget.prompts.ask.toolTip()


def test_points_of_the_user_become_prompts(qtbot, viewer, widget, target):
    index, row, col, _ = target
    mine = viewer.add_points([[index, row, col]], scale=widget.source.image.scale)
    widget.prompts.layer.value = mine
    widget.commands.run("adopt")
    qtbot.waitUntil(
        lambda: widget.annotation.labels.data[index].any(), timeout=MODEL_MS
    )
    assert len(mine.data) == 1


@pytest.mark.parametrize(
    ("data", "rgb", "expected"),
    [
        (np.zeros((20, 30, 3), np.uint8), True, "found RGB"),
        (np.zeros((2, 3, 20, 30), np.uint8), False, "found 4 axes"),
        (np.full((3, 20, 30), np.nan), False, "no finite value"),
    ],
)
def test_layers_that_cannot_be_segmented_say_why(
    viewer, widget, notices, data, rgb, expected
):
    bad = viewer.add_image(data, rgb=rgb, contrast_limits=(0, 1))
    widget.source.image = bad
    layers = list(viewer.layers)
    widget.commands.run("click")
    assert expected in notices[-1]
    assert expected in widget.status.text()
    assert list(viewer.layers) == layers


def test_prompts_outside_the_image_are_taken_back(
    qtbot, viewer, widget, notices, target
):
    begin(qtbot, viewer, widget, target)
    widget.annotation.points.add([target[0], -40, 10])
    assert "outside the image" in notices[-1]
    assert len(widget.annotation.points.data) == 1
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=MODEL_MS)
    assert widget.annotation.labels.data[target[0]].any()


def test_removing_the_image_loses_nothing(qtbot, viewer, widget, notices, target):
    begin(qtbot, viewer, widget, target)
    annotation = widget.annotation
    viewer.layers.remove(annotation.image)
    qtbot.waitUntil(lambda: widget.annotation is None)
    assert "was removed" in notices[-1]
    assert annotation.labels in viewer.layers
    assert annotation.points in viewer.layers
    widget.commands.run("propagate")
    assert "Open an image first" in notices[-1]


def test_a_deleted_prompt_layer_comes_back(qtbot, viewer, widget, notices, target):
    begin(qtbot, viewer, widget, target)
    annotation = widget.annotation
    viewer.layers.remove(annotation.points)
    qtbot.waitUntil(lambda: annotation.points in viewer.layers)
    assert "was put back" in notices[-1]
    assert len(annotation.points.data) == 1


def test_closing_the_dock_while_propagating_keeps_the_labels(
    qtbot, viewer, widget, target
):
    begin(qtbot, viewer, widget, target)
    annotation = widget.annotation
    press(viewer, Qt.Key.Key_G)
    qtbot.waitUntil(lambda: widget.propagation.progress.value() >= 1, timeout=MODEL_MS)
    widget.close()
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=MODEL_MS)
    assert annotation.labels in viewer.layers
    assert annotation.labels.data.any()
    assert "G" not in viewer.keymap


def test_another_image_and_back_keeps_both_annotations(qtbot, viewer, widget, target):
    begin(qtbot, viewer, widget, target)
    first = widget.annotation
    other = viewer.add_image(
        first.image.data[:3].copy(), name="other", scale=first.image.scale
    )
    widget.source.image = other
    widget.commands.run("click")
    assert widget.annotation.image is other
    widget.annotation.points.add([1, 40, 40])
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=MODEL_MS)
    widget.source.image = first.image
    widget.commands.run("click")
    assert widget.annotation is first
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=MODEL_MS)
    assert len(first.points.data) == 1
    assert len(viewer.layers["other clicks"].data) == 1


def test_two_viewers_share_nothing(qtbot, make_napari_viewer, viewer, widget, target):
    begin(qtbot, viewer, widget, target)
    second = make_napari_viewer(show=True)
    _, other = second.window.add_plugin_dock_widget("napari-octa-sam2", "Segment")
    assert other.source.image is None
    assert other.annotation is None
    assert len(second.layers) == 0
    other.close()
    assert widget.annotation.labels.data.any()


def test_a_model_that_cannot_be_loaded_keeps_the_prompts(
    qtbot, viewer, widget, notices, target, tmp_path
):
    begin(qtbot, viewer, widget, target)
    labels = widget.annotation.labels.data.copy()
    (tmp_path / "broken.pt").write_bytes(b"no checkpoint")
    widget.source.model = str(tmp_path / "broken.pt")
    qtbot.waitUntil(lambda: bool(notices), timeout=MODEL_MS)
    assert "configuration" in notices[-1]
    np.testing.assert_array_equal(widget.annotation.labels.data, labels)
    widget.source.model = "octa-nano"
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=MODEL_MS)
    np.testing.assert_array_equal(widget.annotation.labels.data, labels)


def test_every_button_does_what_it_says(
    qtbot, viewer, widget, target, tmp_path, monkeypatch
):
    from qtpy.QtWidgets import QFileDialog, QPushButton

    buttons = {b.text().split(" [")[0]: b for b in widget.findChildren(QPushButton)}

    def push(name):
        qtbot.mouseClick(buttons[name], Qt.MouseButton.LeftButton)

    index, row, col, _ = target
    push("Click")
    annotation = widget.annotation
    assert annotation.points.mode == "add"
    push("Positive")
    assert "Negative" in buttons["Positive"].text()
    push("Positive")
    annotation.points.add([index, row, col])
    widget.objects.table.cellWidget(0, CLASS).setCurrentText("RV")
    qtbot.waitUntil(buttons["All of its class"].isEnabled, timeout=MODEL_MS)
    push("All of its class")
    assert annotation.prompts().prompts[-1].whole == "RV"
    push("Undo")
    push("New")
    assert sorted(annotation.objects) == [1, 2]
    annotation.points.add([index, 5, 5])
    push("Undo")
    assert len(annotation.points.data) == 1
    push("Box")
    assert annotation.drawn.shapes.mode == "add_rectangle"
    push("Remove")
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=MODEL_MS)

    chosen = iter([tmp_path / "p.json", tmp_path / "l.nii.gz", tmp_path / "p.json"])
    for ask in ("getSaveFileName", "getOpenFileName"):
        monkeypatch.setattr(QFileDialog, ask, lambda *_: (str(next(chosen)), ""))
    saved = annotation.prompts()
    push("Save prompts …")
    push("Save labels …")
    assert (tmp_path / "l.nii.gz").exists()
    annotation.points.add([index, 9, 9])
    push("Load prompts …")
    assert annotation.prompts() == saved
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=MODEL_MS)
    push("Propagate")
    qtbot.waitUntil(lambda: buttons["Cancel"].isEnabled(), timeout=MODEL_MS)
    push("Cancel")
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=MODEL_MS)
    assert "Stopped after" in widget.status.text()


def test_slices_around_the_one_shown_are_encoded_ahead(qtbot, viewer, widget, target):
    begin(qtbot, viewer, widget, target)
    index = target[0]
    viewer.dims.set_current_step(0, index + 4)
    cache = widget.runner._session._tracker.slices.cache
    qtbot.waitUntil(
        lambda: all(i in cache for i in range(index + 2, index + 7)), timeout=MODEL_MS
    )


def test_a_correction_says_what_it_left_as_it_was():
    assert "Stopped after 2 of 9" in Ended(2, 9, cancelled=True).text
    assert "the other 7 stay as they were" in Ended(2, 9).text
    assert Ended(9, 9).text == "Propagated 9 slices."
