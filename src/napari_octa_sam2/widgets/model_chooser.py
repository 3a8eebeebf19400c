"""The choice of a model, in every dock that has one."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog

from napari_octa_sam2.model.registry import PROMPTED, get_entry, model_names
from napari_octa_sam2.widgets.controls import let_shrink

LOCAL_CHECKPOINT, FROM_SCRATCH = "Local checkpoint …", "Random weights"
KINDS = "Checkpoints (*.pt *.pth *.safetensors)"


class ModelChooser(QComboBox):
    """The models of a kind by name, or a checkpoint.

    Parameters
    ----------
    kind : {"prompted", "promptless"}
    """

    chosen = Signal()

    def __init__(self, kind: str = PROMPTED) -> None:
        super().__init__()
        self._models: dict[str, str] = {}  # chosen last, by kind
        self.offer(kind)
        let_shrink(self)
        self.activated.connect(self._activated)

    def offer(self, kind: str) -> None:
        """Offer the models of a kind; what was chosen of it last is chosen again."""
        self.kind = kind
        self.clear()
        for name in model_names(kind):
            entry = get_entry(name)
            size = f" ({entry.size_mb:.0f} MB download)" if entry.url else ""
            self.addItem(f"{entry.title}{size}", name)
        self.addItem(LOCAL_CHECKPOINT, "")
        self.model = self._models.get(kind, model_names(kind)[0])

    @property
    def model(self) -> str:
        """Name or path of the chosen one; empty for random weights."""
        return self._models[self.kind]

    @model.setter
    def model(self, name: str) -> None:
        self._models[self.kind] = name
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
