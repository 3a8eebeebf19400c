"""Time and memory of metrics and biomarkers, each part in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import median

from napari_octa_sam2.bench.alone import Peak, peak_alone
from napari_octa_sam2.bench.metric_parts import PARTS, Answer, timed
from napari_octa_sam2.bench.records import Row
from napari_octa_sam2.bench.runs import Watch
from napari_octa_sam2.bench.settings import Settings
from napari_octa_sam2.bench.trees import OBJECTS, SHAPE, make_scan

NAME = "metrics"
SLICES = (SHAPE[0],)
SMALL = 32  # slices


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
    loading, _ = timed(lambda: part(make_scan(SMALL, settings.seed), 1))
    scan = make_scan(slices, settings.seed)
    answer = part(scan, settings.repeats)
    return {"shape": list(scan.truth.shape), "loading_seconds": loading, **answer}


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
