"""What all docks have: a line of status, how they end, buttons, rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.utils.notifications import show_warning
from qtpy.QtCore import QEvent
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QWidget,
)

from napari_octa_sam2.widgets.keys import COMMANDS, caption

Act = Callable[[str], Any]  # does what is called so
Action = Callable[[], Any]


class Dock(QScrollArea):
    """A dock that says what goes on, and notices its end, however it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self._stopped = False
        self.status = QLabel(wordWrap=True)

    def say(self, text: str) -> None:
        """Show a line of status."""
        self.status.setText(text)

    def warn(self, text: str) -> None:
        """Warn of something that cannot be done."""
        show_warning(text)
        self.say(text)

    def stop(self) -> None:
        """Let go of viewer and threads; called once."""

    def closeEvent(self, event: object) -> None:
        """Stop."""
        self._stop_once()
        super().closeEvent(event)

    def event(self, event: QEvent) -> bool:
        """Stop when napari takes the widget out of a dock that is closed."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._stop_once()
        return bool(super().event(event))

    def _stop_once(self) -> None:
        if not self._stopped:
            self._stopped = True
            self.stop()


class SliceRange(QWidget):
    """First and last slice, in either order."""

    def __init__(self, tip: str = "") -> None:
        super().__init__()
        self._spins = QSpinBox(), QSpinBox()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for spin, before in zip(self._spins, ("", "to"), strict=True):
            spin.setToolTip(tip)
            if before:
                row.addWidget(QLabel(before))
            row.addWidget(spin)

    @property
    def slices(self) -> range:
        """The chosen slices."""
        low, high = sorted(spin.value() for spin in self._spins)
        return range(low, high + 1)

    @slices.setter
    def slices(self, slices: range) -> None:
        for spin, value in zip(self._spins, (slices[0], slices[-1]), strict=True):
            spin.setValue(value)

    def set_depth(self, depth: int) -> None:
        """Offer and choose all of `depth` slices."""
        for spin in self._spins:
            spin.setRange(0, depth - 1)
        self.slices = range(depth)


def key_button(name: str, act: Act) -> QPushButton:
    """Return the button of an action, which shows its key."""
    return button(caption(name), lambda: act(name), COMMANDS[name].tip)


def with_key(button: QPushButton, key: str) -> QPushButton:
    """Put a key on a button, and show it there."""
    button.setText(f"{button.text()} [{key}]")
    button.setShortcut(QKeySequence(key))
    return button


def button(text: str, action: Action, tip: str = "") -> QPushButton:
    """Return a button that does something."""
    button = QPushButton(text)
    button.setToolTip(tip)
    button.clicked.connect(lambda: action())
    return button


def let_shrink(chooser: QComboBox) -> None:
    """Let a chooser be narrower than its longest entry."""
    chooser.setSizeAdjustPolicy(
        QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    )
    chooser.setMinimumContentsLength(8)


def row_of(*widgets: QWidget) -> QHBoxLayout:
    """Return widgets side by side."""
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row
