"""Figures with their units, and tables of them: what every measurement returns."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Label = str | int

POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Figure:
    """A number, its unit, and where there is none, the reason.

    Parameters
    ----------
    value : float
        nan where it is not available.
    unit : str
        In ASCII, such as ``"mm^-1"``; empty for a ratio or a count.
    why_not : str
        Why it is not available, as a sentence without a full stop.
    """

    value: float
    unit: str = ""
    why_not: str = ""

    @property
    def available(self) -> bool:
        """Whether there is a value."""
        return not math.isnan(self.value)

    def text(self) -> str:
        """Return the value with four digits, without its unit."""
        return f"{self.value:.4g}" if self.available else "n/a"


@dataclass(frozen=True)
class Row:
    """Figures of one thing.

    Parameters
    ----------
    level : str
        What kind of thing: ``"slice"``, ``"object"``, ``"class"``, ``"all"``,
        ``"region"``, ``"faz"``, ``"volume"``, ``"graders"``, ``"subject"``.
    labels : mapping
        Which one: columns such as ``"subject"``, ``"class"``, ``"object"``, ``"name"``,
        ``"slice"``, ``"plexus"``, ``"region"``.
    figures : mapping of str to Figure
        By the key of their definition.
    """

    level: str
    labels: Mapping[str, Label]
    figures: Mapping[str, Figure]

    def __getitem__(self, key: str) -> float:
        """Return the value of a figure."""
        return self.figures[key].value


@dataclass(frozen=True)
class Results:
    """A table of figures, and how they came about.

    Parameters
    ----------
    rows : tuple of Row
    settings : mapping
        Everything that the figures depend on, ready for JSON: spacing, unit,
        tolerances, correction of magnification.
    notes : tuple of str
        What a reader has to know: false objects, regions beside the scan, a spacing
        that was assumed.
    """

    rows: tuple[Row, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def at(self, level: str, **labels: Label) -> tuple[Row, ...]:
        """Return the rows of a level that carry these labels."""
        wanted = labels.items()
        return tuple(
            row
            for row in self.rows
            if row.level == level and wanted <= row.labels.items()
        )

    def only(self, level: str, **labels: Label) -> Row:
        """Return the one row of a level that carries these labels.

        Raises
        ------
        KeyError
            If there is none, or more than one.
        """
        found = self.at(level, **labels)
        if len(found) != 1:
            raise KeyError(f"expected one row {level} {labels}, found {len(found)}")
        return found[0]

    def with_labels(self, **labels: Label) -> Results:
        """Return the same figures with further labels in front, such as a subject."""
        rows = (Row(r.level, {**labels, **r.labels}, r.figures) for r in self.rows)
        return Results(tuple(rows), self.settings, self.notes)

    def of_levels(self, levels: Collection[str]) -> Results:
        """Return the rows of some levels, with the same settings and notes."""
        rows = tuple(row for row in self.rows if row.level in levels)
        return Results(rows, self.settings, self.notes)

    def long_rows(self) -> Iterator[dict[str, Any]]:
        """Yield one record a figure: level, labels, figure, value, unit, why not."""
        names = self.label_names()
        for row in self.rows:
            labels = {name: row.labels.get(name, "") for name in names}
            for key, figure in row.figures.items():
                yield {
                    "level": row.level,
                    **labels,
                    "figure": key,
                    "value": figure.value if figure.available else None,
                    "unit": figure.unit,
                    "why_not": figure.why_not,
                }

    def label_names(self) -> list[str]:
        """Return the label columns of all rows, in the order they first come."""
        return list(dict.fromkeys(name for row in self.rows for name in row.labels))

    def levels(self) -> list[str]:
        """Return the levels in the order they first come."""
        return list(dict.fromkeys(row.level for row in self.rows))

    def keys(self, level: str) -> list[str]:
        """Return the keys of the figures of a level, in the order they first come."""
        rows = self.at(level)
        return list(dict.fromkeys(key for row in rows for key in row.figures))

    def units(self) -> dict[str, str]:
        """Return the unit of each figure; several where scans differ.

        That a figure is a count in some rows, such as of subjects, is not told.
        """
        found: dict[str, dict[str, None]] = {}
        for row in self.rows:
            for key, figure in row.figures.items():
                found.setdefault(key, {})[figure.unit] = None
        return {key: " or ".join(filter(None, units)) for key, units in found.items()}

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON.

        ``rows`` holds the rows of each level, with labels and values side by side; a
        value that is not there is None, and ``missing`` says why.
        """
        missing = (r for r in self.long_rows() if r["value"] is None)
        return {
            "settings": dict(self.settings),
            "notes": list(self.notes),
            "units": self.units(),
            "rows": {
                level: [_row_json(row) for row in self.at(level)]
                for level in self.levels()
            },
            "missing": [
                {k: v for k, v in row.items() if k != "value" and v != ""}
                for row in missing
            ],
        }


def joined(parts: list[Results]) -> Results:
    """Return the rows and notes of several results, with the settings of the first."""
    rows = tuple(row for part in parts for row in part.rows)
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    return Results(rows, parts[0].settings if parts else {}, notes)


def pretty_unit(unit: str) -> str:
    """Return a unit as people write it: ``mm⁻¹`` for ``mm^-1``, ``µm`` for ``um``."""
    base, _, power = unit.partition("^")
    base = "µm" if base == "um" else base
    return base + power.translate(POWERS)


def _row_json(row: Row) -> dict[str, Any]:
    values = {k: f.value if f.available else None for k, f in row.figures.items()}
    return {**row.labels, **values}
