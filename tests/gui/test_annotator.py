"""An annotator's day in the Segment dock, with real mouse and key events."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_octa_sam2.layers import volume_layers
from napari_octa_sam2.project import store
from napari_octa_sam2.prompts import Prompt, PromptObject, PromptSet
from napari_octa_sam2.widgets.projections.dock import ProjectionsWidget

MODEL_MS = 60_000
INDEX = 5
KEYS = Qt.Key


def canvas_of(viewer):
    return viewer.window._qt_viewer.canvas.native


def press(viewer, key, modifier=Qt.KeyboardModifier.NoModifier):
    QTest.keyClick(canvas_of(viewer), key, modifier)


def point_of(viewer, layer, position):
    """Return where on the canvas a pixel of `layer` is drawn."""
    world = np.array(layer.data_to_world(position))[-2:]
    canvas = canvas_of(viewer)
    centre = np.array(viewer.scene.camera.center)[-2:]
    size = np.array([canvas.height(), canvas.width()])
    row, col = (world - centre) * viewer.scene.camera.zoom + size / 2
    return QPoint(round(col), round(row))


def click(viewer, layer, position, modifier=Qt.KeyboardModifier.NoModifier):
    point = point_of(viewer, layer, position)
    QTest.mouseMove(canvas_of(viewer), point)
    QTest.mouseClick(canvas_of(viewer), Qt.MouseButton.LeftButton, modifier, point)


def drag(qtbot, viewer, layer, positions):
    """Press at the first position, pass through the others, release at the last."""
    canvas = canvas_of(viewer)
    points = [point_of(viewer, layer, p) for p in positions]
    QTest.mouseMove(canvas, points[0])
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=points[0])
    for point in points[1:]:
        QTest.mouseMove(canvas, point)
        qtbot.wait(2)  # napari joins moves of one turn of the event loop
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=points[-1])


@pytest.fixture
def dock(qtbot, viewer, widget, checkpoint):
    """The dock with a small network, its first object on slice `INDEX` begun."""
    widget.source.model = str(checkpoint)
    viewer.dims.set_current_step(0, INDEX)
    viewer.reset_view()
    widget.commands.run("click")
    settle(qtbot, widget)
    return widget


def settle(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=MODEL_MS)


def clicked(qtbot, viewer, dock, position=(150, 150)):
    click(viewer, dock.annotation.image, (INDEX, *position))
    settle(qtbot, dock)


def followed(qtbot, viewer, dock):
    press(viewer, KEYS.Key_G)
    qtbot.waitUntil(lambda: "Propagated" in dock.status.text(), timeout=MODEL_MS)
    settle(qtbot, dock)


def test_a_scribble_is_drawn_with_one_drag(qtbot, viewer, dock):
    press(viewer, KEYS.Key_S)
    path = [(INDEX, 100, 100 + 4 * i) for i in range(20)]
    drag(qtbot, viewer, dock.annotation.image, path)
    settle(qtbot, dock)
    (prompt,) = dock.annotation.prompts().prompts
    (scribble,) = prompt.scribbles
    assert (prompt.object, prompt.slice, scribble.label) == (1, INDEX, 1)
    rows, cols = np.array(scribble.path).T
    np.testing.assert_allclose(rows, 100, atol=1)
    np.testing.assert_allclose([cols[0], cols[-1]], [100, 176], atol=3)


def test_the_inside_of_a_lasso_is_the_mask(qtbot, viewer, dock):
    press(viewer, KEYS.Key_O)
    angles = np.linspace(0, 2 * np.pi, 40)
    circle = [(INDEX, 150 + 30 * np.sin(a), 150 + 30 * np.cos(a)) for a in angles]
    drag(qtbot, viewer, dock.annotation.image, circle)
    settle(qtbot, dock)
    (prompt,) = dock.annotation.prompts().prompts
    assert prompt.polygon is not None
    area = (dock.annotation.labels.data[INDEX] == 1).sum()
    assert area == pytest.approx(np.pi * 30**2, rel=0.06)


def test_paint_becomes_a_mask_and_is_undone_with_ctrl_z(qtbot, viewer, dock):
    press(viewer, KEYS.Key_B)
    annotation = dock.annotation
    assert viewer.layers.selection.active == annotation.labels
    annotation.labels.brush_size = 10
    click(viewer, annotation.image, (INDEX, 80, 90))
    settle(qtbot, dock)
    painted = annotation.labels.data[INDEX].copy()
    assert painted[80, 90] == 1
    (prompt,) = annotation.prompts().prompts
    np.testing.assert_array_equal(prompt.mask, painted == 1)
    press(viewer, KEYS.Key_Z, Qt.KeyboardModifier.ControlModifier)
    settle(qtbot, dock)
    assert not annotation.labels.data.any()
    assert annotation.prompts().prompts == ()
    modifiers = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    press(viewer, KEYS.Key_Z, modifiers)
    settle(qtbot, dock)
    np.testing.assert_array_equal(annotation.labels.data[INDEX], painted)
    assert annotation.prompts().prompts == (prompt,)


def test_a_locked_slice_is_never_overwritten(qtbot, viewer, dock, notices):
    clicked(qtbot, viewer, dock)
    annotation = dock.annotation
    press(viewer, KEYS.Key_B)
    annotation.labels.brush_size = 8
    click(viewer, annotation.image, (INDEX, 40, 40))
    settle(qtbot, dock)
    press(viewer, KEYS.Key_L)
    settle(qtbot, dock)
    locked = annotation.labels.data[INDEX].copy()
    assert annotation.prompts().locks == {(1, INDEX)}

    press(viewer, KEYS.Key_W)
    click(viewer, annotation.image, (INDEX, 200, 200))
    assert "locked on slice" in notices[-1]
    assert len(annotation.points.data) == 1
    press(viewer, KEYS.Key_B)
    click(viewer, annotation.image, (INDEX, 90, 200))
    assert "locked on slice" in notices[-1]
    np.testing.assert_array_equal(annotation.labels.data[INDEX], locked)

    press(viewer, KEYS.Key_N)  # another object cannot take its pixels either
    click(viewer, annotation.image, (INDEX, 40, 40))
    settle(qtbot, dock)
    followed(qtbot, viewer, dock)
    np.testing.assert_array_equal(annotation.labels.data[INDEX] == 1, locked == 1)

    annotation.select_object(1)
    press(viewer, KEYS.Key_L)
    assert not annotation.prompts().locks


def test_a_locked_object_is_left_as_it_is(qtbot, viewer, dock):
    clicked(qtbot, viewer, dock)
    followed(qtbot, viewer, dock)
    annotation = dock.annotation
    dock.objects.table.locked.emit(1, True)
    before = annotation.labels.data == 1
    press(viewer, KEYS.Key_N)
    clicked(qtbot, viewer, dock, (160, 160))
    followed(qtbot, viewer, dock)
    np.testing.assert_array_equal(annotation.labels.data == 1, before)


def test_marks_of_absence_end_an_object(qtbot, viewer, dock):
    clicked(qtbot, viewer, dock)
    annotation = dock.annotation
    viewer.dims.set_current_step(0, INDEX + 2)
    press(viewer, KEYS.Key_End)
    viewer.dims.set_current_step(0, INDEX - 1)
    press(viewer, KEYS.Key_Home)
    absent = {p.slice for p in annotation.prompts().prompts if p.absent}
    assert absent == {INDEX - 2, INDEX + 3}
    followed(qtbot, viewer, dock)
    first, last = annotation.scene.extent(1)
    assert INDEX - 1 <= first <= INDEX <= last <= INDEX + 2
    viewer.dims.set_current_step(0, INDEX + 3)
    press(viewer, KEYS.Key_X)  # taken back
    assert {p.slice for p in annotation.prompts().prompts if p.absent} == {INDEX - 2}


def test_undo_takes_a_propagation_back_and_redo_brings_it_again(qtbot, viewer, dock):
    clicked(qtbot, viewer, dock)
    labels = dock.annotation.labels
    before = labels.data.copy()
    followed(qtbot, viewer, dock)
    after = labels.data.copy()
    assert (after != before).any()
    press(viewer, KEYS.Key_U)
    settle(qtbot, dock)
    np.testing.assert_array_equal(labels.data, before)
    press(viewer, KEYS.Key_Y)
    settle(qtbot, dock)
    np.testing.assert_array_equal(labels.data, after)
    press(viewer, KEYS.Key_U)
    press(viewer, KEYS.Key_U)
    settle(qtbot, dock)
    assert not labels.data.any()
    assert dock.annotation.prompts().prompts == ()


def test_review_walks_from_doubt_to_doubt(qtbot, viewer, dock):
    clicked(qtbot, viewer, dock)
    followed(qtbot, viewer, dock)
    annotation = dock.annotation
    dock.review.threshold = 1.0  # random weights are sure of nothing, or of everything
    queue = annotation.doubtful(1.0)
    viewer.dims.set_current_step(0, INDEX)
    press(viewer, KEYS.Key_D)
    place = next(p for p in queue if p != (1, INDEX))
    assert annotation.shown_slice == place[1]
    press(viewer, KEYS.Key_A)
    settle(qtbot, dock)
    assert place in annotation.prompts().locks
    assert place not in annotation.doubtful(1.0)
    assert annotation.shown_slice != place[1]
    assert "1 locked" in dock.review._left.text()


def test_both_directions_are_compared(qtbot, viewer, dock):
    clicked(qtbot, viewer, dock)
    followed(qtbot, viewer, dock)
    annotation = dock.annotation
    before = annotation.labels.data.copy()
    press(viewer, KEYS.Key_C)
    qtbot.waitUntil(lambda: "compared" in dock.status.text(), timeout=MODEL_MS)
    found = annotation.engine.review.agreement_row(1, len(annotation.data))
    known = found[np.isfinite(found)]
    assert len(known)
    assert ((known >= 0) & (known <= 1)).all()
    np.testing.assert_array_equal(annotation.labels.data, before)


def test_objects_are_merged_split_copied_and_hidden(qtbot, viewer, dock, notices):
    annotation = dock.annotation
    press(viewer, KEYS.Key_B)
    annotation.labels.brush_size = 10
    click(viewer, annotation.image, (INDEX, 60, 60))
    press(viewer, KEYS.Key_N)
    press(viewer, KEYS.Key_B)
    click(viewer, annotation.image, (INDEX, 200, 200))
    settle(qtbot, dock)
    data = annotation.labels.data
    assert (data[INDEX, 60, 60], data[INDEX, 200, 200]) == (1, 2)

    dock.commands.run("merge")
    assert "two objects" in notices[-1]
    dock.objects.table.selectAll()
    dock.commands.run("merge")
    assert list(annotation.objects) == [1]
    assert (data[INDEX, 60, 60], data[INDEX, 200, 200]) == (1, 1)
    dock.commands.run("split")
    settle(qtbot, dock)
    assert sorted(annotation.objects) == [1, 2]
    assert {data[INDEX, 60, 60], data[INDEX, 200, 200]} == {1, 2}
    dock.commands.run("split")
    assert "nothing to split" in notices[-1]
    dock.commands.run("copy")
    assert sorted(annotation.objects) == [1, 2, 3]
    press(viewer, KEYS.Key_T)
    assert annotation.current == 1

    dock.objects.table.shown.emit(1, False)
    assert annotation.labels.get_color(1)[-1] == 0
    assert annotation.labels.get_color(2)[-1] == 1
    dock.objects.table.shown.emit(1, True)
    assert annotation.labels.get_color(1)[-1] == 1


def test_labels_of_the_user_become_objects_or_centre_lines(qtbot, viewer, dock):
    annotation = dock.annotation
    given = np.zeros(annotation.data.shape, np.uint8)
    given[INDEX, 50:56, 40:140], given[INDEX, 200:206, 40:140] = 3, 7
    mine = viewer.add_labels(given.copy(), scale=annotation.image.scale)
    dock.prompts.layer.value = mine
    dock.commands.run("adopt")
    settle(qtbot, dock)
    assert sorted(annotation.objects) == [1, 2]
    labels = annotation.labels.data[INDEX]
    np.testing.assert_array_equal(labels > 0, given[INDEX] > 0)
    np.testing.assert_array_equal(mine.data, given)

    dock.prompts._centre_lines.setChecked(True)
    dock.commands.run("adopt")
    settle(qtbot, dock)
    assert sorted(annotation.objects) == [1, 2, 3, 4]
    added = [p for p in annotation.prompts().prompts if p.object == 3]
    assert added
    assert all(set(p.labels) == {1} for p in added)
    rows = np.array([r for p in added for r, _ in p.points])
    assert ((rows >= 50) & (rows <= 55)).all()


def test_clicks_on_others_can_be_negative(qtbot, viewer, dock):
    clicked(qtbot, viewer, dock)
    press(viewer, KEYS.Key_N)
    clicked(qtbot, viewer, dock, (60, 60))
    dock.prompts._suppress.setChecked(True)
    settle(qtbot, dock)
    prompts = dock.annotation.prompts()
    assert prompts.suppress
    told = prompts.by_slice()[1, INDEX]
    assert told[-1].labels == (0,)
    dock.commands.run("undo")
    assert not dock.annotation.prompts().suppress
    assert not dock.prompts._suppress.isChecked()


def test_work_is_found_and_gone_on_with(qtbot, viewer, dock, checkpoint):
    clicked(qtbot, viewer, dock)
    press(viewer, KEYS.Key_N)
    dock.annotation.change_object(2, name="vein", cls="vein")
    clicked(qtbot, viewer, dock, (60, 60))
    followed(qtbot, viewer, dock)
    press(viewer, KEYS.Key_L)
    settle(qtbot, dock)
    labels = dock.annotation.labels.data.copy()
    prompts = dock.annotation.prompts()
    sure = dock.annotation.engine.review.mean(1)
    image = dock.annotation.image
    viewer.window.remove_dock_widget(dock)
    for layer in [layer for layer in viewer.layers if layer is not image]:
        viewer.layers.remove(layer)
    assert "G" not in viewer.keymap
    assert "Confidence" not in viewer.window.dock_widgets

    _, again = viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Segment")
    qtbot.waitUntil(again.earlier.isVisible)
    again.source.model = str(checkpoint)
    again.commands.run("resume")
    settle(qtbot, again)
    annotation = again.annotation
    assert annotation.prompts() == prompts
    assert annotation.objects[2] == PromptObject(2, "vein", "vein")
    np.testing.assert_array_equal(annotation.labels.data, labels)
    assert annotation.engine.review.mean(1) == pytest.approx(sure, abs=1e-3)
    again.commands.run("undo")  # the history is there as well
    assert not annotation.prompts().locks
    assert annotation.labels.metadata["record"]["model"]["name"] == checkpoint.name
    again.close()


def test_another_window_keeps_its_hands_off_open_work(
    qtbot, viewer, dock, notices, checkpoint
):
    clicked(qtbot, viewer, dock)
    (path,) = store.find_projects(dock.annotation.data)
    assert path == dock.annotation.project.path
    with pytest.raises(OSError, match="another window"):
        store.resume(path)


def test_copies_are_written_beside_the_journal(qtbot, viewer, dock):
    from napari_octa_sam2.volume.readers import read_labels

    clicked(qtbot, viewer, dock)
    dock._save_timer.setInterval(1)
    press(viewer, KEYS.Key_N)
    path = dock.annotation.project.path
    qtbot.waitUntil(lambda: (path / "labels").exists(), timeout=MODEL_MS)
    settle(qtbot, dock)
    saved, _ = read_labels(path / "labels" / "objects")
    np.testing.assert_array_equal(saved.data, dock.annotation.labels.data)
    assert PromptSet.read(path / "prompts.json") == dock.annotation.prompts()


def test_without_a_place_to_save_the_work_goes_on(
    qtbot, viewer, widget, notices, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NAPARI_OCTA_SAM2_PROJECTS", str(tmp_path / "file"))
    widget.commands.run("click")
    assert "will not be saved" in notices[-1]
    widget.annotation.points.add([INDEX, 100, 100])
    assert len(widget.annotation.prompts().prompts) == 1


def test_the_strip_shows_and_leads_to_slices(qtbot, viewer, dock):
    clicked(qtbot, viewer, dock)
    followed(qtbot, viewer, dock)
    assert dock._strip_dock.isVisible()
    dock.strip.picked.emit(2, 1)
    assert dock.annotation.shown_slice == 2


def test_a_click_on_a_projection_lands_where_the_flow_is(qtbot, viewer, dock):
    projections = ProjectionsWidget(viewer)
    viewer.window.add_dock_widget(projections)
    image = dock.annotation.image
    projections.picked.emit(image, [7, 2], 120, 130)
    settle(qtbot, dock)
    given = {(p.slice, p.points) for p in dock.annotation.prompts().prompts}
    assert given == {(7, ((120, 130),)), (2, ((120, 130),))}
    assert dock.annotation.shown_slice == 7
    press(viewer, KEYS.Key_U)  # one step
    assert dock.annotation.prompts().prompts == ()
    viewer.window.remove_dock_widget(projections)


def test_every_key_is_on_a_button_or_in_the_help(dock):
    from qtpy.QtWidgets import QPushButton

    from napari_octa_sam2.widgets.keys import COMMANDS, help_text

    captions = {b.text() for b in dock.findChildren(QPushButton)}
    for name, command in COMMANDS.items():
        assert any(f"[{command.key}]" in text for text in captions), name
        assert command.tip in help_text()


def test_settings_of_napari_are_where_a_dock_begins(viewer):
    from napari.settings import get_plugin_settings

    chosen = get_plugin_settings("napari-octa-sam2").segment
    chosen.doubtful_below, chosen.device = 70, "cpu"
    _, dock = viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Segment")
    assert dock.review.threshold == pytest.approx(0.7)
    assert dock.source.device == "cpu"
    chosen.doubtful_below, chosen.device = 50, "auto"
    dock.close()


def test_a_click_during_a_propagation_is_answered(qtbot, viewer, dock):
    clicked(qtbot, viewer, dock)
    press(viewer, KEYS.Key_G)
    qtbot.waitUntil(lambda: dock.propagation.progress.value() >= 1, timeout=MODEL_MS)
    press(viewer, KEYS.Key_U)
    assert "Cancel the propagation first" in dock.status.text()
    dock.annotation.points.add([INDEX, 60, 60])
    qtbot.waitUntil(lambda: "Propagated" in dock.status.text(), timeout=MODEL_MS)
    settle(qtbot, dock)
    assert Prompt(1, INDEX, ((60, 60),), (1,)) in dock.annotation.prompts().prompts


def test_closing_the_viewer_in_mid_run_keeps_the_work(
    qtbot, make_napari_viewer, phantom, checkpoint
):
    (image, *_) = volume_layers(phantom.volume)
    first = make_napari_viewer(show=True)
    first.add_image(image[0], **image[1])
    _, dock = first.window.add_plugin_dock_widget("napari-octa-sam2", "Segment")
    dock.source.model = str(checkpoint)
    dock.commands.run("click")
    dock.annotation.points.add([INDEX, 150, 150])
    settle(qtbot, dock)
    dock.commands.run("propagate")
    qtbot.waitUntil(lambda: dock.propagation.progress.value() >= 2, timeout=MODEL_MS)
    prompts, runner = dock.annotation.prompts(), dock.runner
    labels = dock.annotation.document.volume()
    first.close()
    qtbot.waitUntil(lambda: not runner.busy, timeout=MODEL_MS)

    second = make_napari_viewer(show=True)
    second.add_image(image[0], **image[1])
    _, again = second.window.add_plugin_dock_widget("napari-octa-sam2", "Segment")
    again.source.model = str(checkpoint)
    again.commands.run("resume")
    settle(qtbot, again)
    assert again.annotation.prompts() == prompts
    np.testing.assert_array_equal(again.annotation.document.volume(), labels)
    again.close()
