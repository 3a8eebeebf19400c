"""Figures that follow the labels while they are annotated."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_octa_sam2.errors import OctaError
from napari_octa_sam2.layers import as_slices
from napari_octa_sam2.widgets.measure.live import (
    Freshness,
    LabelsWatch,
    changed_slices,
)
from napari_octa_sam2.widgets.measure.place import shown_slice
from napari_octa_sam2.widgets.measure.request import (
    COMPARE,
    MEASURE,
    Answer,
    MeasureRequest,
)
from napari_octa_sam2.widgets.task import TaskRunner

if TYPE_CHECKING:
    import napari
    import numpy as np
    from napari.layers import Labels


class Follower(QObject):
    """Looks which answers are out of date, and renews what it can.

    The slice on screen is looked at while it is painted; all slices, in a thread, when
    the labels rest.

    Parameters
    ----------
    viewer : napari.Viewer
    request : callable
        Returns the request for the biomarkers; may raise `OctaError`.
    is_free : callable
        Returns whether nothing else is measured.
    parent : QObject

    Attributes
    ----------
    changed : Signal
        Figures changed, or became old.
    measured : Signal
        ``(Answer,)``: the labels were measured again.
    said : Signal
        ``(text,)`` for the line of status.
    """

    changed, measured, said = Signal(), Signal(object), Signal(str)

    def __init__(
        self,
        viewer: napari.Viewer,
        request: Callable[[], MeasureRequest],
        is_free: Callable[[], bool],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._request, self._is_free = viewer, request, is_free
        self._found: dict[str, Freshness] = {}
        self._layer: Labels | None = None
        self.live, self._stopped, self._strokes = False, False, 0
        self.looker = TaskRunner(lambda text: None, lambda running: None)
        self.measurer = TaskRunner(lambda text: None, lambda running: None)
        self.watch = LabelsWatch(self)
        self.watch.touched.connect(self._touched)
        self.watch.rested.connect(self.look)

    def follow(self, found: dict[str, Freshness], layer: Labels | None) -> None:
        """Follow other labels, and the answers that are about them."""
        self._found, self._layer = found, layer
        self.watch.follow(layer)

    def stop(self) -> None:
        """Follow nothing any more."""
        self._stopped = True
        self.follow({}, None)
        self.looker.close()
        self.measurer.close()

    def look(self) -> None:
        """Look at all slices, in a thread."""
        layer = self._layer
        if layer is None or not self._found or self.looker.busy:
            return
        found = tuple(self._found.values())
        work = partial(_look_again, as_slices(layer.data), found, self.live)
        self.looker.start("Looking", work, partial(self._looked, layer))

    def _touched(self) -> None:
        """Look at the slice on screen; renew what can be had at once."""
        layer = self._layer
        if layer is None or not self._found:
            return
        data, index = as_slices(layer.data), shown_slice(self._viewer, layer)
        differs = [fresh.look(data, index) for fresh in self._found.values()]
        if not any(differs):
            return
        self._strokes += 1
        if self.live:
            if COMPARE in self._found:
                self._count(self._found[COMPARE], data, index)
            if MEASURE in self._found and len(data) == 1:
                self._measure()
        self.changed.emit()

    def _count(self, fresh: Freshness, data: np.ndarray, index: int) -> None:
        if self.looker.busy:
            self.watch.remind()
            return
        try:
            fresh.follow(data, index)
        except OctaError as error:
            self.said.emit(str(error))

    def _looked(self, layer: Labels, looked: list[tuple[Freshness, list[int]]]) -> None:
        changed = False
        for fresh, slices in looked:
            if self._found.get(fresh.answer.kind) is fresh:
                changed |= fresh.changed != set(slices) or bool(slices)
                fresh.found(slices)
        if changed and layer is self._layer:
            self.changed.emit()
            measured = self._found.get(MEASURE)
            if self.live and measured is not None and measured.changed:
                QTimer.singleShot(0, self._measure)

    def _measure(self) -> None:
        """Measure what changed, in a thread; nobody is warned of bad input."""
        layer, strokes = self._layer, self._strokes
        if layer is None or self.measurer.busy or not self._is_free():
            self.watch.remind()
            return
        try:
            request = self._request()
        except OctaError as error:
            self.said.emit(str(error))
            return
        flat = layer.ndim == 2 or len(layer.data) == 1

        def late() -> bool:
            return self._stopped or not (flat or strokes == self._strokes)

        def show(answer: Answer | str) -> None:
            if layer is not self._layer or late():
                return
            if isinstance(answer, str):
                self.said.emit(answer)
                return
            self.measured.emit(answer)
            self.watch.remind()

        self.measurer.start("Measuring", partial(_measured, request, late), show)


def _ignore(*progress: object) -> None:
    """Nobody waits for it."""


def _measured(request: MeasureRequest, late: Callable[[], bool]) -> Answer | str:
    """Return an answer, or what a user is told of bad input."""
    try:
        return request.run(_ignore, late)
    except OctaError as error:
        return str(error)


def _look_again(
    data: np.ndarray, found: tuple[Freshness, ...], live: bool
) -> list[tuple[Freshness, list[int]]]:
    """Return the slices that changed since each answer; count the overlap anew."""
    for fresh in found:
        if live and fresh.answer.tally is not None:
            with suppress(OctaError):  # of another shape: told to be out of date
                fresh.follow(data)
    return [(fresh, changed_slices(data, fresh.answer)) for fresh in found]
