"""Tables of a page: as many rows as there is room for. Lengths are in points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from napari_octa_sam2.metrics.report.levels import Column, LevelTable
from napari_octa_sam2.metrics.report.typesetting import WIDTH, clipped, text_width
from napari_octa_sam2.metrics.results import pretty_unit

CELL, LINE = 6.6, 9.2  # size of figures in tables, and height of their lines
SMALL = 6.0  # size of units and of lesser text
HEADING = 14.0  # height of a heading
GAP = 9.0  # between columns, and below parts of the page
ASIDE = 26.0  # between tables side by side
LONGEST_LABEL = 100.0
MEASURED = 20  # of the labels of a column, the longest
LEAST_ROWS = 2  # of a table, before others lose figures for it
FILES = "in the CSV/XLSX"


@dataclass(frozen=True)
class TablePlan:
    """How a table is shown: its columns in blocks that are as wide as the page.

    Parameters
    ----------
    table : LevelTable
    labels : tuple of float
        Width of each label column.
    blocks : tuple of tuple of Column
        Each is shown with the labels.
    rows, parts : int
        How many of its rows and of its blocks are shown on the page.
    """

    table: LevelTable
    labels: tuple[float, ...]
    blocks: tuple[tuple[Column, ...], ...]
    rows: int = 0
    parts: int = 0

    @property
    def heading(self) -> str:
        """What the rows are, and how many there are if there are several."""
        count = len(self.table.rows)
        return self.table.title + f" ({count})" * (count > 1)

    @property
    def left_out(self) -> str:
        """What is not shown, in words; empty if all is."""
        rows = len(self.table.rows) - self.rows
        figures = sum(len(block) for block in self.blocks[self.parts :])
        parts = [f"{rows} more rows"] * bool(rows)
        parts += [f"{figures} more figures"] * bool(figures)
        return f"… {' and '.join(parts)} {FILES}" if parts else ""

    @cached_property
    def width(self) -> float:
        """Of the table; that of the page if it has several blocks."""
        if len(self.blocks) > 1:
            return WIDTH
        columns = [column_width(column) for column in self.blocks[0]]
        table = sum([*self.labels, *columns]) + GAP * (
            len(self.labels + self.blocks[0])
        )
        most = f"… {len(self.table.rows)} more rows {FILES}"
        return max(table, text_width(most, SMALL) if len(self.table.rows) > 1 else 0)

    @property
    def height(self) -> float:
        """Of what is shown."""
        if not self.parts:
            return 0.0
        blocks = self.blocks[: self.parts]
        lines = sum(head_lines(block) + self.rows for block in blocks)
        return (
            HEADING
            + (lines + bool(self.left_out)) * LINE
            + self.parts * GAP / 2
            + GAP / 2
        )

    def showing(self, rows: int, parts: int) -> TablePlan:
        """Return the plan that shows so many rows and blocks, at most."""
        rows, parts = min(rows, len(self.table.rows)), min(parts, len(self.blocks))
        return replace(self, rows=rows, parts=parts)


Band = tuple[TablePlan, ...]  # tables side by side


def planned(table: LevelTable) -> TablePlan:
    """Return how a table is divided into blocks that are as wide as the page."""
    cap = min(LONGEST_LABEL, 0.55 * WIDTH / max(len(table.labels), 1))
    texts = zip(table.labels, *table.label_texts(), strict=True)
    labels = tuple(_label_width(name, column, cap) for name, *column in texts)
    start = sum(labels) + GAP * len(labels)
    blocks: list[list[Column]] = [[]]
    filled = start
    for column in table.columns:
        width = column_width(column)
        if blocks[-1] and filled + width > WIDTH:
            blocks.append([])
            filled = start
        blocks[-1].append(column)
        filled += width + GAP
    return TablePlan(table, labels, tuple(tuple(block) for block in blocks))


def fitted(plans: Sequence[TablePlan], room: float) -> tuple[Band, ...]:
    """Return tables in bands, with what fits into a height of `room`.

    Rows go first, then figures, then the last tables.
    """
    for count in range(len(plans), 0, -1):
        for parts in range(max(len(plan.blocks) for plan in plans[:count]), 0, -1):
            least = [plan.showing(LEAST_ROWS, parts) for plan in plans[:count]]
            if height(bands := _side_by_side(least)) <= room:
                return _grown(bands, room)
    return ()


def height(bands: Sequence[Band]) -> float:
    """Return the height of tables in bands."""
    return sum(max(plan.height for plan in band) for band in bands)


def head_lines(block: Sequence[Column]) -> int:
    """Return how many lines of a table are above its first row."""
    return 2 if any(column.unit for column in block) else 1


def column_width(column: Column) -> float:
    """Return the width of a column of figures, without the gap before it."""
    unit = text_width(pretty_unit(column.unit), SMALL)
    symbol = text_width(column.definition.symbol, CELL, True)
    longest = max(column.texts, key=len)  # digits are equally wide
    return max(unit, symbol, text_width(longest, CELL))


def _label_width(name: str, texts: Sequence[str], cap: float) -> float:
    longest = sorted(set(texts), key=len)[-MEASURED:]
    widths = (text_width(clipped(text, CELL, cap), CELL) for text in longest)
    return max(text_width(name, CELL, True), *widths)


def _side_by_side(plans: Sequence[TablePlan]) -> tuple[Band, ...]:
    bands: list[Band] = []
    for plan in plans:
        widths = [p.width + ASIDE for p in (*bands[-1], plan)] if bands else [WIDTH * 2]
        if sum(widths) - ASIDE <= WIDTH:
            bands[-1] = (*bands[-1], plan)
        else:
            bands.append((plan,))
    return tuple(bands)


def _grown(bands: tuple[Band, ...], room: float) -> tuple[Band, ...]:
    """Return bands with rows added to all tables alike, as long as there is room."""
    growing = True
    while growing:
        growing = False
        for at, band in enumerate(bands):
            longer = tuple(p.showing(p.rows + 1, p.parts) for p in band)
            tried = (*bands[:at], longer, *bands[at + 1 :])
            if longer != band and height(tried) <= room:
                bands, growing = tried, True
    return bands
