from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtGui import QColor, QHelpEvent, QPalette
from qtpy.QtWidgets import QApplication, QToolTip

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.widgets.segment.strip import MOST_ROWS, ConfidenceStrip
from napari_octa_sam2.widgets.segment.strip_data import (
    RAMP,
    Scale,
    StripData,
    StripRow,
    confidence_colours,
)

pytestmark = pytest.mark.gui
DARK, LIGHT = QColor(38, 41, 48), QColor(240, 240, 240)
RED = (1.0, 0.0, 0.0, 1.0)
# Simulated vision (Machado, Oliveira, Fernandes 2009, severity 1.0), on linear RGB.
COLOUR_BLIND = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def row(values, id=1, name="artery 1", **marks):
    sets = {key: frozenset(value) for key, value in marks.items() if key != "agreement"}
    agreement = marks.get("agreement")
    if agreement is not None:
        sets["agreement"] = np.array(agreement, float)
    return StripRow(id, name, RED, np.array(values, float), **sets)


@pytest.fixture
def make_strip(qtbot):
    def make(*rows, depth=None, current=0, width=400, paper=DARK, spacing_mm=None):
        depth = len(rows[0].confidence) if depth is None else depth
        strip = ConfidenceStrip()
        qtbot.addWidget(strip)
        palette = strip.palette()
        ink = QColor("white") if paper is DARK else QColor("black")
        palette.setColor(QPalette.ColorRole.Window, paper)
        palette.setColor(QPalette.ColorRole.WindowText, ink)
        strip.setPalette(palette)
        strip.set_data(StripData(depth, rows, current, spacing_mm))
        strip.resize(width, strip.sizeHint().height())
        strip.show()
        qtbot.waitExposed(strip)
        QApplication.processEvents()
        return strip

    return make


def at(strip, index, number=0):
    """The middle of a cell, in the rows' pixels."""
    scale = strip._rows.scale
    return QPoint(int(scale.centre(index)), strip._rows.cells(number).center().y())


def seen(strip, point):
    return strip._rows.grab().toImage().pixelColor(point).getRgb()


def colour(value):
    return tuple(int(c) for c in confidence_colours(np.array([value]))[0])


@pytest.fixture
def picks(qtbot):
    found = []

    def of(strip):
        strip.picked.connect(lambda index, object_id: found.append((index, object_id)))
        return found

    return of


@pytest.mark.parametrize("paper", [DARK, LIGHT])
def test_cells_have_the_colour_of_the_lower_of_confidence_and_agreement(
    make_strip, paper
):
    values = [0.0, 0.25, 0.5, 0.75, 1.0, math.nan]
    agreement = [math.nan, 1.0, 0.1, 0.75, math.nan, math.nan]
    strip = make_strip(
        row([0.3] * 6, id=9), row(values, agreement=agreement), current=5, paper=paper
    )
    for index, value in enumerate([0.0, 0.25, 0.1, 0.75, 1.0]):
        assert seen(strip, at(strip, index, 1)) == colour(value)
        assert seen(strip, at(strip, index, 0)) == colour(0.3)
    beside = at(strip, 5, 1) - QPoint(10, 0)
    assert seen(strip, beside) == paper.getRgb()


def test_the_ends_of_the_ramp_are_told_apart_by_everyone():
    stops = np.array(list(RAMP.values())) / 255
    linear = stops**2.2
    for matrix in ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], *COLOUR_BLIND.values()):
        found = np.clip(linear @ np.array(matrix).T, 0, 1) ** (1 / 2.2)
        assert np.linalg.norm(found[0] - found[-1]) > 0.4
        steps = np.linalg.norm(np.diff(found, axis=0), axis=1)
        assert steps.min() > 0.15


def test_absent_slices_are_hollow(make_strip):
    strip = make_strip(row([0.9] * 10, absent=[6]), current=0)
    cells, point = strip._rows.cells(0), at(strip, 6)
    assert seen(strip, point) == DARK.getRgb()
    for y in (cells.top(), cells.bottom()):
        assert seen(strip, QPoint(point.x(), y)) == colour(0.9)
    assert seen(strip, at(strip, 7)) == colour(0.9)


def test_prompts_and_locks_are_marked_in_the_colour_of_text(make_strip):
    strip = make_strip(row([0.9] * 10, prompted=[3], locked=[5, 6]), current=0)
    cells = strip._rows.cells(0)
    above, below = cells.top() - 3, cells.bottom() + 2
    white = QColor("white").getRgb()
    image = strip._rows.grab().toImage()

    def marked(y):
        found = [image.pixelColor(at(strip, i).x(), y).getRgb() for i in range(1, 10)]
        return [i for i, rgba in enumerate(found, start=1) if rgba == white]

    assert marked(above) == [3]
    assert marked(below) == [5, 6]


def test_the_current_slice_is_a_line_and_moving_it_paints_no_cell(
    make_strip, monkeypatch
):
    strip = make_strip(row([0.9] * 10), row([0.2] * 10, id=2), current=2)
    white = QColor("white").getRgb()
    assert seen(strip, at(strip, 2, 0)) == white
    assert seen(strip, at(strip, 2, 1)) == white
    painted = []
    paint = strip._rows._paint
    monkeypatch.setattr(
        strip._rows, "_paint", lambda painter: painted.append(1) or paint(painter)
    )
    strip.set_current(7)
    QApplication.processEvents()
    assert seen(strip, at(strip, 7, 1)) == white
    assert seen(strip, at(strip, 2, 0)) == colour(0.9)
    assert not painted
    strip.set_data(StripData(10, (row([0.2] * 10),), 7))
    assert seen(strip, at(strip, 2, 0)) == colour(0.2)
    assert painted


def test_a_press_picks_slice_and_object(make_strip, picks, qtbot):
    strip = make_strip(row([0.9] * 10, id=7), row([0.9] * 10, id=300))
    found = picks(strip)
    for index, number in [(0, 0), (9, 1), (4, 1)]:
        qtbot.mouseClick(
            strip._rows, Qt.MouseButton.LeftButton, pos=at(strip, index, number)
        )
    qtbot.mouseClick(strip._rows, Qt.MouseButton.RightButton, pos=at(strip, 2))
    assert found == [(0, 7), (9, 300), (4, 300)]


def test_a_drag_goes_through_the_slices_of_one_object(make_strip, picks, qtbot):
    strip = make_strip(row([0.9] * 10, id=7), row([0.9] * 10, id=8))
    found, left = picks(strip), Qt.MouseButton.LeftButton
    qtbot.mousePress(strip._rows, left, pos=at(strip, 2))
    for point in (at(strip, 2) + QPoint(2, 0), at(strip, 3), at(strip, 4, 1)):
        qtbot.mouseMove(strip._rows, point)
    qtbot.mouseMove(strip._rows, QPoint(strip.width() + 50, 3))
    qtbot.mouseRelease(strip._rows, left, pos=at(strip, 9))
    qtbot.mouseMove(strip._rows, at(strip, 1))
    assert found == [(2, 7), (3, 7), (4, 7), (9, 7)]


def test_a_press_on_a_name_picks_the_object_where_one_is(make_strip, picks, qtbot):
    strip = make_strip(row([0.9] * 10, id=7), row([0.9] * 10, id=8), current=6)
    found = picks(strip)
    point = QPoint(5, strip._rows.cells(1).center().y())
    qtbot.mouseClick(strip._rows, Qt.MouseButton.LeftButton, pos=point)
    assert found == [(6, 8)]


def test_of_many_slices_under_a_pixel_the_worst_is_shown_and_picked(
    make_strip, picks, qtbot
):
    values = np.full(1000, 0.9)
    values[617] = 0.05
    strip = make_strip(row(values), width=300)
    point = at(strip, 617)
    assert seen(strip, point) == colour(0.05)
    assert seen(strip, point + QPoint(2, 0)) == colour(0.9)
    found = picks(strip)
    qtbot.mouseClick(strip._rows, Qt.MouseButton.LeftButton, pos=point)
    assert found == [(617, 1)]


@pytest.mark.parametrize("depth", [1, 7, 300, 301, 640, 1000])
def test_every_slice_lies_under_some_pixel(depth):
    scale = Scale(left=40, width=300, depth=depth)
    under = [scale.slices_at(x) for x in range(40, 340)]
    assert sorted({index for slices in under for index in slices}) == list(range(depth))
    for index in range(depth):
        assert index in scale.slices_at(scale.centre(index))
    assert scale.slices_at(-5) == under[0]
    assert scale.slices_at(1000) == under[-1]
    numbers = np.arange(depth, dtype=float)[None]
    assert scale.columns(numbers)[0].tolist() == [slices[0] for slices in under]


def test_ticks_are_round_and_apart():
    assert Scale(0, 320, 640).tick_step(30) == 100
    assert Scale(0, 320, 640).tick_step(20) == 50
    assert Scale(0, 320, 8).tick_step(30) == 1
    assert Scale(0, 200, 1000).tick_step(50) == 500


def tooltip(strip, point):
    where = strip._rows.mapToGlobal(point)
    QApplication.sendEvent(strip._rows, QHelpEvent(QEvent.Type.ToolTip, point, where))
    return QToolTip.text()


def test_tooltip(make_strip):
    strip = make_strip(
        row(
            [0.934, math.nan, 0.5],
            agreement=[0.88, math.nan, math.nan],
            prompted=[0],
            locked=[0],
            absent=[2],
        )
    )
    assert tooltip(strip, at(strip, 0)) == (
        "artery 1, slice 0\nconfidence 93%, agreement 88%, prompted, locked"
    )
    assert tooltip(strip, at(strip, 1)) == "artery 1, slice 1\nnot visited yet"
    assert tooltip(strip, at(strip, 2)) == "artery 1, slice 2\nconfidence 50%, absent"
    name = QPoint(5, at(strip, 0).y())
    assert tooltip(strip, name) == "artery 1"


def test_height_grows_with_the_objects_up_to_a_limit(make_strip):
    heights = {
        n: make_strip(*(row([0.9] * 10, id=i) for i in range(1, n + 1))).height()
        for n in (1, 2, MOST_ROWS, MOST_ROWS + 1, 60)
    }
    assert heights[1] < heights[2] < heights[MOST_ROWS]
    assert heights[MOST_ROWS] == heights[MOST_ROWS + 1] == heights[60]
    assert heights[60] < 260


def test_rows_beyond_the_limit_are_scrolled_to(make_strip, picks, qtbot):
    strip = make_strip(*(row([0.9] * 10, id=i) for i in range(1, 41)), width=250)
    bar = strip._area.verticalScrollBar()
    assert bar.isVisible()
    assert strip._rows.width() == strip._area.viewport().width()
    bar.setValue(bar.maximum())
    QApplication.processEvents()
    assert strip._rows.visibleRegion().contains(at(strip, 3, 39))
    found = picks(strip)
    qtbot.mouseClick(strip._rows, Qt.MouseButton.LeftButton, pos=at(strip, 3, 39))
    assert found == [(3, 40)]
    strip.set_data(StripData(10, (row([0.9] * 10),)))
    assert not bar.isVisible()


def test_names_take_a_third_at_most(make_strip):
    strip = make_strip(row([0.9] * 10, name="superior temporal arcade " * 4), width=250)
    assert strip.minimumWidth() <= 250
    assert strip._rows.scale.left <= 250 / 3 + 5
    assert seen(strip, QPoint(5, at(strip, 0).y())) == QColor("red").getRgb()


def test_a_change_of_theme_repaints_the_strip(make_strip):
    strip = make_strip(row([0.9] * 10, locked=[5]), paper=DARK)
    below = QPoint(at(strip, 5).x(), strip._rows.cells(0).bottom() + 2)
    assert seen(strip, below) == QColor("white").getRgb()
    palette = strip.palette()
    palette.setColor(QPalette.ColorRole.WindowText, QColor("black"))
    strip.setPalette(palette)
    QApplication.processEvents()
    assert seen(strip, below) == QColor("black").getRgb()


def test_millimetres_have_a_line_of_their_own(make_strip):
    plain = make_strip(row([0.9] * 10))
    metric = make_strip(row([0.9] * 10), spacing_mm=2 / 640)
    assert metric.height() - plain.height() == metric.fontMetrics().height()


def test_without_objects_or_with_one_slice_there_is_something_to_see(
    make_strip, picks, qtbot
):
    empty = make_strip(depth=12)
    found = picks(empty)
    qtbot.mouseClick(empty._rows, Qt.MouseButton.LeftButton, pos=QPoint(200, 8))
    assert found == []
    assert tooltip(empty, QPoint(200, 8)) == ""
    image = empty._rows.grab().toImage()
    colours = {
        image.pixel(x, y) for x in range(image.width()) for y in range(image.height())
    }
    assert len(colours) > 1
    single = make_strip(row([0.9]), current=0)
    assert seen(single, at(single, 0) + QPoint(20, 0)) == colour(0.9)


def test_rows_must_fit_the_volume():
    with pytest.raises(VolumeError, match="a value for each of 9 slices"):
        StripData(9, (row([0.9] * 10),))
    with pytest.raises(VolumeError, match="a value for each of 10 slices"):
        StripData(10, (replace(row([0.9] * 10), agreement=np.ones(3)),))
