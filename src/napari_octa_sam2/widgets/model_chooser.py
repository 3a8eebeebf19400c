"""The choice of a model, in every dock that has one."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog

from napari_octa_sam2.model.registry import get_entry, model_names
from napari_octa_sam2.widgets.controls import let_shrink

LOCAL_CHECKPOINT, FROM_SCRATCH = "Local checkpoint …", "Random weights"
KINDS = "Checkpoints (*.pt *.pth *.safetensors)"


class ModelChooser(QComboBox):
    """The models by name, or a checkpoint."""

    chosen = Signal()

    def __init__(self) -> None:
        super().__init__()
        for name in model_names():
            entry = get_entry(name)
            size = f" ({entry.size_mb:.0f} MB download)" if entry.url else ""
            self.addItem(f"{entry.title}{size}", name)
        self.addItem(LOCAL_CHECKPOINT, "")
        let_shrink(self)
        self.model = model_names()[0]
        self.activated.connect(self._activated)

    @property
    def model(self) -> str:
        """Name or path of the chosen one; empty for random weights."""
        return self._model

    @model.setter
    def model(self, name: str) -> None:
        self._model = name
        index, last = self.findData(name), self.count() - 1
        if index < 0:
            text = Path(name).name
        else:
            text = LOCAL_CHECKPOINT if name else FROM_SCRATCH
        self.setItemText(last, text)
        self.setCurrentIndex(index if index >= 0 else last)
        self.setEnabled(bool(name))
        self.setToolTip(name)
        self.chosen.emit()

    def _activated(self) -> None:
        name = self.currentData()
        if not name:
            path, _ = QFileDialog.getOpenFileName(self, "Checkpoint", "", KINDS)
            name = path or self.model
        self.model = name
