"""Results as a table: a row a thing, a column a figure, with its definition."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from qtpy.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QLabel,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_octa_sam2.metrics.definitions import Definition
from napari_octa_sam2.metrics.report.levels import LevelTable
from napari_octa_sam2.metrics.results import Row
from napari_octa_sam2.widgets.controls import let_shrink
from napari_octa_sam2.widgets.measure.live import IsOld

ROLES = Qt.ItemDataRole
SORTED = ROLES.UserRole
BEFORE = "Before the last change of the labels."
LINES = 9  # of the table that are always seen
WIDEST = 160  # pixels of a column of names
MakeTable = Callable[[], tuple[LevelTable | None, "IsOld | None"]]


class LevelModel(QAbstractTableModel):
    """The rows of a level; those of figures that are out of date are dimmed."""

    def __init__(self) -> None:
        super().__init__()
        self.faint = QColor("gray")
        self.table: LevelTable | None = None
        self._is_old: IsOld | None = None

    def show_table(self, table: LevelTable | None, is_old: IsOld | None) -> None:
        """Show a table; `is_old` tells which of its figures are out of date."""
        shape = self._shape()
        same = _headers(table) == _headers(self.table) and shape == _shape(table)
        if not same:
            self.beginResetModel()
        self.table, self._is_old = table, is_old
        if not same:
            self.endResetModel()
        elif shape[0]:
            last = self.index(shape[0] - 1, shape[1] - 1)
            self.dataChanged.emit(self.index(0, 0), last)

    def row(self, number: int) -> Row | None:
        """Return what a line of the table is about."""
        return None if self.table is None else self.table.rows[number]

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return self._shape()[0] if parent is None or not parent.isValid() else 0

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return self._shape()[1] if parent is None or not parent.isValid() else 0

    def data(self, index: QModelIndex, role: int = ROLES.DisplayRole) -> Any:
        if self.table is None or not index.isValid():
            return None
        number = index.column() - len(self.table.labels)
        if role == ROLES.DisplayRole:
            return self._text(index)
        if number < 0:
            return self._label(index, role)
        column = self.table.columns[number]
        figure = column.figures[index.row()]
        if role == ROLES.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == SORTED:
            return math.nan if figure is None else figure.value
        if role == ROLES.ToolTipRole:
            parts = [figure.why_not] if figure and figure.why_not else []
            return "\n".join(parts + [BEFORE] * self._old(index)) or None
        if role == ROLES.ForegroundRole and self._old(index):
            return self.faint
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = ROLES.DisplayRole
    ) -> Any:
        if self.table is None or orientation != Qt.Orientation.Horizontal:
            return None
        if role == ROLES.DisplayRole:
            return _headers(self.table)[section]
        number = section - len(self.table.labels)
        if role == ROLES.ToolTipRole and number >= 0:
            return explained(self.table.columns[number].definition)
        return None

    def _label(self, index: QModelIndex, role: int) -> Any:
        assert self.table is not None
        if role == SORTED:
            row = self.table.rows[index.row()]
            return row.labels.get(self.table.labels[index.column()], "")
        if role == ROLES.ToolTipRole:
            return self._text(index)
        return None

    def _old(self, index: QModelIndex) -> bool:
        if self._is_old is None or self.table is None:
            return False
        column = self.table.columns[index.column() - len(self.table.labels)]
        return self._is_old(self.table.rows[index.row()], column.definition.key)

    def _text(self, index: QModelIndex) -> str:
        assert self.table is not None
        at, number = index.row(), index.column() - len(self.table.labels)
        if number >= 0:
            return self.table.columns[number].texts[at]
        return str(self.table.rows[at].labels.get(self.table.labels[number], ""))

    def _shape(self) -> tuple[int, int]:
        return _shape(self.table)


class ByValue(QSortFilterProxyModel):
    """Sorts numbers as numbers; what is not available comes last, up or down."""

    def lessThan(self, left: QModelIndex, right: QModelIndex) -> bool:
        one, other = (self.sourceModel().data(i, SORTED) for i in (left, right))
        gone = [isinstance(v, float) and math.isnan(v) for v in (one, other)]
        if any(gone):
            descending = self.sortOrder() == Qt.SortOrder.DescendingOrder
            return gone[0] != gone[1] and gone[0] == descending
        if isinstance(one, str) or isinstance(other, str):
            return str(one) < str(other)
        return bool(one < other)


class ResultsPanel(QWidget):
    """Tables of results, one shown at a time.

    Attributes
    ----------
    level_changed : Signal
        ``(name of the table,)``.
    chosen : Signal
        ``(Row,)`` that the user selected.
    """

    level_changed = Signal(str)
    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._tables: dict[str, MakeTable] = {}
        self.level, self.view, self.notes = QComboBox(), QTableView(), QLabel()
        let_shrink(self.level)
        self.model, self.sorted = LevelModel(), ByValue()
        self.sorted.setSourceModel(self.model)
        self.view.setModel(self.sorted)
        self.view.setSortingEnabled(True)
        self.view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.view.setWordWrap(False)
        self.view.verticalHeader().hide()
        line = self.fontMetrics().height() + 6
        self.view.verticalHeader().setDefaultSectionSize(line)
        self.view.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.view.setMinimumHeight((LINES + 2) * line)
        self.notes.setWordWrap(True)
        self.notes.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.level, self.view, self.notes):
            column.addWidget(part)
        self.level.currentIndexChanged.connect(lambda: self._show())
        self.view.selectionModel().selectionChanged.connect(lambda *_: self._selected())

    @property
    def shown(self) -> str:
        """Name of the table that is shown."""
        return str(self.level.currentText())

    def show_tables(self, tables: Mapping[str, MakeTable]) -> None:
        """Offer tables by their names; the one that is shown is made."""
        names, before = list(tables), self.shown
        self._tables = dict(tables)
        if names != [self.level.itemText(i) for i in range(self.level.count())]:
            self.level.blockSignals(True)
            self.level.clear()
            self.level.addItems(names)
            self.level.setCurrentText(before)
            self.level.blockSignals(False)
        self._show()

    def choose(self, name: str) -> None:
        """Show the table of this name."""
        self.level.setCurrentText(name)

    def choose_first(self, prefix: str) -> None:
        """Show the first table whose name begins so."""
        names = [self.level.itemText(i) for i in range(self.level.count())]
        self.level.setCurrentIndex(
            next((i for i, n in enumerate(names) if n.startswith(prefix)), 0)
        )

    def show_notes(self, notes: Sequence[str]) -> None:
        """Show what a reader has to know."""
        self.notes.setText("\n".join(f"• {note}" for note in notes))
        self.notes.setVisible(bool(notes))

    def _show(self) -> None:
        make = self._tables.get(self.shown)
        table, is_old = (None, None) if make is None else make()
        before = _headers(self.model.table)
        self.model.show_table(table, is_old)
        if table is not None and _headers(table) != before:
            self._fit(table)
        self.level_changed.emit(self.shown)

    def _fit(self, table: LevelTable) -> None:
        """Make columns as wide as they need, and hide names that are all the same."""
        for number in range(self.model.columnCount()):
            self.view.setColumnHidden(number, False)
        self.view.resizeColumnsToContents()
        for number, label in enumerate(table.labels):
            names = {row.labels.get(label) for row in table.rows}
            width = min(self.view.columnWidth(number), WIDEST)
            self.view.setColumnWidth(number, width)
            self.view.setColumnHidden(number, len(names) == 1 < len(table.rows))

    def _selected(self) -> None:
        rows = self.view.selectionModel().selectedRows()
        if rows:
            row = self.model.row(self.sorted.mapToSource(rows[0]).row())
            self.chosen.emit(row)


def explained(definition: Definition) -> str:
    """Return what a figure means, in HTML."""
    parts = (
        f"<b>{escape(definition.title)}</b>",
        escape(definition.formula),
        f"<i>{escape(definition.source)}</i>",
        escape(definition.bias),
    )
    return "".join(f"<p>{part}</p>" for part in parts)


def _headers(table: LevelTable | None) -> list[str]:
    if table is None:
        return []
    return [*table.labels, *(column.header for column in table.columns)]


def _shape(table: LevelTable | None) -> tuple[int, int]:
    if table is None:
        return 0, 0
    return len(table.rows), len(table.labels) + len(table.columns)
