"""The list of objects: colour, name, class, what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
)

from napari_octa_sam2.prompts import CLASSES

SHOWN, NAME, CLASS, LOCKED, SLICES, SURE = range(6)
HEADERS = ("", "Object", "Class", "Lock", "Slices", "Sure")
CHECKED, UNCHECKED = Qt.CheckState.Checked, Qt.CheckState.Unchecked


@dataclass(frozen=True)
class ObjectRow:
    """What the table says of an object.

    Parameters
    ----------
    id : int
    name, cls : str
    colour : tuple of float
        RGBA, 0 to 1.
    visible, locked : bool
    extent : (int, int), optional
        First and last slice that holds it.
    confidence : float, optional
        Mean over slices, 0 to 1.
    """

    id: int
    name: str
    cls: str
    colour: tuple[float, ...]
    visible: bool = True
    locked: bool = False
    extent: tuple[int, int] | None = None
    confidence: float | None = None


class ObjectTable(QTableWidget):
    """A row an object; the selected one receives new prompts."""

    selected = Signal(int)
    renamed = Signal(int, str)
    classified = Signal(int, str)
    shown = Signal(int, bool)
    locked = Signal(int, bool)

    def __init__(self) -> None:
        super().__init__(0, len(HEADERS))
        self._rows: tuple[ObjectRow, ...] = ()
        self.setHorizontalHeaderLabels(HEADERS)
        self.verticalHeader().hide()
        self.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.setSelectionMode(QTableWidget.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(24)
        for column in range(len(HEADERS)):
            header.setSectionResizeMode(column, _fit(column))
        self.setMinimumSize(360, 130)
        self.setToolTip(
            "New prompts belong to the selected object. Double-click a name to change "
            "it; tick the colour to show it, Lock to keep it as it is. Ctrl-click "
            "selects several, to merge them."
        )
        self.itemSelectionChanged.connect(self._selection_changed)
        self.itemChanged.connect(self._item_changed)

    @property
    def chosen(self) -> list[int]:
        """Ids of the selected objects."""
        return [self._rows[i.row()].id for i in self.selectionModel().selectedRows()]

    def show_objects(self, rows: Sequence[ObjectRow], current: int) -> None:
        """Show objects, `current` selected; a choice of several stays."""
        rows = tuple(rows)
        chosen = set(self.chosen) if self._rows else set()
        self.blockSignals(True)
        if [r.id for r in rows] != [r.id for r in self._rows]:
            self.setRowCount(0)
            self.setRowCount(len(rows))
            for number, row in enumerate(rows):
                self._add_row(number, row)
        self._rows = rows
        for number, row in enumerate(rows):
            self._show_row(number, row)
        if current not in chosen:
            self.clearSelection()
            ids = [row.id for row in rows]
            if current in ids:
                self.selectRow(ids.index(current))
        self.blockSignals(False)

    def _add_row(self, number: int, row: ObjectRow) -> None:
        ticked = Qt.ItemFlag.ItemIsUserCheckable
        plain = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        flags = {SHOWN: plain | ticked, LOCKED: plain | ticked}
        flags |= {NAME: plain | Qt.ItemFlag.ItemIsEditable, SLICES: plain, SURE: plain}
        for column, flag in flags.items():
            item = QTableWidgetItem()
            item.setFlags(flag)
            self.setItem(number, column, item)
        chooser = QComboBox()
        chooser.addItems(CLASSES)
        chooser.setMinimumWidth(64)
        chooser.currentTextChanged.connect(partial(self._class_chosen, row.id))
        self.setCellWidget(number, CLASS, chooser)

    def _show_row(self, number: int, row: ObjectRow) -> None:
        pixmap = QPixmap(14, 14)
        pixmap.fill(QColor.fromRgbF(*np.asarray(row.colour, float)))
        shown, name, locked, slices, sure = (
            self.item(number, column) for column in (SHOWN, NAME, LOCKED, SLICES, SURE)
        )
        shown.setIcon(QIcon(pixmap))
        shown.setCheckState(CHECKED if row.visible else UNCHECKED)
        name.setText(row.name)
        locked.setCheckState(CHECKED if row.locked else UNCHECKED)
        first, last = row.extent or ("", "")
        slices.setText(f"{first} to {last}" if row.extent else "")
        sure.setText("" if row.confidence is None else f"{row.confidence:.0%}")
        self.cellWidget(number, CLASS).setCurrentText(row.cls)

    def _selection_changed(self) -> None:
        if chosen := self.chosen:
            self.selected.emit(chosen[-1])

    def _class_chosen(self, object_id: int, cls: str) -> None:
        known = {row.id: row.cls for row in self._rows}
        if cls != known.get(object_id, cls):
            self.classified.emit(object_id, cls)

    def _item_changed(self, item: QTableWidgetItem) -> None:
        row = self._rows[item.row()]
        ticked = item.checkState() == CHECKED
        if item.column() == NAME and item.text() != row.name:
            self.renamed.emit(row.id, item.text())
        elif item.column() == SHOWN and ticked != row.visible:
            self.shown.emit(row.id, ticked)
        elif item.column() == LOCKED and ticked != row.locked:
            self.locked.emit(row.id, ticked)


def _fit(column: int) -> QHeaderView.ResizeMode:
    modes = QHeaderView.ResizeMode
    return modes.Stretch if column == NAME else modes.ResizeToContents
