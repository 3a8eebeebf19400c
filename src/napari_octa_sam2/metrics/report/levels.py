"""Results as one table a level: a row a thing, a column a figure in one unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from napari_octa_sam2.metrics.definitions import DEFINITIONS, Definition
from napari_octa_sam2.metrics.results import Figure, Label, Results, Row, pretty_unit

DIGITS = 4  # that the largest value of a column is told with
LEAST_DIGITS = 2  # that the smallest one is told with
MOST_DECIMALS = 6
TITLES = {
    "all": "All together",
    "slice": "Slices",
    "object": "Objects",
    "class": "Classes",
    "region": "Regions",
    "faz": "Foveal avascular zone",
    "subject": "Subjects",
}
NOT_AVAILABLE = "n/a"
Definitions = Mapping[str, Definition]


@dataclass(frozen=True)
class Column:
    """A figure in one unit.

    Parameters
    ----------
    definition : Definition
    unit : str
        In ASCII; where rows differ in it, as of scans with and without a known
        spacing, the figure has a column for each.
    figures : tuple of Figure or None
        One a row of the table; None where the row has no such figure.
    """

    definition: Definition
    unit: str
    figures: tuple[Figure | None, ...]

    @property
    def header(self) -> str:
        """Symbol and unit, as people write them."""
        return _with_unit(self.definition.symbol, pretty_unit(self.unit))

    @property
    def name(self) -> str:
        """Key and unit, in ASCII."""
        return _with_unit(self.definition.key, self.unit)

    @cached_property
    def decimals(self) -> int:
        """Digits behind the point, the same for all values so that they line up."""
        return _decimals([f.value for f in self.figures if f is not None])

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """A text a row; empty where the row has no such figure."""
        return tuple(_text(figure, self.decimals) for figure in self.figures)


@dataclass(frozen=True)
class LevelTable:
    """All rows of a level.

    Parameters
    ----------
    level : str
    labels : tuple of str
        Names of the label columns.
    rows : tuple of Row
    columns : tuple of Column
    """

    level: str
    labels: tuple[str, ...]
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]

    @property
    def title(self) -> str:
        """What the rows are, for a heading."""
        return TITLES.get(self.level) or self.level[:1].upper() + self.level[1:]

    def label_texts(self) -> list[list[str]]:
        """Return the labels of each row."""
        return [[str(row.labels.get(n, "")) for n in self.labels] for row in self.rows]

    def records(self) -> list[dict[str, Label | float | None]]:
        """Return one record a row: labels, then values by `Column.name`.

        A value that is not available is nan, one that the row has not is None.
        """
        records = []
        for at, row in enumerate(self.rows):
            record: dict[str, Label | float | None] = {
                name: row.labels.get(name) for name in self.labels
            }
            for column in self.columns:
                figure = column.figures[at]
                record[column.name] = None if figure is None else figure.value
            records.append(record)
        return records

    def reasons(self) -> dict[str, tuple[list[str], int]]:
        """Return why figures are not available: their symbols, in how many rows."""
        found: dict[str, tuple[dict[str, None], set[int]]] = {}
        for column in self.columns:
            for at, figure in enumerate(column.figures):
                if figure is not None and not figure.available:
                    symbols, rows = found.setdefault(figure.why_not, ({}, set()))
                    symbols[column.definition.symbol] = None
                    rows.add(at)
        return {why: (list(s), len(rows)) for why, (s, rows) in found.items()}


def level_tables(
    results: Results, definitions: Definitions = DEFINITIONS
) -> list[LevelTable]:
    """Return a table for each level of the results, in their order."""
    return [_level_table(results, level, definitions) for level in results.levels()]


def used_definitions(
    results: Results, definitions: Definitions = DEFINITIONS
) -> list[tuple[Definition, tuple[str, ...]]]:
    """Return the definitions of all figures, each with the units they are told in."""
    units: dict[str, dict[str, None]] = {}
    for row in results.rows:
        for key, figure in row.figures.items():
            units.setdefault(key, {})[figure.unit] = None
    return [(definitions[key], tuple(told)) for key, told in units.items()]


def setting_lines(
    settings: Mapping[str, Any], within: str = ""
) -> list[tuple[str, str]]:
    """Return settings as names and values for people to read, nested ones joined."""
    lines = []
    for key, value in settings.items():
        name = f"{within} {key}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            lines += setting_lines(value, name)
        elif value != "":
            lines.append((name, _setting(value)))
    return lines


def _level_table(results: Results, level: str, definitions: Definitions) -> LevelTable:
    rows = results.at(level)
    labels = dict.fromkeys(name for row in rows for name in row.labels)
    columns = []
    for key in results.keys(level):
        figures = [row.figures.get(key) for row in rows]
        for unit in dict.fromkeys(f.unit for f in figures if f is not None):
            own = tuple(f if f and f.unit == unit else None for f in figures)
            columns.append(Column(definitions[key], unit, own))
    return LevelTable(level, tuple(labels), rows, tuple(columns))


def _with_unit(name: str, unit: str) -> str:
    return f"{name} [{unit}]" if unit else name


def _text(figure: Figure | None, decimals: int) -> str:
    if figure is None:
        return ""
    return f"{figure.value:.{decimals}f}" if figure.available else NOT_AVAILABLE


def _decimals(values: Sequence[float]) -> int:
    sizes = [abs(v) for v in values if math.isfinite(v) and v]
    if all(size == int(size) for size in sizes):
        return 0
    largest, least = (math.floor(math.log10(f(sizes))) for f in (max, min))
    needed = max(DIGITS - 1 - largest, LEAST_DIGITS - 1 - least, 1)
    return min(needed, MOST_DECIMALS)


def _setting(value: Any) -> str:
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_setting(item) for item in value)
    return str(value)
