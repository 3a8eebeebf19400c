"""The Measure dock, with real labels in a real viewer."""

from __future__ import annotations

import gc
import json
import threading
from copy import deepcopy

import napari
import numpy as np
import pandas as pd
import pytest
from napari.layers import Labels, Vectors
from napari.settings import get_settings
from napari.utils.theme import get_theme
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog, QPushButton
from scipy.ndimage import binary_dilation

from napari_octa_sam2.layers import volume_layers
from napari_octa_sam2.metrics.definitions import DEFINITIONS
from napari_octa_sam2.metrics.results import Figure, Results, Row
from napari_octa_sam2.widgets.keys import ALIASES, COMMANDS
from napari_octa_sam2.widgets.measure import drawings, showing
from napari_octa_sam2.widgets.measure import request as requests
from napari_octa_sam2.widgets.measure.plot import Rendered
from napari_octa_sam2.widgets.measure.source import (
    Source,
    common_geometry,
    image_below,
)
from napari_octa_sam2.widgets.measure.tables import with_features

TASK_MS = 60_000
SLICES, ROWS = slice(2, 7), slice(None, None, 3)  # of the phantom
COARSER = (1, 3, 3)
KEPT = (1, 2, 3, 4, 13)  # objects: vessels, and the FAZ
DISPLAYED = Qt.ItemDataRole.DisplayRole


@pytest.fixture(scope="module")
def scan(phantom):
    """Image, true labels and labels of a user who missed something, as layers are."""
    (image, told, _), (data, arguments, _) = volume_layers(phantom.volume)
    scale = np.multiply(arguments["scale"], COARSER)
    data = data[SLICES, ROWS, ROWS]
    data = np.where(np.isin(data, KEPT), data, 0).astype(data.dtype)
    mine = data.copy()
    mine[3, :50] = 0
    labels = {**arguments, "scale": scale}
    return (
        (image[SLICES, ROWS, ROWS], {**told, "name": "scan", "scale": scale}),
        (data, {**labels, "name": "truth", "visible": False}),
        (mine, {**labels, "name": "mine", "visible": True}),
    )


@pytest.fixture(scope="module")
def window(qapp):
    """One viewer for all tests: to begin one takes longer than most of them."""
    get_settings().reset()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1300, 1000)
    gc.freeze()  # napari searches all there is for garbage when a layer is removed
    yield viewer
    gc.unfreeze()
    viewer.close()


@pytest.fixture
def viewer(window, scan):
    """The viewer with the scan, labels of a user, and the truth."""
    (image, told), (truth, arguments), (mine, own) = scan
    if [layer.name for layer in window.layers] != ["scan", "truth"]:
        window.layers.clear()
        window.add_image(image, **told)
        window.add_labels(truth, **arguments)
    window.add_labels(mine.copy(), **deepcopy(own))
    window.dims.set_current_step(0, 0)
    window.reset_view()
    yield window
    for layer in window.layers[2:]:
        window.layers.remove(layer)


@pytest.fixture
def widget(qtbot, viewer):
    dock, widget = viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Measure")
    widget.choice.layers.labels.layer = layer(viewer, "mine")
    yield widget
    widget.close()
    settle(qtbot, widget)
    viewer.window.remove_dock_widget(dock)


def layer(viewer, name):
    return viewer.layers[name]


def settle(qtbot, widget):
    """Wait until nothing is computed or drawn."""
    threads = (
        widget.runner,
        widget.showing.drawer,
        widget.showing.plot.painter,
        widget.follower.looker,
        widget.follower.measurer,
    )
    qtbot.waitUntil(lambda: not any(t.busy for t in threads), timeout=TASK_MS)


def push(qtbot, widget, name):
    """Press a button and wait until its work is done."""
    (button,) = [b for b in widget.findChildren(QPushButton) if b.text() == name]
    assert button.isEnabled()
    widget.ensureWidgetVisible(button)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=TASK_MS)


def with_reference(viewer, widget):
    widget.choice.layers.reference.layer = layer(viewer, "truth")


def tables(widget):
    chooser = widget.results.level
    return [chooser.itemText(i) for i in range(chooser.count())]


def column(widget, header):
    model = widget.results.model
    headers = [
        model.headerData(i, Qt.Orientation.Horizontal, DISPLAYED)
        for i in range(model.columnCount())
    ]
    return headers.index(header)


def texts(widget, header):
    """Texts of a column, in the order on screen."""
    view, at = widget.results.sorted, column(widget, header)
    return [view.data(view.index(i, at)) for i in range(view.rowCount())]


def value(widget, header, row=0):
    model = widget.results.model
    return model.data(
        model.index(row, column(widget, header)), Qt.ItemDataRole.UserRole
    )


def is_dimmed(widget, header, row=0):
    model = widget.results.model
    index = model.index(row, column(widget, header))
    return model.data(index, Qt.ItemDataRole.ForegroundRole) is not None


def select(widget, row):
    view = widget.results.sorted
    source = widget.results.model.index(row, 0)
    widget.results.view.selectRow(view.mapFromSource(source).row())


def dice_row(widget, label):
    rows = widget.results.model.table.rows
    return next(i for i, row in enumerate(rows) if row.labels.get("object") == label)


# measure ---------------------------------------------------------------------


def test_labels_are_measured(qtbot, viewer, widget):
    from napari_octa_sam2.metrics.biomarkers.measurement import measure
    from napari_octa_sam2.metrics.subjects import Subject
    from napari_octa_sam2.volume import LabelSet, ScanGeometry

    push(qtbot, widget, "Measure [F3]")
    mine = layer(viewer, "mine")
    labels = LabelSet(mine.data, mine.metadata["names"], mine.metadata["classes"])
    geometry = ScanGeometry(tuple(float(s) for s in mine.scale), "mm")
    expected = measure(Subject("mine", {"labels": labels}, geometry))
    found = widget.found["Measured"].answer.results
    assert found.to_json()["rows"] == expected.to_json()["rows"]
    assert "Measured: regions" in tables(widget)
    assert widget.results.shown.startswith("Measured")
    assert "uncorrected" in widget.results.notes.text()
    for level in found.levels():
        widget.results.choose(
            next(t for t in tables(widget) if t.endswith(LEVEL[level]))
        )
        assert widget.results.model.rowCount() == len(found.at(level))


LEVEL = {
    "region": "regions",
    "faz": "FAZ",
    "volume": "volume",
    "object": "objects",
    "artery to vein": "arteries to veins",
}


def test_headers_explain_figures_and_cells_what_is_missing(qtbot, viewer, widget):
    push(qtbot, widget, "Measure [F3]")
    widget.results.choose("Measured: regions")
    model = widget.results.model
    at = column(widget, "VLD [mm⁻¹]")
    tip = model.headerData(at, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
    definition = DEFINITIONS["vld"]
    assert definition.title in tip
    assert "known bias" in tip.lower() or definition.bias[:20] in tip
    names = [row.labels["region"] for row in model.table.rows]
    nasal = model.index(names.index("N1"), at)
    assert model.data(nasal) == "n/a"
    assert "laterality" in model.data(nasal, Qt.ItemDataRole.ToolTipRole)
    alignment = model.data(nasal, Qt.ItemDataRole.TextAlignmentRole)
    assert alignment & Qt.AlignmentFlag.AlignRight
    # columns that say the same in all rows are hidden
    assert widget.results.view.isColumnHidden(column(widget, "plexus"))
    assert not widget.results.view.isColumnHidden(column(widget, "region"))
    # numbers are sorted as numbers, and what is missing comes last
    for order in (Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder):
        widget.results.view.sortByColumn(at, order)
        shown = texts(widget, "VLD [mm⁻¹]")
        known = [float(text) for text in shown if text != "n/a"]
        assert shown[len(known) :] == ["n/a"] * (len(shown) - len(known))
        assert known == sorted(known, reverse=order == Qt.SortOrder.DescendingOrder)
        assert 0 < len(known) < len(shown)


def test_a_row_leads_to_its_object(qtbot, viewer, widget):
    push(qtbot, widget, "Measure [F3]")
    widget.results.choose("Measured: objects")
    mine = layer(viewer, "mine")
    row = widget.results.model.table.rows[1]
    label = row.labels["object"]
    select(widget, 1)
    assert mine.selected_label == label
    areas = (mine.data == label).sum((1, 2))
    assert viewer.dims.current_step[0] == areas.argmax()
    rows, cols = np.nonzero(mine.data[areas.argmax()] == label)
    centre = mine.data_to_world((areas.argmax(), rows.mean(), cols.mean()))
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], centre[-2:])


def test_objects_become_features_beside_those_of_the_user(qtbot, viewer, widget):
    mine = layer(viewer, "mine")
    mine.features = pd.DataFrame({"index": [1, 99], "remark": ["good", "gone"]})
    push(qtbot, widget, "Measure [F3]")
    table = mine.features.set_index("index")
    assert table.loc[1, "remark"] == "good"
    assert table.loc[99, "remark"] == "gone"
    row = widget.found["Measured"].answer.results.at("object")[0]
    label = row.labels["object"]
    key = next(k for k, f in row.figures.items() if f.available)
    name = next(c for c in table if c.split(" ")[0] == key)
    assert table.loc[label, name] == row[key]
    with_reference(viewer, widget)
    push(qtbot, widget, "Compare [F4]")
    assert {"dice", name, "remark"} <= set(mine.features)
    # napari finds a label by its index
    position = mine._label_index[label]
    assert mine.features["index"][position] == label


def test_features_without_an_index_are_those_of_0_and_so_on():
    results = Results((Row("object", {"object": 2}, {"dice": Figure(0.5)}),))
    table = with_features(pd.DataFrame({"remark": list("abc")}), [results])
    assert table["index"].tolist() == [0, 1, 2]
    assert table["remark"].tolist() == ["a", "b", "c"]
    assert table["dice"].isna().tolist() == [True, True, False]
    assert table["dice"][2] == 0.5
    again = with_features(table, [results])
    pd.testing.assert_frame_equal(again, table)


def test_the_eye_is_told(qtbot, viewer, widget):
    eye = widget.choice.eye
    shape = layer(viewer, "mine").data.shape
    assert vars(eye.eye(shape)) == {
        "laterality": "",
        "axial_length": None,
        "device": None,
        "reference_length": None,
        "fovea": None,
    }
    eye.laterality.setCurrentText("OS, left")
    eye.length.setValue(25.5)
    eye.scanner.setCurrentText("Cirrus")
    eye.fovea.setCurrentText("middle of the scan")
    told = eye.eye(shape)
    assert (told.laterality, told.axial_length, told.device) == ("OS", 25.5, "Cirrus")
    assert told.fovea == (50.5, 50.5)
    push(qtbot, widget, "Measure [F3]")
    settings = widget.found["Measured"].answer.results.settings
    assert settings["magnification"]["state"] == "corrected"
    assert settings["laterality"] == "OS"
    eye.scanner.setCurrentText("own reference length")
    eye.reference.setValue(24.0)
    assert eye.eye(shape).reference_length == 24.0
    eye.scanner.setCurrentText("not known")
    widget.measure()
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=TASK_MS)
    assert "reference length" in widget.status.text()


def test_the_fovea_is_clicked_on(qtbot, viewer, widget):
    widget.choice.eye.fovea.setCurrentText("a click")
    assert "Click on the fovea" in widget.choice.eye.place.text()
    viewer.reset_view()
    click(viewer, layer(viewer, "mine"), (0, 47, 66))
    clicked = layer(viewer, "mine").world_to_data(viewer.cursor.position)[-2:]
    assert clicked == pytest.approx((47, 66), abs=6)
    assert widget.choice.eye.clicked == pytest.approx(clicked, abs=0.5)
    push(qtbot, widget, "Measure [F3]")
    centre = widget.found["Measured"].answer.results.settings["centre"]
    assert centre == pytest.approx(clicked, abs=0.5)
    widget.choice.eye.fovea.setCurrentText("middle of the scan")
    assert not widget.picker.on


def canvas_of(viewer):
    return viewer.window._qt_viewer.canvas.native


def click(viewer, layer, position):
    canvas = canvas_of(viewer)
    world = np.array(layer.data_to_world(position))[-2:]
    centre = np.array(viewer.scene.camera.center)[-2:]
    size = np.array([canvas.height(), canvas.width()])
    row, col = (world - centre) * viewer.scene.camera.zoom + size / 2
    point = QPoint(round(col), round(row))
    QTest.mouseMove(canvas, point)
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=point)


def test_labels_without_a_class_are_given_one(qtbot, viewer, widget):
    data = (layer(viewer, "mine").data == 13).astype(np.uint8) * 13
    plain = viewer.add_labels(data, name="plain", scale=layer(viewer, "mine").scale)
    widget.choice.layers.labels.layer = plain
    push(qtbot, widget, "Measure [F3]")
    assert "Measured: FAZ" not in tables(widget)
    widget.choice.layers.unclassed = "FAZ"
    push(qtbot, widget, "Measure [F3]")
    assert "Measured: FAZ" in tables(widget)


# plots and overlays ------------------------------------------------------------


def test_overlays_lie_on_the_labels_and_steal_nothing(qtbot, viewer, widget):
    mine = layer(viewer, "mine")
    viewer.layers.selection.active = mine
    mine.mode = "paint"
    for box in widget.showing.boxes.values():
        box.setChecked(True)
    assert len(viewer.layers) == 3
    push(qtbot, widget, "Measure [F3]")
    qtbot.waitUntil(lambda: len(widget.showing.overlays.layers) == 3, timeout=TASK_MS)
    settle(qtbot, widget)
    skeleton, regions, faz = (
        widget.showing.overlays.layers[name]
        for name in ("skeleton", "regions", "FAZ outline")
    )
    assert all(isinstance(x, Vectors) for x in (skeleton, regions, faz))
    assert [s.units for s in (skeleton, regions, faz)] == [mine.units[-2:]] * 3
    np.testing.assert_array_equal(faz.scale, mine.scale[-2:])
    rows, cols = np.nonzero((mine.data == 13).any(0))
    colours = [tuple(colour) for colour in faz.edge_color]
    is_outline = np.array([colour == colours[0] for colour in colours])
    outline, ellipse = faz.data[is_outline, 0], faz.data[~is_outline, 0]
    np.testing.assert_allclose(outline.min(0), (rows.min(), cols.min()), atol=1)
    np.testing.assert_allclose(ellipse.mean(0), (rows.mean(), cols.mean()), atol=2)
    # all of them are closed
    np.testing.assert_allclose(faz.data[:, 1].sum(0), 0, atol=1e-4)
    vessels = np.isin(mine.data, [i for i in np.unique(mine.data) if i not in (0, 13)])
    places = np.rint(skeleton.data[:, 0]).astype(int)
    near = binary_dilation(vessels.any(0), iterations=2)
    assert near[tuple(places.T)].mean() > 0.95
    assert viewer.layers.selection.active == mine
    assert [x.name for x in viewer.layers.selection] == ["mine"]
    assert mine.mode == "paint"
    assert not skeleton.editable
    # they are offered neither as labels, nor as graders
    assert widget.choice.layers.labels.count() == 2
    assert widget.choice.graders.list.count() == 1

    push(qtbot, widget, "Measure [F3]")
    settle(qtbot, widget)
    assert len(viewer.layers) == 6
    assert [x.name for x in viewer.layers][3:] == [
        "mine skeleton",
        "mine regions",
        "mine FAZ outline",
    ]
    widget.showing.boxes["regions"].setChecked(False)
    assert len(viewer.layers) == 5


def test_each_plot_says_what_it_needs(qtbot, viewer, widget):
    needs = {
        "Dice by slice": "press Compare",
        "Diameters": "Press Measure",
        "FAZ": "Press Measure",
        "Regions": "Press Measure",
        "Bland-Altman": "press Agreement",
        "Dice matrix": "press Agreement",
    }
    for name, words in needs.items():
        widget.showing.plot.choose(name)
        settle(qtbot, widget)
        assert words in widget.showing.plot.view.content


def test_plots_are_drawn(qtbot, viewer, widget):
    with_reference(viewer, widget)
    widget.choice.graders.tick(layer(viewer, "truth"))
    widget.choice.eye.laterality.setCurrentText("OD, right")
    for name in ("Measure [F3]", "Compare [F4]", "Agreement [F5]"):
        push(qtbot, widget, name)
    seen = set()
    for name in drawings.PLOTS:
        widget.showing.plot.choose(name)
        qtbot.waitUntil(lambda: isinstance(widget.showing.plot.view.content, Rendered))
        settle(qtbot, widget)
        content = widget.showing.plot.view.content
        assert isinstance(content, Rendered), content
        assert content.pixels.shape[1] == pytest.approx(
            widget.showing.plot.view.width(), abs=1
        )
        assert len(np.unique(content.pixels.reshape(-1, 4), axis=0)) > 20
        seen.add(content.pixels.tobytes())
    assert len(seen) == len(drawings.PLOTS)


def test_a_click_into_the_plot_goes_to_the_slice(qtbot, viewer, widget):
    with_reference(viewer, widget)
    push(qtbot, widget, "Compare [F4]")
    widget.showing.plot.choose("Dice by slice")
    settle(qtbot, widget)
    view = widget.showing.plot.view
    content = view.content
    index = 2
    x, y = content.to_data.inverted().transform((index, 0.5))
    place = QPoint(round(x), round(len(content.pixels) - y))
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=place)
    assert viewer.dims.current_step[0] == index
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=QPoint(1, 1))
    assert viewer.dims.current_step[0] == index

    for theme in ("light", "dark"):  # the latter is that of all tests
        viewer.theme = theme
        assert (
            widget.showing.plot.view.look.ground == get_theme(theme).background.as_hex()
        )


# compare and agree -------------------------------------------------------------


def test_labels_are_compared_with_the_reference(qtbot, viewer, widget, notices):
    push(qtbot, widget, "Compare [F4]")
    assert "as the reference first" in notices[-1]
    with_reference(viewer, widget)
    push(qtbot, widget, "Compare [F4]")
    assert widget.results.shown == "Compared: objects"
    mine, truth = layer(viewer, "mine").data, layer(viewer, "truth").data
    table = widget.results.model.table
    for number, row in enumerate(table.rows):
        a, b = (data == row.labels["object"] for data in (mine, truth))
        dice = 2 * (a & b).sum() / (a.sum() + b.sum())
        assert value(widget, "Dice, F1", number) == pytest.approx(dice)
    widget.results.choose("Compared: slices")
    select(widget, 3)
    index = widget.results.model.table.rows[3].labels["slice"]
    assert viewer.dims.current_step[0] == index
    # another reference: what was found is of no use any more
    widget.choice.layers.reference.setCurrentIndex(0)
    assert tables(widget) == []


def test_the_tolerance_is_in_micrometres(qtbot, viewer, widget):
    with_reference(viewer, widget)
    widget.choice.layers.tolerance = 30.0
    push(qtbot, widget, "Compare [F4]")
    settings = widget.found["Compared"].answer.results.settings
    assert settings["tolerance"] == pytest.approx(0.03)
    assert settings["tolerance_origin"] == "given"


def test_graders_agree(qtbot, viewer, widget, notices):
    push(qtbot, widget, "Agreement [F5]")
    assert "found mine alone" in notices[-1]
    widget.choice.graders.tick(layer(viewer, "truth"))
    push(qtbot, widget, "Agreement [F5]")
    mine, truth = layer(viewer, "mine").data > 0, layer(viewer, "truth").data > 0
    (row,) = [
        r
        for r in widget.found["Agreement"].answer.results.at("graders")
        if r.labels["class"] == "all"
    ]
    dice = 2 * (mine & truth).sum() / (mine.sum() + truth.sum())
    assert row["dice"] == pytest.approx(dice)


def test_labels_that_cannot_be_compared(qtbot, viewer, widget, notices):
    mine = layer(viewer, "mine")
    for words, data, scale in (
        ("of one shape", mine.data[:, :30], mine.scale),
        ("of one spacing", mine.data, 2 * mine.scale),
        ("two or three axes", np.stack([mine.data] * 2), np.ones(4)),
    ):
        units = ("mm",) * data.ndim
        other = viewer.add_labels(data.copy(), name="bad", scale=scale, units=units)
        widget.choice.layers.reference.layer = other
        push(qtbot, widget, "Compare [F4]")
        assert words in notices[-1]
        widget.choice.graders.tick(other)
        push(qtbot, widget, "Agreement [F5]")
        assert words in notices[-1]
        assert widget.found == {}
        viewer.layers.remove("bad")


def test_a_grid_is_the_same_whatever_its_unit(viewer):
    mine, image = layer(viewer, "mine"), layer(viewer, "scan")
    told = {"scale": 1000 * mine.scale, "units": ("um",) * 3}
    fine = Labels(mine.data, name="fine", **told)
    other = Labels(mine.data, name="other", scale=2 * mine.scale, units=mine.units)
    assert image_below(fine, viewer.layers) is image
    assert image_below(other, viewer.layers) is None
    both = (Source.of(labels, viewer.layers) for labels in (mine, fine))
    assert common_geometry(*both).spacing == pytest.approx(mine.scale)


def test_a_single_slice_has_no_depth_to_differ_in(viewer):
    mine = layer(viewer, "mine")
    told = {"scale": mine.scale[1:], "units": mine.units[1:]}
    flat = Labels(mine.data[2], **told)
    thin = Labels(mine.data[2:3], scale=mine.scale, units=mine.units)
    geometry = common_geometry(Source.of(flat), Source.of(thin))
    assert geometry.spacing[1:] == pytest.approx(mine.scale[1:])


def test_empty_labels_and_none(qtbot, viewer, widget, notices):
    layer(viewer, "mine").data[:] = 0
    push(qtbot, widget, "Measure [F3]")
    assert "found no voxel" in notices[-1]
    viewer.layers.clear()
    widget.measure()
    assert "Open or draw labels first" in notices[-1]
    widget.ask_export()
    assert "Press Measure, Compare or Agreement first" in notices[-1]


def test_a_single_image_of_unknown_spacing(qtbot, viewer, widget, notices):
    data = layer(viewer, "truth").data.max(0)
    flat = viewer.add_labels(data, name="flat", metadata=layer(viewer, "mine").metadata)
    widget.choice.layers.labels.layer = flat
    widget.showing.boxes["skeleton"].setChecked(True)
    push(qtbot, widget, "Measure [F3]")
    settle(qtbot, widget)
    assert texts(widget, "VLD [pixel⁻¹]")
    assert "Measured: whole volume" not in tables(widget)
    assert viewer.layers["flat skeleton"].ndim == 2
    reference = viewer.add_labels(data.copy(), name="again")
    widget.choice.layers.reference.layer = reference
    widget.choice.layers.tolerance = 10.0
    push(qtbot, widget, "Compare [F4]")
    assert "found pixels" in notices[-1]
    widget.choice.layers.tolerance = None
    push(qtbot, widget, "Compare [F4]")
    assert set(texts(widget, "Dice, F1")) == {"1"}


# while annotating --------------------------------------------------------------


def paint(viewer, name, where, label):
    """Paint a stroke on the slice on screen."""
    target = layer(viewer, name)
    target.brush_size = 20
    viewer.dims.set_current_step(0, where[0])
    target.paint(where, label)


def test_figures_follow_the_brush_undo_and_other_programs(qtbot, viewer, widget):
    with_reference(viewer, widget)
    push(qtbot, widget, "Compare [F4]")
    widget.run.live.setChecked(True)
    settle(qtbot, widget)
    mine, truth = layer(viewer, "mine"), layer(viewer, "truth").data
    row = dice_row(widget, 13)

    def shown():
        return value(widget, "Dice, F1", row)

    def expected():
        a, b = mine.data == 13, truth == 13
        return 2 * (a & b).sum() / (a.sum() + b.sum())

    before = shown()
    paint(viewer, "mine", (1, 10, 10), 13)
    qtbot.waitUntil(lambda: shown() != before, timeout=TASK_MS)
    assert shown() == pytest.approx(expected())
    assert not is_dimmed(widget, "Dice, F1", row)
    assert is_dimmed(widget, "clDice", row)
    assert "before the last change" in widget.status.text()

    mine.undo()
    qtbot.waitUntil(lambda: shown() == pytest.approx(before), timeout=TASK_MS)
    qtbot.waitUntil(lambda: not is_dimmed(widget, "clDice", row), timeout=TASK_MS)
    assert widget.status.text() == ""

    mine.data[1, :20, :20] = 13  # as the Segment dock does
    mine.refresh()
    qtbot.waitUntil(lambda: shown() != before, timeout=TASK_MS)
    assert shown() == pytest.approx(expected())

    before = shown()
    mine.data[4, :20, :20] = 13  # on a slice that is not on screen
    mine.refresh()
    qtbot.waitUntil(lambda: shown() != before, timeout=TASK_MS)
    assert shown() == pytest.approx(expected())

    before = shown()
    mine.data = truth.copy()
    qtbot.waitUntil(lambda: shown() == 1, timeout=TASK_MS)
    settle(qtbot, widget)


def test_without_live_figures_are_dimmed(qtbot, viewer, widget):
    with_reference(viewer, widget)
    push(qtbot, widget, "Compare [F4]")
    settle(qtbot, widget)
    widget.results.choose("Compared: slices")
    before = texts(widget, "Dice, F1")
    viewer.dims.set_current_step(0, 2)
    settle(qtbot, widget)
    assert not is_dimmed(widget, "Dice, F1", 1)
    paint(viewer, "mine", (1, 10, 10), 13)
    rows = widget.results.model.table.rows
    at = [row.labels["slice"] for row in rows].index(1)
    qtbot.waitUntil(lambda: is_dimmed(widget, "Dice, F1", at), timeout=TASK_MS)
    assert texts(widget, "Dice, F1") == before
    assert "press Compare again" in widget.status.text()
    # other slices are as they were
    assert not is_dimmed(widget, "Dice, F1", at + 1)
    widget.results.choose("Compared: objects")
    assert is_dimmed(widget, "Dice, F1")
    push(qtbot, widget, "Compare [F4]")
    assert not is_dimmed(widget, "Dice, F1")
    settle(qtbot, widget)


def test_live_begins_without_the_whole_comparison(qtbot, viewer, widget):
    with_reference(viewer, widget)
    widget.run.live.setChecked(True)
    qtbot.waitUntil(lambda: "Compared" in widget.found, timeout=TASK_MS)
    settle(qtbot, widget)
    assert "hd95" not in widget.found["Compared"].answer.results.keys("object")
    assert "dice" in widget.found["Compared"].answer.results.keys("object")


def test_the_figures_of_an_image_are_measured_anew(qtbot, viewer, widget):
    mine = layer(viewer, "mine")
    flat = viewer.add_labels(
        mine.data.max(0),
        name="flat",
        metadata=mine.metadata,
        scale=mine.scale[1:],
        units=mine.units[1:],
    )
    widget.choice.layers.labels.layer = flat
    widget.run.live.setChecked(True)
    qtbot.waitUntil(lambda: "Measured" in widget.found, timeout=TASK_MS)
    settle(qtbot, widget)
    widget.results.choose("Measured: FAZ")
    before = value(widget, "FAZ area [mm²]")
    flat.brush_size = 30
    rows, cols = np.nonzero(flat.data == 13)
    flat.paint((rows.max(), cols.mean()), 13)
    qtbot.waitUntil(lambda: value(widget, "FAZ area [mm²]") > before, timeout=TASK_MS)
    area = (flat.data == 13).sum() * np.prod(flat.scale)
    assert value(widget, "FAZ area [mm²]") == pytest.approx(area)
    settle(qtbot, widget)


def test_a_volume_is_measured_anew_when_the_brush_rests(qtbot, viewer, widget):
    push(qtbot, widget, "Measure [F3]")
    widget.run.live.setChecked(True)
    settle(qtbot, widget)
    widget.results.choose("Measured: objects")
    rows = widget.results.model.table.rows
    at = next(i for i, row in enumerate(rows) if row.labels["object"] == 13)
    header = next(
        column.header
        for column in widget.results.model.table.columns
        if column.definition.key == "volume"
    )
    before = value(widget, header, at)
    paint(viewer, "mine", (1, 10, 10), 13)
    qtbot.waitUntil(lambda: is_dimmed(widget, header, at), timeout=TASK_MS)
    qtbot.waitUntil(lambda: value(widget, header, at) > before, timeout=TASK_MS)
    qtbot.waitUntil(lambda: not is_dimmed(widget, header, at), timeout=TASK_MS)
    settle(qtbot, widget)


def test_figures_follow_the_segment_dock(qtbot, viewer, widget):
    image, truth = layer(viewer, "scan"), layer(viewer, "truth")
    viewer.layers.selection.active = image
    dock, segment = viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Segment")
    QTest.keyClick(canvas_of(viewer), Qt.Key.Key_W)
    qtbot.waitUntil(lambda: segment.annotation is not None, timeout=TASK_MS)
    labels = segment.annotation.labels
    labels.metadata["names"] = truth.metadata["names"]
    widget.choice.layers.labels.layer = labels
    with_reference(viewer, widget)
    widget.run.live.setChecked(True)
    qtbot.waitUntil(lambda: "Compared" in widget.found, timeout=TASK_MS)
    settle(qtbot, widget)
    row = dice_row(widget, 1)

    def dice():
        a, b = labels.data == 1, truth.data == 1
        return 2 * (a & b).sum() / (a.sum() + b.sum())

    index = int((truth.data == 1).sum((1, 2)).argmax())
    rows, cols = np.nonzero(truth.data[index] == 1)
    viewer.dims.set_current_step(0, index)
    viewer.reset_view()
    click(viewer, image, (index, rows[len(rows) // 2], cols[len(rows) // 2]))
    qtbot.waitUntil(lambda: (labels.data[index] == 1).any(), timeout=TASK_MS)
    qtbot.waitUntil(
        lambda: value(widget, "Dice, F1", row) == pytest.approx(dice()), timeout=TASK_MS
    )
    assert dice() > 0
    segment.close()
    viewer.window.remove_dock_widget(dock)


# the work ----------------------------------------------------------------------


def test_nothing_is_computed_in_the_thread_of_the_viewer(
    qtbot, viewer, widget, monkeypatch
):
    go, threads = threading.Event(), []

    def slow(self, progress, cancelled):
        threads.append(threading.current_thread())
        progress(1, 3, "artery")
        assert go.wait(20)
        if cancelled():
            return requests.Answer(
                requests.MEASURE, Results((), NOTHING, ("cancelled",)), {}, np.empty(5)
            )
        return None

    monkeypatch.setattr(requests.MeasureRequest, "run", slow)
    monkeypatch.setattr(showing, "planes", lambda *parts: ())
    widget.measure()
    qtbot.waitUntil(lambda: "artery: 1 of 3" in widget.status.text(), timeout=TASK_MS)
    assert threads[0] is not threading.main_thread()
    assert widget.run.progress.value() == 1
    assert not widget.run.measure.isEnabled()
    assert not widget.export.isEnabled()
    push_cancel = widget.run.cancel
    qtbot.mouseClick(push_cancel, Qt.MouseButton.LeftButton)
    assert widget.status.text() == "Stopping …"
    go.set()
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=TASK_MS)
    assert widget.found["Measured"].answer.results.notes == ("cancelled",)
    assert widget.run.measure.isEnabled()
    settle(qtbot, widget)


NOTHING = {"spacing": [1.0, 1.0, 1.0], "unit": "pixel"}


def test_an_answer_about_other_labels_is_dropped(qtbot, viewer, widget):
    widget.measure()
    widget.choice.layers.labels.layer = layer(viewer, "truth")
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=TASK_MS)
    assert widget.found == {}
    assert "dropped" in widget.status.text()
    assert tables(widget) == []
    assert layer(viewer, "mine").features.empty


def test_labels_that_are_removed(qtbot, viewer, widget):
    widget.showing.boxes["FAZ outline"].setChecked(True)
    push(qtbot, widget, "Measure [F3]")
    qtbot.waitUntil(lambda: len(widget.showing.overlays.layers) == 1, timeout=TASK_MS)
    settle(qtbot, widget)
    viewer.layers.remove("mine")
    assert widget.labels is layer(viewer, "truth")
    assert widget.found == {}
    names = ["scan", "truth"]
    qtbot.waitUntil(lambda: [x.name for x in viewer.layers] == names, timeout=TASK_MS)
    push(qtbot, widget, "Measure [F3]")
    qtbot.waitUntil(lambda: len(widget.showing.overlays.layers) == 1, timeout=TASK_MS)
    settle(qtbot, widget)
    viewer.layers.remove("truth")
    assert widget.labels is None
    assert "Open or draw labels" in widget.status.text()
    qtbot.waitUntil(lambda: not widget.showing.overlays.layers, timeout=TASK_MS)


def test_export(qtbot, viewer, widget, tmp_path, monkeypatch, notices):
    with_reference(viewer, widget)
    push(qtbot, widget, "Compare [F4]")
    asked, contents = [], {}
    for suffix in (".csv", ".xlsx", ".json", ".html", ".pdf"):
        path = tmp_path / f"results{suffix}"

        def answer(parent, title, name, formats, path=path):
            asked.append((name, formats))
            return str(path), formats

        monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
        push(qtbot, widget, "Export …")
        assert asked[-1][0] == "mine.xlsx"
        assert suffix in asked[-1][1]
        contents[suffix] = path.read_bytes()
    rows = json.loads(contents[".json"])["rows"]["object"]
    found = widget.found["Compared"].answer.results.at("object")
    assert [r["object"] for r in rows] == [row.labels["object"] for row in found]
    assert b"Labels against the reference" in contents[".html"]
    assert contents[".html"].count(b"<img") == 4  # by slice, and three by object
    assert contents[".csv"].startswith(b"level,")
    assert contents[".xlsx"].startswith(b"PK")
    assert contents[".pdf"].startswith(b"%PDF")

    widget.write(tmp_path / "results.docx")
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=TASK_MS)
    assert ".xlsx" in notices[-1]


def test_keys_are_free_again_and_a_closed_dock_no_longer_listens(qtbot, viewer, widget):
    push(qtbot, widget, "Measure [F3]")
    settle(qtbot, widget)
    ours = {
        b.shortcut().toString()
        for b in widget.findChildren(QPushButton)
        if not b.shortcut().isEmpty()
    }
    assert ours == {"F3", "F4", "F5"}
    assert not ours & ({c.key for c in COMMANDS.values()} | set(ALIASES))
    widget.choice.eye.fovea.setCurrentText("a click")
    widget.close()
    offered = widget.choice.layers.labels.count()
    viewer.add_labels(np.zeros((5, 8, 8), np.uint8), name="late")
    assert widget.choice.layers.labels.count() == offered
    assert not widget.picker.on
    paint(viewer, "mine", (1, 10, 10), 13)
    assert not widget.follower.watch._soon.isActive()
    assert isinstance(layer(viewer, "mine"), Labels)
