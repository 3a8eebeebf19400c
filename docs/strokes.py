"""How soon the Measure dock follows the brush: the rows of the dock in `metrics.md`.

    OMP_NUM_THREADS=1 xvfb-run -a -s "-screen 0 1600x1000x24" python docs/strokes.py

Labels as in `bench --cases metrics`, painted on by mouse events in a real viewer. With
Live on, napari's own time for a stroke is told beside that from there to a table with
other figures. Gaps are the longest between two turns of the event loop while strokes
follow each other, and until all slices were looked at; Live is off and on in turn.
"""

from __future__ import annotations

import time
from itertools import count
from statistics import median
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from stopwatch import Stopwatch, Times

from napari_octa_sam2.bench.trees import CLASSES, OBJECTS, SHAPE, make_scan
from napari_octa_sam2.layers import geometry_arguments
from napari_octa_sam2.tables import piped
from napari_octa_sam2.widgets.measure.live import REST_MS
from napari_octa_sam2.widgets.measure.showing import PLOT_MS
from napari_octa_sam2.widgets.measure.table import SORTED

STROKES, ROUNDS = 20, 5  # timed for a table; of gaps
STEP, BRUSH = 17, 12  # pixels
STROKE_MS, REST = 100, REST_MS / 1000 + 0.5


class Painter:
    """A viewer with labels, the Measure dock, and somebody who paints."""

    def __init__(self, labels: np.ndarray, truth: np.ndarray | None, **told: Any):
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1580, 980)
        told = {**told, "metadata": {"classes": CLASSES}}
        _, self.dock = self.viewer.window.add_plugin_dock_widget(
            "napari-octa-sam2", "Measure"
        )
        chosen = self.dock.choice.layers
        if truth is not None:
            reference = self.viewer.add_labels(truth, visible=False, **told)
            chosen.reference.layer = reference
        self.layer = chosen.labels.layer = self.viewer.add_labels(labels, **told)
        self.layer.mode, self.layer.brush_size = "paint", BRUSH
        self.index = int((labels > 0).sum((1, 2)).argmax())
        self.viewer.dims.set_current_step(0, self.index)
        self.watch, self.turn = Stopwatch(self.viewer), count()
        self.set_live(True)
        self.watch.wait(lambda: bool(self.dock.found))
        self.viewer.reset_view()
        self.settle()

    def set_live(self, on: bool) -> None:
        self.dock.run.live.setChecked(on)
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is computed, nor about to be."""
        showing, follower = self.dock.showing, self.dock.follower
        drawers = showing.drawer, showing.plot.painter
        threads = self.dock.runner, *drawers, follower.looker, follower.measurer
        for seconds in (REST, PLOT_MS / 1000 + 0.1):
            self.watch.rest(seconds)
            self.watch.wait(lambda: not any(thread.busy for thread in threads))

    def close(self) -> None:
        self.dock.close()
        self.watch.rest(1)
        self.viewer.close()

    def paint(self) -> None:
        """Paint a dot with the next label at the next place of the slice shown."""
        turn = next(self.turn)
        self.layer.selected_label = turn % OBJECTS + 1
        rows, cols = (side - 2 * BRUSH for side in self.layer.data.shape[1:])
        row, col = divmod(turn * STEP, cols // STEP * STEP)
        place = self.index, BRUSH + row * STEP % rows, BRUSH + col
        canvas = self.viewer.window._qt_viewer.canvas.native
        camera = self.viewer.scene.camera
        world = np.array(self.layer.data_to_world(place))[-2:]
        size = np.array([canvas.height(), canvas.width()])
        y, x = (world - np.array(camera.center)[-2:]) * camera.zoom + size / 2
        point = QPoint(round(x), round(y))
        QTest.mouseMove(canvas, point)
        QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=point)

    def figures(self) -> np.ndarray:
        """Return the figures of the table that is shown."""
        model = self.dock.results.model
        first = len(model.table.labels)
        return np.array(
            [
                model.data(model.index(row, column), SORTED)
                for row in range(model.rowCount())
                for column in range(first, model.columnCount())
            ]
        )

    def until_told(self, table: str) -> tuple[Times, Times]:
        """Return the milliseconds of strokes, and from each to other figures."""
        self.dock.results.choose(table)
        model, strokes, found = self.dock.results.model, [], []
        for _ in range(STROKES):
            self.settle()
            before, told = self.figures(), []

            def note(*change: object, before: Any = before, told: Any = told) -> None:
                if not np.array_equal(before, self.figures(), equal_nan=True):
                    told.append(time.perf_counter())

            model.dataChanged.connect(note)
            model.modelReset.connect(note)
            began = time.perf_counter()
            self.paint()
            painted = time.perf_counter()
            self.watch.wait(lambda told=told: bool(told))
            strokes.append(1e3 * (painted - began))
            found.append(1e3 * (told[0] - painted))
            model.dataChanged.disconnect(note)
            model.modelReset.disconnect(note)
        return strokes, found

    def gaps(self) -> dict[bool, Times]:
        """Return the longest gap of each round, by whether Live was on."""
        found: dict[bool, Times] = {False: [], True: []}
        for live in (False, True) * ROUNDS:
            self.set_live(live)
            found[live].append(max(self.watch.gaps(lambda: None, self.painted())))
        return found

    def painted(self) -> Any:
        """Begin to paint; return what tells that all is painted, and looked at."""
        left, end = iter(range(STROKES)), []

        def step() -> None:
            if next(left, None) is None:
                timer.stop()
                end.append(time.perf_counter() + REST)
            else:
                self.paint()

        timer = QTimer(self.dock, interval=STROKE_MS)
        timer.timeout.connect(step)
        timer.start()
        return lambda: bool(end) and time.perf_counter() > end[0]


def told(what: str, values: Times) -> tuple[str, ...]:
    numbers = (median(values), min(values), max(values))
    return what, *(f"{value:.0f}" for value in numbers)


def main() -> None:
    """Paint on a volume and on a plane; print what was measured."""
    scan = make_scan(SHAPE[0], seed=0)
    grid = geometry_arguments(scan.geometry)
    flat = scan.prediction.max(0, keepdims=True)
    compared = "Compared: objects", "Compared: slices"
    scenes = {
        "volume": (scan.prediction, scan.truth, compared),
        "plane": (flat, None, ("Measured: regions",)),
    }
    rows: list[tuple[str, ...]] = [("milliseconds", "median", "least", "most")]
    for scene, (labels, truth, tables) in scenes.items():
        painter = Painter(labels, truth, **grid)
        for table in tables:
            strokes, found = painter.until_told(table)
            rows.append(told(f"{scene}, stroke painted by napari", strokes))
            rows.append(told(f"{scene}, from there to “{table}”", found))
        for live, gaps in painter.gaps().items():
            name = f"{scene}, longest gap with Live {'on' if live else 'off'}"
            rows.append(told(name, gaps))
        painter.close()
    print(piped(rows, 1))


if __name__ == "__main__":
    main()
