"""The parts of the Automatic dock: controls, no logic."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QGroupBox,
    QLabel,
    QProgressBar,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_octa_sam2.automatic.candidates import EverythingSettings
from napari_octa_sam2.automatic.cleaning import DEFAULTS, REGION, Cleaning
from napari_octa_sam2.automatic.prompting import KINDS, MOST
from napari_octa_sam2.model.registry import PROMPTED, PROMPTLESS
from napari_octa_sam2.prompts import SEGMENTABLE
from napari_octa_sam2.widgets.controls import (
    Action,
    SliceRange,
    button,
    let_shrink,
    row_of,
    with_key,
)
from napari_octa_sam2.widgets.layer_chooser import LayerChooser
from napari_octa_sam2.widgets.model_chooser import ModelChooser

CLASSES, EVERYTHING = "Classes", "Everything (SAM 2)"
LARGEST_AREA = 1_000_000  # pixels


class SourcePanel(QGroupBox):
    """In which image, what, and with which model."""

    method_changed = Signal(str)

    def __init__(self) -> None:
        super().__init__("Source")
        self.image, self.model = LayerChooser(), ModelChooser(PROMPTLESS)
        self.within = LayerChooser("Everywhere")
        self._method = QComboBox()
        self._method.addItems((CLASSES, EVERYTHING))
        self._method.setToolTip(
            "Vessels and the FAZ with a network that needs no prompts, or whatever "
            "SAM 2 takes for an object"
        )
        self.within.setToolTip(
            "A vessel map seen from above: vessels are looked for where it is not 0"
        )
        for chooser in (self.image, self.within):
            let_shrink(chooser)
        form = QFormLayout(self)
        form.addRow("Image", self.image)
        form.addRow("Find", self._method)
        form.addRow("Model", self.model)
        form.addRow("Only within", self.within)
        self._method.currentTextChanged.connect(self._method_changed)

    @property
    def method(self) -> str:
        """`CLASSES` or `EVERYTHING`."""
        return str(self._method.currentText())

    @method.setter
    def method(self, method: str) -> None:
        self._method.setCurrentText(method)

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer the layers that the viewer has now."""
        there = list(layers)
        self.image.offer(x for x in there if isinstance(x, Image))
        self.within.offer(x for x in there if _is_map(x))

    def _method_changed(self, method: str) -> None:
        self.within.setEnabled(method == CLASSES)
        self.model.offer(PROMPTLESS if method == CLASSES else PROMPTED)
        self.method_changed.emit(method)


class ClassPanel(QGroupBox):
    """Which classes are looked for."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__("Classes")
        self.boxes = {name: QCheckBox(name) for name in SEGMENTABLE}
        self.separate = QCheckBox("Separate vessels, from")
        self.separate.setToolTip(
            "Each connected vessel is an object, with one id through all slices"
        )
        self.least = _pixels(
            1, 100, "Smallest vessel that is an object, seen from above"
        )
        self.views = QCheckBox("Mean of 8 views (8 times as long)")
        self.views.setToolTip("Of the slice turned and mirrored: a little better")
        grid = QGridLayout()
        for number, box in enumerate(self.boxes.values()):
            grid.addWidget(box, *divmod(number, 3))
        column = QVBoxLayout(self)
        column.addLayout(grid)
        column.addLayout(row_of(self.separate, self.least))
        column.addWidget(self.views)
        self.boxes["RV"].setChecked(True)
        for box in (*self.boxes.values(), self.separate, self.views):
            box.toggled.connect(lambda: self.changed.emit())
        self.least.valueChanged.connect(lambda: self.changed.emit())

    @property
    def chosen(self) -> tuple[str, ...]:
        """The classes that are ticked and known to the model."""
        return tuple(
            name
            for name, box in self.boxes.items()
            if box.isChecked() and box.isEnabled()
        )

    def show_known(self, known: Collection[str]) -> None:
        """Offer the classes that a model tells apart; all of them if none was."""
        for name, box in self.boxes.items():
            box.setEnabled(name in known)
            tip = "" if name in known else "This model does not know it"
            box.setToolTip(tip)
        if not self.chosen:
            for name in known:
                self.boxes[name].setChecked(True)
        self.changed.emit()


class CleaningPanel(QGroupBox):
    """From probabilities to masks: the values of each class."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__("Post-processing")
        self.values = dict(DEFAULTS)
        self.cls = QComboBox()
        self.cls.setToolTip("The class whose values are shown")
        self.threshold = _percent("Probability that foreground exceeds", most=99.9)
        self.smoothing = QDoubleSpinBox(suffix=" px")
        self.smoothing.setRange(0, 20)
        self.smoothing.setSingleStep(0.5)
        self.smoothing.setToolTip("Sigma of a Gaussian on the probability; 0 for none")
        self.min_area = _pixels(0, 0, "Smaller components are dropped")
        self.holes = _pixels(0, 0, "Holes up to this size are filled; 0 fills none")
        self.all_holes = QCheckBox("all")
        self.all_holes.setToolTip("Fill all holes")
        self.largest = QCheckBox("Largest component alone")
        self.rounding = QDoubleSpinBox(suffix=" px")
        self.rounding.setRange(0, 20)
        self.rounding.setToolTip(
            "Sigma of a Gaussian on the mask, which is cut again by Otsu's threshold; "
            "0 for none"
        )
        usual = button("Usual values", self.restore, "Those that suit this class")
        region = button(
            "Region", self.set_region, "Those of SAM-OCTA2's sparse annotation"
        )
        form = QFormLayout(self)
        form.addRow("Of", self.cls)
        form.addRow("", row_of(usual, region))
        form.addRow("Threshold", self.threshold)
        form.addRow("Smoothing", self.smoothing)
        form.addRow("Smallest", self.min_area)
        form.addRow("Fill holes", row_of(self.holes, self.all_holes))
        form.addRow("Rounding", self.rounding)
        form.addRow(self.largest)
        self.offer(("RV",))
        self.cls.currentTextChanged.connect(self._show)
        for spin in self._spins:
            spin.valueChanged.connect(self._edited)
        for box in (self.all_holes, self.largest):
            box.toggled.connect(self._edited)

    def offer(self, classes: Iterable[str]) -> None:
        """Offer the values of these classes; the one shown stays where it can."""
        before, names = self.cls.currentText(), list(classes)
        self.cls.blockSignals(True)
        self.cls.clear()
        self.cls.addItems(names)
        if before in names:
            self.cls.setCurrentText(before)
        self.cls.blockSignals(False)
        self._show()

    def restore(self) -> None:
        """Give the class that is shown its usual values."""
        self._set(DEFAULTS.get(self.cls.currentText()))

    def set_region(self) -> None:
        """Give the class that is shown the values of a vessel region."""
        self._set(REGION)

    def _set(self, values: Cleaning | None) -> None:
        name = self.cls.currentText()
        if name and values is not None and self.values[name] != values:
            self.values[name] = values
            self._show()
            self.changed.emit()

    def _show(self) -> None:
        name = self.cls.currentText()
        self.setEnabled(bool(name))
        if not name:
            return
        values = self.values[name]
        self.blockSignals(True)
        for widget in self._inputs:
            widget.blockSignals(True)
        self.threshold.setValue(100 * values.threshold)
        self.smoothing.setValue(values.smoothing)
        self.min_area.setValue(values.min_area)
        self.all_holes.setChecked(math.isinf(values.fill_holes))
        if math.isfinite(values.fill_holes):
            self.holes.setValue(int(values.fill_holes))
        self.holes.setEnabled(math.isfinite(values.fill_holes))
        self.rounding.setValue(values.rounding)
        self.largest.setChecked(values.largest)
        for widget in self._inputs:
            widget.blockSignals(False)
        self.blockSignals(False)

    @property
    def _inputs(self) -> tuple[QWidget, ...]:
        return (*self._spins, self.all_holes, self.largest)

    @property
    def _spins(self) -> tuple[QSpinBox | QDoubleSpinBox, ...]:
        sizes = (self.min_area, self.holes, self.rounding)
        return (self.threshold, self.smoothing, *sizes)

    def _edited(self) -> None:
        every = self.all_holes.isChecked()
        self.holes.setEnabled(not every)
        self.values[self.cls.currentText()] = Cleaning(
            threshold=self.threshold.value() / 100,
            min_area=self.min_area.value(),
            fill_holes=math.inf if every else self.holes.value(),
            smoothing=self.smoothing.value(),
            rounding=self.rounding.value(),
            largest=self.largest.isChecked(),
        )
        self.changed.emit()


class EverythingPanel(QGroupBox):
    """How everything is found, and which masks are kept."""

    def __init__(self) -> None:
        super().__init__("Everything")
        self.suited = QCheckBox("Values that suit the model")
        self.suited.setToolTip("They are shown once the model has been used")
        self.points = QSpinBox(suffix=" points")
        self.points.setRange(1, 128)
        self.points.setToolTip("Along each side of the slice, each prompted alone")
        self.iou = _percent("Predicted IoU that a mask exceeds")
        self.stability = _percent("IoU of the mask at a higher and a lower threshold")
        self.overlap = _percent("IoU of two masks above which the worse one goes")
        self.min_area = _pixels(1, 50, "Smaller masks are left out")
        self.most_area = _percent("Masks that cover more of the slice are left out")
        form = QFormLayout(self)
        form.addRow(self.suited)
        for title, spin in (
            ("Each side", self.points),
            ("IoU from", self.iou),
            ("Stability from", self.stability),
            ("Overlap up to", self.overlap),
            ("Smallest", self.min_area),
            ("Largest", self.most_area),
        ):
            form.addRow(title, spin)
            self.suited.toggled.connect(spin.setDisabled)
        self.show_settings(EverythingSettings())
        self.suited.setChecked(True)

    @property
    def chosen(self) -> dict[str, Any] | None:
        """The values that differ between users; None for those that suit the model."""
        if self.suited.isChecked():
            return None
        return {
            "points_per_side": self.points.value(),
            "least_iou": self.iou.value() / 100,
            "least_stability": self.stability.value() / 100,
            "most_overlap": self.overlap.value() / 100,
            "min_area": self.min_area.value(),
            "most_area": self.most_area.value() / 100,
        }

    def show_settings(self, settings: EverythingSettings) -> None:
        """Show values."""
        self.points.setValue(settings.points_per_side)
        self.iou.setValue(100 * settings.least_iou)
        self.stability.setValue(100 * settings.least_stability)
        self.overlap.setValue(100 * settings.most_overlap)
        self.min_area.setValue(settings.min_area)
        self.most_area.setValue(100 * settings.most_area)


class FindPanel(QGroupBox):
    """Where to look, and how far that is."""

    def __init__(self, here: Action, everywhere: Action, cancel: Action) -> None:
        super().__init__("Find")
        tip = "On the slice shown; the values below then act on it at once"
        self.here = with_key(button("This slice", here, tip), "F9")
        tip = "On the slices of the range; the viewer can be used meanwhile"
        self.range = with_key(button("Slices", everywhere, tip), "Shift+F9")
        self.cancel = button("Cancel", cancel, "Stop after this slice; show the rest")
        self.span = SliceRange("First and last slice of the range")
        self.progress = QProgressBar()
        self._can_follow = True
        form = QFormLayout(self)
        form.addRow("Slices", self.span)
        form.addRow(row_of(self.here, self.range, self.cancel))
        form.addRow(self.progress)
        self.set_running(False)

    def allow_range(self, allowed: bool) -> None:
        """Allow to look on several slices, or on the one shown alone."""
        self._can_follow = allowed
        self.range.setEnabled(allowed and self.here.isEnabled())

    def set_running(self, running: bool) -> None:
        """Let nothing start twice."""
        self.here.setEnabled(not running)
        self.range.setEnabled(not running and self._can_follow)
        self.cancel.setEnabled(running)
        self.progress.setVisible(running)
        self.progress.setRange(0, 0)

    def show_progress(self, done: int, total: int) -> None:
        """Show how far the work is."""
        self.progress.setRange(0, total)
        self.progress.setValue(done)


class ResultPanel(QGroupBox):
    """What becomes of what was found."""

    def __init__(self, take_over: Action, prompt: Action) -> None:
        super().__init__("Result")
        self.found = QLabel("Nothing was looked for yet.", wordWrap=True)
        self.only_blank = QCheckBox("Leave slices with labels as they are")
        self.only_blank.setToolTip(
            "For a few drawn layers between those that were found; else what is found "
            "there as well is added beside the objects"
        )
        tip = "Objects of the Segment dock, to be reviewed and corrected with clicks"
        self.take_over = with_key(button("Take over", take_over, tip), "F12")
        self.kind = QComboBox()
        self.kind.addItems(KINDS)
        self.kind.setToolTip("Where the objects that were found are prompted")
        self.most = QSpinBox(suffix=" points")
        self.most.setRange(1, 100)
        self.most.setValue(MOST)
        self.most.setToolTip("Positive points of an object, at most")
        self.negatives = QSpinBox(suffix=" negative")
        self.negatives.setRange(0, 100)
        self.negatives.setToolTip("Negative points beside an object, at most")
        tip = "Of what was found on the slice shown; Propagate follows them"
        self.prompt = with_key(button("Make prompts", prompt, tip), "Shift+F12")
        form = QFormLayout(self)
        form.addRow(self.found)
        form.addRow(self.only_blank)
        form.addRow(self.take_over)
        form.addRow("Prompts", self.kind)
        form.addRow(row_of(self.most, self.negatives))
        form.addRow(self.prompt)
        self.kind.currentTextChanged.connect(self._show_kind)
        self.enable(False)

    def enable(self, enabled: bool) -> None:
        """Allow to use the result, where there is one."""
        for each in (self.take_over, self.prompt):
            each.setEnabled(enabled)

    def _show_kind(self, kind: str) -> None:
        self.most.setEnabled(kind not in ("box", "mask"))
        self.negatives.setEnabled(kind != "mask")


def _is_map(layer: Layer) -> bool:
    """Whether a layer can say where vessels are, seen from above."""
    if not isinstance(layer, Image | Labels) or layer.multiscale:
        return False
    if isinstance(layer, Image) and layer.rgb:
        return False
    return layer.ndim == 2 or (layer.ndim == 3 and layer.data.shape[0] == 1)


def _percent(tip: str, most: float = 100.0) -> QDoubleSpinBox:
    spin = QDoubleSpinBox(suffix=" %")
    spin.setRange(0, most)
    spin.setDecimals(1)
    spin.setToolTip(tip)
    return spin


def _pixels(least: int, value: int, tip: str) -> QSpinBox:
    spin = QSpinBox(suffix=" px")
    spin.setRange(least, LARGEST_AREA)
    spin.setValue(value)
    spin.setToolTip(tip)
    return spin
