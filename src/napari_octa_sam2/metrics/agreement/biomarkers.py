"""What the labels of graders measure, compared over subjects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.agreement.bland_altman import bland_altman
from napari_octa_sam2.metrics.agreement.icc import icc
from napari_octa_sam2.metrics.definitions.agreement import AGREEMENT
from napari_octa_sam2.metrics.results import Figure, Label, Results, Row

ALL = "all"
NOT_COMPARED = ("slice", "object")  # their numbers mean nothing in another subject
OWN_LABELS = ("subject", "grader")


class Biomarker(NamedTuple):
    """A figure of a level, and the labels of its row but subject and grader."""

    key: str
    level: str
    labels: tuple[tuple[str, Label], ...]


Values = dict[tuple[str, Label], Figure]  # by grader and subject


def compare_biomarkers(
    graders: tuple[str, ...], biomarkers: Mapping[str, Results]
) -> list[Row]:
    """Compare each figure of each pair of graders, over all subjects.

    Rows belong together by level and labels; those of slices and objects are left
    out, and so are figures that no grader has.

    Parameters
    ----------
    graders : tuple of str
    biomarkers : mapping of str to Results
        Of each grader; rows carry the label ``"subject"``.

    Returns
    -------
    list of Row
        Level ``"biomarker"``: columns biomarker (the key of the figure), measured (its
        level), its labels, grader and other. Of more than two graders, both are
        ``"all"`` in one more row, with the ICC of all together.

    Raises
    ------
    VolumeError
        If a grader has no results.
    """
    missing = [grader for grader in graders if grader not in biomarkers]
    if missing:
        raise VolumeError(
            "expected biomarkers of each grader, found none of "
            f"{', '.join(missing)}; measure their labels first"
        )
    rows: list[Row] = []
    for biomarker, values in _collected(graders, biomarkers).items():
        subjects = list(dict.fromkeys(subject for _, subject in values))
        rows += _rows(biomarker, values, graders, subjects)
    return rows


def _collected(
    graders: tuple[str, ...], biomarkers: Mapping[str, Results]
) -> dict[Biomarker, Values]:
    """Return the figures that are available, sorted by what they measure."""
    found: dict[Biomarker, Values] = {}
    for grader in graders:
        for row in biomarkers[grader].rows:
            if row.level in NOT_COMPARED:
                continue
            kept = ((k, v) for k, v in row.labels.items() if k not in OWN_LABELS)
            labels, subject = tuple(sorted(kept)), row.labels.get("subject", "")
            for key, figure in row.figures.items():
                if figure.available:
                    biomarker = Biomarker(key, row.level, labels)
                    found.setdefault(biomarker, {})[grader, subject] = figure
    return found


def _rows(
    biomarker: Biomarker,
    values: Values,
    graders: tuple[str, ...],
    subjects: list[Label],
) -> Iterator[Row]:
    units = list(dict.fromkeys(figure.unit for figure in values.values()))
    table = np.full((len(subjects), len(graders)), np.nan)
    for (grader, subject), figure in values.items():
        table[subjects.index(subject), graders.index(grader)] = figure.value
    labels = {
        "biomarker": biomarker.key,
        "measured": biomarker.level,
        **dict(biomarker.labels),
    }
    groups = [(*pair, [graders.index(g) for g in pair]) for pair in _pairs(graders)]
    if len(graders) > 2:
        groups.append((ALL, ALL, list(range(len(graders)))))
    for grader, other, columns in groups:
        figures = _consistency(table[:, columns], units)
        if len(columns) == 2:
            figures |= _limits(table[:, columns], units)
        yield Row("biomarker", labels | {"grader": grader, "other": other}, figures)


def _pairs(graders: tuple[str, ...]) -> list[tuple[str, str]]:
    return list(combinations(graders, 2))


def _consistency(table: np.ndarray, units: list[str]) -> dict[str, Figure]:
    """Return the ICC of values of shape ``(subjects, graders)``."""
    found = icc(table)
    why_not = _mixed(units) or found.why_not
    values = {"subjects": AGREEMENT["subjects"].figure(found.subjects, "")}
    for key, estimate in (("icc21", found.icc21), ("icc31", found.icc31)):
        parts = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
        values |= {
            key + end: _figure(key + end, value, "", why_not)
            for end, value in parts.items()
        }
    return values


def _limits(table: np.ndarray, units: list[str]) -> dict[str, Figure]:
    """Return bias and limits of agreement of two graders, in the unit of the values."""
    found = bland_altman(*table.T)
    why_not = _mixed(units) or found.why_not
    values = {
        "bias": found.bias.value,
        "loa_low": found.lower.value,
        "loa_high": found.upper.value,
    }
    return {k: _figure(k, value, units[0], why_not) for k, value in values.items()}


def _figure(key: str, value: float, unit: str, why_not: str) -> Figure:
    definition = AGREEMENT[key]
    if why_not:
        return replace(definition.missing(why_not, unit), unit=unit)
    return replace(definition.figure(value, unit), unit=unit)


def _mixed(units: list[str]) -> str:
    if len(units) == 1:
        return ""
    return f"expected one unit, found {' and '.join(unit or 'none' for unit in units)}"
