"""Figures that follow what is painted, and those that are out of date."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_octa_sam2.metrics.results import Results, Row
from napari_octa_sam2.widgets.measure.request import Answer
from napari_octa_sam2.widgets.measure.source import slice_checksum, slice_checksums

if TYPE_CHECKING:
    import numpy as np
    from napari.layers import Labels

TOUCH_MS, REST_MS = 60, 1000
# Painting, other programs and undo, new data: napari has an event for each.
EVENTS = ("paint", "labels_update", "set_data", "data")

IsOld = Callable[[Row, str], bool]


class LabelsWatch(QObject):
    """Tells when labels may have changed: soon, again and again, and when they rest.

    An event may also come of a slice that was merely looked at: who is told compares.

    Attributes
    ----------
    touched : Signal
        At most once in `TOUCH_MS`.
    rested : Signal
        `REST_MS` after the last event.
    """

    touched = Signal()
    rested = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._layer: Labels | None = None
        self._soon = QTimer(self, singleShot=True, interval=TOUCH_MS)
        self._later = QTimer(self, singleShot=True, interval=REST_MS)
        self._soon.timeout.connect(self.touched)
        self._later.timeout.connect(self.rested)

    def follow(self, layer: Labels | None) -> None:
        """Watch another layer, or none."""
        for name in EVENTS if self._layer is not None else ():
            getattr(self._layer.events, name).disconnect(self._noted)
        self._layer = layer
        for timer in (self._soon, self._later):
            timer.stop()
        for name in EVENTS if layer is not None else ():
            getattr(layer.events, name).connect(self._noted)

    def remind(self) -> None:
        """Tell again soon, as nobody had time."""
        self._soon.start()

    def _noted(self, event: Any) -> None:
        if not self._soon.isActive():
            self._soon.start()
        self._later.start()


class Freshness:
    """Which slices changed since an answer, and what of it is still right.

    Parameters
    ----------
    answer : Answer
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.changed: set[int] = set()
        self._live: Results | None = None

    def look(self, data: np.ndarray, index: int) -> bool:
        """Look at a slice; return whether it is other than it was a moment ago."""
        was = index in self.changed
        checksums = self.answer.checksums
        differs = len(data) != len(checksums) or (
            slice_checksum(data[index]) != checksums[index]
        )
        (self.changed.add if differs else self.changed.discard)(index)
        return differs or was

    def found(self, changed: Collection[int]) -> None:
        """Take note of all slices that changed, as `changed_slices` found them."""
        self.changed = set(changed)

    def follow(self, data: np.ndarray, index: int | None = None) -> None:
        """Count the overlap on a slice anew, or on all.

        Raises
        ------
        VolumeError
            If the labels have another shape now.
        """
        tally = self.answer.tally
        assert tally is not None
        tally.update(data, None if index is None else {index})
        self._live = tally.results()

    @property
    def now(self) -> Answer:
        """The answer with figures as new as they are known."""
        levels = self.answer.results.levels()
        rows = tuple(row for level in levels for row in self.rows(level))
        return replace(self.answer, results=replace(self.answer.results, rows=rows))

    def rows(self, level: str) -> tuple[Row, ...]:
        """Return the rows of a level; where they are live, those of now."""
        rows = self.answer.results.at(level)
        live = () if self._live is None else self._live.at(level)
        if not live:
            return rows
        before = {frozenset(row.labels.items()): row.figures for row in rows}
        return tuple(
            Row(
                level,
                row.labels,
                {**before.get(frozenset(row.labels.items()), {}), **row.figures},
            )
            for row in live
        )

    def is_old(self) -> IsOld | None:
        """Return what tells old figures; None if all are new."""
        if not self.changed:
            return None
        changed = frozenset(self.changed)
        live = set() if self._live is None else _keys(self._live)

        def old(row: Row, key: str) -> bool:
            if (row.level, key) in live:
                return False
            return row.labels.get("slice", None) in (None, *changed)

        return old


def changed_slices(data: np.ndarray, answer: Answer) -> list[int]:
    """Return the slices that are other than those of an answer."""
    now = slice_checksums(data)
    if now.shape != answer.checksums.shape:
        return list(range(len(now)))
    return [int(i) for i in (now != answer.checksums).nonzero()[0]]


def _keys(results: Results) -> set[tuple[str, str]]:
    return {(level, key) for level in results.levels() for key in results.keys(level)}
