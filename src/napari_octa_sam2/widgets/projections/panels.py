"""The parts of the Projections dock: choosers of layers and depths, no logic."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from napari.layers import Image, Labels, Layer
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QSpinBox,
    QWidget,
)

from napari_octa_sam2.volume.slabs import HOW
from napari_octa_sam2.volume.surfaces import DepthLimit
from napari_octa_sam2.widgets.controls import Action, button, row_of
from napari_octa_sam2.widgets.layer_chooser import LayerChooser

SLICE, ESTIMATED = "Slice", "Estimated surface"


class LimitChooser(QWidget):
    """A slice, or slices behind a surface."""

    def __init__(self, *, slices: bool = True) -> None:
        super().__init__()
        self._depth = 1
        self._was_fixed = slices
        self.surface = LayerChooser(*((SLICE,) if slices else ()), ESTIMATED)
        self.offset = QSpinBox()
        self.offset.setToolTip("The slice, or slices behind the surface")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.surface, 1)
        row.addWidget(self.offset)
        self.surface.layer_changed.connect(self._set_range)
        self._set_range()

    @property
    def fixed(self) -> bool:
        """Whether a slice is chosen, and no surface."""
        return bool(self.surface.currentText() == SLICE and self.surface.layer is None)

    @property
    def limit(self) -> DepthLimit:
        """The chosen depth."""
        offset = float(self.offset.value())
        if self.fixed:
            return DepthLimit(offset)
        layer = self.surface.layer
        return DepthLimit(
            offset, "estimated" if layer is None else np.asarray(layer.data)
        )

    @property
    def text(self) -> str:
        """What the depth is called in names of layers."""
        if self.fixed:
            return str(self.offset.value())
        layer = self.surface.layer
        name = "surface" if layer is None else layer.name
        return f"{name}{self.offset.value():+d}" if self.offset.value() else name

    def set_depth(self, depth: int, chosen: int) -> None:
        """Allow the slices of a volume; without a surface, choose one of them."""
        self._depth = depth
        self._set_range()
        if self.fixed:
            self.offset.setValue(chosen)

    def _set_range(self) -> None:
        self.offset.setRange(0 if self.fixed else -self._depth, self._depth - 1)
        if self.fixed != self._was_fixed:
            self._was_fixed = self.fixed
            self.offset.setValue(0)


class ProjectionPanel(QGroupBox):
    """Two depths and how what lies between them is projected."""

    def __init__(self, add: Action) -> None:
        super().__init__("Projection")
        self.first, self.last = LimitChooser(), LimitChooser()
        self.how = QComboBox()
        self.how.addItems(HOW)
        self.button = button("Add projection", add, "Both depths are included")
        form = QFormLayout(self)
        form.addRow("From", self.first)
        form.addRow("To", self.last)
        form.addRow("How", self.how)
        form.addRow(self.button)

    @property
    def name(self) -> str:
        """What the projection is called, behind the name of the image."""
        joint = "-" if self.first.fixed and self.last.fixed else " to "
        return f"{self.first.text}{joint}{self.last.text} {self.how.currentText()}"


class ThreeSlabsPanel(QGroupBox):
    """The three surfaces of the projection maps of OCTA-500."""

    def __init__(self, add: Action) -> None:
        super().__init__("Three slabs")
        self.limits = {name: LimitChooser() for name in ("ILM", "OPL", "BM")}
        tip = "FULL (mean), ILM_OPL and OPL_BM (maximum) as three slices of one image"
        self.button = button("Add three slabs", add, tip)
        form = QFormLayout(self)
        for name, limit in self.limits.items():
            form.addRow(name, limit)
        form.addRow(self.button)


class FlattenPanel(QGroupBox):
    """A surface to flatten to, and labels to bring back."""

    def __init__(self, show_surface: Action, flatten: Action, restore: Action) -> None:
        super().__init__("Flatten")
        self.surface = LimitChooser(slices=False)
        self.labels, self.flattened = LayerChooser(), LayerChooser()
        self.buttons = (
            button("Add surface", show_surface, "Show the surface as an image"),
            button("Flatten", flatten, "Shift columns so that the surface is flat"),
            button(
                "Labels back to the scan",
                restore,
                "Move labels of the flattened image to the grid of the scan",
            ),
        )
        form = QFormLayout(self)
        form.addRow("Surface", self.surface)
        form.addRow(row_of(*self.buttons[:2]))
        form.addRow("Labels", self.labels)
        form.addRow("drawn on", self.flattened)
        form.addRow(self.buttons[2])


def volumes(layers: Iterable[Layer]) -> list[Layer]:
    """Return the images that can be projected."""
    return [
        layer
        for layer in layers
        if isinstance(layer, Image)
        and layer.ndim >= 3
        and "slabs" not in layer.metadata
    ]


def surfaces(layers: Iterable[Layer]) -> list[Layer]:
    """Return the images that may hold the depths of a surface."""
    return [
        layer
        for layer in layers
        if isinstance(layer, Image)
        and layer.ndim == 2
        and not layer.rgb
        and "projection" not in layer.metadata
    ]


def labels(layers: Iterable[Layer]) -> list[Layer]:
    """Return the labels that can be brought back to a scan."""
    return [x for x in layers if isinstance(x, Labels) and x.ndim == 3]


def flattened(layers: Iterable[Layer]) -> list[Layer]:
    """Return the flattened images."""
    return [x for x in layers if isinstance(x, Image) and "flattening" in x.metadata]
