"""What is timed of metrics and biomarkers, each on a scan of trees."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import numpy as np

from napari_octa_sam2.bench.trees import CLASSES, OBJECTS, Scan
from napari_octa_sam2.metrics.results import Results

T = TypeVar("T")
Answer = dict[str, Any]

BRUSH = 12  # rows and columns that are painted


def _evaluate(scan: Scan, repeats: int) -> Answer:
    from napari_octa_sam2.metrics.segmentation.evaluation import evaluate

    answer, results = _metered(
        lambda: evaluate(
            scan.prediction, scan.truth, geometry=scan.geometry, classes=CLASSES
        )
    )
    return answer | {"note": f"{_figures(results)}; once"}


def _biomarkers(scan: Scan, repeats: int) -> Answer:
    answer, results = _metered(lambda: _measured(scan, scan.prediction, CLASSES))
    return answer | {"note": f"{_figures(results)}; once"}


def _plane(scan: Scan, repeats: int, *, classes: Mapping[int, str]) -> Answer:
    """Measure vessels en face, as a whole and, if they have classes, each of them."""
    from napari_octa_sam2.metrics.biomarkers.measurement import MeasureSettings

    plane = scan.prediction.max(0, keepdims=True)
    settings = MeasureSettings(("whole",))
    work = partial(_measured, scan, plane, classes, settings=settings)
    answer, results = _metered(work)
    seconds = [timed(work)[0] for _ in range(repeats)]
    return answer | {"seconds": seconds, "note": _figures(results)}


def _live(scan: Scan, repeats: int, *, known: bool) -> Answer:
    """Paint on a slice and count again: that slice, and in turn all from nothing."""
    from napari_octa_sam2.metrics.segmentation.tally import SliceTally

    def counted(tally: SliceTally, slices: list[int] | None) -> Results:
        tally.update(scan.prediction, slices)
        return tally.results()

    index = int((scan.prediction > 0).sum((1, 2)).argmax())
    painted = scan.prediction[index, -BRUSH:, -BRUSH:]
    tally = SliceTally(scan.truth, classes=CLASSES)
    answer, _ = _metered(lambda: counted(tally, None))
    first = answer["seconds"][0]
    pairs = []
    for repeat in range(repeats):
        painted[...] = repeat % OBJECTS + 1
        found = timed(lambda: counted(tally, [index] if known else None))
        anew = SliceTally(scan.truth, classes=CLASSES)
        pairs.append((found, timed(partial(counted, anew, None))))
    (_, last), (_, expected) = pairs[-1]
    return answer | {
        "seconds": [found[0] for found, _ in pairs],
        "reference_seconds": [everything[0] for _, everything in pairs],
        "difference": _difference(last, expected),
        "first_seconds": first,
        "note": f"first count {first:.3g} s; reference: all slices counted anew",
    }


def _hd95(scan: Scan, repeats: int) -> Answer:
    from napari_octa_sam2.metrics.segmentation.boxes import bounding_box, union
    from napari_octa_sam2.metrics.segmentation.surface import hausdorff95

    masks = scan.prediction > 0, scan.truth > 0
    box = union(map(bounding_box, masks), scan.truth.shape)
    prediction, truth = (mask[box] for mask in masks)
    spacing = scan.geometry.spacing
    answer, found = _metered(lambda: hausdorff95(prediction, truth, spacing))
    reference, expected = _metered(
        lambda: distance_map_hd95(prediction, truth, spacing)
    )
    return answer | {
        "reference_seconds": reference["seconds"],
        "reference_peak_bytes": reference["peak_bytes"],
        "difference": abs(found - expected) / expected,
        "hd95_mm": [found, expected],
        "note": f"{found:.4g} mm; reference: distance maps of the bounding box; once",
    }


PARTS: dict[str, Callable[[Scan, int], Answer]] = {
    "evaluate": _evaluate,
    "biomarkers": _biomarkers,
    "live, slice known": partial(_live, known=True),
    "live, slice sought": partial(_live, known=False),
    "live biomarkers, no classes": partial(_plane, classes={}),
    "live biomarkers, by class": partial(_plane, classes=CLASSES),
    "HD95 of all": _hd95,
}


def distance_map_hd95(
    prediction: np.ndarray, truth: np.ndarray, spacing: tuple[float, ...]
) -> float:
    """Return the HD95 of two masks by a map of the distances to each surface."""
    from scipy.ndimage import binary_erosion, distance_transform_edt

    one, other = (mask & ~binary_erosion(mask) for mask in (prediction, truth))
    return max(
        float(np.percentile(distance_transform_edt(~there, sampling=spacing)[here], 95))
        for here, there in ((one, other), (other, one))
    )


def _measured(
    scan: Scan, labels: np.ndarray, classes: Mapping[int, str], **options: Any
) -> Results:
    from napari_octa_sam2.metrics.biomarkers.measurement import measure as measured
    from napari_octa_sam2.metrics.subjects import Subject
    from napari_octa_sam2.volume.octa_volume import LabelSet

    labelled = {"trees": LabelSet(labels, classes=classes)}
    return measured(Subject("trees", labelled, scan.geometry), **options)


def _metered(work: Callable[[], T]) -> tuple[Answer, T]:
    """Return seconds and peak of `work`, and its result."""
    import torch

    from napari_octa_sam2.bench.gauge import Gauge

    gauge = Gauge(torch.device("cpu"))
    seconds, result = timed(work)
    peak = {"peak_bytes": gauge.peak(), "start_bytes": gauge.start}
    return {"seconds": [seconds], **peak}, result


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return the seconds that `work` takes, and its result."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def _figures(results: Results) -> str:
    rows = len(results.rows)
    return f"rows: {rows}, figures: {sum(len(row.figures) for row in results.rows)}"


def _difference(found: Results, expected: Results) -> float:
    """Return the largest relative difference of any figure; nan if one has no value."""
    one, other = (
        np.array([f.value for row in results.rows for f in row.figures.values()])
        for results in (found, expected)
    )
    apart = np.abs(one - other) / np.where(other, np.abs(other), 1)
    return float(np.where(np.isnan(one) & np.isnan(other), 0, apart).max())
