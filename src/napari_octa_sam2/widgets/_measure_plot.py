"""A plot of results in the colours of the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy, QVBoxLayout, QWidget

from napari_octa_sam2.palette import DARK, LIGHT, Look
from napari_octa_sam2.widgets._controls import let_shrink
from napari_octa_sam2.widgets._measure_drawings import BY_SLICE, PLOTS, Draw

if TYPE_CHECKING:
    from napari.utils.theme import Theme

DPI = 110
HEIGHT = 250  # pixels


class PlotPanel(QWidget):
    """A chooser of plots, and the chosen one.

    Attributes
    ----------
    plot_changed : Signal
        The user chose another plot.
    slice_picked : Signal
        ``(index,)`` of the slice that was clicked on.
    """

    plot_changed = Signal()
    slice_picked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        self.look = DARK
        self.chooser = QComboBox()
        self.chooser.addItems(PLOTS)
        let_shrink(self.chooser)
        self.figure = Figure(dpi=DPI, layout="constrained")
        self.canvas = FigureCanvasQTAgg(self.figure)
        self.canvas.setFixedHeight(HEIGHT)
        self.canvas.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.chooser)
        column.addWidget(self.canvas)
        self.chooser.currentIndexChanged.connect(lambda: self.plot_changed.emit())
        self.canvas.mpl_connect("button_press_event", self._clicked)

    @property
    def name(self) -> str:
        """Of the chosen plot."""
        return str(self.chooser.currentText())

    def choose(self, name: str) -> None:
        """Choose a plot."""
        self.chooser.setCurrentText(name)

    def show_plot(self, draw: Draw | str) -> None:
        """Draw a plot, or say what it needs."""
        self.figure.clear()
        self.figure.set_facecolor(self.look.ground)
        if isinstance(draw, str):
            self.figure.text(
                0.5, 0.5, draw, ha="center", va="center", wrap=True,
                color=self.look.faint, fontsize=8,
            )  # fmt: skip
        else:
            draw(self.figure.subplots(), look=self.look)
        self.canvas.draw_idle()

    def set_theme(self, theme: Theme) -> None:
        """Take the colours of the viewer."""
        self.look = look_of(theme)

    def _clicked(self, event: Any) -> None:
        if self.name == BY_SLICE and event.inaxes is not None:
            self.slice_picked.emit(round(event.xdata))


def look_of(theme: Theme) -> Look:
    """Return what a picture looks like that is shown in a viewer of this theme."""
    ground = theme.background.as_rgb_tuple()
    curves = DARK if sum(ground[:3]) < 3 * 128 else LIGHT
    return Look(
        theme.text.as_hex(),
        theme.highlight.as_hex() if curves is LIGHT else DARK.faint,
        theme.primary.as_hex(),
        theme.background.as_hex(),
        curves.lines,
    )
