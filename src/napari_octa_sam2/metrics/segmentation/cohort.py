"""Evaluation of many subjects, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.definitions.segmentation import SEGMENTATION
from napari_octa_sam2.metrics.results import Figure, Results, Row
from napari_octa_sam2.metrics.segmentation.comparison import OVERLAP
from napari_octa_sam2.metrics.segmentation.evaluation import evaluate
from napari_octa_sam2.metrics.segmentation.overlap import Confusion, confusion
from napari_octa_sam2.volume.geometry import ScanGeometry

LEVEL = "subjects"
CANCELLED = "cancelled: subjects that are missing here were not compared"


@dataclass(frozen=True, eq=False)
class Case:
    """Prediction and truth of a subject, as labels; see `evaluate`."""

    subject: str
    prediction: np.ndarray
    truth: np.ndarray
    geometry: ScanGeometry
    names: Mapping[int, str] = field(default_factory=dict)
    classes: Mapping[int, str] = field(default_factory=dict)


def evaluate_cohort(
    cases: Iterable[Case],
    *,
    slicewise: bool = True,
    tolerance: float | None = None,
    per_slice: bool = True,
    progress: Callable[[int, int | None, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Results:
    """Evaluate subjects one by one, and together.

    Level ``"subjects"`` has mean, standard deviation (n - 1), minimum and maximum over
    the subjects of each figure of level ``"all"``, and how many subjects had a value
    and how many had none (label ``"statistic"``); the overlap also of all voxels
    pooled, in which large scans and dense vessels weigh more.

    Parameters
    ----------
    cases : iterable of Case
        May read each when it is asked for: none is kept. One that cannot be compared
        is left out, with a note.
    slicewise, tolerance, per_slice
        As for `evaluate`.
    progress : callable, optional
        Called with the subjects done, their number if it is known, and the last one.
    cancelled : callable, optional
        As for `evaluate`.

    Returns
    -------
    Results
        Rows of subjects have the label ``"subject"``. Settings that differ between
        subjects are told by subject.

    Raises
    ------
    VolumeError
        If a subject comes twice, or none can be compared.
    """
    total = len(cases) if isinstance(cases, Sized) else None
    found: dict[str, Results] = {}
    pooled = Confusion(0, 0, 0, 0)
    notes: list[str] = []
    for case in cases:
        if case.subject in found:
            raise VolumeError(
                f"expected each subject once, found {case.subject!r} again; rename one"
            )
        try:
            found[case.subject] = evaluate(
                case.prediction,
                case.truth,
                geometry=case.geometry,
                names=case.names,
                classes=case.classes,
                slicewise=slicewise,
                tolerance=tolerance,
                per_slice=per_slice,
                cancelled=cancelled,
            )
        except VolumeError as error:
            notes.append(f"{case.subject} was left out: {error}")
            continue
        pooled += confusion(case.prediction > 0, case.truth > 0)
        if progress is not None:
            progress(len(found), total, case.subject)
        if cancelled is not None and cancelled():
            notes.append(CANCELLED)
            break
    if not found:
        raise VolumeError(
            "expected a subject that can be compared, found none"
            + "".join(f"; {note}" for note in notes)
        )
    return _together(found, pooled, notes)


def statistics(figures: list[Figure]) -> dict[str, Figure]:
    """Return what is told of a figure of several subjects, by statistic.

    Of ``"n"`` of them it is available, of ``"n_missing"`` it is not. A mean is over
    those where it is; the standard deviation needs two.
    """
    values = [figure.value for figure in figures if figure.available]
    units = {figure.unit for figure in figures}
    counts = {
        "n": Figure(float(len(values))),
        "n_missing": Figure(float(len(figures) - len(values))),
    }
    if len(units) > 1:
        why_not = f"expected one unit, found {' and '.join(sorted(units))}"
        return dict.fromkeys(_STATISTICS, Figure(float("nan"), "", why_not)) | counts
    (unit,) = units
    told = {}
    for name, (statistic, least) in _STATISTICS.items():
        if len(values) >= least:
            told[name] = Figure(float(statistic(values)), unit)
        else:
            why_not = f"expected {least} or more subjects with a value"
            why_not += f", found {len(values)}"
            told[name] = Figure(float("nan"), unit, why_not)
    return told | counts


_STATISTICS: dict[str, tuple[Callable[[list[float]], float], int]] = {
    "mean": (fmean, 1),
    "sd": (stdev, 2),
    "min": (min, 1),
    "max": (max, 1),
}


def _together(
    found: Mapping[str, Results], pooled: Confusion, notes: list[str]
) -> Results:
    rows = [
        row
        for subject, results in found.items()
        for row in results.with_labels(subject=subject).rows
    ]
    of_subjects = [
        f"{subject}: {note}"
        for subject, results in found.items()
        for note in results.notes
    ]
    return Results(
        (*rows, *_summary([r for r in rows if r.level == "all"], pooled)),
        _settings({subject: r.settings for subject, r in found.items()}),
        (*of_subjects, *notes),
    )


def _summary(rows: list[Row], pooled: Confusion) -> list[Row]:
    by_statistic: dict[str, dict[str, Figure]] = {}
    for key in rows[0].figures:
        for name, figure in statistics([row.figures[key] for row in rows]).items():
            by_statistic.setdefault(name, {})[key] = figure
    by_statistic["pooled"] = {
        key: SEGMENTATION[key].figure(getattr(pooled, key), "") for key in OVERLAP
    }
    return [
        Row(LEVEL, {"statistic": name}, figures)
        for name, figures in by_statistic.items()
    ]


def _settings(by_subject: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the settings that all share, and those that differ by subject."""
    first = next(iter(by_subject.values()))
    return {
        key: value
        if all(settings[key] == value for settings in by_subject.values())
        else {subject: settings[key] for subject, settings in by_subject.items()}
        for key, value in first.items()
    }
