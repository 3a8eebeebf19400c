"""The Measure dock: biomarkers, comparison, agreement, live while annotating."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.theme import get_theme
from qtpy.QtCore import QTimer, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QCheckBox, QFileDialog, QVBoxLayout, QWidget

from napari_octa_sam2.errors import OctaError
from napari_octa_sam2.layers import as_slices
from napari_octa_sam2.metrics.biomarkers.measurement import DEFAULT_REGIONS
from napari_octa_sam2.widgets import _measure_drawings as drawings
from napari_octa_sam2.widgets._controls import Dock, button, row_of
from napari_octa_sam2.widgets._measure_live import (
    Freshness,
    LabelsWatch,
    changed_slices,
)
from napari_octa_sam2.widgets._measure_overlays import TITLES, Overlays
from napari_octa_sam2.widgets._measure_panels import ChoicePanel, RunPanel
from napari_octa_sam2.widgets._measure_plot import DRAWING, PlotPanel
from napari_octa_sam2.widgets._measure_request import (
    AGREE,
    COMPARE,
    MEASURE,
    AgreeRequest,
    Answer,
    CompareRequest,
    MeasureRequest,
    Request,
    Source,
)
from napari_octa_sam2.widgets._measure_table import ResultsPanel
from napari_octa_sam2.widgets._measure_tables import (
    kind_of,
    table_makers,
    with_features,
)
from napari_octa_sam2.widgets._task import TaskRunner

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_octa_sam2.metrics.results import Row

PLOT_MS = 250  # of rest before a plot is drawn anew while annotating
SCROLL_BAR, WIDTH = 16, 370  # pixels
DOING = {MEASURE: "Measuring", COMPARE: "Comparing", AGREE: "Comparing the graders"}
TITLE = {
    MEASURE: "Vessels and FAZ",
    COMPARE: "Labels against the reference",
    AGREE: "Agreement of graders",
}
FORMATS = (
    "Tables (*.xlsx *.csv *.json);;Reports (*.html *.pdf);;"
    "All of them (*.xlsx *.csv *.json *.html *.pdf)"
)
NO_LABELS = "Open or draw labels first: a Labels layer is what is measured."
DONE = "{}. Select a row to go there; point at a column for its definition."
OLD = "Dimmed figures are those before the last change: press {} again."


class MeasureWidget(Dock):
    """Measure labels, compare them with a reference and with other graders.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    progressed = Signal(int, int, str)

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.runner = TaskRunner(self.say, self._set_running)
        # What nobody waits for: drawings, and figures that follow the labels.
        self._drawer = TaskRunner(lambda text: None, lambda running: None)
        self._looker = TaskRunner(lambda text: None, lambda running: None)
        self._again = TaskRunner(lambda text: None, lambda running: None)
        self._strokes = 0
        self.found: dict[str, Freshness] = {}
        self._planes: tuple[drawings.Plane, ...] | None = None
        self._cancelled = False
        self.overlays = Overlays(napari_viewer)
        self.watch = LabelsWatch(self)
        self._plot_timer = QTimer(self, singleShot=True, interval=PLOT_MS)
        # Deferred: closing the viewer removes every layer, one after the other.
        self._tidy_timer = QTimer(self, singleShot=True, interval=0)
        self._build()
        self._connect()
        self._set_theme()
        self._offer_layers()
        self._labels_changed()

    def _build(self) -> None:
        self.choice = ChoicePanel(DEFAULT_REGIONS)
        self.run = RunPanel(self.measure, self.compare, self.agree, self.cancel)
        self.results, self.plot = ResultsPanel(), PlotPanel()
        self.shown = {name: QCheckBox(title) for name, title in TITLES.items()}
        self.export = button("Export …", self.ask_export, "The tables of this kind")
        content = QWidget()
        column = QVBoxLayout(content)
        for part in (self.choice, self.run, self.status, self.results):
            column.addWidget(part)
        column.addLayout(row_of(*self.shown.values()))
        column.addWidget(self.plot)
        column.addWidget(self.export)
        column.addStretch()
        self.setWidget(content)
        self.setWidgetResizable(True)

    def _connect(self) -> None:
        layers = self.choice.layers
        layers.labels.layer_changed.connect(self._labels_changed)
        layers.reference.layer_changed.connect(self._reference_changed)
        self.choice.eye.pick.connect(self._set_picking)
        self.run.live.toggled.connect(self._live_changed)
        self.results.chosen.connect(self.go_to)
        self.results.level_changed.connect(self._level_changed)
        self.plot.plot_changed.connect(self._show_plot)
        self.plot.slice_picked.connect(self._show_slice)
        for name, box in self.shown.items():
            box.toggled.connect(partial(self._overlay_toggled, name))
        self.progressed.connect(self._show_progress)
        self.watch.touched.connect(self._touched)
        self.watch.rested.connect(self._rested)
        self._plot_timer.timeout.connect(self._show_plot)
        self._tidy_timer.timeout.connect(self.overlays.hide_all)
        events = self.viewer.layers.events
        self._watched = (events.inserted, events.removed, events.renamed)
        for event in self._watched:
            event.connect(self._offer_layers)
        self.viewer.events.theme.connect(self._set_theme)
        self.viewer.dims.events.current_step.connect(self._moved)

    # actions of the user ---------------------------------------------------

    def measure(self) -> None:
        """Measure the chosen labels."""
        request = self._asked(self._measure_request)
        if request is not None:
            self._run(MEASURE, request)

    def compare(self) -> None:
        """Compare the chosen labels with the reference."""
        request = self._asked(self._compare_request)
        if request is not None:
            self._run(COMPARE, request)

    def agree(self) -> None:
        """Compare the chosen labels with those of other graders."""
        request = self._asked(self._agree_request)
        if request is not None:
            self._run(AGREE, request)

    def cancel(self) -> None:
        """Stop after the part that is being worked on; what is done is shown."""
        if self.runner.busy:
            self._cancelled = True
            self.say("Stopping …")

    def go_to(self, row: Row) -> None:
        """Select the object of a row, and show it where it is largest."""
        layer, fresh = self.labels, self.found.get(self._kind)
        if layer is None or fresh is None:
            return
        place, label = None, row.labels.get("object")
        if isinstance(label, int):
            layer.selected_label = label
            place = fresh.answer.places.get(label)
        if "slice" in row.labels:
            self._show_slice(int(row.labels["slice"]))
        elif place is not None:
            self._show_slice(place[0])
        if place is not None:
            centre = layer.data_to_world(place[-layer.ndim :])
            camera = self.viewer.scene.camera
            camera.center = (camera.center[0], *centre[-2:])

    def ask_export(self) -> None:
        """Ask where the results go, and write them."""
        if self._kind not in self.found:
            self.warn("Press Measure, Compare or Agreement first.")
            return
        name = f"{self.labels.name if self.labels else 'labels'}.xlsx"
        path, _ = QFileDialog.getSaveFileName(self, "Export results", name, FORMATS)
        if path:
            self.write(path)

    def write(self, path: str | Path) -> None:
        """Write the results of the kind that is shown, in the format of the suffix."""
        kind = self._kind
        work = partial(_write, Path(path), self.found[kind].now, self._planes)
        self.runner.start(f"Writing {Path(path).name}", work, lambda _: None)

    # requests and answers --------------------------------------------------

    @property
    def labels(self) -> Labels | None:
        """The layer that is measured."""
        return self.choice.layers.labels.layer

    @property
    def _kind(self) -> str:
        """Of the answer whose table is shown."""
        return kind_of(self.results.shown)

    def _asked(self, make: Callable[[], Request | None]) -> Request | None:
        if self.labels is None:
            self.warn(NO_LABELS)
            return None
        try:
            return make()
        except OctaError as error:
            self.warn(str(error))
            return None

    def _source(self) -> Source:
        unclassed = self.choice.layers.unclassed
        return Source.of(self.labels, self.viewer.layers, unclassed)

    def _measure_request(self) -> MeasureRequest:
        source = self._source()
        eye = self.choice.eye.eye(source.data.shape)
        return MeasureRequest(source, eye, self.choice.regions.chosen)

    def _compare_request(self, *, overlap_only: bool = False) -> CompareRequest | None:
        reference = self.choice.layers.reference.layer
        if reference is None or reference is self.labels:
            self.warn("Choose other labels as the reference first.")
            return None
        return CompareRequest(
            self._source(),
            Source.of(reference, (), self.choice.layers.unclassed),
            self.choice.layers.tolerance,
            overlap_only,
        )

    def _agree_request(self) -> AgreeRequest:
        others = self.choice.graders.chosen
        unclassed = self.choice.layers.unclassed
        graders = (Source.of(x, (), unclassed) for x in (self.labels, *others))
        return AgreeRequest(tuple(graders))

    def _run(self, kind: str, request: Request) -> None:
        self._cancelled = False
        work = partial(request.run, self._tell_progress, lambda: self._is_cancelled)
        show = partial(self._show_answer, self.labels)
        self.runner.start(DOING[kind], work, show)

    @property
    def _is_cancelled(self) -> bool:
        return self._cancelled or self._stopped

    def _tell_progress(self, done: int, total: int | None, what: str) -> None:
        """Tell from the thread that works."""
        self.progressed.emit(done, total or 0, what)

    def _show_progress(self, done: int, total: int, what: str) -> None:
        if self.runner.busy and not self._cancelled:
            self.run.show_progress(done, total)
            if what:
                self.say(f"{what}: {done} of {total} …")

    def _show_answer(self, asked: Labels, answer: Answer) -> None:
        """Show an answer, unless it is about labels that are no longer chosen."""
        if asked is not self.labels:
            self.say("The answer was dropped: other labels were chosen meanwhile.")
            return
        self._keep(answer)
        prefix = f"{answer.kind}:"
        if not self.results.shown.startswith(prefix):
            self.results.choose_first(prefix)
        parts = (fresh.answer.results for fresh in self.found.values())
        asked.features = with_features(asked.features, parts)
        self.say(DONE.format(answer.kind))

    def _keep(self, answer: Answer) -> None:
        self.found[answer.kind] = Freshness(answer)
        if answer.kind == MEASURE:
            self._planes = None
        self._show_tables()
        self._show_plot()
        self._show_overlays()
        self._rested()

    # what is shown ---------------------------------------------------------

    def _level_changed(self, name: str) -> None:
        fresh = self.found.get(kind_of(name))
        self.results.show_notes(() if fresh is None else fresh.answer.results.notes)

    def _show_tables(self) -> None:
        self.results.show_tables(table_makers(self.found))

    def _show_plot(self) -> None:
        """Draw the chosen plot; what it needs is computed first."""
        if self._needs_planes(self.plot.name):
            self._draw_planes()
        found = tuple(self.found.values())
        self.plot.show_plot(partial(_plot, self.plot.name, found, self._plane()))

    def _needs_planes(self, name: str) -> bool:
        of_measure = name not in drawings.NEEDED
        return of_measure and MEASURE in self.found and self._planes is None

    def _draw_planes(self) -> None:
        if not self._drawer.busy:
            answer = self.found[MEASURE].answer
            work = partial(_told, partial(drawings.planes, answer))
            self._drawer.start("Drawing", work, partial(self._show_planes, answer))

    def _show_planes(
        self, answer: Answer, planes: tuple[drawings.Plane, ...] | str
    ) -> None:
        fresh = self.found.get(MEASURE)
        if fresh is None or fresh.answer is not answer:
            QTimer.singleShot(0, self._show_plot)
            return
        if isinstance(planes, str):
            self.say(planes)
            return
        self._planes = planes
        self._show_plot()
        self._show_overlays()

    def _plane(self) -> drawings.Plane | None:
        """Return the plane on screen, if it was computed."""
        if not self._planes:
            return None
        index = self._shown_slice() if self._planes[0].index is not None else 0
        return self._planes[min(index, len(self._planes) - 1)]

    def _overlay_toggled(self, name: str, on: bool) -> None:
        if not on:
            self.overlays.hide(name)
        elif MEASURE not in self.found:
            self.say("Press Measure, and the overlay is drawn.")
        else:
            self._show_overlays()

    def _show_overlays(self) -> None:
        wanted = [name for name, box in self.shown.items() if box.isChecked()]
        if not wanted or MEASURE not in self.found or self.labels is None:
            return
        if self._planes is None:
            QTimer.singleShot(0, self._draw_planes)
            return
        for name in wanted:
            if not self.overlays.show(name, self.labels, self._planes):
                self.say(f"{TITLES[name]}: nothing to draw.")

    def _show_slice(self, index: int) -> None:
        layer = self.labels
        if layer is not None and layer.ndim == 3:
            axis = self.viewer.dims.ndim - layer.ndim
            world = layer.data_to_world((index, 0, 0))
            self.viewer.dims.set_point(axis, world[-3])

    def _shown_slice(self) -> int:
        layer = self.labels
        if layer is None or layer.ndim == 2:
            return 0
        position = layer.world_to_data(self.viewer.dims.point[-layer.ndim :])
        return int(np.clip(round(float(position[0])), 0, len(layer.data) - 1))

    def _moved(self) -> None:
        if self._planes and self._planes[0].index is not None:
            self._plot_timer.start()

    # while annotating ------------------------------------------------------

    def _live_changed(self, on: bool) -> None:
        if not on:
            self._say_old()
            return
        has_reference = self.choice.layers.reference.layer is not None
        if self.labels is None or self.runner.busy:
            return
        if has_reference and COMPARE not in self.found:
            request = self._asked(partial(self._compare_request, overlap_only=True))
            if request is not None:
                self._run(COMPARE, request)
        elif not has_reference and MEASURE not in self.found:
            self.measure()
        else:
            self._rested()

    def _touched(self) -> None:
        """Look at the slice on screen; show what can be had at once."""
        layer = self.labels
        if layer is None or not self.found:
            return
        data, index = as_slices(layer.data), self._shown_slice()
        differs = [fresh.look(data, index) for fresh in self.found.values()]
        if not any(differs):
            return
        self._strokes += 1
        if not self.run.live.isChecked():
            self._show_tables()
            self._say_old()
            return
        if COMPARE in self.found:
            self._follow(self.found[COMPARE], data, index)
        if MEASURE in self.found and len(data) == 1:
            self._measure_again()
        self._show_changes()

    def _follow(self, fresh: Freshness, data: np.ndarray, index: int) -> None:
        if self._looker.busy:
            self.watch.remind()
            return
        try:
            fresh.follow(data, index)
        except OctaError as error:
            self.say(str(error))

    def _rested(self) -> None:
        """Look at all slices, in a thread."""
        layer = self.labels
        if layer is None or not self.found or self._looker.busy:
            return
        work = partial(
            _look_again,
            as_slices(layer.data),
            tuple(self.found.values()),
            self.run.live.isChecked(),
        )
        self._looker.start("Looking", work, partial(self._show_looked, layer))

    def _show_looked(
        self, layer: Labels, looked: list[tuple[Freshness, list[int]]]
    ) -> None:
        changed = False
        for fresh, slices in looked:
            if self.found.get(fresh.answer.kind) is fresh:
                changed |= fresh.changed != set(slices) or bool(slices)
                fresh.found(slices)
        if changed and layer is self.labels:
            self._show_changes()
            fresh = self.found.get(MEASURE)
            if self.run.live.isChecked() and fresh is not None and fresh.changed:
                QTimer.singleShot(0, self._measure_again)

    def _measure_again(self) -> None:
        """Measure what changed, in a thread; nobody is told of bad input."""
        if self._again.busy or self.runner.busy or self.labels is None:
            self.watch.remind()
            return
        try:
            request = self._measure_request()
        except OctaError as error:
            self.say(str(error))
            return
        strokes, layer = self._strokes, self.labels
        flat = layer.ndim == 2 or len(layer.data) == 1

        def late() -> bool:
            return self._stopped or not (flat or strokes == self._strokes)

        def show(answer: Answer | str) -> None:
            if layer is self.labels and not late():
                self._show_again(answer)

        work = partial(_told, partial(request.run, _ignore, late))
        self._again.start("Measuring", work, show)

    def _show_again(self, answer: Answer | str) -> None:
        if isinstance(answer, str):
            self.say(answer)
            return
        self.found[MEASURE] = Freshness(answer)
        self._planes = None
        self._show_changes()
        if any(box.isChecked() for box in self.shown.values()):
            self._draw_planes()
        self.watch.remind()

    def _show_changes(self) -> None:
        self._show_tables()
        self._plot_timer.start()
        self._say_old()

    def _say_old(self) -> None:
        old = [k for k, fresh in self.found.items() if fresh.is_old() is not None]
        if old and not self.runner.busy:
            names = {MEASURE: "Measure", COMPARE: "Compare", AGREE: "Agreement"}
            self.say(OLD.format(" and ".join(names[kind] for kind in old)))
        elif self.status.text().startswith(OLD[:20]):
            self.say("")

    # layers come and go ----------------------------------------------------

    def _offer_layers(self, event: object = None) -> None:
        self.choice.offer(self.viewer.layers)

    def _labels_changed(self) -> None:
        """Forget what was found in other labels."""
        self._cancelled = True
        self.found, self._planes = {}, None
        self._tidy_timer.start()
        self.watch.follow(self.labels)
        self.choice.offer(self.viewer.layers)
        self._show_tables()
        self._show_plot()
        self.say(NO_LABELS if self.labels is None else "Press Measure or Compare.")

    def _reference_changed(self) -> None:
        if self.found.pop(COMPARE, None) is not None:
            self._show_tables()
            self._show_plot()

    # small things ----------------------------------------------------------

    def _set_picking(self, on: bool) -> None:
        callbacks = self.viewer.mouse_drag_callbacks
        if on and self._picked not in callbacks:
            callbacks.append(self._picked)
        elif not on and self._picked in callbacks:
            callbacks.remove(self._picked)

    def _picked(self, viewer: napari.Viewer, event: Any) -> Iterator[None]:
        """Take the place that is clicked on for the fovea."""
        layer = self.labels
        yield
        if event.type == "mouse_move" or layer is None:
            return
        place = layer.world_to_data(event.position)[-2:]
        if all(
            0 <= round(p) < n for p, n in zip(place, layer.data.shape[-2:], strict=True)
        ):
            self.choice.eye.show_click(*map(float, place))

    def _set_running(self, running: bool) -> None:
        self.run.set_running(running)
        self.export.setEnabled(not running)

    def _set_theme(self, event: object = None) -> None:
        theme = get_theme(self.viewer.theme)
        self.plot.set_theme(theme)
        self.results.model.faint = QColor(theme.highlight.as_hex())
        self._show_plot()

    def showEvent(self, event: object) -> None:
        """Be as wide as the controls are in napari's style."""
        needed = self.widget().minimumSizeHint().width() + SCROLL_BAR
        self.setMinimumWidth(max(needed, WIDTH))
        super().showEvent(event)

    def stop(self) -> None:
        """Stop listening, and drop what is being computed; layers stay."""
        self.plot.close_painter()
        for runner in (self.runner, self._drawer, self._looker, self._again):
            runner.close()
        self.watch.follow(None)
        self._plot_timer.stop()
        self._tidy_timer.stop()
        self._set_picking(False)
        for event in self._watched:
            event.disconnect(self._offer_layers)
        self.viewer.events.theme.disconnect(self._set_theme)
        self.viewer.dims.events.current_step.disconnect(self._moved)


def _told(work: Callable[[], Any]) -> Any:
    """Return what `work` returns, or what a user is told of bad input."""
    try:
        return work()
    except OctaError as error:
        return str(error)


def _ignore(*progress: object) -> None:
    """Nobody waits for it."""


def _look_again(
    data: np.ndarray, found: tuple[Freshness, ...], live: bool
) -> list[tuple[Freshness, list[int]]]:
    """Return the slices that changed since each answer; count the overlap anew."""
    for fresh in found:
        if live and fresh.answer.tally is not None:
            _told(partial(fresh.follow, data))
    return [(fresh, changed_slices(data, fresh.answer)) for fresh in found]


def _plot(
    name: str, found: tuple[Freshness, ...], plane: drawings.Plane | None
) -> drawings.Draw | str:
    answers = {fresh.answer.kind: fresh.now for fresh in found}
    return drawings.plot_of(name, answers, plane)


def _write(
    path: Path, answer: Answer, planes: tuple[drawings.Plane, ...] | None
) -> None:
    """Write a table, or a report with pictures."""
    from napari_octa_sam2.metrics.report import page, sheets

    if path.suffix.lower() not in page.SUFFIXES:
        sheets.write_results(path, answer.results)
        return
    if answer.kind != MEASURE:
        planes = ()
    elif planes is None:
        planes = drawings.planes(answer)
    with DRAWING:
        page.write_report(
            path,
            answer.results,
            title=TITLE[answer.kind],
            subject=str(answer.results.settings.get("subject", "")),
            pictures=drawings.pictures(answer, planes),
        )
