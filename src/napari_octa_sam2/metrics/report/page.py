"""One page to hand to colleagues: pictures, tables, definitions, settings, versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_octa_sam2.metrics.definitions import DEFINITIONS
from napari_octa_sam2.metrics.report.html import html
from napari_octa_sam2.metrics.report.layout import Page
from napari_octa_sam2.metrics.report.levels import Definitions
from napari_octa_sam2.metrics.report.pdf import pdf
from napari_octa_sam2.metrics.report.pictures import Picture
from napari_octa_sam2.metrics.report.provenance import provenance
from napari_octa_sam2.metrics.report.target import check_suffix, put
from napari_octa_sam2.metrics.results import Results

__all__ = ["SUFFIXES", "Picture", "check_report", "write_report"]

SUFFIXES = (".pdf", ".html")


def check_report(path: str | Path) -> Path:
    """Return `path` if a report can be written with its suffix.

    Raises
    ------
    WriteError
        If the suffix is none of `SUFFIXES`.
    """
    return check_suffix(path, SUFFIXES, "a report")


def write_report(
    path: str | Path,
    results: Results,
    *,
    title: str,
    subject: str = "",
    pictures: Sequence[Picture] = (),
    record: Mapping[str, Any] | None = None,
    definitions: Definitions = DEFINITIONS,
) -> Path:
    """Write a report of one page of A4.

    Long tables are cut, and say how many rows are missing. HTML shows all of them on
    the screen, and is cut where it is printed.

    Parameters
    ----------
    path : path
        Ends in one of `SUFFIXES`.
    results : Results
        Its settings and notes are told as well.
    title, subject : str
        What it is about, and of which scan, eye and labels.
    pictures : sequence of Picture
        The first six are shown.
    record : mapping, optional
        What `provenance` told of the inputs; by default that of no inputs.
    definitions : mapping of str to Definition
        Of every figure.

    Raises
    ------
    WriteError
        If the suffix is unknown or the file cannot be written.
    """
    path = check_report(path)
    record = provenance() if record is None else record
    page = Page(title, subject, results, tuple(pictures), record, definitions)
    return put(path, pdf(page) if path.suffix.lower() == ".pdf" else html(page))
