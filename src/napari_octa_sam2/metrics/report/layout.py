"""What a report of one page tells, and how much of it fits. Lengths in points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from napari_octa_sam2.metrics.definitions import Definition
from napari_octa_sam2.metrics.report.fitting import (
    FILES,
    GAP,
    HEADING,
    SMALL,
    Band,
    fitted,
    height,
    planned,
)
from napari_octa_sam2.metrics.report.levels import (
    Definitions,
    LevelTable,
    level_tables,
    setting_lines,
    used_definitions,
)
from napari_octa_sam2.metrics.report.provenance import lines_of
from napari_octa_sam2.metrics.report.typesetting import (
    HEIGHT,
    WIDTH,
    text_width,
    wrapped,
)
from napari_octa_sam2.metrics.results import Results, pretty_unit

if TYPE_CHECKING:
    from napari_octa_sam2.metrics.report.pictures import Picture

SMALL_LINE = 7.6  # height of a line of definitions, settings and notes
HEAD = 46.0  # height of the head of the page
MOST_PICTURES, ABREAST = 6, 3
PICTURE_HEIGHTS = {0: 0.0, 1: 164.0, 2: 130.0}  # of a row, by the number of rows
MOST_LINES = 6  # of settings, and of notes
NAMED = 4  # figures that are not available for one reason
SHARE = 0.35  # of the room of tables and definitions for the latter, at most
SIDES = 2  # columns of definitions


@dataclass(frozen=True)
class Page:
    """Everything that a report of one page tells.

    Parameters
    ----------
    title, subject : str
    results : Results
    pictures : tuple of Picture
        The first six are shown.
    record : mapping
        What `provenance` told.
    definitions : mapping of str to Definition
    """

    title: str
    subject: str
    results: Results
    pictures: tuple[Picture, ...]
    record: Mapping[str, Any]
    definitions: Definitions

    @property
    def created(self) -> str:
        """Date and time, for people to read."""
        return str(self.record["created"]).replace("T", " ").replace("+00:00", " UTC")

    @cached_property
    def used(self) -> list[tuple[Definition, str]]:
        """Definitions of all figures, with their units."""
        found = used_definitions(self.results, self.definitions)
        return [(d, ", ".join(map(pretty_unit, units))) for d, units in found]

    @cached_property
    def told(self) -> list[tuple[Definition, str]]:
        """As `used`, those of the figures on the page first."""
        plans = [plan for band in self.bands for plan in band]
        blocks = [block for plan in plans for block in plan.blocks[: plan.parts]]
        shown = {column.definition.key for block in blocks for column in block}
        return sorted(self.used, key=lambda found: found[0].key not in shown)

    @cached_property
    def facts(self) -> list[tuple[str, str]]:
        """Settings and provenance, as names and values."""
        record = {k: v for k, v in self.record.items() if k != "created"}
        return setting_lines(self.results.settings) + lines_of(record)

    @cached_property
    def notes(self) -> list[str]:
        """Notes of the results, and why figures are not available."""
        reasons = (line for table in self.tables for line in _reasons(table))
        return [*self.results.notes, *reasons]

    @cached_property
    def note_lines(self) -> list[str]:
        """Lines of notes that fit."""
        notes = (wrapped(f"• {note}", SMALL, WIDTH) for note in self.notes)
        return _limited([line for lines in notes for line in lines], "lines of notes")

    @cached_property
    def fact_lines(self) -> list[str]:
        """Lines of settings and provenance that fit."""
        text = "  ·  ".join(f"{name}: {value}" for name, value in self.facts)
        return _limited(wrapped(text, SMALL, WIDTH), "lines of settings")

    @property
    def picture_rows(self) -> int:
        """Rows of pictures: one for up to three, else two."""
        return math.ceil(min(len(self.pictures), MOST_PICTURES) / ABREAST)

    @property
    def picture_height(self) -> float:
        """Of all rows of pictures."""
        return self.picture_rows * PICTURE_HEIGHTS[self.picture_rows]

    @cached_property
    def tables(self) -> list[LevelTable]:
        """All tables."""
        return level_tables(self.results, self.definitions)

    @cached_property
    def bands(self) -> tuple[Band, ...]:
        """Tables side by side, each with as many rows as there is room for."""
        plans = [planned(table) for table in self.tables]
        wanted = self._definition_height(len(self.used), self.used)
        return fitted(plans, self._room - min(wanted, SHARE * self._room))

    @property
    def left_out(self) -> str:
        """Which tables there is no room for; empty if there is for all."""
        left = self.tables[sum(map(len, self.bands)) :]
        names = ", ".join(table.title.lower() for table in left)
        return f"… more tables {FILES}: {names}" if left else ""

    @cached_property
    def definitions_shown(self) -> int:
        """How many definitions there is room for below the tables."""
        room = self._room - height(self.bands)
        count = len(self.used)
        while count and self._definition_height(count, self.told) > room:
            count -= 1
        return count

    @property
    def _room(self) -> float:
        """Height for tables and definitions."""
        parts = [lines for lines in (self.note_lines, self.fact_lines) if lines]
        small = sum(HEADING + len(lines) * SMALL_LINE + GAP for lines in parts)
        pictures = self.picture_height + GAP
        return HEIGHT - HEAD - pictures - small - SMALL_LINE

    def _definition_height(
        self, count: int, told: Sequence[tuple[Definition, str]]
    ) -> float:
        if not told:
            return 0.0
        sides = balanced([definition_lines(d, u) for d, u in told[:count]])
        lines = max((sum(map(len, side)) for side in sides), default=0)
        cut = count < len(told)
        return HEADING + (lines + cut) * SMALL_LINE + GAP


def definition_text(definition: Definition, unit: str) -> str:
    """Return what a definition says beside its symbol."""
    symbol, title = definition.symbol, definition.title
    named = f"{title}: " * (title.lower() != symbol.lower())
    told = f", in {unit}" * bool(unit)
    return f"{named}{definition.formula}{told}. {definition.source}".rstrip()


def definition_lines(definition: Definition, unit: str) -> list[str]:
    """Return what a definition says, in lines; its symbol goes before the first."""
    width = (WIDTH - 2 * GAP) / SIDES
    indent = symbol_width(definition)
    return wrapped(definition_text(definition, unit), SMALL, width, indent)


def symbol_width(definition: Definition) -> float:
    """Return the width of a symbol and of the gap after it."""
    return text_width(definition.symbol, SMALL, True) + 4


def balanced(items: Sequence[list[str]]) -> list[list[list[str]]]:
    """Return paragraphs in columns, in order, that are about equally long."""
    sides: list[list[list[str]]] = [[] for _ in range(SIDES)]
    half, filled = math.ceil(sum(map(len, items)) / SIDES), 0
    for item in items:
        side = min(filled // max(half, 1), SIDES - 1)
        sides[side].append(item)
        filled += len(item)
    return sides


def _reasons(table: LevelTable) -> list[str]:
    lines = []
    for why_not, (symbols, count) in table.reasons().items():
        few = len(symbols) <= NAMED
        named = ", ".join(symbols) if few else f"{len(symbols)} figures"
        rows = f" in {count} rows" * (count > 1)
        lines.append(f"not available, {table.title.lower()}, {named}{rows}: {why_not}")
    return lines


def _limited(lines: list[str], what: str) -> list[str]:
    """Return at most `MOST_LINES`, the last of which tells what is missing."""
    left = len(lines) - MOST_LINES + 1
    if left <= 1:
        return lines
    return [*lines[: MOST_LINES - 1], f"… {left} more {what} in the XLSX"]
