"""Time and memory of metrics and biomarkers, each part in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any, TypeVar

import numpy as np

from napari_octa_sam2.bench.alone import Peak, peak_alone
from napari_octa_sam2.bench.records import Row
from napari_octa_sam2.bench.runs import Watch
from napari_octa_sam2.bench.settings import Settings
from napari_octa_sam2.bench.trees import CLASSES, OBJECTS, SHAPE, Scan, make_scan
from napari_octa_sam2.metrics.results import Results

T = TypeVar("T")
Answer = dict[str, Any]

NAME = "metrics"
SLICES = (SHAPE[0],)
SMALL = 32  # slices
BRUSH = 12  # rows and columns that are painted


def count(settings: Settings) -> int:
    """Return how many rows there will be."""
    return len(settings.slices or SLICES) * len(PARTS)


def measure(settings: Settings, watch: Watch) -> Iterator[Row]:
    """Yield a row for each number of slices and each of `PARTS`.

    What answers while labels are being painted is timed `Settings.repeats` times, after
    a first time; all else once.
    """
    for slices in settings.slices or SLICES:
        for part in PARTS:
            look = partial(watch, f"{NAME}, {slices} slices, {part}")
            look()
            who = f"{NAME}: {part}"
            size = settings.sizes[0]
            yield _row(part, peak_alone(settings, who, size, OBJECTS, slices, look))


def measure_here(settings: Settings, who: str) -> Answer:
    """Measure one of `PARTS` in this process; return seconds and peak bytes.

    The peak is counted over the labels and the libraries, which a small scan loads.
    """
    (slices,) = settings.slices or SLICES
    part = PARTS[who.removeprefix(f"{NAME}: ")]
    loading, _ = _timed(lambda: part(make_scan(SMALL, settings.seed), 1))
    scan = make_scan(slices, settings.seed)
    answer = part(scan, settings.repeats)
    return {"shape": list(scan.truth.shape), "loading_seconds": loading, **answer}


def _evaluate(scan: Scan, repeats: int) -> Answer:
    from napari_octa_sam2.metrics.segmentation.evaluation import evaluate

    answer, results = _metered(
        lambda: evaluate(
            scan.prediction, scan.truth, geometry=scan.geometry, classes=CLASSES
        )
    )
    return answer | {"note": f"{_figures(results)}; once"}


def _biomarkers(scan: Scan, repeats: int) -> Answer:
    answer, results = _metered(lambda: _measured(scan, scan.prediction))
    return answer | {"note": f"{_figures(results)}; once"}


def _plane_biomarkers(scan: Scan, repeats: int) -> Answer:
    from napari_octa_sam2.metrics.biomarkers.measurement import MeasureSettings

    plane = scan.prediction.max(0, keepdims=True)
    settings = MeasureSettings(("whole",), volume=False, objects=False)
    work = partial(_measured, scan, plane, settings=settings)
    answer, results = _metered(work)
    seconds = [_timed(work)[0] for _ in range(repeats)]
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
    pairs = []
    for repeat in range(repeats):
        painted[...] = repeat % OBJECTS + 1
        found = _timed(lambda: counted(tally, [index] if known else None))
        anew = SliceTally(scan.truth, classes=CLASSES)
        pairs.append((found, _timed(partial(counted, anew, None))))
    (_, last), (_, expected) = pairs[-1]
    return answer | {
        "seconds": [found[0] for found, _ in pairs],
        "reference_seconds": [everything[0] for _, everything in pairs],
        "difference": _difference(last, expected),
        "note": "reference: all slices counted anew",
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
    "live, plane's biomarkers": _plane_biomarkers,
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


def _measured(scan: Scan, labels: np.ndarray, **options: Any) -> Results:
    from napari_octa_sam2.metrics.biomarkers.measurement import measure as measured
    from napari_octa_sam2.metrics.subjects import Subject
    from napari_octa_sam2.volume.octa_volume import LabelSet

    labelled = {"trees": LabelSet(labels, classes=CLASSES)}
    return measured(Subject("trees", labelled, scan.geometry), **options)


def _metered(work: Callable[[], T]) -> tuple[Answer, T]:
    """Return seconds and peak of `work`, and its result."""
    import torch

    from napari_octa_sam2.bench.gauge import Gauge

    gauge = Gauge(torch.device("cpu"))
    seconds, result = _timed(work)
    peak = {"peak_bytes": gauge.peak(), "start_bytes": gauge.start}
    return {"seconds": [seconds], **peak}, result


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def _figures(results: Results) -> str:
    rows = len(results.rows)
    return f"{rows} rows, {sum(len(row.figures) for row in results.rows)} figures"


def _difference(found: Results, expected: Results) -> float:
    """Return the largest relative difference of any figure; nan if one has no value."""
    one, other = (
        np.array([f.value for row in results.rows for f in row.figures.values()])
        for results in (found, expected)
    )
    apart = np.abs(one - other) / np.where(other, np.abs(other), 1)
    return float(np.where(np.isnan(one) & np.isnan(other), 0, apart).max())


def _row(part: str, peak: Peak) -> Row:
    raw = peak.raw or {}
    ours, reference = (
        median(raw[key]) if key in raw else None
        for key in ("seconds", "reference_seconds")
    )
    return Row(
        NAME,
        {"slices": peak.slices, "objects": OBJECTS, "part": part},
        {
            "reference [s]": reference,
            "time [s]": ours,
            "ratio": reference / ours if reference and ours else None,
            "reference peak [MB]": _megabytes(raw.get("reference_peak_bytes")),
            "peak [MB]": _megabytes(peak.bytes),
            "relative difference": raw.get("difference"),
        },
        peak.note or raw.get("note", ""),
        raw,
    )


def _megabytes(number: float | None) -> float | None:
    return None if number is None else number / 1e6
