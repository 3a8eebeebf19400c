"""Trainings in the Train dock: which there are, and how the chosen one goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QGroupBox,
    QLabel,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from napari_octa_sam2.widgets.controls import (
    Action,
    button,
    let_shrink,
    row_of,
    with_key,
)
from napari_octa_sam2.widgets.train.plot import CurvePlot, SamplePicture
from napari_octa_sam2.widgets.train.view import title

LEGEND = (
    "<span style='color:#009E73'>■</span> found and true&nbsp; "
    "<span style='color:#D55E00'>■</span> found alone&nbsp; "
    "<span style='color:#56B4E9'>■</span> missed"
)


class TrainingPanel(QGroupBox):
    """One of the trainings that there are: curves, predictions, result."""

    chosen = Signal()

    def __init__(self, actions: Mapping[str, Action]) -> None:
        super().__init__("Training")
        self.training = QComboBox()
        let_shrink(self.training)
        self._paths: list[Path] = []
        self.state = QLabel(wordWrap=True)
        self.state.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.progress = QProgressBar()
        self.loss, self.dice = (
            CurvePlot("Loss"),
            CurvePlot("Dice, 0 to 1", (0.0, 1.0), 14),
        )
        self.picture, self._legend = SamplePicture(), QLabel(LEGEND, wordWrap=True)
        tips = {
            "Pause": "Save and end after this step: the GPU is free then",
            "Resume": "Go on where it stopped",
            "Cancel": "End at once; a training is left at its last checkpoint",
            "Remove": "Delete the folder of the training",
            "Use this model": "In the Segment dock, or, without prompts, in Automatic",
            "Model card": "What it learned from, and how good it is",
            "Open folder": "Weights, curves, settings and records",
        }
        self.buttons = {
            name: button(name, actions[name], tip) for name, tip in tips.items()
        }
        with_key(self.buttons["Pause"], "F8")
        column = QVBoxLayout(self)
        column.addWidget(self.training)
        column.addWidget(self.state)
        column.addWidget(self.progress)
        self._details = QWidget()
        self._lay_out(column)
        self.training.currentIndexChanged.connect(lambda: self.chosen.emit())

    def _lay_out(self, column: QVBoxLayout) -> None:
        find = self.buttons.__getitem__
        column.addLayout(row_of(find("Pause"), find("Resume")))
        column.addLayout(row_of(find("Cancel"), find("Remove")))
        column.addWidget(find("Use this model"))
        column.addLayout(row_of(find("Model card"), find("Open folder")))
        details = QVBoxLayout(self._details)
        details.setContentsMargins(0, 0, 0, 0)
        for part in (self.loss, self.dice, self.picture, self._legend):
            details.addWidget(part)
        column.addWidget(self._details)

    @property
    def path(self) -> Path | None:
        """Folder of the chosen training."""
        index = self.training.currentIndex() - 1
        return self._paths[index] if 0 <= index < len(self._paths) else None

    def offer(self, states: Mapping[Path, str], path: Path | None) -> None:
        """Offer trainings with their states, and choose one."""
        texts = ["No training chosen" if states else "No training yet"]
        texts += [f"{title(p)}: {state}" for p, state in states.items()]
        old = [self.training.itemText(i) for i in range(self.training.count())]
        paths = list(states)
        index = paths.index(path) + 1 if path in paths else 0
        if (texts, paths, index) == (old, self._paths, self.training.currentIndex()):
            return
        self.training.blockSignals(True)
        self._paths = paths
        self.training.clear()
        self.training.addItems(texts)
        for number, each in enumerate(paths, 1):
            tip = Qt.ItemDataRole.ToolTipRole
            self.training.setItemData(number, str(each), tip)
        self.training.setCurrentIndex(index)
        self.training.blockSignals(False)

    def enable(self, names: Sequence[str]) -> None:
        """Enable the buttons of these names, and no other."""
        for name, each in self.buttons.items():
            each.setEnabled(name in names)

    def show_details(self, shown: bool, picture: Path | None) -> None:
        """Show curves and the newest picture, where there are any."""
        self._details.setVisible(shown)
        self.progress.setVisible(shown)
        self.picture.show_file(picture)
        self._legend.setVisible(picture is not None)
