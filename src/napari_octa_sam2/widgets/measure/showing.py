"""Plot and overlays of what was measured; what they need is computed in a thread."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QCheckBox

from napari_octa_sam2.errors import OctaError
from napari_octa_sam2.metrics.report.planes import Plane, planes
from napari_octa_sam2.widgets.measure import drawings
from napari_octa_sam2.widgets.measure.overlays import TITLES, Overlays
from napari_octa_sam2.widgets.measure.place import shown_slice
from napari_octa_sam2.widgets.measure.plot import PlotPanel
from napari_octa_sam2.widgets.measure.request import MEASURE, Answer
from napari_octa_sam2.widgets.task import TaskRunner

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_octa_sam2.metrics.report.drawings import Draw
    from napari_octa_sam2.widgets.measure.live import Freshness

PLOT_MS = 250  # of rest before a plot is drawn anew while annotating


class Showing(QObject):
    """Draws the chosen plot and the ticked overlays of the answers.

    Attributes
    ----------
    said : Signal
        ``(text,)`` for the line of status.
    planes : tuple of Plane or None
        That were drawn of what was measured; None before.
    """

    said = Signal(str)

    def __init__(self, viewer: napari.Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._found: Mapping[str, Freshness] = {}
        self._layer: Labels | None = None
        self.planes: tuple[Plane, ...] | None = None
        self.plot, self.overlays = PlotPanel(), Overlays(viewer)
        self.boxes = {name: QCheckBox(title) for name, title in TITLES.items()}
        self.drawer = TaskRunner(lambda text: None, lambda running: None)
        self.soon = QTimer(self, singleShot=True, interval=PLOT_MS)
        self.soon.timeout.connect(self.show_plot)
        # Deferred: closing the viewer removes every layer, one after the other.
        self._tidy = QTimer(self, singleShot=True, interval=0)
        self._tidy.timeout.connect(self.overlays.hide_all)
        self.plot.plot_changed.connect(self.show_plot)
        for name, box in self.boxes.items():
            box.toggled.connect(partial(self._toggled, name))
        viewer.dims.events.current_step.connect(self._moved)

    def follow(self, found: Mapping[str, Freshness], layer: Labels | None) -> None:
        """Show answers on other labels."""
        self._found, self._layer = found, layer
        self.planes = None
        self._tidy.start()
        self.show_plot()

    def show_answer(self, answer: Answer) -> None:
        """Show a new answer."""
        if answer.kind == MEASURE:
            self.planes = None
        self.show_plot()
        self.show_overlays()

    def show_soon(self, *, measured: bool = False) -> None:
        """Show what changed while annotating; `measured` of what was measured."""
        self.soon.start()
        if measured:
            self.planes = None
            if any(box.isChecked() for box in self.boxes.values()):
                self._draw_planes()

    def show_plot(self) -> None:
        """Draw the chosen plot; what it needs is computed first."""
        of_measure = self.plot.name not in drawings.NEEDED
        if of_measure and MEASURE in self._found and self.planes is None:
            self._draw_planes()
        found = tuple(self._found.values())
        self.plot.show_plot(partial(_plot, self.plot.name, found, self._plane()))

    def show_overlays(self) -> None:
        """Draw the ticked overlays."""
        wanted = [name for name, box in self.boxes.items() if box.isChecked()]
        if not wanted or MEASURE not in self._found or self._layer is None:
            return
        if self.planes is None:
            QTimer.singleShot(0, self._draw_planes)
            return
        for name in wanted:
            if not self.overlays.show(name, self._layer, self.planes):
                self.said.emit(f"{TITLES[name]}: nothing to draw.")

    def stop(self) -> None:
        """Draw nothing any more."""
        self.plot.close_painter()
        self.drawer.close()
        self.soon.stop()
        self._tidy.stop()
        self._viewer.dims.events.current_step.disconnect(self._moved)

    def _draw_planes(self) -> None:
        fresh = self._found.get(MEASURE)
        if fresh is not None and not self.drawer.busy:
            work = partial(_planes, fresh.answer)
            self.drawer.start("Drawing", work, partial(self._show_planes, fresh.answer))

    def _show_planes(self, answer: Answer, made: tuple[Plane, ...] | str) -> None:
        fresh = self._found.get(MEASURE)
        if fresh is None or fresh.answer is not answer:
            QTimer.singleShot(0, self.show_plot)
            return
        if isinstance(made, str):
            self.said.emit(made)
            return
        self.planes = made
        self.show_plot()
        self.show_overlays()

    def _plane(self) -> Plane | None:
        """Return the plane on screen, if it was computed."""
        if not self.planes:
            return None
        flat = self.planes[0].index is not None
        index = shown_slice(self._viewer, self._layer) if flat else 0
        return self.planes[min(index, len(self.planes) - 1)]

    def _toggled(self, name: str, on: bool) -> None:
        if not on:
            self.overlays.hide(name)
        elif MEASURE not in self._found:
            self.said.emit("Press Measure, and the overlay is drawn.")
        else:
            self.show_overlays()

    def _moved(self) -> None:
        if self.planes and self.planes[0].index is not None:
            self.soon.start()


def _planes(answer: Answer) -> tuple[Plane, ...] | str:
    """Return what is drawn of an answer, or what a user is told of bad input."""
    assert answer.subject is not None
    try:
        return planes(answer.subject, answer.results)
    except OctaError as error:
        return str(error)


def _plot(name: str, found: tuple[Freshness, ...], plane: Plane | None) -> Draw | str:
    answers = {fresh.answer.kind: fresh.now for fresh in found}
    return drawings.plot_of(name, answers, plane)
