"""All slices at a glance: how sure the masks are, slice by slice, object by object."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPalette, QPixmap, QPolygonF
from qtpy.QtWidgets import QScrollArea, QSizePolicy, QToolTip, QVBoxLayout, QWidget

from napari_octa_sam2.widgets.segment.strip_data import (
    RAMP,
    Scale,
    StripData,
    StripRow,
    confidence_colours,
)

MOST_ROWS = 8  # that are shown at once; the others are scrolled to
NARROWEST = 250
SWATCH, GAP, MARK = 9, 5, 4
FAINT, DIM = 60, 170  # opacity of frames and of lesser text, of 255
BAR = Qt.ScrollBarPolicy.ScrollBarAlwaysOn
NO_BAR = Qt.ScrollBarPolicy.ScrollBarAlwaysOff


class _Part(QWidget):
    """A part of the strip, in the colours of the theme."""

    def __init__(self) -> None:
        super().__init__()
        self.data = StripData(1, ())

    def ink(self, opacity: int = 255) -> QColor:
        """Return the colour of text."""
        colour = QColor(self.palette().color(QPalette.ColorRole.WindowText))
        colour.setAlpha(opacity)
        return colour

    @property
    def line(self) -> int:
        """Height of a line of text."""
        return int(self.fontMetrics().height())

    def triangle(self, painter: QPainter, x: float, y: float) -> None:
        """Draw the mark of a prompt, its tip at a point."""
        corners = [QPointF(x - MARK, y - MARK), QPointF(x + MARK, y - MARK)]
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self.ink())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.drawPolygon(QPolygonF([*corners, QPointF(x, y)]))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)


class _Rows(_Part):
    """The cells. All but the line at the current slice is painted once and kept."""

    picked = Signal(int, int)
    resized = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.current = 0
        self._kept: QPixmap | None = None
        self._dragged: StripRow | None = None
        self._last: tuple[int, int] | None = None

    @property
    def scale(self) -> Scale:
        """Where the slices lie: right of the names, which take a third at most."""
        metrics = self.fontMetrics()
        names = ["slice", *(row.name for row in self.data.rows)]
        text = max(metrics.horizontalAdvance(name) for name in names)
        left = min(SWATCH + 2 * GAP + text, self.width() // 3) + GAP
        return Scale(left, max(1, self.width() - left - GAP), self.data.depth)

    @property
    def pitch(self) -> int:
        """Height of a row."""
        return max(self.line + 3, 18)

    def show_data(self, data: StripData) -> None:
        """Show other data."""
        self.data, self.current = data, data.current
        self.setFixedHeight(max(1, len(data.rows)) * self.pitch + GAP)
        self.renew()

    def renew(self) -> None:
        """Paint everything anew."""
        self._kept = None
        self.update()

    def cells(self, number: int) -> QRect:
        """Return the rectangle of the cells of a row."""
        scale, top = self.scale, number * self.pitch + MARK + 1
        return QRect(scale.left, top, scale.width, self.pitch - MARK - 5)

    def show_current(self, index: int) -> None:
        """Move the line; nothing else is painted."""
        for place in (self.current, index):
            self.update(int(self.scale.centre(place)) - 3, 0, 7, self.height())
        self.current = index

    def paintEvent(self, event) -> None:
        ratio = self.devicePixelRatioF()
        if self._kept is None or self._kept.size() != self.size() * ratio:
            self._kept = QPixmap(self.size() * ratio)
            self._kept.setDevicePixelRatio(ratio)
            self._kept.fill(Qt.GlobalColor.transparent)
            with QPainter(self._kept) as painter:
                self._paint(painter)
        with QPainter(self) as painter:
            painter.drawPixmap(0, 0, self._kept)
            if self.data.rows and 0 <= self.current < self.data.depth:
                x = round(self.scale.centre(self.current) - 0.5)
                halo = self.palette().color(QPalette.ColorRole.Window)
                painter.fillRect(x - 1, 0, 3, self.height(), halo)
                painter.fillRect(x, 0, 1, self.height(), self.ink())

    def _paint(self, painter: QPainter) -> None:
        painter.setFont(self.font())
        if not self.data.rows:
            painter.setPen(self.ink(DIM))
            middle = Qt.AlignmentFlag.AlignCenter
            painter.drawText(self.rect(), middle, "No object yet")
            return
        scale, rows = self.scale, self.data.rows
        values = np.stack([row.certainty for row in rows]).astype(float)
        solid = values.copy()
        for number, row in enumerate(rows):
            solid[number, sorted(row.absent)] = np.nan
        edge = _image(confidence_colours(scale.columns(values)))
        core = _image(confidence_colours(scale.columns(solid)))
        for number, row in enumerate(rows):
            cells = self.cells(number)
            self._paint_name(painter, row, cells)
            painter.setPen(self.ink(FAINT))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(cells.adjusted(-1, -1, 0, 0))
            source = QRect(0, number, scale.width, 1)
            top, bottom = QRect(cells), QRect(cells)
            top.setHeight(2)
            bottom.setTop(cells.bottom() - 1)
            for target in (top, bottom):
                painter.drawImage(target, edge, source)
            painter.drawImage(cells, core, source)
            self._paint_marks(painter, row, cells)

    def _paint_name(self, painter: QPainter, row: StripRow, cells: QRect) -> None:
        top = cells.center().y() - SWATCH // 2
        swatch = QRect(1, top, SWATCH, SWATCH)
        painter.fillRect(swatch, QColor.fromRgbF(*map(float, row.colour)))
        left = SWATCH + GAP
        box = QRect(left, cells.top() - MARK, cells.left() - left - GAP, self.pitch)
        elide = Qt.TextElideMode.ElideRight
        name = self.fontMetrics().elidedText(row.name, elide, box.width())
        painter.setPen(self.ink())
        box.moveCenter(QPoint(box.center().x(), cells.center().y()))
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, name)

    def _paint_marks(self, painter: QPainter, row: StripRow, cells: QRect) -> None:
        scale = self.scale
        locked = np.zeros((1, scale.depth))
        locked[0, sorted(row.locked)] = 1
        for column in np.flatnonzero(scale.columns(locked)[0]):
            x = scale.left + int(column)
            painter.fillRect(x, cells.bottom() + 2, 1, 2, self.ink())
        for index in row.prompted:
            self.triangle(painter, scale.centre(index), cells.top())

    def _row_at(self, y: float) -> StripRow | None:
        rows = self.data.rows
        number = int(y) // self.pitch
        return rows[min(max(number, 0), len(rows) - 1)] if rows else None

    def _slice_at(self, x: float, row: StripRow) -> int:
        """Return the slice under a pixel, of several the one that its colour is of."""
        under = self.scale.slices_at(x)
        values = row.certainty[under.start : under.stop]
        place = 0 if np.isnan(values).all() else int(np.nanargmin(values))
        return under[place]

    def mousePressEvent(self, event) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            return
        row = self._row_at(event.position().y())
        if row is None:
            return
        if event.position().x() < self.scale.left:
            self.picked.emit(self.current, row.id)
            return
        self._dragged, self._last = row, None
        self.mouseMoveEvent(event)

    def mouseMoveEvent(self, event) -> None:
        if self._dragged is None:
            return
        index = self._slice_at(event.position().x(), self._dragged)
        place = (index, self._dragged.id)
        if place != self._last:
            self._last = place
            self.picked.emit(*place)

    def mouseReleaseEvent(self, event) -> None:
        self._dragged = None

    def event(self, event) -> bool:
        if event.type() == QEvent.Type.ToolTip:
            row = self._row_at(event.pos().y())
            if row is not None:
                is_name = event.pos().x() < self.scale.left
                index = self._slice_at(event.pos().x(), row)
                text = row.name if is_name else row.describe(index)
                QToolTip.showText(event.globalPos(), text, self)
            return True
        return bool(super().event(event))

    def resizeEvent(self, event) -> None:
        self.resized.emit()

    def changeEvent(self, event) -> None:
        kinds = QEvent.Type
        if event.type() in (kinds.PaletteChange, kinds.StyleChange, kinds.FontChange):
            self.setFixedHeight(max(1, len(self.data.rows)) * self.pitch + GAP)
            self.renew()
        super().changeEvent(event)


class _Axis(_Part):
    """Slice numbers, millimetres where they are known, and what the marks mean."""

    def __init__(self, rows: _Rows) -> None:
        super().__init__()
        self._rows = rows
        rows.resized.connect(self.update)

    def show_data(self, data: StripData) -> None:
        """Show other data."""
        self.data = data
        self._fit()
        self.update()

    @property
    def _legend(self) -> list[tuple[str, int]]:
        """The entries of the legend with the width of each."""
        metrics = self.fontMetrics()
        ends = metrics.horizontalAdvance("doubtful 0%100% sure") + 2 * GAP
        width = max(40, min(120, self.width() - ends - 2 * GAP))
        marks = [
            (name, 14 + GAP + metrics.horizontalAdvance(name))
            for name in ("prompted", "locked", "absent")
        ]
        return [("", ends + width), *marks]

    @property
    def _is_wrapped(self) -> bool:
        """Whether the marks have a line of their own."""
        return sum(width + 3 * GAP for _, width in self._legend) > self.width()

    def _fit(self) -> None:
        lines = 2 + (self.data.spacing_mm is not None) + self._is_wrapped
        self.setFixedHeight(GAP + lines * self.line + GAP)

    def resizeEvent(self, event) -> None:
        self._fit()

    def paintEvent(self, event) -> None:
        with QPainter(self) as painter:
            bottom = self._paint_ticks(painter) + GAP
            x = GAP
            for name, width in self._legend:
                self._paint_entry(painter, name, QRect(x, bottom, width, self.line))
                x += width + 3 * GAP
                if not name and self._is_wrapped:
                    x, bottom = GAP, bottom + self.line

    def _paint_ticks(self, painter: QPainter) -> int:
        """Draw the ticks; return where they end."""
        scale, metrics, mm = self._rows.scale, self.fontMetrics(), self.data.spacing_mm
        labels = [str(scale.depth - 1)] + ([f"{scale.depth * mm:.2f}"] if mm else [])
        apart = max(metrics.horizontalAdvance(label) for label in labels) + 2 * GAP
        step = scale.tick_step(apart)
        texts = [("slice", str)]
        if mm is not None:
            texts.append(("mm", lambda index: f"{index * mm:.2f}"))
        for line, (title, label) in enumerate(texts):
            painter.setPen(self.ink(DIM))
            top = MARK + line * self.line
            half = metrics.horizontalAdvance(label(0)) / 2
            box = QRectF(0, top, scale.centre(0) - half - GAP, self.line)
            painter.drawText(box, Qt.AlignmentFlag.AlignRight, title)
            painter.setPen(self.ink() if line == 0 else self.ink(DIM))
            for index in range(0, scale.depth, step):
                text = label(index)
                half = metrics.horizontalAdvance(text) / 2 + 1
                x = min(scale.centre(index), self.width() - half)
                box = QRectF(x - half, top, 2 * half, self.line)
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
        for index in range(0, scale.depth, step):
            x = round(scale.centre(index) - 0.5)
            painter.fillRect(x, 0, 1, MARK - 1, self.ink(DIM))
        return MARK + len(texts) * self.line

    def _paint_entry(self, painter: QPainter, name: str, box: QRect) -> None:
        middle = box.center().y()
        painter.setPen(self.ink(DIM))
        sides = Qt.AlignmentFlag
        if not name:
            metrics = self.fontMetrics()
            painter.drawText(box, sides.AlignLeft, "doubtful 0%")
            painter.drawText(box, sides.AlignRight, "100% sure")
            left = metrics.horizontalAdvance("doubtful 0%") + GAP
            right = metrics.horizontalAdvance("100% sure") + GAP
            bar = QRect(box.left() + left, middle - 3, box.width() - left - right, 8)
            ramp = confidence_colours(np.linspace(0, 1, bar.width())[None])
            painter.drawImage(bar, _image(ramp))
            return
        painter.drawText(box, sides.AlignRight, name)
        if name == "prompted":
            self.triangle(painter, box.left() + 7, middle + 3)
        elif name == "locked":
            painter.fillRect(box.left(), middle + 1, 14, 2, self.ink())
        else:
            for y in (middle - 3, middle + 3):
                painter.fillRect(box.left(), y, 14, 2, QColor(*RAMP[1.0]))


class ConfidenceStrip(QWidget):
    """Objects by slices, coloured by how sure the masks are.

    Where there are more slices than pixels, a pixel shows the least certain one under
    it, and a click there goes to that one. `picked` tells slice and object of a click
    or drag; while dragging, the object stays that of the press.
    """

    picked = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows = _Rows()
        self._axis = _Axis(self._rows)
        self._area = QScrollArea()
        self._area.setWidget(self._rows)
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QScrollArea.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(NO_BAR)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._area)
        layout.addWidget(self._axis)
        self.setMinimumWidth(NARROWEST)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._rows.picked.connect(self.picked)
        self._rows.resized.connect(self._fit)
        self.set_data(StripData(1, ()))

    def set_data(self, data: StripData) -> None:
        """Show other data."""
        self._rows.show_data(data)
        self._axis.show_data(data)
        self._fit()

    def set_current(self, slice: int) -> None:
        """Move the line to the slice that the viewer shows now."""
        self._rows.show_current(slice)

    def sizeHint(self) -> QSize:
        """Return the size that shows as many rows as are shown at once."""
        return QSize(400, self._area.height() + self._axis.height())

    def _fit(self) -> None:
        shown = min(max(1, len(self._rows.data.rows)), MOST_ROWS)
        is_scrolled = len(self._rows.data.rows) > MOST_ROWS
        self._area.setVerticalScrollBarPolicy(BAR if is_scrolled else NO_BAR)
        self._area.setFixedHeight(shown * self._rows.pitch + GAP)


def _image(colours: np.ndarray) -> QImage:
    rows, columns = colours.shape[:2]
    data = np.ascontiguousarray(colours)
    form = QImage.Format.Format_RGBA8888
    return QImage(data.data, columns, rows, 4 * columns, form).copy()
