"""A report as one file for a browser, which prints as one page of A4."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from napari_octa_sam2 import __version__
from napari_octa_sam2.metrics.report.fitting import TablePlan, planned
from napari_octa_sam2.metrics.report.layout import (
    ABREAST,
    MOST_PICTURES,
    PICTURE_HEIGHTS,
    Page,
    definition_text,
)
from napari_octa_sam2.metrics.report.levels import Column
from napari_octa_sam2.metrics.report.pdf import DPI, draw_captioned
from napari_octa_sam2.metrics.report.pictures import Picture
from napari_octa_sam2.metrics.report.typesetting import INCH, WIDTH
from napari_octa_sam2.metrics.results import pretty_unit
from napari_octa_sam2.palette import DARK, LIGHT


@dataclass(frozen=True)
class Embedded:
    """A picture within a page: its caption, and its content as a data address."""

    caption: str
    source: str


@dataclass(frozen=True)
class Line:
    """A row of a table: labels, and each figure's text and why it is not available."""

    labels: list[str]
    figures: list[tuple[str, str]]


def html(page: Page) -> str:
    """Return a report as HTML that holds its pictures and needs nothing else.

    What the printed page has no room for is shown on the screen only.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters |= {"unit": pretty_unit, "told": definition_text}
    template = files("napari_octa_sam2.metrics.report") / "page.html.j2"
    shown = page.pictures[:MOST_PICTURES]
    abreast = -(-len(shown) // max(page.picture_rows, 1))
    size = WIDTH / max(abreast, 1), PICTURE_HEIGHTS[page.picture_rows]
    return environment.from_string(template.read_text("utf-8")).render(
        page=page,
        pictures=[_embedded(picture, *size) for picture in shown],
        picture_height=page.picture_height,
        abreast=min(max(abreast, 1), ABREAST),
        plans=_plans(page),
        rows=_rows,
        light=LIGHT,
        dark=DARK,
        version=__version__,
    )


def svg(picture: Picture, width: float, height: float) -> bytes:
    """Return a picture with its caption as SVG, its size in points."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        (width / INCH, height / INCH), facecolor="white", layout="constrained"
    )
    FigureCanvasAgg(figure)
    draw_captioned(figure, picture)
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", dpi=DPI, metadata={"Date": None})
    return stream.getvalue()


def _embedded(picture: Picture, width: float, height: float) -> Embedded:
    content = base64.b64encode(svg(picture, width, height)).decode()
    return Embedded(picture.caption, f"data:image/svg+xml;base64,{content}")


def _plans(page: Page) -> list[TablePlan]:
    """Return the tables of the printed page, then those that have no room on it."""
    shown = [plan for band in page.bands for plan in band]
    return shown + [planned(table) for table in page.tables[len(shown) :]]


def _rows(plan: TablePlan, block: tuple[Column, ...]) -> Iterator[Line]:
    texts = [column.texts for column in block]
    for at, labels in enumerate(plan.table.label_texts()):
        figures = [column.figures[at] for column in block]
        why_not = ["" if f is None or f.available else f.why_not for f in figures]
        told = [column[at] for column in texts]
        yield Line(labels, list(zip(told, why_not, strict=True)))
