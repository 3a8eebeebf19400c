"""A plot of results in the colours of the viewer, drawn in a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSize, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QImage, QPainter
from qtpy.QtWidgets import QComboBox, QSizePolicy, QVBoxLayout, QWidget

from napari_octa_sam2.errors import OctaError
from napari_octa_sam2.metrics.report.drawings import Draw
from napari_octa_sam2.palette import DARK, LIGHT, Look
from napari_octa_sam2.widgets.controls import let_shrink
from napari_octa_sam2.widgets.measure.drawings import BY_SLICE, PLOTS
from napari_octa_sam2.widgets.task import TaskRunner

if TYPE_CHECKING:
    from matplotlib.transforms import Bbox, Transform
    from napari.utils.theme import Theme

DPI = 110
HEIGHT, MARGIN = 250, 16  # pixels
RESIZED_MS = 100
DRAWING = Lock()  # matplotlib is not made for several threads at once

Make = Callable[[], Draw | str]


@dataclass(frozen=True, eq=False)
class Rendered:
    """A plot as pixels, and where its data lie.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGBA, shape ``(height, width, 4)``.
    ratio : float
        Pixels of it to one of the widget.
    to_data : Transform
        From pixels, counted from the lower left, to data.
    area : Bbox
        In pixels, in which there are data.
    """

    pixels: np.ndarray
    ratio: float
    to_data: Transform
    area: Bbox

    def data_at(self, x: float, y: float) -> tuple[float, float] | None:
        """Return the data at a place of the widget, counted from the upper left."""
        place = x * self.ratio, len(self.pixels) - y * self.ratio
        if not self.area.contains(*place):
            return None
        found = self.to_data.transform(place)
        return float(found[0]), float(found[1])


class PlotView(QWidget):
    """Shows a rendered plot, or a sentence.

    Attributes
    ----------
    clicked : Signal
        ``(x, y)`` in data.
    resized : Signal
    """

    clicked = Signal(float, float)
    resized = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.content: Rendered | str = ""
        self.look = DARK
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_content(self, content: Rendered | str) -> None:
        """Show something else."""
        self.content = content
        self.update()

    def sizeHint(self) -> QSize:
        """Return a size that leaves room for a legend."""
        return QSize(300, HEIGHT)

    def paintEvent(self, event: object) -> None:
        content = self.content
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), QColor(self.look.ground))
            if isinstance(content, str):
                box = self.rect().adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
                flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
                painter.setPen(QColor(self.look.faint))
                painter.drawText(box, flags, content)
                return
            height, width, _ = content.pixels.shape
            kind = QImage.Format.Format_RGBA8888
            image = QImage(content.pixels.data, width, height, 4 * width, kind)
            image.setDevicePixelRatio(content.ratio)
            painter.drawImage(0, 0, image)

    def resizeEvent(self, event: object) -> None:
        self.resized.emit()

    def mousePressEvent(self, event: Any) -> None:
        if isinstance(self.content, Rendered):
            at = event.position()
            if found := self.content.data_at(at.x(), at.y()):
                self.clicked.emit(*found)


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
        self._wanted: Make | None = None
        self._due = False
        self.painter = TaskRunner(lambda text: None, self._painting)
        self.chooser, self.view = QComboBox(), PlotView()
        self.chooser.addItems(PLOTS)
        let_shrink(self.chooser)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.chooser)
        column.addWidget(self.view)
        self._resized = QTimer(self, singleShot=True, interval=RESIZED_MS)
        self._resized.timeout.connect(self._draw)
        self.view.resized.connect(self._resized.start)
        self.view.clicked.connect(self._clicked)
        self.chooser.currentIndexChanged.connect(lambda: self.plot_changed.emit())

    @property
    def name(self) -> str:
        """Of the chosen plot."""
        return str(self.chooser.currentText())

    def choose(self, name: str) -> None:
        """Choose a plot."""
        self.chooser.setCurrentText(name)

    def show_plot(self, make: Make) -> None:
        """Show what `make`, called in a thread, returns: a plot or a sentence."""
        self._wanted = make
        self._draw()

    def set_theme(self, theme: Theme) -> None:
        """Take the colours of the viewer."""
        self.view.look = look_of(theme)
        self._draw()

    def close_painter(self) -> None:
        """Draw nothing any more."""
        self._wanted = None
        self._resized.stop()
        self.painter.close()

    def _draw(self) -> None:
        """Draw what is wanted now, or when the thread is free."""
        self._due = self.painter.busy
        if self._due or self._wanted is None:
            return
        size = max(self.view.width(), 2 * MARGIN), self.view.height()
        ratio = float(self.view.devicePixelRatioF())
        work = partial(rendered, self._wanted, self.view.look, size, ratio)
        self.painter.start("Drawing", work, self.view.show_content)

    def _painting(self, running: bool) -> None:
        if not running and self._due:
            self._draw()

    def _clicked(self, x: float, y: float) -> None:
        if self.name == BY_SLICE:
            self.slice_picked.emit(round(x))


def rendered(
    make: Make, look: Look, size: tuple[int, int], ratio: float
) -> Rendered | str:
    """Return a plot as pixels, or a sentence on what it needs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    try:
        draw = make()
    except OctaError as error:
        return str(error)
    if isinstance(draw, str):
        return draw
    with DRAWING:
        figure = Figure(
            (size[0] / DPI, size[1] / DPI),
            dpi=DPI * ratio,
            layout="constrained",
            facecolor=look.ground,
        )
        canvas = FigureCanvasAgg(figure)
        axes = figure.subplots()
        draw(axes, look=look)
        canvas.draw()
        pixels = np.array(canvas.buffer_rgba())
        return Rendered(
            pixels, ratio, axes.transData.inverted().frozen(), axes.bbox.frozen()
        )


def look_of(theme: Theme) -> Look:
    """Return what a picture looks like that is shown in a viewer of this theme."""
    ground = theme.background.as_rgb_tuple()
    curves = DARK if sum(ground[:3]) < 3 * 128 else LIGHT
    return Look(
        theme.text.as_hex(),
        curves.faint,
        theme.primary.as_hex(),
        theme.background.as_hex(),
        curves.lines,
    )
