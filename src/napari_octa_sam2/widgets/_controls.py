"""Buttons and rows, as all docks have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QWidget

from napari_octa_sam2.widgets._keys import COMMANDS, caption

Act = Callable[[str], Any]  # does what is called so


def key_button(name: str, act: Act) -> QPushButton:
    """Return the button of an action, which shows its key."""
    return button(caption(name), lambda: act(name), COMMANDS[name].tip)


def button(text: str, action: Callable[[], Any], tip: str = "") -> QPushButton:
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
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row
