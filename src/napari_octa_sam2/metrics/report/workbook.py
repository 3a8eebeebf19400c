"""Results as a workbook for spreadsheets."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from napari_octa_sam2.metrics.definitions import DEFINITIONS
from napari_octa_sam2.metrics.report.levels import (
    NOT_AVAILABLE,
    Definitions,
    LevelTable,
    level_tables,
    setting_lines,
    used_definitions,
)
from napari_octa_sam2.metrics.report.provenance import lines_of
from napari_octa_sam2.metrics.results import Results, pretty_unit

if TYPE_CHECKING:
    from openpyxl import Workbook
    from openpyxl.worksheet.worksheet import Worksheet

DEFINITION = ("Symbol", "Title", "Unit", "Formula", "Source", "Known bias", "Key")
UNKNOWN = ("Level", "Labels", "Figure", "Why it is not available")
LONGEST_NAME = 31  # of a sheet, in characters
NARROW, WIDE = 6, 60  # least and greatest width of a column, in characters
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # no XML may hold them
FORBIDDEN = re.compile(r"[\[\]:*?/\\]")  # in the name of a sheet


def workbook(
    results: Results,
    record: Mapping[str, Any],
    definitions: Definitions = DEFINITIONS,
) -> bytes:
    """Return a workbook (XLSX): a sheet a level, definitions, settings, reasons.

    Parameters
    ----------
    results : Results
    record : mapping
        What `provenance` told.
    definitions : mapping of str to Definition
    """
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    tables = level_tables(results, definitions)
    for table in tables:
        _add_level(book, table)
    told = [
        (d.symbol, d.title, _units(units), d.formula, d.source, d.bias, d.key)
        for d, units in used_definitions(results, definitions)
    ]
    _add_texts(book, "Definitions", DEFINITION, told)
    settings = setting_lines(results.settings) + lines_of(record)
    settings += [("note", note) for note in results.notes]
    _add_texts(book, "Settings", ("Name", "Value"), settings)
    if unknown := [line for table in tables for line in _unknown(table)]:
        _add_texts(book, "Not available", UNKNOWN, unknown)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _add_level(book: Workbook, table: LevelTable) -> None:
    from openpyxl.styles import Alignment

    headers = [*table.labels, *(column.header for column in table.columns)]
    sheet = _sheet(book, table.level, headers, len(table.labels))
    for at, row in enumerate(table.rows, 2):
        for number, name in enumerate(table.labels, 1):
            _write(sheet, at, number, row.labels.get(name))
    for number, column in enumerate(table.columns, len(table.labels) + 1):
        digits = "0." + "0" * column.decimals if column.decimals else "0"
        for at, figure in enumerate(column.figures, 2):
            if figure is None:
                continue
            known = math.isfinite(figure.value)
            _write(sheet, at, number, figure.value if known else NOT_AVAILABLE)
            cell = sheet.cell(at, number)
            cell.number_format = digits
            cell.alignment = Alignment(horizontal="right")
    _fit(sheet)


def _add_texts(
    book: Workbook,
    title: str,
    headers: Sequence[str],
    lines: Sequence[Sequence[str]],
) -> None:
    from openpyxl.styles import Alignment

    sheet = _sheet(book, title, headers, 1)
    for at, line in enumerate(lines, 2):
        for number, text in enumerate(line, 1):
            _write(sheet, at, number, text)
            sheet.cell(at, number).alignment = Alignment(wrap_text=True, vertical="top")
    _fit(sheet)


def _sheet(book: Workbook, title: str, headers: Sequence[str], fixed: int) -> Worksheet:
    """Return a new sheet with a header that stays in sight, as do `fixed` columns."""
    from openpyxl.styles import Font

    name = FORBIDDEN.sub(" ", CONTROL.sub("", title))[:LONGEST_NAME]
    sheet: Worksheet = book.create_sheet(name)
    for number, header in enumerate(headers, 1):
        _write(sheet, 1, number, header)
        sheet.cell(1, number).font = Font(bold=True)
    sheet.freeze_panes = sheet.cell(2, fixed + 1)
    return sheet


def _write(sheet: Worksheet, row: int, column: int, value: Any) -> None:
    cell = sheet.cell(row, column)
    if not isinstance(value, str):
        cell.value = value
        return
    cell.value = CONTROL.sub("", value)
    cell.data_type = "s"  # a name that begins with "=" is no formula


def _fit(sheet: Worksheet) -> None:
    for cells in sheet.columns:
        lengths = [len(str(c.value)) for c in cells if isinstance(c.value, str)]
        width = min(max([NARROW, *lengths]) + 2, WIDE)
        sheet.column_dimensions[cells[0].column_letter].width = width


def _units(units: Sequence[str]) -> str:
    return ", ".join(pretty_unit(unit) or "1" for unit in units)


def _unknown(table: LevelTable) -> list[tuple[str, str, str, str]]:
    lines = []
    for at, labels in enumerate(table.label_texts()):
        for column in table.columns:
            figure = column.figures[at]
            if figure is not None and not figure.available:
                found = ", ".join(text for text in labels if text)
                symbol = column.definition.symbol
                lines.append((table.level, found, symbol, figure.why_not))
    return lines
