"""One way to write results, whatever the format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from napari_octa_sam2.metrics.report import page, sheets
from napari_octa_sam2.metrics.report.pictures import Picture
from napari_octa_sam2.metrics.report.provenance import provenance
from napari_octa_sam2.metrics.report.target import check_suffix
from napari_octa_sam2.metrics.results import Results

SUFFIXES = (*sheets.SUFFIXES, *page.SUFFIXES)


def check_targets(paths: Iterable[str | Path]) -> None:
    """Raise `WriteError` unless results can be written with these suffixes."""
    for path in paths:
        check_suffix(path, SUFFIXES, "a table or a page")


def write(
    path: str | Path,
    results: Results,
    *,
    title: str,
    subject: str = "",
    pictures: Callable[[], Sequence[Picture]] = tuple,
    inputs: Iterable[str | Path] = (),
) -> Path:
    """Write results as a table or as a page, as the suffix tells.

    Parameters
    ----------
    path : path
        Ends in one of `SUFFIXES`.
    results : Results
    title, subject : str
        Of a page.
    pictures : callable
        Returns those of a page; not called for a table.
    inputs : iterable of path
        Files that the figures were taken of; their hashes are told.

    Raises
    ------
    WriteError
        If the suffix is unknown or the file cannot be written.
    ReadError
        If an input is no longer there.
    """
    path = check_suffix(path, SUFFIXES, "a table or a page")
    record = provenance(inputs)
    if path.suffix.lower() in sheets.SUFFIXES:
        return sheets.write_results(path, results, record=record)
    return page.write_report(
        path, results, title=title, subject=subject, pictures=pictures(), record=record
    )
