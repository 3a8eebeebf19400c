"""The Projections dock, with real mouse events in a real viewer."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QPushButton

from napari_octa_sam2.volume.flatten import Flattening
from napari_octa_sam2.volume.slabs import project
from napari_octa_sam2.widgets.projections.dock import ProjectionsWidget

TASK_MS = 20_000
DEEP, SHALLOW = 30, 10


@pytest.fixture
def scan():
    """Tissue from a tilted surface on, with a tube each above and below slice 20."""
    depth, row, col = np.ogrid[:40, :48, :64]
    data = np.where(depth >= surface_of_scan(), 20, 0)
    shallow = (depth - SHALLOW) ** 2 + (col - 16) ** 2 <= 9
    deep = (depth - DEEP) ** 2 + (row - 30) ** 2 <= 9
    data = np.where(shallow, 200, data)
    return np.where(deep, 150, data).astype(np.uint8)


def surface_of_scan():
    return np.broadcast_to(4 + np.arange(64) / 16, (48, 64))


@pytest.fixture
def viewer(make_napari_viewer, scan):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 900)
    viewer.add_image(
        scan,
        name="scan",
        scale=(0.003, 0.01, 0.012),
        translate=(1, 2, 3),
        units=("mm",) * 3,
        axis_labels=("depth", "slow", "fast"),
    )
    return viewer


@pytest.fixture
def widget(viewer):
    widget = ProjectionsWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Projections")
    yield widget
    widget.close()


def push(qtbot, widget, name):
    """Press a button and wait until its work is done."""
    (button,) = [b for b in widget.findChildren(QPushButton) if b.text() == name]
    widget.ensureWidgetVisible(button)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    settle(qtbot, widget)


def settle(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=TASK_MS)


def canvas_point(viewer, layer, position):
    """Where `position`, in pixels of `layer`, is drawn on the canvas."""
    canvas = viewer.window._qt_viewer.canvas.native
    world = np.array(layer.data_to_world(position))[-2:]
    centre = np.array(viewer.scene.camera.center)[-2:]
    size = np.array([canvas.height(), canvas.width()])
    row, col = (world - centre) * viewer.scene.camera.zoom + size / 2
    return canvas, QPoint(round(col), round(row))


def click(viewer, layer, position):
    canvas, point = canvas_point(viewer, layer, position)
    QTest.mouseMove(canvas, point)
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=point)


@pytest.fixture
def picks(widget):
    found = []
    widget.picked.connect(lambda *pick: found.append(pick))
    return found


def test_projection_between_slices(qtbot, viewer, widget, scan):
    assert widget.projection.last.offset.value() == 39
    widget.projection.first.offset.setValue(5)
    widget.projection.last.offset.setValue(19)
    push(qtbot, widget, "Add projection")
    layer = viewer.layers["scan 5-19 mean"]
    np.testing.assert_array_equal(layer.data, project(scan, 5, 19))
    assert layer.data.dtype == np.float32
    image = viewer.layers["scan"]
    np.testing.assert_array_equal(layer.scale, image.scale[1:])
    np.testing.assert_array_equal(layer.translate, image.translate[1:])
    assert layer.units == image.units[1:]
    assert layer.axis_labels == ("slow", "fast")
    assert layer.metadata["projection"] == {
        "source": "scan",
        "first": "5",
        "last": "19",
        "how": "mean",
    }
    # of the layers there are now, only the scan can be projected
    assert widget.image.count() == 1


def test_projection_between_surfaces(qtbot, viewer, widget, scan):
    depths = surface_of_scan().astype(np.float32)
    surface = viewer.add_image(depths, name="ILM")
    panel = widget.projection
    for chooser in (panel.first, panel.last):
        chooser.surface.layer = surface
        assert chooser.offset.value() == 0
    panel.last.offset.setValue(9)
    panel.how.setCurrentText("max")
    push(qtbot, widget, "Add projection")
    layer = viewer.layers["scan ILM to ILM+9 max"]
    expected = project(scan, depths, depths + 9, "max")
    np.testing.assert_array_equal(layer.data, expected)
    # a surface that goes takes no other choice with it
    viewer.layers.remove(surface)
    assert panel.first.text == "0"


def test_estimated_surface_is_shown_and_flattens(qtbot, viewer, widget, scan):
    before = scan.copy()
    push(qtbot, widget, "Add surface")
    surface = viewer.layers["scan surface"]
    assert np.abs(surface.data - surface_of_scan()).max() < 1.5
    assert widget.projection.first.surface.count() == 3

    widget.flat.surface.surface.layer = viewer.add_image(surface_of_scan(), name="ILM")
    push(qtbot, widget, "Flatten")
    image, flat = viewer.layers["scan"], viewer.layers["scan flattened"]
    np.testing.assert_array_equal(flat.scale, image.scale)
    np.testing.assert_array_equal(flat.translate, image.translate)
    record = Flattening.from_json(flat.metadata["flattening"])
    assert (flat.data[record.at + 1] >= 20).all()
    assert not flat.data[: record.at].any()
    np.testing.assert_array_equal(image.data, before)


def test_labels_come_back_to_the_scan(qtbot, viewer, widget, scan, notices):
    push(qtbot, widget, "Labels back to the scan")
    assert "Choose labels" in notices[-1]
    widget.flat.surface.surface.layer = viewer.add_image(surface_of_scan(), name="ILM")
    push(qtbot, widget, "Flatten")
    flat = viewer.layers["scan flattened"]
    drawn = (flat.data == 200).astype(np.uint8) * 3
    labels = viewer.add_labels(drawn, name="vessels", metadata={"names": {3: "a"}})
    push(qtbot, widget, "Labels back to the scan")
    back = viewer.layers["vessels on the scan"]
    assert isinstance(back, Labels)
    np.testing.assert_array_equal(back.data, (scan == 200) * 3)
    np.testing.assert_array_equal(back.scale, viewer.layers["scan"].scale)
    assert back.metadata == {"names": {3: "a"}}
    np.testing.assert_array_equal(labels.data, drawn)

    widget.flat.labels.layer = viewer.add_labels(drawn[:9].copy(), name="short")
    push(qtbot, widget, "Labels back to the scan")
    assert "its grid" in notices[-1]


def test_three_slabs(qtbot, viewer, widget):
    limits = widget.three.limits
    limits["OPL"].offset.setValue(20)
    limits["BM"].offset.setValue(38)
    push(qtbot, widget, "Add three slabs")
    layer = viewer.layers["scan slabs"]
    assert layer.metadata["slice_names"] == ("FULL", "ILM_OPL", "OPL_BM")
    assert layer.metadata["slabs"] == {
        "source": "scan", "ILM": "0", "OPL": "20", "BM": "38"
    }  # fmt: skip
    assert layer.data.shape == (3, 48, 64)
    assert layer.data[1, 5, 16] > 3 * layer.data[1, 30, 40]
    assert layer.data[2, 30, 40] > 3 * layer.data[2, 5, 16]
    np.testing.assert_array_equal(layer.scale, viewer.layers["scan"].scale)


def test_a_click_on_a_projection_goes_to_the_depth(qtbot, viewer, widget, picks):
    scan = viewer.layers["scan"]
    push(qtbot, widget, "Add projection")
    layer = viewer.layers["scan 0-39 mean"]
    viewer.reset_view()
    click(viewer, layer, (5, 16))
    assert not widget.runner.busy
    widget.follow.setChecked(True)

    click(viewer, layer, (5, 16))
    qtbot.waitUntil(lambda: len(picks) == 1, timeout=TASK_MS)
    settle(qtbot, widget)
    assert picks.pop() == (scan, [SHALLOW], 5, 16)
    assert "slice 10" in widget.status.text()
    click(viewer, layer, (30, 16))
    qtbot.waitUntil(lambda: len(picks) == 1, timeout=TASK_MS)
    settle(qtbot, widget)
    assert picks.pop() == (scan, [SHALLOW, DEEP], 30, 16)

    # a drag pans, and what hides the projection takes the click
    canvas, start = canvas_point(viewer, layer, (30, 16))
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=start)
    QTest.mouseMove(canvas, start + QPoint(40, 0))
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=start + QPoint(40, 0))
    assert not widget.runner.busy
    viewer.reset_view()
    layer.visible = False
    click(viewer, layer, (5, 16))
    assert not widget.runner.busy
    assert picks == []


def test_a_click_on_a_slab_looks_between_its_surfaces(qtbot, viewer, widget, picks):
    limits = widget.three.limits
    limits["OPL"].offset.setValue(20)
    push(qtbot, widget, "Add three slabs")
    slabs = viewer.layers["scan slabs"]
    widget.follow.setChecked(True)
    for index, depths in ((0, [SHALLOW, DEEP]), (1, [SHALLOW]), (2, [DEEP])):
        viewer.dims.set_current_step(0, index)
        viewer.reset_view()
        click(viewer, slabs, (index, 30, 16))
        qtbot.waitUntil(lambda: len(picks) == 1, timeout=TASK_MS)
        settle(qtbot, widget)
        assert picks.pop()[1:] == (depths, 30, 16)


def test_a_drawing_tool_keeps_its_clicks(qtbot, viewer, widget, picks):
    push(qtbot, widget, "Add projection")
    layer = viewer.layers["scan 0-39 mean"]
    points = viewer.add_points(ndim=3, name="my points")
    points.mode = "add"
    viewer.reset_view()
    widget.follow.setChecked(True)
    assert viewer.layers.selection.active is layer
    viewer.layers.selection.active = points
    click(viewer, layer, (5, 16))
    assert "my points takes the clicks" in widget.status.text()
    assert len(points.data) == 1
    assert picks == []


def test_errors_are_told_and_the_dock_goes_on(qtbot, viewer, widget, picks, notices):
    widget.projection.first.offset.setValue(30)
    widget.projection.last.offset.setValue(3)
    push(qtbot, widget, "Add projection")
    assert "in front of the last" in notices[-1]
    assert widget.projection.button.isEnabled()
    assert len(viewer.layers) == 1

    widget.projection.first.offset.setValue(0)
    push(qtbot, widget, "Add projection")
    widget.follow.setChecked(True)
    layer = viewer.layers[-1]
    viewer.reset_view()
    click(viewer, layer, (2, 60))  # nothing but air above the tissue
    qtbot.waitUntil(lambda: "no flow" in widget.status.text(), timeout=TASK_MS)
    settle(qtbot, widget)
    assert picks == []

    # a third axis is left: napari's canvas does not survive the loss of it
    viewer.add_labels(np.zeros((40, 48, 64), np.uint8), scale=(0.003, 0.01, 0.012))
    viewer.layers.selection.active = layer
    viewer.layers.remove("scan")
    click(viewer, layer, (5, 16))
    assert "was removed" in notices[-1]
    push(qtbot, widget, "Flatten")
    assert "Open an OCTA volume" in notices[-1]


def test_an_unexpected_error_is_shown_without_a_traceback(
    qtbot, widget, notices, monkeypatch
):
    from napari_octa_sam2.widgets.projections import dock as projections

    def broken(data, limits):
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(projections, "resolve_limits", broken)
    push(qtbot, widget, "Add surface")
    assert notices[-1] == (
        "Finding the surface failed unexpectedly: ZeroDivisionError: on purpose"
    )
    assert widget.projection.button.isEnabled()


def test_nothing_is_computed_in_the_thread_of_the_viewer(
    qtbot, viewer, widget, monkeypatch
):
    import threading

    from napari_octa_sam2.widgets.projections import dock as projections

    go, threads = threading.Event(), []

    def slow(data, limits):
        threads.append(threading.current_thread())
        assert go.wait(20)
        return [limit.offset for limit in limits]

    monkeypatch.setattr(projections, "resolve_limits", slow)
    widget.add_projection()
    qtbot.waitUntil(lambda: bool(threads), timeout=TASK_MS)
    assert threads[0] is not threading.main_thread()
    assert widget.status.text() == "Projecting …"
    buttons = widget.findChildren(QPushButton)
    assert not any(b.isEnabled() for b in buttons)
    viewer.dims.set_current_step(0, 3)
    widget.add_projection()
    assert "Still computing" in widget.status.text()
    go.set()
    settle(qtbot, widget)
    assert len(threads) == 1
    assert all(b.isEnabled() for b in buttons)
    assert "scan 0-39 mean" in viewer.layers


def test_a_closed_dock_no_longer_listens(qtbot, viewer, widget, picks):
    widget.follow.setChecked(True)
    push(qtbot, widget, "Add projection")
    layer = viewer.layers[-1]
    viewer.reset_view()
    widget.add_flattened()
    widget.close()
    assert widget._clicked not in viewer.mouse_drag_callbacks
    offered = widget.projection.first.surface.count()
    viewer.add_image(np.zeros((48, 64)), name="late")
    assert widget.projection.first.surface.count() == offered
    click(viewer, layer, (5, 16))
    settle(qtbot, widget)
    assert picks == []
    # what was being computed is dropped
    assert [x.name for x in viewer.layers] == ["scan", layer.name, "late"]


def test_an_empty_viewer_and_what_cannot_be_projected(
    qtbot, make_napari_viewer, notices
):
    viewer = make_napari_viewer(show=True)
    widget = ProjectionsWidget(viewer)
    dock = viewer.window.add_dock_widget(widget, name="Projections")
    assert widget._clicked in viewer.mouse_drag_callbacks
    assert "Open an OCTA volume" in widget.status.text()
    push(qtbot, widget, "Add three slabs")
    assert "Open an OCTA volume first" in notices[-1]
    viewer.add_image(np.zeros((2, 8, 9, 9)), name="four")
    push(qtbot, widget, "Add projection")
    assert "found 4 axes" in notices[-1]
    viewer.layers["four"].name = "renamed"
    assert widget.image.currentText() == "renamed"
    assert [type(x) for x in viewer.layers] == [Image]
    dock.destroyOnClose()
    assert widget._clicked not in viewer.mouse_drag_callbacks
