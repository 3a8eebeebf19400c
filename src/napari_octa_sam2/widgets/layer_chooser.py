"""The chooser of a layer that docks share."""

from __future__ import annotations

from collections.abc import Iterable

from napari.layers import Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox


class LayerChooser(QComboBox):
    """A box of layers, behind entries that are always there."""

    layer_changed = Signal()

    def __init__(self, *fixed: str) -> None:
        super().__init__()
        self._fixed = fixed
        self._layers: list[Layer] = []
        self.addItems(fixed)
        self.currentIndexChanged.connect(lambda: self.layer_changed.emit())

    @property
    def layer(self) -> Layer | None:
        """The chosen layer; None for a fixed entry or where there is none."""
        index = self.currentIndex() - len(self._fixed)
        return self._layers[index] if index >= 0 else None

    @layer.setter
    def layer(self, layer: Layer) -> None:
        self.setCurrentIndex(len(self._fixed) + self._layers.index(layer))

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer these layers; the choice stays where it can."""
        before, entry = self.layer, self.currentIndex()
        self.blockSignals(True)
        self._layers = list(layers)
        self.clear()
        self.addItems([*self._fixed, *(layer.name for layer in self._layers)])
        if before in self._layers:
            self.layer = before
        elif before is None and 0 <= entry < len(self._fixed):
            self.setCurrentIndex(entry)
        self.blockSignals(False)
        if self.layer is not before:
            self.layer_changed.emit()
