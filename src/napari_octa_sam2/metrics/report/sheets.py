"""Results for a terminal, and as files that other programs read."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_octa_sam2.metrics.definitions import DEFINITIONS
from napari_octa_sam2.metrics.report.levels import (
    Column,
    Definitions,
    LevelTable,
    level_tables,
    used_definitions,
)
from napari_octa_sam2.metrics.report.provenance import provenance
from napari_octa_sam2.metrics.report.target import check_suffix, put
from napari_octa_sam2.metrics.report.workbook import workbook
from napari_octa_sam2.metrics.results import Results
from napari_octa_sam2.tables import aligned

SUFFIXES = (".csv", ".xlsx", ".json")
GAP = 2  # between the columns of a table
MOST_REASONS = 12  # that are listed below a table


def check_sheet(path: str | Path) -> Path:
    """Return `path` if results can be written with its suffix.

    Raises
    ------
    WriteError
        If the suffix is none of `SUFFIXES`.
    """
    return check_suffix(path, SUFFIXES, "a table")


def write_results(
    path: str | Path,
    results: Results,
    *,
    record: Mapping[str, Any] | None = None,
    definitions: Definitions = DEFINITIONS,
) -> Path:
    """Write results as a table, in the format that the suffix tells.

    ``.csv``: one line a figure, in ASCII units. ``.xlsx``: a sheet a level, and sheets
    of definitions, settings, and of what is not available. ``.json``: everything.

    Parameters
    ----------
    path : path
        Ends in one of `SUFFIXES`.
    results : Results
    record : mapping, optional
        What `provenance` told of the inputs; by default that of no inputs.
    definitions : mapping of str to Definition
        Of every figure.

    Raises
    ------
    WriteError
        If the suffix is unknown or the file cannot be written.
    """
    path = check_sheet(path)
    if path.suffix.lower() == ".csv":
        return put(path, long_csv(results, definitions))
    record = provenance() if record is None else record
    if path.suffix.lower() == ".xlsx":
        return put(path, workbook(results, record, definitions))
    return put(path, as_json(results, record, definitions))


def as_text(
    results: Results,
    *,
    most: int | None = None,
    width: int | None = None,
    definitions: Definitions = DEFINITIONS,
) -> str:
    """Return results as plain text for a terminal: a table a level, notes below.

    Parameters
    ----------
    results : Results
    most : int, optional
        Rows of a table that are shown; by default all.
    width : int, optional
        Characters of a line; the columns of wider tables go on below, with their
        labels again.
    definitions : mapping of str to Definition
    """
    blocks = [
        _block(table, most, width) for table in level_tables(results, definitions)
    ]
    if results.notes:
        blocks.append("\n".join(f"note: {note}" for note in results.notes))
    return "\n\n".join(blocks)


def long_csv(results: Results, definitions: Definitions = DEFINITIONS) -> str:
    """Return one line a figure: level, labels, figure, value, unit, why not, title."""
    names = ["level", *results.label_names()]
    names += ["figure", "value", "unit", "why_not", "title"]
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, names)
    writer.writeheader()
    for row in results.long_rows():
        writer.writerow(row | {"title": definitions[row["figure"]].title})
    return stream.getvalue()


def as_json(
    results: Results,
    record: Mapping[str, Any],
    definitions: Definitions = DEFINITIONS,
) -> str:
    """Return results, how they came about and what they mean, as JSON."""
    told = {
        definition.key: {
            "symbol": definition.symbol,
            "title": definition.title,
            "formula": definition.formula,
            "source": definition.source,
            "bias": definition.bias,
        }
        for definition, _ in used_definitions(results, definitions)
    }
    content = results.to_json() | {"provenance": dict(record), "definitions": told}
    return json.dumps(_plain(content), indent=1, ensure_ascii=False) + "\n"


def _block(table: LevelTable, most: int | None, width: int | None) -> str:
    labels = table.label_texts()[:most]
    lines = [f"{table.title} ({len(table.rows)})"]
    for columns in _side_by_side(table, width):
        header = [*table.labels, *(column.header for column in columns)]
        body = [
            [*names, *(column.texts[at] for column in columns)]
            for at, names in enumerate(labels)
        ]
        lines.append(aligned([header, *body], len(table.labels)))
    if left := len(table.rows) - len(labels):
        lines.append(f"… {left} more rows in a CSV or XLSX file")
    return "\n".join(lines + _reasons(table))


def _side_by_side(table: LevelTable, width: int | None) -> list[list[Column]]:
    """Return the columns in groups, each as wide as a line with its labels."""
    if width is None:
        return [list(table.columns)]
    names = zip(*([list(table.labels), *table.label_texts()]), strict=True)
    first = sum(max(map(len, column)) + GAP for column in names)
    groups: list[list[Column]] = [[]]
    used = first
    for column in table.columns:
        wide = max(map(len, (column.header, *column.texts))) + GAP
        if groups[-1] and used + wide > width + GAP:
            groups.append([])
            used = first
        groups[-1].append(column)
        used += wide
    return groups


def _reasons(table: LevelTable) -> list[str]:
    lines = [
        f"n/a: {', '.join(symbols)}: {why_not}" + f" ({count} rows)" * (count > 1)
        for why_not, (symbols, count) in table.reasons().items()
    ]
    left = len(lines) - MOST_REASONS
    rest = [f"… {left} more reasons in a CSV or XLSX file"] if left > 0 else []
    return lines[:MOST_REASONS] + rest


def _plain(value: Any) -> Any:
    """Return what JSON can hold: a number that is not finite becomes None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return _plain(value.tolist()) if hasattr(value, "tolist") else str(value)
