"""The Measure dock: biomarkers, comparison, agreement, live while annotating."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.theme import get_theme
from qtpy.QtCore import Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_octa_sam2.errors import OctaError
from napari_octa_sam2.metrics.biomarkers.measurement import DEFAULT_REGIONS
from napari_octa_sam2.widgets.controls import Dock, button, row_of
from napari_octa_sam2.widgets.measure.export import FORMATS, write_answer
from napari_octa_sam2.widgets.measure.follow import Follower
from napari_octa_sam2.widgets.measure.live import Freshness
from napari_octa_sam2.widgets.measure.panels import ChoicePanel, RunPanel
from napari_octa_sam2.widgets.measure.place import Picker, show_row, show_slice
from napari_octa_sam2.widgets.measure.request import (
    AGREE,
    COMPARE,
    MEASURE,
    AgreeRequest,
    Answer,
    CompareRequest,
    MeasureRequest,
    Request,
)
from napari_octa_sam2.widgets.measure.showing import Showing
from napari_octa_sam2.widgets.measure.source import Source
from napari_octa_sam2.widgets.measure.table import ResultsPanel
from napari_octa_sam2.widgets.measure.tables import (
    kind_of,
    table_makers,
    with_features,
)
from napari_octa_sam2.widgets.task import TaskRunner

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_octa_sam2.metrics.results import Row

SCROLL_BAR, WIDTH = 16, 370  # pixels
DOING = {MEASURE: "Measuring", COMPARE: "Comparing", AGREE: "Comparing the graders"}
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
        self.found: dict[str, Freshness] = {}
        self._cancelled = False
        self.showing = Showing(napari_viewer, self)
        self.follower = Follower(
            napari_viewer, self._measure_request, lambda: not self.runner.busy, self
        )
        self._build()
        self._connect()
        self._set_theme()
        self._offer_layers()
        self._labels_changed()

    def _build(self) -> None:
        self.choice = ChoicePanel(DEFAULT_REGIONS)
        self.run = RunPanel(self.measure, self.compare, self.agree, self.cancel)
        self.results = ResultsPanel()
        self.picker = Picker(
            self.viewer, lambda: self.labels, self.choice.eye.show_click
        )
        self.export = button("Export …", self.ask_export, "The tables of this kind")
        content = QWidget()
        column = QVBoxLayout(content)
        for part in (self.choice, self.run, self.status, self.results):
            column.addWidget(part)
        column.addLayout(row_of(*self.showing.boxes.values()))
        column.addWidget(self.showing.plot)
        column.addWidget(self.export)
        column.addStretch()
        self.setWidget(content)
        self.setWidgetResizable(True)

    def _connect(self) -> None:
        layers = self.choice.layers
        layers.labels.layer_changed.connect(self._labels_changed)
        layers.reference.layer_changed.connect(self._reference_changed)
        self.choice.eye.pick.connect(self.picker.turn)
        self.run.live.toggled.connect(self._live_changed)
        self.results.chosen.connect(self.go_to)
        self.results.level_changed.connect(self._level_changed)
        self.showing.plot.slice_picked.connect(self._show_slice)
        self.showing.said.connect(self.say)
        self.progressed.connect(self._show_progress)
        self.follower.changed.connect(self._show_changes)
        self.follower.measured.connect(self._show_measured)
        self.follower.said.connect(self.say)
        events = self.viewer.layers.events
        self._watched = (events.inserted, events.removed, events.renamed)
        for event in self._watched:
            event.connect(self._offer_layers)
        self.viewer.events.theme.connect(self._set_theme)

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
        if layer is not None and fresh is not None:
            show_row(self.viewer, layer, row, fresh.answer)

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
        work = partial(
            write_answer, Path(path), self.found[kind].now, self.showing.planes
        )
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
        self._show_tables()
        self.showing.show_answer(answer)
        self.follower.look()

    # what is shown ---------------------------------------------------------

    def _show_slice(self, index: int) -> None:
        show_slice(self.viewer, self.labels, index)

    def _level_changed(self, name: str) -> None:
        fresh = self.found.get(kind_of(name))
        self.results.show_notes(() if fresh is None else fresh.answer.results.notes)

    def _show_tables(self) -> None:
        self.results.show_tables(table_makers(self.found))

    def _show_changes(self) -> None:
        """Show figures that changed while annotating, or became old."""
        self._show_tables()
        if self.run.live.isChecked():
            self.showing.show_soon()
        self._say_old()

    def _show_measured(self, answer: Answer) -> None:
        """Show what was measured again while annotating."""
        self.found[MEASURE] = Freshness(answer)
        self.showing.show_soon(measured=True)
        self._show_changes()

    def _say_old(self) -> None:
        old = [k for k, fresh in self.found.items() if fresh.is_old() is not None]
        if old and not self.runner.busy:
            names = {MEASURE: "Measure", COMPARE: "Compare", AGREE: "Agreement"}
            self.say(OLD.format(" and ".join(names[kind] for kind in old)))
        elif self.status.text().startswith(OLD[:20]):
            self.say("")

    def _live_changed(self, on: bool) -> None:
        self.follower.live = on
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
            self.follower.look()

    # layers come and go ----------------------------------------------------

    def _offer_layers(self, event: object = None) -> None:
        self.choice.offer(self.viewer.layers)

    def _labels_changed(self) -> None:
        """Forget what was found in other labels."""
        self._cancelled = True
        self.found = {}
        self.follower.follow(self.found, self.labels)
        self.showing.follow(self.found, self.labels)
        self.choice.offer(self.viewer.layers)
        self._show_tables()
        self.say(NO_LABELS if self.labels is None else "Press Measure or Compare.")

    def _reference_changed(self) -> None:
        if self.found.pop(COMPARE, None) is not None:
            self._show_tables()
            self.showing.show_plot()

    # small things ----------------------------------------------------------

    def _set_running(self, running: bool) -> None:
        self.run.set_running(running)
        self.export.setEnabled(not running)

    def _set_theme(self, event: object = None) -> None:
        theme = get_theme(self.viewer.theme)
        self.showing.plot.set_theme(theme)
        self.results.model.faint = QColor(theme.highlight.as_hex())
        self.showing.show_plot()

    def showEvent(self, event: object) -> None:
        """Be as wide as the controls are in napari's style."""
        needed = self.widget().minimumSizeHint().width() + SCROLL_BAR
        self.setMinimumWidth(max(needed, WIDTH))
        super().showEvent(event)

    def stop(self) -> None:
        """Stop listening, and drop what is being computed; layers stay."""
        self.showing.stop()
        self.follower.stop()
        self.runner.close()
        self.picker.turn(False)
        for event in self._watched:
            event.disconnect(self._offer_layers)
        self.viewer.events.theme.disconnect(self._set_theme)
