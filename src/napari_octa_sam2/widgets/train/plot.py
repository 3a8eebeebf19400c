"""Curves of a training as they come, and pictures of its predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qtpy.QtCore import QPointF, QRect, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPalette, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_octa_sam2.palette import GREEN, ORANGE, PURPLE, SKY
from napari_octa_sam2.widgets.train.view import Series

# Those that show on a dark and on a light ground.
COLOURS = {
    "loss": ORANGE,
    "prompted": SKY,
    "followed": ORANGE,
    "whole class": PURPLE,
    "validation": GREEN,
}
GAP, TICK, MARK, SWATCH = 5, 4, 3, 16
FAINT, DIM = 50, 170  # opacity of the grid and of lesser text, of 255
LINES = 11  # of text that a plot is high
NICE = (1, 2, 2.5, 5, 10)
MOST_TICKS = 5
SIDES = Qt.AlignmentFlag


class CurvePlot(QWidget):
    """Curves against steps, with axes and a legend.

    Parameters
    ----------
    title : str
        What the values are, with their unit.
    bounds : (float, float), optional
        Of the values; by default those that the curves need.
    lines : int
        Height, in lines of text.
    """

    def __init__(
        self,
        title: str,
        bounds: tuple[float, float] | None = None,
        lines: int = LINES,
    ) -> None:
        super().__init__()
        self.series: tuple[Series, ...] = ()
        self._title, self._bounds, self._lines = title, bounds, lines
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_series(self, series: tuple[Series, ...]) -> None:
        """Show other curves."""
        self.series = series
        self.update()

    def sizeHint(self) -> QSize:
        """Return the size that leaves room for some ticks."""
        return QSize(280, self._lines * self._line)

    @property
    def _line(self) -> int:
        return int(self.fontMetrics().height())

    def paintEvent(self, event: object) -> None:
        with QPainter(self) as painter:
            painter.setPen(self._ink())
            head = QRect(0, 0, self.width(), self._line)
            painter.drawText(head, SIDES.AlignLeft, self._title)
            if not self.series:
                painter.setPen(self._ink(DIM))
                painter.drawText(self.rect(), SIDES.AlignCenter, "No step yet")
                return
            top = self._paint_legend(painter)
            low, high, ticks = self._range()
            labels = [f"{tick:.3g}" for tick in ticks]
            width = max(map(self.fontMetrics().horizontalAdvance, labels))
            area = QRectF(
                width + TICK + GAP,
                top + GAP,
                self.width() - width - TICK - 3 * GAP,
                self.height() - top - 2 * self._line - TICK - GAP,
            )
            last = max(float(s.steps[-1]) for s in self.series)
            self._paint_values(painter, area, (low, high), ticks, labels)
            self._paint_steps(painter, area, last)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            for series in self.series:
                x = area.left() + area.width() * series.steps / max(last, 1.0)
                share = (series.values - low) / (high - low)
                y = area.bottom() - area.height() * np.clip(share, 0, 1)
                self._paint_series(painter, series, x, y)

    def _range(self) -> tuple[float, float, list[float]]:
        """Return the bounds of the values, and ticks within them."""
        if self._bounds is not None:
            low, high = self._bounds
        else:
            low = min(0.0, *(float(s.values.min()) for s in self.series))
            high = max(float(s.values.max()) for s in self.series)
        high = high if high > low else low + 1.0
        step = nice_step((high - low) / MOST_TICKS)
        if self._bounds is None:
            high = step * np.ceil(high / step)
        ticks = np.arange(np.ceil(low / step), np.floor(high / step + 1e-9) + 1) * step
        return low, float(high), ticks.tolist()

    def _paint_values(
        self,
        painter: QPainter,
        area: QRectF,
        bounds: tuple[float, float],
        ticks: list[float],
        labels: list[str],
    ) -> None:
        low, high = bounds
        for tick, label in zip(ticks, labels, strict=True):
            y = area.bottom() - area.height() * (tick - low) / (high - low)
            painter.setPen(self._ink(FAINT))
            painter.drawLine(QPointF(area.left() - TICK, y), QPointF(area.right(), y))
            painter.setPen(self._ink(DIM))
            right = area.left() - TICK - 2
            box = QRectF(0, y - self._line / 2, right, self._line)
            painter.drawText(box, SIDES.AlignRight | SIDES.AlignVCenter, label)

    def _paint_steps(self, painter: QPainter, area: QRectF, last: float) -> None:
        step = max(1.0, nice_step(max(last, 1.0) / MOST_TICKS))
        painter.setPen(self._ink(DIM))
        metrics, top = self.fontMetrics(), area.bottom() + TICK
        for tick in np.arange(0, last + 1, step):
            x = area.left() + area.width() * tick / max(last, 1.0)
            painter.drawLine(QPointF(x, area.bottom()), QPointF(x, top))
            half = metrics.horizontalAdvance(f"{tick:.0f}") / 2 + 1
            x = min(x, self.width() - half)
            box = QRectF(x - half, top, 2 * half, self._line)
            painter.drawText(box, SIDES.AlignCenter, f"{tick:.0f}")
        below = QRectF(area.left(), top + self._line, area.width(), self._line)
        painter.drawText(below, SIDES.AlignCenter, "step")

    def _paint_series(
        self, painter: QPainter, series: Series, x: np.ndarray, y: np.ndarray
    ) -> None:
        colour = QColor(COLOURS[series.name])
        points = [QPointF(*at) for at in zip(x.tolist(), y.tolist(), strict=True)]
        painter.setPen(QPen(colour, 2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPolyline(QPolygonF(points))
        if series.marked or len(points) == 1:
            painter.setBrush(colour)
            for point in points:
                painter.drawEllipse(point, MARK, MARK)

    def _paint_legend(self, painter: QPainter) -> int:
        """Name the curves, if there are several; return where that ends."""
        x, y = 0, self._line
        if len(self.series) < 2:
            return y
        for series in self.series:
            width = self.fontMetrics().horizontalAdvance(series.name)
            if x + SWATCH + width > self.width():
                x, y = 0, y + self._line
            middle = y + self._line // 2
            painter.setPen(QPen(QColor(COLOURS[series.name]), 3))
            painter.drawLine(x, middle, x + SWATCH - GAP, middle)
            painter.setPen(self._ink(DIM))
            box = QRect(x + SWATCH, y, width, self._line)
            painter.drawText(box, SIDES.AlignLeft | SIDES.AlignVCenter, series.name)
            x += SWATCH + width + 2 * GAP
        return y + self._line

    def _ink(self, opacity: int = 255) -> QColor:
        colour = QColor(self.palette().color(QPalette.ColorRole.WindowText))
        colour.setAlpha(opacity)
        return colour


class SamplePicture(QWidget):
    """Square pictures of samples, of which a file holds several side by side."""

    def __init__(self) -> None:
        super().__init__()
        self._file: Path | None = None
        self._tiles: list[QPixmap] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_file(self, file: Path | None) -> None:
        """Show the pictures of a file."""
        if file == self._file:
            return
        whole = QPixmap() if file is None else QPixmap(str(file))
        if file is not None and whole.isNull():
            return  # it is still being written
        self._file = file
        side = whole.height()
        starts = range(0, whole.width(), side) if side else ()
        self._tiles = [whole.copy(x, 0, side, side) for x in starts]
        self._fit()
        self.update()

    def resizeEvent(self, event: object) -> None:
        self._fit()

    def paintEvent(self, event: object) -> None:
        side = self._side
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            for number, tile in enumerate(self._tiles):
                row, column = divmod(number, 2)
                at = QRect(column * (side + GAP), row * (side + GAP), side, side)
                painter.drawPixmap(at, tile)

    @property
    def _side(self) -> int:
        return max(1, (self.width() - GAP) // 2)

    def _fit(self) -> None:
        rows = -(-len(self._tiles) // 2)
        self.setFixedHeight(rows * (self._side + GAP))


def nice_step(least: float) -> float:
    """Return the smallest round number from `least` on."""
    decade = 10.0 ** np.floor(np.log10(least))
    return float(next(n * decade for n in NICE if n * decade >= least * (1 - 1e-9)))
