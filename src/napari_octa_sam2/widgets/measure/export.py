"""Answers of the Measure dock as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_octa_sam2.widgets.measure.drawings import pictures_of
from napari_octa_sam2.widgets.measure.plot import DRAWING
from napari_octa_sam2.widgets.measure.request import AGREE, COMPARE, MEASURE, Answer

if TYPE_CHECKING:
    from napari_octa_sam2.metrics.report.planes import Plane

TITLE = {
    MEASURE: "Vessels and FAZ",
    COMPARE: "Labels against the reference",
    AGREE: "Agreement of graders",
}
FORMATS = (
    "Tables (*.xlsx *.csv *.json);;Reports (*.html *.pdf);;"
    "All of them (*.xlsx *.csv *.json *.html *.pdf)"
)


def write_answer(path: Path, answer: Answer, planes: Sequence[Plane] | None) -> None:
    """Write a table, or a report with pictures, as the suffix tells.

    Parameters
    ----------
    path : Path
    answer : Answer
    planes : sequence of Plane, optional
        Of what was measured, if they were drawn already.

    Raises
    ------
    WriteError
        If the suffix is unknown or the file cannot be written.
    """
    from napari_octa_sam2.metrics.report import page, sheets
    from napari_octa_sam2.metrics.report.planes import planes as drawn

    if path.suffix.lower() not in page.SUFFIXES:
        sheets.write_results(path, answer.results)
        return
    if planes is None and answer.subject is not None:
        planes = drawn(answer.subject, answer.results)
    with DRAWING:
        page.write_report(
            path,
            answer.results,
            title=TITLE[answer.kind],
            subject=str(answer.results.settings.get("subject", "")),
            pictures=pictures_of(answer, planes or ()),
        )
