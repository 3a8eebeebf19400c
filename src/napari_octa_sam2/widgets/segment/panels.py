"""What is done in the Segment dock: controls and the signals they send, no logic."""

from __future__ import annotations

from collections.abc import Collection

from magicgui.widgets import create_widget
from napari.layers import Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGroupBox,
    QLabel,
    QProgressBar,
    QSpinBox,
    QVBoxLayout,
)

from napari_octa_sam2.engine.options import DIRECTIONS
from napari_octa_sam2.widgets.controls import (
    Act,
    SliceRange,
    button,
    key_button,
    let_shrink,
    row_of,
)
from napari_octa_sam2.widgets.keys import COMMANDS
from napari_octa_sam2.widgets.segment.objects import ObjectTable


class ObjectPanel(QGroupBox):
    """The objects, and what adds, joins and removes them."""

    def __init__(self, act: Act) -> None:
        super().__init__("Objects")
        self.table = ObjectTable()
        column = QVBoxLayout(self)
        column.addWidget(self.table)
        column.addLayout(
            row_of(
                key_button("new", act),
                key_button("next", act),
                button("Remove", lambda: act("remove"), "Prompts and pixels as well"),
            )
        )
        column.addLayout(
            row_of(
                button("Merge", lambda: act("merge"), "Make the selected objects one"),
                button("Split", lambda: act("split"), "Make pieces objects"),
                button("Copy", lambda: act("copy"), "Add one with the same prompts"),
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
        column.addLayout(row_of(key_button("click", act), self.polarity))
        column.addLayout(row_of(*(key_button(n, act) for n in ("box", "scribble"))))
        column.addLayout(row_of(*(key_button(n, act) for n in ("lasso", "paint"))))
        column.addWidget(self.ask)
        column.addLayout(
            row_of(*(key_button(n, act) for n in ("absent", "first", "last")))
        )
        column.addWidget(self._suppress)
        tip = "Points become clicks of the selected object, labels become objects"
        adopt = button("Use layer", lambda: act("adopt"), tip)
        let_shrink(self.layer.native)
        column.addLayout(row_of(self.layer.native, adopt))
        column.addWidget(self._centre_lines)
        column.addLayout(row_of(*(key_button(n, act) for n in ("undo", "redo"))))

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


class PropagatePanel(QGroupBox):
    """Direction, range, progress."""

    def __init__(self, act: Act) -> None:
        super().__init__("Propagate")
        self._direction = QComboBox()
        self._direction.addItems(DIRECTIONS)
        self.span = SliceRange()
        self._start = key_button("propagate", act)
        self._cancel = key_button("cancel", act)
        self.progress = QProgressBar()
        form = QFormLayout(self)
        form.addRow("Direction", self._direction)
        form.addRow("Slices", self.span)
        form.addRow(row_of(self._start, self._cancel))
        form.addRow(self.progress)
        self.set_running(False)

    @property
    def direction(self) -> str:
        """The chosen direction."""
        return str(self._direction.currentText())

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
        column.addLayout(row_of(*(key_button(n, act) for n in ("lock", "accept"))))
        column.addLayout(row_of(*(key_button(n, act) for n in ("doubtful", "check"))))
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
