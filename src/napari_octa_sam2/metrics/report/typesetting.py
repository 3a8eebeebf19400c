"""A sheet of A4 and text on it, measured before it is set. Lengths are in points."""

from __future__ import annotations

from bisect import bisect_right
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from napari_octa_sam2.metrics.report.dress import drawable

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.font_manager import FontProperties

INCH = 72.0
A4 = (210 / 25.4 * INCH, 297 / 25.4 * INCH)
MARGIN = 15 / 25.4 * INCH
WIDTH = A4[0] - 2 * MARGIN  # of what is printed
HEIGHT = A4[1] - 2 * MARGIN
MEASURED = 8192  # texts whose width is remembered


@lru_cache(MEASURED)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return how wide a text is, in points."""
    from matplotlib.textpath import text_to_path

    measure = text_to_path.get_text_width_height_descent
    width, _, _ = measure(drawable(text), _font(size, bold), False)
    return float(width)


def wrapped(text: str, size: float, width: float, first: float = 0.0) -> list[str]:
    """Return lines of a text that are no wider than `width`.

    Parameters
    ----------
    text : str
    size : float
    width : float
    first : float
        By how much the first line is shorter.
    """
    lines: list[str] = []
    line = ""
    for word in text.split():
        room = width - first * (not lines)
        longer = f"{line} {word}".lstrip()
        if text_width(longer, size) <= room:
            line = longer
            continue
        if line:
            lines.append(line)
        while text_width(word, size) > width:
            part = clipped(word, size, width, end="")
            lines.append(part)
            word = word[len(part) :]
        line = word
    return [*lines, line] if line else lines


def clipped(
    text: str, size: float, width: float, *, bold: bool = False, end: str = "…"
) -> str:
    """Return a text, without what goes beyond `width`."""
    if text_width(text, size, bold) <= width:
        return text
    count = bisect_right(
        range(1, len(text)),
        width,
        key=lambda kept: text_width(text[:kept] + end, size, bold),
    )
    return text[: max(count, 1)].rstrip() + end


class Sheet:
    """A page of A4; places are in points from the upper left of what is printed."""

    def __init__(self) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.02)
        size = (A4[0] / INCH, A4[1] / INCH)
        self.figure: Figure = Figure(size, facecolor="white", layout=layout)
        FigureCanvasAgg(self.figure)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: str,
        *,
        bold: bool = False,
        right: bool = False,
    ) -> None:
        """Put a line of text: its left (or right) end and its base line."""
        self.figure.text(
            *self._place(x, y),
            drawable(text),
            color=colour,
            fontproperties=_font(size, bold),
            ha="right" if right else "left",
            va="baseline",
            parse_math=False,
        )

    def rule(self, y: float, left: float, right: float, colour: str) -> None:
        """Draw a fine horizontal line."""
        from matplotlib.lines import Line2D

        (x0, level), (x1, _) = self._place(left, y), self._place(right, y)
        line = Line2D([x0, x1], [level, level], color=colour, lw=0.5)
        self.figure.add_artist(line)

    def part(self, top: float, height: float) -> SubFigure:
        """Return a part as wide as the sheet, to draw pictures in."""
        above, below = MARGIN + top, A4[1] - MARGIN - top - height
        grid: Any = self.figure.add_gridspec(
            3,
            3,
            width_ratios=(MARGIN, WIDTH, MARGIN),
            height_ratios=(above, height, below),
        )
        return self.figure.add_subfigure(grid[1, 1])

    def _place(self, x: float, y: float) -> tuple[float, float]:
        return (MARGIN + x) / A4[0], 1 - (MARGIN + y) / A4[1]


@cache
def _font(size: float, bold: bool) -> FontProperties:
    from matplotlib.font_manager import FontProperties

    weight = "bold" if bold else "normal"
    return FontProperties(family="DejaVu Sans", size=size, weight=weight)
