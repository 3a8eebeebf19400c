"""Seconds a slice once the memory bank is full, and the equality of the masks."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from napari_octa_sam2.bench.agreement import Agreement
from napari_octa_sam2.bench.contest import prepare_engine, prepare_reference
from napari_octa_sam2.bench.records import Row
from napari_octa_sam2.bench.runs import Watch, race, within
from napari_octa_sam2.bench.scene import clicks, volume
from napari_octa_sam2.bench.settings import Settings

NAME = "speed"


def count(settings: Settings) -> int:
    """Return how many rows there will be."""
    return len(settings.sizes) * len(settings.objects)


def measure(settings: Settings, watch: Watch) -> Iterator[Row]:
    """Yield a row for each input size and number of objects."""
    for size in settings.sizes:
        for objects in settings.objects:
            told = within(watch, f"{NAME}, input {size}, objects {objects}")
            yield _row(settings, size, objects, told)


def _row(settings: Settings, size: int, objects: int, watch: Watch) -> Row:
    start = prepare_engine(settings, size)
    data = volume(start.fill + settings.repeats, settings.pixels, settings.seed)
    runs = prepare_reference(settings, size)(data), start.open(data)
    for prompt in clicks(objects, settings.pixels, settings.seed):
        for run in runs:
            run.click(prompt)
    seconds: tuple[list[float], list[float]] = ([], [])
    agreement = Agreement()
    for reference, engine in race(runs, watch):
        agreement.add(reference.answer, engine.answer)
        seconds[0].append(reference.seconds)
        seconds[1].append(engine.seconds)
    reference_median, engine_median = (median(s[start.fill :]) for s in seconds)
    return Row(
        NAME,
        {"input": size, "objects": objects},
        {
            "reference [s/slice]": reference_median,
            "engine [s/slice]": engine_median,
            "ratio": reference_median / engine_median,
            **agreement.figures(),
        },
        raw={
            "fill_slices": start.fill,
            "precision": runs[1].precision,
            "reference_seconds": seconds[0],
            "engine_seconds": seconds[1],
            **agreement.raw(),
        },
    )
