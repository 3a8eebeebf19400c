"""A report as one page of A4 that is printed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from napari_octa_sam2 import __version__
from napari_octa_sam2.metrics.report.fitting import (
    ASIDE,
    CELL,
    GAP,
    HEADING,
    LINE,
    SMALL,
    Band,
    TablePlan,
    column_width,
    head_lines,
    height,
)
from napari_octa_sam2.metrics.report.layout import (
    HEAD,
    MOST_PICTURES,
    SIDES,
    SMALL_LINE,
    Page,
    balanced,
    definition_lines,
    symbol_width,
)
from napari_octa_sam2.metrics.report.levels import Column
from napari_octa_sam2.metrics.report.pictures import Picture
from napari_octa_sam2.metrics.report.typesetting import (
    WIDTH,
    Sheet,
    clipped,
    text_width,
)
from napari_octa_sam2.metrics.results import pretty_unit
from napari_octa_sam2.palette import LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

TITLE, SUBTITLE, HEADING_SIZE, CAPTION = 15.0, 8.0, 8.0, 7.5  # sizes of text
DPI = 200  # of images within the page
LEAD = 1.4  # below the line under the head of a table


def pdf(page: Page) -> bytes:
    """Return a report as a PDF of one page."""
    import matplotlib as mpl

    stream = io.BytesIO()
    facts = {"Title": page.title, "Subject": page.subject}
    facts["Creator"] = f"napari-octa-sam2 {__version__}"
    with mpl.rc_context({"pdf.fonttype": 42}):  # text that can be searched and copied
        draw_page(page).savefig(stream, format="pdf", dpi=DPI, metadata=facts)
    return stream.getvalue()


def draw_page(page: Page) -> Figure:
    """Return a report as a figure of the size of A4."""
    sheet = Sheet()
    _draw_head(sheet, page)
    y = HEAD
    if page.pictures:
        shown = page.pictures[:MOST_PICTURES]
        draw_pictures(sheet.part(y, page.picture_height), shown, page.picture_rows)
    y += page.picture_height + GAP
    for band in page.bands:
        _draw_band(sheet, y, band)
        y += height([band])
    if page.left_out:
        sheet.text(0, y, page.left_out, SMALL, LIGHT.faint)
        y += SMALL_LINE
    y = _draw_definitions(sheet, y, page)
    for title, lines in (("Notes", page.note_lines), ("Settings", page.fact_lines)):
        y = _draw_lines(sheet, y, title, lines)
    return sheet.figure


def draw_pictures(part: SubFigure, pictures: tuple[Picture, ...], rows: int) -> None:
    """Draw pictures in rows, each below its caption."""
    columns = -(-len(pictures) // rows)
    cells = part.subfigures(rows, columns, squeeze=False).ravel()
    for cell, picture in zip(cells, pictures, strict=False):
        draw_captioned(cell, picture)


def draw_captioned(cell: Figure | SubFigure, picture: Picture) -> None:
    """Draw a picture below its caption."""
    width = cell.bbox.width / cell.figure.dpi * 72
    caption = clipped(picture.caption, CAPTION, width - GAP, bold=True)
    style = {"fontsize": CAPTION, "ha": "left", "x": 0.0}
    cell.suptitle(caption, **style, color=LIGHT.ink, weight="bold", parse_math=False)
    picture.draw(cell.subplots())


def _draw_head(sheet: Sheet, page: Page) -> None:
    title = clipped(page.title, TITLE, WIDTH, bold=True)
    sheet.text(0, 14, title, TITLE, LIGHT.ink, bold=True)
    width = text_width(page.created, SUBTITLE)
    subject = clipped(page.subject, SUBTITLE, WIDTH - width - 2 * GAP)
    sheet.text(0, 29, subject, SUBTITLE, LIGHT.faint)
    sheet.text(WIDTH, 29, page.created, SUBTITLE, LIGHT.faint, right=True)
    sheet.rule(36, 0, WIDTH, LIGHT.faint)


def _draw_band(sheet: Sheet, top: float, band: Band) -> None:
    """Draw what is shown of tables side by side."""
    x = 0.0
    for plan in band:
        _draw_heading(sheet, x, top, plan.heading)
        y = top + HEADING
        for block in plan.blocks[: plan.parts]:
            _draw_block(sheet, x, y, plan, block)
            y += (head_lines(block) + plan.rows) * LINE + GAP / 2
        sheet.text(x, y + 3, plan.left_out, SMALL, LIGHT.faint)
        x += plan.width + ASIDE


def _draw_block(
    sheet: Sheet, x: float, y: float, plan: TablePlan, block: tuple[Column, ...]
) -> None:
    left, top, head = x, y + CELL, head_lines(block)
    texts = plan.table.label_texts()[: plan.rows]
    columns = zip(plan.table.labels, plan.labels, strict=True)
    for number, (name, width) in enumerate(columns):
        sheet.text(x, top, name, CELL, LIGHT.ink, bold=True)
        for at, row in enumerate(texts, head):
            text = clipped(row[number], CELL, width)
            sheet.text(x, top + at * LINE + LEAD, text, CELL, LIGHT.ink)
        x += width + GAP
    for column in block:
        x += column_width(column)
        _draw_column(sheet, x, top, column, head, plan.rows)
        x += GAP
    sheet.rule(top + (head - 1) * LINE + 2.6, left, x - GAP, LIGHT.line)


def _draw_column(
    sheet: Sheet, right: float, top: float, column: Column, head: int, rows: int
) -> None:
    symbol, unit = column.definition.symbol, pretty_unit(column.unit)
    sheet.text(right, top, symbol, CELL, LIGHT.ink, bold=True, right=True)
    sheet.text(right, top + LINE - 1, unit, SMALL, LIGHT.faint, right=True)
    for at, (figure, text) in enumerate(
        zip(column.figures[:rows], column.texts, strict=False), head
    ):
        known = figure is not None and figure.available
        ink = LIGHT.ink if known else LIGHT.faint
        sheet.text(right, top + at * LINE + LEAD, text, CELL, ink, right=True)


def _draw_definitions(sheet: Sheet, y: float, page: Page) -> float:
    if not page.used or not page.definitions_shown:
        return y
    _draw_heading(sheet, 0, y, "Definitions")
    shown = page.told[: page.definitions_shown]
    paragraphs = [definition_lines(d, unit) for d, unit in shown]
    told = iter(d for d, _ in shown)
    start = lowest = y + HEADING
    for number, side in enumerate(balanced(paragraphs)):
        x, y = number * (WIDTH + 2 * GAP) / SIDES, start
        for lines in side:
            definition = next(told)
            sheet.text(x, y + SMALL, definition.symbol, SMALL, LIGHT.ink, bold=True)
            indent = symbol_width(definition)
            for line in lines:
                sheet.text(x + indent, y + SMALL, line, SMALL, LIGHT.ink)
                indent, y = 0.0, y + SMALL_LINE
        lowest = max(lowest, y)
    if left := len(page.used) - len(shown):
        text = f"… {left} more definitions in the XLSX"
        sheet.text(0, lowest + SMALL, text, SMALL, LIGHT.faint)
        lowest += SMALL_LINE
    return lowest + GAP


def _draw_lines(sheet: Sheet, y: float, title: str, lines: list[str]) -> float:
    if not lines:
        return y
    _draw_heading(sheet, 0, y, title)
    for number, line in enumerate(lines):
        at = y + HEADING + number * SMALL_LINE + SMALL
        sheet.text(0, at, line, SMALL, LIGHT.ink)
    return y + HEADING + len(lines) * SMALL_LINE + GAP


def _draw_heading(sheet: Sheet, x: float, y: float, text: str) -> None:
    sheet.text(x, y + HEADING_SIZE, text, HEADING_SIZE, LIGHT.ink, bold=True)
