"""What is measured, and how, in the Measure dock: controls, no logic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from napari.layers import Labels, Layer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_octa_sam2.metrics.biomarkers.eye import (
    PLAUSIBLE,
    REFERENCE_LENGTHS,
    Eye,
)
from napari_octa_sam2.prompts import SEGMENTABLE
from napari_octa_sam2.widgets.controls import (
    Action,
    button,
    let_shrink,
    row_of,
    with_key,
)
from napari_octa_sam2.widgets.layer_chooser import LayerChooser

NO_REFERENCE = "No reference"
BY_THE_REST = "automatic"
UNKNOWN, OWN_LENGTH = "not known", "own reference length"
EYES = {"not known": "", "OD, right": "OD", "OS, left": "OS"}
FAZ_CENTRE, MIDDLE, CLICKED = "centre of the FAZ", "middle of the scan", "a click"
REGIONS = {
    "whole": "whole scan",
    "without faz": "without the FAZ",
    "fovea": "fovea",
    "parafovea": "parafovea",
    "perifovea": "perifovea",
    "etdrs": "ETDRS sectors",
    "superior": "superior half",
    "inferior": "inferior half",
}
STEP = 0.1  # mm of an axial length


class LabelsPanel(QWidget):
    """Labels, the reference, and what is not written beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.labels, self.reference = LayerChooser(), LayerChooser(NO_REFERENCE)
        self._cls, self._tolerance = QComboBox(), QDoubleSpinBox()
        self._cls.addItems((BY_THE_REST, *SEGMENTABLE))
        self._cls.setToolTip(
            "Class of labels that do not say their own. Automatic: vessels if no label "
            "has a class, else left out"
        )
        self._tolerance.setRange(0, 10_000)
        self._tolerance.setDecimals(1)
        self._tolerance.setSuffix(" µm")
        self._tolerance.setSpecialValueText("one pixel")
        self._tolerance.setToolTip("Surfaces that are as near as this agree (NSD)")
        for chooser in (self.labels, self.reference, self._cls):
            let_shrink(chooser)
        form = QFormLayout(self)
        form.addRow("Labels", self.labels)
        form.addRow("Reference", self.reference)
        form.addRow("Without a class", self._cls)
        form.addRow("Tolerance", self._tolerance)

    @property
    def unclassed(self) -> str:
        """Class of the labels that have none; empty to go by the others."""
        chosen = self._cls.currentText()
        return "" if chosen == BY_THE_REST else str(chosen)

    @unclassed.setter
    def unclassed(self, cls: str) -> None:
        self._cls.setCurrentText(cls or BY_THE_REST)

    @property
    def tolerance(self) -> float | None:
        """Of surfaces, in micrometres; None for one pixel."""
        return float(self._tolerance.value()) or None

    @tolerance.setter
    def tolerance(self, micrometres: float | None) -> None:
        self._tolerance.setValue(micrometres or 0)


class EyePanel(QWidget):
    """What is known of the eye."""

    pick = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.clicked: tuple[float, float] | None = None
        self.laterality, self.scanner, self.fovea = (
            QComboBox(),
            QComboBox(),
            QComboBox(),
        )
        self.laterality.addItems(list(EYES))
        self.laterality.setToolTip("Nasal and temporal sectors need it")
        self.length, self.reference = _length(), _length()
        self.length.setToolTip("Corrects the magnification (Bennett)")
        self.reference.setToolTip("Axial length for which the scanner states its field")
        self.scanner.addItems((UNKNOWN, *REFERENCE_LENGTHS, OWN_LENGTH))
        self.scanner.setToolTip("Tells for which eye its field of view is stated")
        self.fovea.addItems((FAZ_CENTRE, MIDDLE, CLICKED))
        self.fovea.setToolTip("Regions are centred there")
        for chooser in (self.laterality, self.scanner, self.fovea):
            let_shrink(chooser)
        self.place = QLabel(wordWrap=True)
        self.place.hide()
        form = QFormLayout(self)
        form.addRow("Eye", self.laterality)
        form.addRow("Axial length", self.length)
        form.addRow("Scanner", self.scanner)
        self._own = QLabel("Reference length")
        form.addRow(self._own, self.reference)
        form.addRow("Fovea", self.fovea)
        form.addRow(self.place)
        self.scanner.currentTextChanged.connect(self._scanner_changed)
        self.fovea.currentTextChanged.connect(self._fovea_changed)
        self._scanner_changed(UNKNOWN)

    def eye(self, shape: Sequence[int]) -> Eye:
        """Return what is known of the eye, whose scan has so many rows and columns.

        Raises
        ------
        VolumeError
            If it cannot be.
        """
        scanner = self.scanner.currentText()
        fovea = None
        if self.fovea.currentText() == MIDDLE:
            fovea = ((shape[-2] - 1) / 2, (shape[-1] - 1) / 2)
        elif self.fovea.currentText() == CLICKED:
            fovea = self.clicked
        own = scanner == OWN_LENGTH
        return Eye(
            EYES[self.laterality.currentText()],
            _millimetres(self.length),
            None if own or scanner == UNKNOWN else scanner,
            _millimetres(self.reference) if own else None,
            fovea,
        )

    def show_click(self, row: float, col: float) -> None:
        """Take a place for the fovea."""
        self.clicked = (row, col)
        self.place.setText(f"Fovea at row {row:.0f}, column {col:.0f}")

    def _scanner_changed(self, name: str) -> None:
        for part in (self._own, self.reference):
            part.setVisible(name == OWN_LENGTH)

    def _fovea_changed(self, name: str) -> None:
        by_click = name == CLICKED
        if by_click and self.clicked is None:
            self.place.setText("Click on the fovea in the viewer.")
        self.place.setVisible(by_click)
        self.pick.emit(by_click)


class RegionsPanel(QWidget):
    """Where vessels are measured."""

    def __init__(self, chosen: Iterable[str]) -> None:
        super().__init__()
        self.boxes = {name: QCheckBox(title) for name, title in REGIONS.items()}
        grid = QGridLayout(self)
        for number, box in enumerate(self.boxes.values()):
            grid.addWidget(box, *divmod(number, 2))
        grid.setRowStretch(len(self.boxes), 1)
        for name in chosen:
            self.boxes[name].setChecked(True)

    @property
    def chosen(self) -> tuple[str, ...]:
        """Names of the chosen regions."""
        return tuple(name for name, box in self.boxes.items() if box.isChecked())


class GradersPanel(QWidget):
    """Further labels of the same scan, by other graders."""

    def __init__(self) -> None:
        super().__init__()
        self._layers: list[Layer] = []
        self.list = QListWidget()
        self.list.setToolTip("Labels of the same scan by others, or drawn again")
        self.list.setFixedHeight(4 * (self.fontMetrics().height() + 6))
        column = QVBoxLayout(self)
        column.addWidget(QLabel("Compare the labels with those of", wordWrap=True))
        column.addWidget(self.list)
        column.addStretch()

    @property
    def chosen(self) -> list[Layer]:
        """The ticked layers."""
        ticked = Qt.CheckState.Checked
        return [
            layer
            for number, layer in enumerate(self._layers)
            if self.list.item(number).checkState() == ticked
        ]

    def tick(self, layer: Layer) -> None:
        """Tick a layer."""
        item = self.list.item(self._layers.index(layer))
        item.setCheckState(Qt.CheckState.Checked)

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer layers; those that were ticked stay so."""
        before = self.chosen
        self.list.clear()
        self._layers = list(layers)
        for layer in self._layers:
            item = QListWidgetItem(layer.name)
            state = (
                Qt.CheckState.Checked if layer in before else Qt.CheckState.Unchecked
            )
            item.setCheckState(state)
            self.list.addItem(item)


class ChoicePanel(QTabWidget):
    """Everything that can be chosen, behind four tabs."""

    def __init__(self, regions: Iterable[str]) -> None:
        super().__init__()
        self.layers, self.eye = LabelsPanel(), EyePanel()
        self.regions, self.graders = RegionsPanel(regions), GradersPanel()
        for part, title, tip in (
            (self.layers, "Labels", "What is measured, and the reference"),
            (self.eye, "Eye", "Laterality, axial length, fovea"),
            (self.regions, "Regions", "Where vessels are measured"),
            (self.graders, "Graders", "Whose labels are compared"),
        ):
            self.setTabToolTip(self.addTab(part, title), tip)

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer the layers that the viewer has now."""
        there = [layer for layer in layers if isinstance(layer, Labels)]
        self.layers.labels.offer(there)
        self.layers.reference.offer(there)
        chosen = self.layers.labels.layer
        self.graders.offer(layer for layer in there if layer is not chosen)


class RunPanel(QWidget):
    """Buttons that start and stop the work, and how far it is."""

    def __init__(
        self, measure: Action, compare: Action, agree: Action, cancel: Action
    ) -> None:
        super().__init__()
        tip = "Densities, calibres and shapes of the labels"
        self.measure = with_key(button("Measure", measure, tip), "F3")
        tip = "Dice, distances and topology against the reference"
        self.compare = with_key(button("Compare", compare, tip), "F4")
        tip = "All graders with each other"
        self.agree = with_key(button("Agreement", agree, tip), "F5")
        self.cancel = button("Cancel", cancel, "Stop; what is done is shown")
        self.live = QCheckBox("Live: while annotating")
        self.live.setToolTip("Figures of a slice follow what is painted on it")
        self.progress = QProgressBar()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row_of(self.measure, self.compare))
        column.addLayout(row_of(self.agree, self.cancel))
        column.addWidget(self.live)
        column.addWidget(self.progress)
        self.set_running(False)

    def set_running(self, running: bool) -> None:
        """Let nothing start twice."""
        for each in (self.measure, self.compare, self.agree):
            each.setEnabled(not running)
        self.cancel.setEnabled(running)
        self.progress.setVisible(running)
        self.progress.setRange(0, 0)

    def show_progress(self, done: int, total: int) -> None:
        """Show how far the work is."""
        self.progress.setRange(0, total)
        self.progress.setValue(done)


def _length() -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    low, high = PLAUSIBLE
    box.setRange(low - STEP, high)
    box.setSingleStep(STEP)
    box.setDecimals(2)
    box.setSuffix(" mm")
    box.setSpecialValueText(UNKNOWN)
    return box


def _millimetres(box: QDoubleSpinBox) -> float | None:
    return None if box.value() < PLAUSIBLE[0] else float(box.value())
