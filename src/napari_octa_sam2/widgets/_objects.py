"""The list of objects: colour, name, class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QComboBox, QHeaderView, QTableWidget, QTableWidgetItem

from napari_octa_sam2.prompts import CLASSES

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_octa_sam2.prompts import PromptObject

COLOUR, NAME, CLASS = range(3)


class ObjectTable(QTableWidget):
    """A row an object; the selected one receives new prompts."""

    selected = Signal(int)
    renamed = Signal(int, str, str)

    def __init__(self) -> None:
        super().__init__(0, 3)
        self.setHorizontalHeaderLabels(["", "Object", "Class"])
        self.verticalHeader().hide()
        self.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.setSelectionMode(QTableWidget.SelectionMode.SingleSelection)
        header = self.horizontalHeader()
        header.setSectionResizeMode(COLOUR, QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(CLASS, QHeaderView.ResizeMode.ResizeToContents)
        self.setColumnWidth(COLOUR, 28)
        self.setMinimumHeight(110)
        self.setToolTip(
            "New prompts belong to the selected object. "
            "Double-click a name to change it."
        )
        self.itemSelectionChanged.connect(self._selection_changed)
        self.itemChanged.connect(self._item_changed)

    def show_objects(
        self, objects: dict[int, PromptObject], current: int, labels: Labels | None
    ) -> None:
        """Show `objects` with the colours of `labels`, `current` selected."""
        self.blockSignals(True)
        self.setRowCount(0)
        self.setRowCount(len(objects))
        for row, obj in enumerate(objects.values()):
            self._show_row(row, obj, labels)
            if obj.id == current:
                self.selectRow(row)
        self.blockSignals(False)

    def object_at(self, row: int) -> int:
        """Return the id of the object in a row."""
        return int(self.item(row, COLOUR).data(Qt.ItemDataRole.UserRole))

    def _show_row(self, row: int, obj: PromptObject, labels: Labels | None) -> None:
        swatch = QTableWidgetItem()
        swatch.setData(Qt.ItemDataRole.UserRole, obj.id)
        swatch.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
        colour = labels.get_color(obj.id) if labels is not None else None
        if colour is not None:
            pixmap = QPixmap(14, 14)
            pixmap.fill(QColor.fromRgbF(*np.asarray(colour, float)))
            swatch.setIcon(QIcon(pixmap))
        self.setItem(row, COLOUR, swatch)
        self.setItem(row, NAME, QTableWidgetItem(obj.name))
        chooser = QComboBox()
        chooser.addItems(CLASSES)
        chooser.setCurrentText(obj.cls)
        chooser.currentTextChanged.connect(
            lambda cls, object_id=obj.id, r=row: self.renamed.emit(
                object_id, self.item(r, NAME).text(), cls
            )
        )
        self.setCellWidget(row, CLASS, chooser)

    def _selection_changed(self) -> None:
        rows = self.selectionModel().selectedRows()
        if rows:
            self.selected.emit(self.object_at(rows[0].row()))

    def _item_changed(self, item: QTableWidgetItem) -> None:
        if item.column() == NAME:
            chooser = self.cellWidget(item.row(), CLASS)
            self.renamed.emit(
                self.object_at(item.row()), item.text(), chooser.currentText()
            )
