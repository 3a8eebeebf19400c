"""The parts of the Segment dock: controls and the signals they send, no logic."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from magicgui.widgets import create_widget
from napari.layers import Image, Points
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_octa_sam2.engine.options import ATTENTIONS, DEVICES, DIRECTIONS
from napari_octa_sam2.model.registry import get_entry, model_names
from napari_octa_sam2.widgets._objects import ObjectTable

KEYS = {
    "click": "W",
    "polarity": "Q",
    "box": "R",
    "class": "K",
    "new": "N",
    "undo": "U",
    "propagate": "G",
    "cancel": "Escape",
}
LOCAL_CHECKPOINT = "Local checkpoint …"
LABEL_FORMATS = "OME-Zarr (*.ome.zarr);;NIfTI (*.nii.gz);;TIFF (*.tif);;NumPy (*.npy)"
PROMPT_FORMAT = "Prompts (*.json)"
Action = Callable[[], Any]


class SourcePanel(QGroupBox):
    """Image layer, model and device."""

    image_changed = Signal()
    engine_changed = Signal()

    def __init__(self) -> None:
        super().__init__("Source")
        self._checkpoint = ""
        self._image = create_widget(annotation=Image, label="Image")
        self._model = QComboBox()
        for name in model_names():
            entry = get_entry(name)
            size = f" ({entry.size_mb:.0f} MB download)" if entry.url else ""
            self._model.addItem(f"{entry.title}{size}", name)
        self._model.addItem(LOCAL_CHECKPOINT, "")
        self._device = QComboBox()
        self._device.addItems(DEVICES)
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
        self._model.activated.connect(self._model_chosen)
        for chosen in (self._device, self._attention):
            chosen.activated.connect(lambda: self.engine_changed.emit())

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
        return self._model.currentData() or self._checkpoint

    @model.setter
    def model(self, name_or_path: str) -> None:
        index = self._model.findData(name_or_path)
        self._checkpoint = "" if index >= 0 else name_or_path
        self._model.setCurrentIndex(index if index >= 0 else self._model.count() - 1)
        self.engine_changed.emit()

    @property
    def device(self) -> str:
        """The chosen device."""
        return str(self._device.currentText())

    @property
    def attention(self) -> str:
        """The chosen mode of memory attention."""
        return str(self._attention.currentText())

    def reset_choices(self) -> None:
        """Offer the layers that the viewer has now."""
        self._image.reset_choices()

    def _model_chosen(self) -> None:
        if self._model.currentData():
            self.engine_changed.emit()
            return
        kinds = "Checkpoints (*.pt *.pth *.safetensors)"
        path, _ = QFileDialog.getOpenFileName(self, "Checkpoint", "", kinds)
        self.model = path or model_names()[0]


class ObjectPanel(QGroupBox):
    """The objects, and what adds and removes them."""

    def __init__(self, new: Action, remove: Action) -> None:
        super().__init__("Objects")
        self.table = ObjectTable()
        column = QVBoxLayout(self)
        column.addWidget(self.table)
        column.addLayout(
            _row(
                key_button("New", "new", new, "Add an object"),
                key_button("Remove", None, remove, "Remove the object and its prompts"),
            )
        )


class PromptPanel(QGroupBox):
    """The prompting tools."""

    def __init__(
        self,
        click: Action,
        polarity: Action,
        box: Action,
        ask: Action,
        undo: Action,
        adopt: Action,
    ) -> None:
        super().__init__("Prompts")
        self.polarity = key_button(
            "Positive", "polarity", polarity, "What the next clicks say"
        )
        self.points = create_widget(annotation=Points, options={"nullable": True})
        self.ask = key_button("All of its class", "class", ask)
        column = QVBoxLayout(self)
        tip = "Click on the object; Ctrl-click beside it"
        column.addLayout(_row(key_button("Click", "click", click, tip), self.polarity))
        column.addLayout(
            _row(
                key_button("Box", "box", box, "Drag a box around the object"),
                key_button("Undo", "undo", undo, "Take the last prompt back"),
            )
        )
        column.addWidget(self.ask)
        tip = "Give the points of this layer to the selected object"
        adopt_button = key_button("Use points", None, adopt, tip)
        column.addLayout(_row(self.points.native, adopt_button))

    def show_polarity(self, positive: bool) -> None:
        """Say on the button what the next clicks mean."""
        word = "Positive" if positive else "Negative"
        self.polarity.setText(f"{word} [{KEYS['polarity']}]")

    def show_class(self, cls: str | None, known: Collection[str] | None) -> None:
        """Offer to ask for all of a class, or say why that cannot be.

        Parameters
        ----------
        cls : str, optional
            Class of the current object; None before there is one.
        known : collection of str, optional
            Classes that the model can be asked for; None while it is loaded.
        """
        if cls is None or cls == "other":
            why = "Choose the class of the object in the table first."
        elif known is None:
            why = "The model is not loaded yet."
        elif cls not in known:
            why = (
                f"This model cannot be asked for every {cls} (classes it knows: "
                f"{', '.join(known) or 'none'}). Click on the object, or choose "
                "another model."
            )
        else:
            why = ""
        self.ask.setEnabled(not why)
        self.ask.setToolTip(why or f"Find every {cls} on this slice, then correct it")


class PropagatePanel(QGroupBox):
    """Direction, range, progress."""

    def __init__(self, propagate: Action, cancel: Action) -> None:
        super().__init__("Propagate")
        self._direction = QComboBox()
        self._direction.addItems(DIRECTIONS)
        self._first, self._last = QSpinBox(), QSpinBox()
        self._start = key_button(
            "Propagate", "propagate", propagate, "Follow all objects"
        )
        self._cancel = key_button(
            "Cancel", "cancel", cancel, "Stop after this slice; keep what is done"
        )
        self.progress = QProgressBar()
        form = QFormLayout(self)
        form.addRow("Direction", self._direction)
        form.addRow("Slices", _row(self._first, QLabel("to"), self._last))
        form.addRow(_row(self._start, self._cancel))
        form.addRow(self.progress)
        self.set_running(False)

    @property
    def direction(self) -> str:
        """The chosen direction."""
        return str(self._direction.currentText())

    @property
    def slices(self) -> range:
        """The chosen slices."""
        low, high = sorted((self._first.value(), self._last.value()))
        return range(low, high + 1)

    @slices.setter
    def slices(self, slices: range) -> None:
        self._first.setValue(slices[0])
        self._last.setValue(slices[-1])

    def set_depth(self, depth: int) -> None:
        """Offer and choose all of `depth` slices."""
        for spin in (self._first, self._last):
            spin.setRange(0, depth - 1)
        self.slices = range(depth)

    def set_running(self, running: bool, cancellable: bool | None = None) -> None:
        """Show whether a propagation runs; a download can be cancelled as well."""
        self._start.setEnabled(not running)
        self._cancel.setEnabled(running if cancellable is None else cancellable)
        self.progress.setVisible(running)
        if running:
            self.progress.setRange(0, 0)

    def show_progress(self, step: int, steps: int) -> None:
        """Show how far the propagation is."""
        self.progress.setRange(0, steps)
        self.progress.setValue(step)


class FilePanel(QGroupBox):
    """Prompts and labels from and to files; each signal carries a path."""

    load_prompts = Signal(str)
    save_prompts = Signal(str)
    save_labels = Signal(str)

    def __init__(self) -> None:
        super().__init__("Files")
        column = QVBoxLayout(self)
        load = key_button("Load prompts …", None, self._ask_load)
        save = key_button("Save prompts …", None, self._ask_save_prompts)
        column.addLayout(_row(load, save))
        column.addWidget(key_button("Save labels …", None, self._ask_save_labels))

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


def key_button(text: str, key: str | None, action: Action, tip: str = "") -> QWidget:
    """Return a button that shows its key and calls `action` without arguments."""
    button = QPushButton(f"{text} [{KEYS[key]}]" if key else text)
    button.setToolTip(tip)
    button.clicked.connect(lambda: action())
    return button


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row
