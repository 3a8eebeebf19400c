"""Compare a segmentation with the truth: objects, classes, all, slice by slice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np

from napari_octa_sam2.metrics.definitions.segmentation import SEGMENTATION
from napari_octa_sam2.metrics.results import Figure, Results, Row
from napari_octa_sam2.metrics.segmentation.boxes import label_boxes
from napari_octa_sam2.metrics.segmentation.cal import ALPHA, BETA
from napari_octa_sam2.metrics.segmentation.comparison import Comparison, pixel_of
from napari_octa_sam2.metrics.segmentation.joint import JointCounts, count_jointly
from napari_octa_sam2.metrics.segmentation.labels import (
    as_ids,
    contiguous,
    false_objects_note,
    require_labels,
)
from napari_octa_sam2.metrics.segmentation.parts import Part, split
from napari_octa_sam2.metrics.segmentation.ranking import (
    average_precision,
    object_precisions,
    require_scores,
)
from napari_octa_sam2.metrics.segmentation.surface import require_tolerance
from napari_octa_sam2.volume.geometry import ScanGeometry

LEVELS = ("object", "class", "all", "slice", "object slice")
SLICE_LEVELS = {"all": "slice", "object": "object slice"}
CANCELLED = "cancelled: rows that are missing here were not compared"
NO_POSITIVES = "expected a reference with voxels to find, found none"
PIXELS = "the spacing is unknown: distances and volumes count pixels and voxels"


def evaluate(
    prediction: np.ndarray,
    truth: np.ndarray,
    *,
    geometry: ScanGeometry,
    names: Mapping[int, str] | None = None,
    classes: Mapping[int, str] | None = None,
    slices: slice | None = None,
    slicewise: bool = True,
    tolerance: float | None = None,
    per_slice: bool = True,
    scores: np.ndarray | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Results:
    """Compare predicted labels with the truth.

    An id of the truth is compared with the same id of the prediction (level
    ``"object"``), all ids of a class as one mask (``"class"``), all ids as one mask
    (``"all"``), and these again on each slice that has any of them (``"slice"``,
    ``"object slice"``). Ids that only the prediction has are false objects: a note
    tells them, and they count as false positives of their class, of all and of the
    slices.

    Parameters
    ----------
    prediction, truth : numpy.ndarray
        Labels, non-negative integers or bool, shape ``(depth, slow, fast)``.
    geometry : ScanGeometry
        Spacing, which sets the unit of distances and volumes.
    names, classes : mapping of int to str, optional
        Name and class of the objects; an id without a class is in none.
    slices : slice, optional
        Contiguous slices to compare; all by default.
    slicewise : bool
        Whether the centrelines of a volume are those of its slices; see `cldice`.
    tolerance : float, optional
        Of the normalized surface distance, in the unit of the geometry; by default
        one pixel of the en-face plane, the larger of its two spacings.
    per_slice : bool
        Whether to compare single slices as well.
    scores : numpy.ndarray, optional
        Logits or probabilities of foreground, of the shape of the truth, for
        `average_precision` of all.
    progress : callable, optional
        Called with the steps done, the steps in all, and what was worked on.
    cancelled : callable, optional
        Looked at after each row; what is done is returned, with a note.

    Returns
    -------
    Results
        Empty masks are told as `napari_octa_sam2.metrics.segmentation.overlap` says.

    Raises
    ------
    VolumeError
        If the arrays are no labels or no scores, differ in shape, `slices` selects
        none, or the tolerance is negative.
    """
    require_labels(prediction, truth)
    if scores is not None:
        require_scores(scores, truth > 0)
    span = contiguous(slices, truth.shape[0])
    chosen = slice(span.start, span.stop)
    within = pixel_of(geometry.spacing) if tolerance is None else tolerance
    pair = _Pair(
        as_ids(prediction[chosen]),
        as_ids(truth[chosen]),
        geometry,
        require_tolerance(within),
        slicewise,
        span.start,
        None if scores is None else scores[chosen],
    )
    boxes = label_boxes(pair.prediction), label_boxes(pair.truth)
    parts = split(*boxes, pair.truth.shape, names or {}, classes or {})
    rows: list[Row] = []
    notes = pair.notes()
    total = sum(_steps(part, per_slice) for part in parts)
    for done, name, row in pair.rows(parts, per_slice):
        rows.append(row)
        if progress is not None:
            progress(done, total, name)
        if cancelled is not None and cancelled():
            notes.append(CANCELLED)
            break
    rows.sort(key=lambda row: LEVELS.index(row.level))
    return Results(tuple(rows), pair.settings(default=tolerance is None), tuple(notes))


@dataclass(frozen=True, eq=False)
class _Pair:
    """Prediction and truth of the chosen slices, and how they are compared."""

    prediction: np.ndarray
    truth: np.ndarray
    geometry: ScanGeometry
    tolerance: float
    slicewise: bool
    first: int
    scores: np.ndarray | None

    @cached_property
    def counts(self) -> JointCounts:
        """Voxels by true and predicted id."""
        return count_jointly(self.prediction, self.truth)

    def rows(
        self, parts: list[Part], per_slice: bool
    ) -> Iterator[tuple[int, str, Row]]:
        """Yield the steps done, what was worked on, and a row."""
        begun = 0
        for part in parts:
            comparison = self._compare(part)
            figures = comparison.figures()
            if part.level == "all":
                figures |= self._ranking()
            yield begun + part.depth, part.name, Row(part.level, part.labels, figures)
            if per_slice and part.level in SLICE_LEVELS:
                level, start = SLICE_LEVELS[part.level], part.box[0].start
                for index, plane in comparison.planes():
                    labels = {**part.labels, "slice": self.first + start + index}
                    done = begun + part.depth + index + 1
                    yield done, part.name, Row(level, labels, plane.figures())
            begun += _steps(part, per_slice)

    def settings(self, *, default: bool) -> dict[str, Any]:
        """Return what the figures depend on; `default` of the tolerance."""
        return {
            "spacing": list(self.geometry.spacing),
            "unit": self.geometry.unit,
            "slices": [self.first, self.first + len(self.truth)],
            "tolerance": self.tolerance,
            "tolerance_origin": "one en-face pixel" if default else "given",
            "centrelines": "slice by slice" if self.slicewise else "3-D",
            "cal_alpha": ALPHA,
            "cal_beta": BETA,
        }

    def notes(self) -> list[str]:
        """Return what a reader has to know before."""
        true, predicted = self.counts.sizes()
        false = {i: voxels for i, voxels in predicted.items() if i not in true}
        unknown = [] if self.geometry.known else [PIXELS]
        return unknown + false_objects_note(false)

    def _compare(self, part: Part) -> Comparison:
        return Comparison(
            part.mask(self.prediction),
            part.mask(self.truth),
            self.geometry.spacing,
            self.geometry.unit,
            self.tolerance,
            slicewise=self.slicewise,
            grid=self.truth.shape,
        )

    def _ranking(self) -> dict[str, Figure]:
        found = object_precisions(self.counts)
        values = {"ap50": found[0.5], "ap75": found[0.75], "ap": fmean(found.values())}
        if self.scores is not None:
            values["average_precision"] = average_precision(self.scores, self.truth > 0)
        return {
            key: SEGMENTATION[key].missing(NO_POSITIVES, "")
            if math.isnan(value)
            else SEGMENTATION[key].figure(value, "")
            for key, value in values.items()
        }


def _steps(part: Part, per_slice: bool) -> int:
    """Return how long a part takes, in slices: once as a whole, once one by one."""
    return part.depth * (2 if per_slice and part.level in SLICE_LEVELS else 1)
