"""What it saves that objects are marked absent."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from napari_octa_sam2.bench.contest import prepare_engine
from napari_octa_sam2.bench.records import Row
from napari_octa_sam2.bench.runs import Watch, race, within
from napari_octa_sam2.bench.scene import clicks, volume
from napari_octa_sam2.bench.settings import Settings
from napari_octa_sam2.prompts import Prompt

NAME = "absent"


def count(settings: Settings) -> int:
    """Return how many rows there will be."""
    return len(settings.sizes)


def measure(settings: Settings, watch: Watch) -> Iterator[Row]:
    """Yield, for each input size, a row of the largest number of objects.

    Two sessions of the engine take turns slice by slice: in one all objects are
    present, in the other half of them are marked absent on slice 1.
    """
    for size in settings.sizes:
        yield _row(settings, size, within(watch, f"{NAME}, input {size}"))


def _row(settings: Settings, size: int, watch: Watch) -> Row:
    start = prepare_engine(settings, size)
    data = volume(start.fill + settings.repeats, settings.pixels, settings.seed)
    runs = start.open(data), start.open(data)
    objects = max(settings.objects)
    for prompt in clicks(objects, settings.pixels, settings.seed):
        for run in runs:
            run.click(prompt)
    gone = objects // 2
    for number in range(1, gone + 1):
        runs[1].click(Prompt(number, 1, absent=True))
    seconds: tuple[list[float], list[float]] = ([], [])
    for pair in race(runs, watch):
        for lap, times in zip(pair, seconds, strict=True):
            times.append(lap.seconds)
    present, part_absent = (median(s[start.fill :]) for s in seconds)
    return Row(
        NAME,
        {"input": size, "objects": objects, "absent": gone},
        {
            "all present [s/slice]": present,
            "some absent [s/slice]": part_absent,
            "cost ratio": part_absent / present,
        },
        raw={
            "precision": runs[0].precision,
            "fill_slices": start.fill,
            "present_seconds": seconds[0],
            "absent_seconds": seconds[1],
        },
    )
