"""Where work comes from and goes to: image and model, earlier work, files."""

from __future__ import annotations

from magicgui.widgets import create_widget
from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QLabel,
    QVBoxLayout,
)

from napari_octa_sam2.engine.options import ATTENTIONS, DEVICES
from napari_octa_sam2.widgets.controls import Act, button, let_shrink, row_of
from napari_octa_sam2.widgets.model_chooser import ModelChooser

LABEL_FORMATS = "OME-Zarr (*.ome.zarr);;NIfTI (*.nii.gz);;TIFF (*.tif);;NumPy (*.npy)"
PROMPT_FORMAT = "Prompts (*.json)"


class SourcePanel(QGroupBox):
    """Image layer, model and device."""

    image_changed = Signal()
    engine_changed = Signal()

    def __init__(self) -> None:
        super().__init__("Source")
        self._image = create_widget(annotation=Image, label="Image")
        self._model = ModelChooser()
        self._device = QComboBox()
        self._device.addItems(DEVICES)
        let_shrink(self._image.native)
        form = QFormLayout(self)
        form.addRow("Image", self._image.native)
        form.addRow("Model", self._model)
        form.addRow("Device", self._device)
        self._attention = QComboBox()
        self._attention.addItems(ATTENTIONS)
        self._attention.setToolTip(
            "Memory attention: exact, or pooled, which is faster with large models and "
            "changes masks a little"
        )
        form.addRow("Attention", self._attention)
        self._image.changed.connect(lambda: self.image_changed.emit())
        for chosen in (
            self._model.chosen,
            self._device.activated,
            self._attention.activated,
        ):
            chosen.connect(lambda: self.engine_changed.emit())

    @property
    def image(self) -> Image | None:
        """The chosen image layer."""
        return self._image.value

    @image.setter
    def image(self, layer: Image) -> None:
        self._image.value = layer

    @property
    def model(self) -> str:
        """Name or path of the chosen model."""
        return self._model.model

    @model.setter
    def model(self, name_or_path: str) -> None:
        self._model.model = name_or_path

    @property
    def device(self) -> str:
        """The chosen device."""
        return str(self._device.currentText())

    @device.setter
    def device(self, name: str) -> None:
        self._device.setCurrentText(name)

    @property
    def attention(self) -> str:
        """The chosen mode of memory attention."""
        return str(self._attention.currentText())

    def reset_choices(self) -> None:
        """Offer the layers that the viewer has now."""
        self._image.reset_choices()


class ResumePanel(QGroupBox):
    """Offers to go on with earlier work on the same volume."""

    def __init__(self, act: Act) -> None:
        super().__init__("Earlier work")
        self._text = QLabel(wordWrap=True)
        column = QVBoxLayout(self)
        column.addWidget(self._text)
        resume = button("Resume", lambda: act("resume"), "Go on where it stopped")
        anew = button("Start anew", lambda: act("start_anew"), "Keep it, begin afresh")
        column.addLayout(row_of(resume, anew))
        self.hide()

    def offer(self, text: str) -> None:
        """Offer what `text` tells of."""
        self._text.setText(text)
        self.show()


class FilePanel(QGroupBox):
    """Prompts and labels from and to files; each signal carries a path."""

    load_prompts = Signal(str)
    save_prompts = Signal(str)
    save_labels = Signal(str)

    def __init__(self) -> None:
        super().__init__("Files")
        column = QVBoxLayout(self)
        load = button("Load prompts …", self._ask_load)
        save = button("Save prompts …", self._ask_save_prompts)
        column.addLayout(row_of(load, save))
        column.addWidget(button("Save labels …", self._ask_save_labels))
        self.saved = QLabel(wordWrap=True)
        column.addWidget(self.saved)

    def _ask_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load prompts", "", PROMPT_FORMAT)
        if path:
            self.load_prompts.emit(path)

    def _ask_save_prompts(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save prompts", "prompts.json", PROMPT_FORMAT
        )
        if path:
            self.save_prompts.emit(path)

    def _ask_save_labels(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save labels", "labels.ome.zarr", LABEL_FORMATS
        )
        if path:
            self.save_labels.emit(path)
