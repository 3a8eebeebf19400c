"""The parts of the Segment dock: controls and the signals they send, no logic."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from magicgui.widgets import create_widget
from napari.layers import Image, Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
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
from napari_octa_sam2.widgets._keys import COMMANDS, caption
from napari_octa_sam2.widgets._objects import ObjectTable

LOCAL_CHECKPOINT = "Local checkpoint …"
LABEL_FORMATS = "OME-Zarr (*.ome.zarr);;NIfTI (*.nii.gz);;TIFF (*.tif);;NumPy (*.npy)"
PROMPT_FORMAT = "Prompts (*.json)"
Act = Callable[[str], Any]  # does what is called so


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
        for chooser in (self._image.native, self._model):
            _let_shrink(chooser)
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

    def _model_chosen(self) -> None:
        if self._model.currentData():
            self.engine_changed.emit()
            return
        kinds = "Checkpoints (*.pt *.pth *.safetensors)"
        path, _ = QFileDialog.getOpenFileName(self, "Checkpoint", "", kinds)
        self.model = path or model_names()[0]


class ObjectPanel(QGroupBox):
    """The objects, and what adds, joins and removes them."""

    def __init__(self, act: Act) -> None:
        super().__init__("Objects")
        self.table = ObjectTable()
        column = QVBoxLayout(self)
        column.addWidget(self.table)
        column.addLayout(
            _row(
                key_button("new", act),
                key_button("next", act),
                _button("Remove", lambda: act("remove"), "Prompts and pixels as well"),
            )
        )
        column.addLayout(
            _row(
                _button("Merge", lambda: act("merge"), "Make the selected objects one"),
                _button("Split", lambda: act("split"), "Make pieces objects"),
                _button("Copy", lambda: act("copy"), "Add one with the same prompts"),
            )
        )


class PromptPanel(QGroupBox):
    """The prompting tools."""

    suppress = Signal(bool)

    def __init__(self, act: Act) -> None:
        super().__init__("Prompts")
        self.polarity = key_button("polarity", act)
        self.ask = key_button("class", act)
        self.layer = create_widget(annotation=Layer, options={"nullable": True})
        self._suppress = QCheckBox("Other objects' clicks are negative")
        self._suppress.setToolTip("So that a mask does not grow into its neighbours")
        self._suppress.toggled.connect(lambda on: self.suppress.emit(on))
        self._centre_lines = QCheckBox("as centre lines")
        self._centre_lines.setToolTip(
            "Of labels: click along each vessel instead of taking its mask as it is"
        )
        column = QVBoxLayout(self)
        column.addLayout(_row(key_button("click", act), self.polarity))
        column.addLayout(_row(*(key_button(n, act) for n in ("box", "scribble"))))
        column.addLayout(_row(*(key_button(n, act) for n in ("lasso", "paint"))))
        column.addWidget(self.ask)
        column.addLayout(
            _row(*(key_button(n, act) for n in ("absent", "first", "last")))
        )
        column.addWidget(self._suppress)
        tip = "Points become clicks of the selected object, labels become objects"
        adopt = _button("Use layer", lambda: act("adopt"), tip)
        _let_shrink(self.layer.native)
        column.addLayout(_row(self.layer.native, adopt))
        column.addWidget(self._centre_lines)
        column.addLayout(_row(*(key_button(n, act) for n in ("undo", "redo"))))

    @property
    def centre_lines(self) -> bool:
        """Whether labels are to be taken as centre lines."""
        return bool(self._centre_lines.isChecked())

    def show_suppress(self, on: bool) -> None:
        """Show whether clicks on others are negative ones."""
        self._suppress.blockSignals(True)
        self._suppress.setChecked(on)
        self._suppress.blockSignals(False)

    def show_polarity(self, positive: bool) -> None:
        """Say on the button what the next clicks mean."""
        word = "Positive" if positive else "Negative"
        self.polarity.setText(f"{word} [{COMMANDS['polarity'].key}]")

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


class ResumePanel(QGroupBox):
    """Offers to go on with earlier work on the same volume."""

    def __init__(self, act: Act) -> None:
        super().__init__("Earlier work")
        self._text = QLabel(wordWrap=True)
        column = QVBoxLayout(self)
        column.addWidget(self._text)
        resume = _button("Resume", lambda: act("resume"), "Go on where it stopped")
        anew = _button("Start anew", lambda: act("start_anew"), "Keep it, begin afresh")
        column.addLayout(_row(resume, anew))
        self.hide()

    def offer(self, text: str) -> None:
        """Offer what `text` tells of."""
        self._text.setText(text)
        self.show()


class PropagatePanel(QGroupBox):
    """Direction, range, progress."""

    def __init__(self, act: Act) -> None:
        super().__init__("Propagate")
        self._direction = QComboBox()
        self._direction.addItems(DIRECTIONS)
        self._first, self._last = QSpinBox(), QSpinBox()
        self._start = key_button("propagate", act)
        self._cancel = key_button("cancel", act)
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

    def set_steps(self, steps: int) -> None:
        """Say how many slices there are to be done at most."""
        self.progress.setRange(0, steps)

    def show_progress(self, step: int) -> int:
        """Show how far the work is; return how many slices it is at most."""
        self.progress.setValue(step)
        return int(self.progress.maximum())


class ReviewPanel(QGroupBox):
    """Verified slices, and the way to those that should be looked at."""

    threshold_changed = Signal(float)

    def __init__(self, act: Act) -> None:
        super().__init__("Review")
        self._left = QLabel(wordWrap=True)
        self._threshold = QSpinBox(suffix=" %")
        self._threshold.setRange(0, 100)
        self._threshold.setToolTip("Slices that the model is less sure of are doubtful")
        self._threshold.valueChanged.connect(
            lambda percent: self.threshold_changed.emit(percent / 100)
        )
        column = QVBoxLayout(self)
        column.addLayout(_row(*(key_button(n, act) for n in ("lock", "accept"))))
        column.addLayout(_row(*(key_button(n, act) for n in ("doubtful", "check"))))
        form = QFormLayout()
        form.addRow("Doubtful below", self._threshold)
        column.addLayout(form)
        column.addWidget(self._left)

    @property
    def threshold(self) -> float:
        """Confidence below which a slice is doubtful, 0 to 1."""
        return float(self._threshold.value() / 100)

    @threshold.setter
    def threshold(self, value: float) -> None:
        self._threshold.setValue(round(100 * value))

    def show_left(self, doubtful: int, locked: int) -> None:
        """Say how much is to be looked at, and how much was verified."""
        self._left.setText(f"{doubtful} doubtful, {locked} locked (object, slice)")


class FilePanel(QGroupBox):
    """Prompts and labels from and to files; each signal carries a path."""

    load_prompts = Signal(str)
    save_prompts = Signal(str)
    save_labels = Signal(str)

    def __init__(self) -> None:
        super().__init__("Files")
        column = QVBoxLayout(self)
        load = _button("Load prompts …", self._ask_load)
        save = _button("Save prompts …", self._ask_save_prompts)
        column.addLayout(_row(load, save))
        column.addWidget(_button("Save labels …", self._ask_save_labels))
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


def key_button(name: str, act: Act) -> QPushButton:
    """Return the button of an action, which shows its key."""
    return _button(caption(name), lambda: act(name), COMMANDS[name].tip)


def _button(text: str, action: Callable[[], Any], tip: str = "") -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.clicked.connect(lambda: action())
    return button


def _let_shrink(chooser: QComboBox) -> None:
    """Let a chooser be narrower than its longest entry."""
    chooser.setSizeAdjustPolicy(
        QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    )
    chooser.setMinimumContentsLength(8)


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row
