"""Graders, or repeats of one, compared over subjects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.agreement.biomarkers import compare_biomarkers
from napari_octa_sam2.metrics.agreement.overlap import (
    contingency,
    kappa_of,
    merged_counts,
    require_labels,
    require_several,
)
from napari_octa_sam2.metrics.definitions.agreement import AGREEMENT
from napari_octa_sam2.metrics.definitions.segmentation import SEGMENTATION
from napari_octa_sam2.metrics.results import Figure, Results, Row
from napari_octa_sam2.metrics.segmentation.overlap import Confusion
from napari_octa_sam2.metrics.subjects import UNCLASSED
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet

ALL = "all"
POOLED = "all subjects"
NO_CHANCE = "expected labels that differ, found the same one in all voxels of both"

Pair = tuple[str, str]


class Table(NamedTuple):
    """Voxels by the class that either grader gives them; class 0 is the background."""

    classes: tuple[str, ...]
    counts: np.ndarray


def agree(
    graders: Mapping[str, Mapping[str, LabelSet]],
    geometries: Mapping[str, Mapping[str, ScanGeometry]],
    *,
    biomarkers: Mapping[str, Results] | None = None,
) -> Results:
    """Compare the labels of graders, and what they measure.

    Parameters
    ----------
    graders : mapping of str to mapping of str to LabelSet
        By grader, then by subject. The labels of a subject are asked for once.
        Objects are compared by class; what has none is a vessel ("vessel") if no
        object of the label set has one, and ``"other"`` if some have.
    geometries : mapping of str to mapping of str to ScanGeometry
        Of the same labels.
    biomarkers : mapping of str to Results, optional
        What each grader's labels measure; rows carry the label ``"subject"``.

    Returns
    -------
    Results
        Level ``"graders"`` (columns subject, grader, other, class): Dice, and kappa
        over all classes or of one against the rest; ``"all subjects"`` pools voxels.
        Level ``"biomarker"``: see `compare_biomarkers`.

    Raises
    ------
    VolumeError
        If there are fewer than two graders, no two have a subject in common, or
        labels of a subject differ in shape or spacing.
    """
    names = tuple(graders)
    require_several(names)
    subjects = list(dict.fromkeys(s for known in graders.values() for s in known))
    rows: list[Row] = []
    tables: dict[Pair, list[Table]] = {}
    for subject in subjects:
        labels = {g: graders[g][subject] for g in names if subject in graders[g]}
        spacings = {g: geometries[g][subject] for g in labels}
        _require_one_grid(subject, labels, spacings)
        for pair, table in _tables(labels).items():
            rows += _rows(subject, pair, table)
            tables.setdefault(pair, []).append(table)
    if not tables:
        raise VolumeError(
            "expected subjects that two graders labelled, found none in common among "
            f"{', '.join(names)}; give the labels of a subject the same name"
        )
    for pair, parts in tables.items():
        rows += _rows(POOLED, pair, _pooled(parts)) if len(parts) > 1 else []
    if biomarkers is not None:
        rows += compare_biomarkers(names, biomarkers)
    settings: dict[str, Any] = {"graders": list(names), "subjects": subjects}
    return Results(tuple(rows), settings, tuple(_gaps(graders, subjects)))


def _tables(labels: Mapping[str, LabelSet]) -> dict[Pair, Table]:
    """Return the table of each pair of graders of one subject."""
    class_of = {grader: _classes(own) for grader, own in labels.items()}
    classes = ("", *sorted({c for own in class_of.values() for c in own.values()}))
    coded = {g: _coded(own.data, class_of[g], classes) for g, own in labels.items()}
    found = {}
    for pair in combinations(labels, 2):
        counts = np.zeros((len(classes), len(classes)), np.int64)
        for a, b in zip(*(coded[grader] for grader in pair), strict=True):
            counts += contingency(a, b, len(classes))
        found[pair] = Table(classes, counts)
    return found


def _rows(subject: str, pair: Pair, table: Table) -> Iterator[Row]:
    grader, other = pair
    for cls in (ALL, *table.classes[1:]):
        own = [code for code, c in enumerate(table.classes) if c and cls in (ALL, c)]
        labels = {"subject": subject, "grader": grader, "other": other, "class": cls}
        merged = merged_counts(table.counts, own)
        counts = table.counts if cls == ALL else merged
        yield Row("graders", labels, _figures(merged, kappa_of(counts)))


def _figures(counts: np.ndarray, kappa: float) -> dict[str, Figure]:
    """Return Dice of a table of two classes, and kappa."""
    (background, only_other), (only_one, both) = counts.tolist()
    overlap = Confusion(both, only_one, only_other, background)
    definition = AGREEMENT["kappa"]
    return {
        "dice": SEGMENTATION["dice"].figure(overlap.dice, ""),
        "kappa": definition.missing(NO_CHANCE, "")
        if math.isnan(kappa)
        else definition.figure(kappa, ""),
    }


def _pooled(parts: list[Table]) -> Table:
    """Return the sum of tables of several subjects, whose classes may differ."""
    classes = ("", *sorted({c for table in parts for c in table.classes[1:]}))
    counts = np.zeros((len(classes), len(classes)), np.int64)
    for table in parts:
        places = [classes.index(cls) for cls in table.classes]
        counts[np.ix_(places, places)] += table.counts
    return Table(classes, counts)


def _classes(labels: LabelSet) -> dict[int, str]:
    """Return the class of each id that is present."""
    require_labels(labels.data)
    present = [int(i) for i in np.unique(labels.data) if i]
    known = {i: labels.classes.get(i, "") for i in present}
    if all(cls in UNCLASSED for cls in known.values()):
        return dict.fromkeys(present, "vessel")
    return {i: cls or "other" for i, cls in known.items()}


def _coded(
    data: np.ndarray, class_of: Mapping[int, str], classes: tuple[str, ...]
) -> np.ndarray:
    """Return the place of its class among `classes` for each voxel, 0 for 0."""
    lookup = np.zeros(int(data.max()) + 1, np.uint16)
    for label, cls in class_of.items():
        lookup[label] = classes.index(cls)
    return np.asarray(lookup[data.astype(np.uint8) if data.dtype == bool else data])


def _require_one_grid(
    subject: str,
    labels: Mapping[str, LabelSet],
    geometries: Mapping[str, ScanGeometry],
) -> None:
    shapes = {grader: own.data.shape for grader, own in labels.items()}
    if len(set(shapes.values())) > 1:
        raise VolumeError(
            f"{subject}: expected labels of one shape, found {_listed(shapes)}; "
            "compare labels of the same scan"
        )
    known = {grader: g for grader, g in geometries.items() if g.known}
    is_plane = next(iter(shapes.values()))[0] == 1
    first = next(iter(known.values()), None)
    if first and not all(first.same_as(g, in_plane=is_plane) for g in known.values()):
        found = _listed({grader: g.spacing for grader, g in known.items()})
        raise VolumeError(
            f"{subject}: expected labels of one spacing, found {found} mm; "
            "bring them to one grid first"
        )


def _gaps(
    graders: Mapping[str, Mapping[str, LabelSet]], subjects: list[str]
) -> Iterator[str]:
    for grader, known in graders.items():
        missing = [subject for subject in subjects if subject not in known]
        if missing:
            yield f"{grader} has no labels of {', '.join(missing)}: compared without"


def _listed(found: Mapping[str, object]) -> str:
    return ", ".join(f"{value} ({grader})" for grader, value in found.items())
