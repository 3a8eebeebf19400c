"""What a training is made of in the Train dock: controls, no logic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QMenu,
    QPushButton,
    QTextBrowser,
    QVBoxLayout,
)

from napari_octa_sam2.project.store import SUFFIX, projects_folder
from napari_octa_sam2.prompts import CLASSES, SEGMENTABLE
from napari_octa_sam2.widgets.controls import (
    Action,
    button,
    let_shrink,
    row_of,
    with_key,
)
from napari_octa_sam2.widgets.layer_chooser import LayerChooser
from napari_octa_sam2.widgets.model_chooser import ModelChooser
from napari_octa_sam2.widgets.train.data import (
    PARTS,
    UNITS,
    LayerPair,
    chosen_budget,
    chosen_labels,
    chosen_parts,
    own_budget,
    own_rates,
    recipe_kind,
)

if TYPE_CHECKING:
    from napari_octa_sam2.training.recipe import Recipe

DATA_KINDS = "Annotated slices or index (*.npz *.json);;All files (*)"
LIST_LINES, REPORT_LINES = 4, 9


class SourceList(QListWidget):
    """What is learned from: pairs of layers, files and folders, which are dropped."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[LayerPair | Path] = []
        self.setAcceptDrops(True)
        self.setToolTip("Drag folders and files here; Delete takes one away")
        self.setSelectionMode(QListWidget.SelectionMode.ExtendedSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setFixedHeight(LIST_LINES * (self.fontMetrics().height() + 4) + 6)

    def add(self, source: LayerPair | Path) -> None:
        """Add a source, unless it is there."""
        if source in self.sources:
            return
        self.sources.append(source)
        text = source.text if isinstance(source, LayerPair) else str(source)
        self.addItem(text)
        self.item(self.count() - 1).setToolTip(text)
        self.changed.emit()

    def keep(self, layers: Iterable[Layer]) -> None:
        """Take away pairs of layers that are gone."""
        there = list(layers)
        self._remove(
            number
            for number, source in enumerate(self.sources)
            if isinstance(source, LayerPair)
            and not (source.image in there and source.labels in there)
        )

    def remove_chosen(self) -> None:
        """Take away what is selected."""
        self._remove(index.row() for index in self.selectedIndexes())

    def _remove(self, numbers: Iterable[int]) -> None:
        gone = sorted(numbers, reverse=True)
        for number in gone:
            del self.sources[number]
            self.takeItem(number)
        if gone:
            self.changed.emit()

    def keyPressEvent(self, event) -> None:
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.remove_chosen()
        else:
            super().keyPressEvent(event)

    def dragEnterEvent(self, event) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dragMoveEvent(self, event) -> None:
        event.acceptProposedAction()

    def dropEvent(self, event) -> None:
        for url in event.mimeData().urls():
            if url.isLocalFile():
                self.add(Path(url.toLocalFile()))
        event.acceptProposedAction()


class DataPanel(QGroupBox):
    """Layers of the viewer, folders, files and projects to learn from."""

    def __init__(self, add_layers: Action) -> None:
        super().__init__("Data")
        self.image, self.labels = LayerChooser(), LayerChooser()
        self.cls = QComboBox()
        self.cls.addItems(CLASSES)
        self.cls.setToolTip("Of labels that do not say their own, as our objects do")
        self.sources = SourceList()
        for chooser in (self.image, self.labels):
            let_shrink(chooser)
        form = QFormLayout(self)
        form.addRow("Image", self.image)
        form.addRow("Labels", self.labels)
        tip = "Learn from the slices that have labels"
        form.addRow("Class", row_of(self.cls, button("Add layers", add_layers, tip)))
        form.addRow(self.sources)
        self._projects = QPushButton("Project …")
        self._projects.setToolTip("Learn from the labelled slices of earlier work")
        menu = QMenu(self._projects)
        menu.aboutToShow.connect(lambda: self.offer_projects(menu))
        self._projects.setMenu(menu)
        folder = button("Folder …", self._ask_folder, "A data set, such as OCTA-500")
        file = button("File …", self._ask_file, "An index, or annotated slices")
        form.addRow(row_of(folder, file))
        remove = button("Take away", self.sources.remove_chosen, "Of the list")
        form.addRow(row_of(self._projects, remove))

    def offer_layers(self, layers: Iterable[Layer]) -> None:
        """Offer the layers that the viewer has now."""
        there = list(layers)
        self.image.offer(x for x in there if isinstance(x, Image))
        self.labels.offer(x for x in there if isinstance(x, Labels))
        self.sources.keep(there)

    def offer_projects(self, menu: QMenu) -> None:
        """List the projects that there are, the newest first."""
        menu.clear()
        paths = list(projects_folder().glob(f"*{SUFFIX}"))
        for path in sorted(paths, key=lambda p: p.stat().st_mtime, reverse=True):
            action = menu.addAction(path.name.removesuffix(SUFFIX))
            action.triggered.connect(lambda _, path=path: self.sources.add(path))
        if not paths:
            menu.addAction("No project yet").setEnabled(False)

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Data set")
        if path:
            self.sources.add(Path(path))

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Data set", "", DATA_KINDS)
        if path:
            self.sources.add(Path(path))


class RecipePanel(QGroupBox):
    """How it is learned."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__("Recipe")
        self._recipes: dict[str, Recipe] = {}
        self.recipe, self.model = QComboBox(), ModelChooser()
        self.about = QLabel(wordWrap=True)
        self.parts = {name: QCheckBox(name.replace("_", " ")) for name in PARTS}
        self.labels = {name: QCheckBox(name) for name in SEGMENTABLE}
        self.amount, self.unit = QDoubleSpinBox(), QComboBox()
        self.amount.setRange(0.1, 1e7)
        self.unit.addItems(UNITS)
        tip = "Of each phase of the recipe; an epoch sees every sample once"
        for budget in (self.amount, self.unit):
            budget.setToolTip(tip)
        self.settings = QLineEdit(placeholderText="clip.size=512 fit.clips=2")
        self.settings.setToolTip("Of the recipe, as --set of the command line takes")
        let_shrink(self.recipe)
        form = QFormLayout(self)
        form.addRow("Recipe", self.recipe)
        form.addRow(self.about)
        form.addRow("Model", self.model)
        form.addRow(QLabel("Train"))
        form.addRow(_grid(list(self.parts.values())))
        form.addRow(QLabel("Learn classes (none: all there are)"))
        form.addRow(_grid(list(self.labels.values()), 3))
        form.addRow("Train for", row_of(self.amount, self.unit))
        form.addRow("More settings", self.settings)
        self._connect()

    def _connect(self) -> None:
        self.recipe.currentTextChanged.connect(self._show_recipe)
        for box in (*self.parts.values(), *self.labels.values()):
            box.toggled.connect(lambda: self.changed.emit())
        for signal in (
            self.amount.valueChanged,
            self.settings.textChanged,
            self.model.chosen,
        ):
            signal.connect(lambda: self.changed.emit())
        self.unit.currentTextChanged.connect(self._unit_changed)

    @property
    def chosen(self) -> Recipe | None:
        """The chosen recipe as it comes; None before they were read."""
        return self._recipes.get(self.recipe.currentText())

    @property
    def other_model(self) -> str | None:
        """The chosen model where it is not the recipe's."""
        model, recipe = self.model.model, self.chosen
        return None if recipe is None or model == recipe.model else model

    @property
    def overrides(self) -> tuple[str, ...]:
        """The settings that are not the recipe's."""
        recipe = self.chosen
        if recipe is None:
            return ()
        parts = [name for name, box in self.parts.items() if box.isChecked()]
        labels = [name for name, box in self.labels.items() if box.isChecked()]
        amount, unit = self.amount.value(), self.unit.currentText()
        return (
            *(chosen_parts(recipe, parts) if self.parts[PARTS[0]].isEnabled() else ()),
            *chosen_budget(recipe, amount, unit),
            *chosen_labels(recipe, labels),
            *self.settings.text().split(),
        )

    def offer(self, recipes: Mapping[str, Recipe]) -> None:
        """Offer these recipes."""
        self._recipes = dict(recipes)
        self.recipe.clear()
        self.recipe.addItems(list(recipes))

    def _show_recipe(self) -> None:
        """Show the settings of the chosen recipe."""
        recipe = self.chosen
        if recipe is None:
            return
        self.blockSignals(True)
        self.about.setText(recipe.about)
        self.model.offer(recipe_kind(recipe))
        self.model.model = recipe.model
        rates = own_rates(recipe)
        for name, box in self.parts.items():
            box.setChecked(name in rates or "network" in rates)
            box.setEnabled("network" not in rates)
        for name, box in self.labels.items():
            box.setChecked(name in recipe.phases[0].clip.labels)
        amount, unit = own_budget(recipe)
        self.unit.setCurrentText(unit)
        self.amount.setValue(amount)
        self.blockSignals(False)
        self.changed.emit()

    def _unit_changed(self, unit: str) -> None:
        self.amount.setDecimals(0 if unit == "steps" else 1)
        self.changed.emit()


class RunPanel(QGroupBox):
    """What checks the data and starts a training; what was found in the data."""

    def __init__(self, check: Action, start: Action) -> None:
        super().__init__("Start")
        tip = "Look at the data; nothing is trained"
        self.check = with_key(button("Check", check, tip), "F6")
        tip = "Train in a process of its own, which goes on without napari"
        self.start = with_key(button("Start", start, tip), "F7")
        self.report = QTextBrowser()
        self.report.setFixedHeight(REPORT_LINES * self.fontMetrics().height())
        self.report.hide()
        column = QVBoxLayout(self)
        column.addLayout(row_of(self.check, self.start))
        column.addWidget(self.report)

    def show_report(self, html: str) -> None:
        """Show what was found; nothing hides it."""
        self.report.setHtml(html)
        self.report.setVisible(bool(html))


def _grid(boxes: Sequence[QCheckBox], columns: int = 2) -> QHBoxLayout:
    grid = QGridLayout()
    for number, box in enumerate(boxes):
        grid.addWidget(box, *divmod(number, columns))
    row = QHBoxLayout()
    row.addLayout(grid)
    row.addStretch()
    return row
