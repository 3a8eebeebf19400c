"""How long the answer to a click takes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from napari_octa_sam2.bench.contest import prepare_engine, prepare_reference
from napari_octa_sam2.bench.engine import EngineRun
from napari_octa_sam2.bench.records import Row
from napari_octa_sam2.bench.runs import Run, Watch, timed, within
from napari_octa_sam2.bench.scene import volume
from napari_octa_sam2.bench.settings import Settings
from napari_octa_sam2.prompts import Prompt

NAME = "clicks"
WARM = 20  # clicks


def count(settings: Settings) -> int:
    """Return how many rows there will be."""
    return 3 * len(settings.sizes)


def measure(settings: Settings, watch: Watch) -> Iterator[Row]:
    """Yield rows of first clicks on slices never seen, seen, and prefetched.

    The runs take turns click by click.
    """
    for size in settings.sizes:
        yield from _rows(settings, size, within(watch, f"{NAME}, input {size}"))


def _rows(settings: Settings, size: int, watch: Watch) -> Iterator[Row]:
    seen = range(1, 1 + settings.repeats)  # stock SAM 2 encodes slice 0 by itself
    ahead = range(seen.stop, seen.stop + settings.repeats)
    data = volume(ahead.stop, settings.pixels, settings.seed)
    engine = prepare_engine(settings, size).open(data)
    runs = prepare_reference(settings, size)(data), engine
    places = _places(settings)
    for run in runs:
        run.click(_click(0, next(places)))  # warms up
    cold = _times(runs, list(seen), places, watch)
    yield _row(size, "cold", "slice never seen", cold)
    warm = _times(runs, [seen[-1]] * WARM, places, watch)
    yield _row(size, "warm", "same slice again", warm)
    engine.prefetch(ahead)
    prefetched = _times((engine,), list(ahead), places, watch)
    yield _row(size, "prefetched", "next slice, encoded ahead", ([], *prefetched))


def _times(
    runs: tuple[Run, ...] | tuple[EngineRun],
    slices: list[int],
    places: Iterator[tuple[float, float]],
    watch: Watch,
) -> tuple[list[float], ...]:
    times: tuple[list[float], ...] = tuple([] for _ in runs)
    for index in slices:
        watch(f"slice {index}")
        prompt = _click(index, next(places))
        for run, seconds in zip(runs, times, strict=True):
            seconds.append(timed(partial(run.click, prompt), run.device)[0])
    return times


def _places(settings: Settings) -> Iterator[tuple[float, float]]:
    rng = np.random.default_rng(settings.seed)
    while True:
        row, col = rng.uniform(0, settings.pixels - 1, 2).tolist()
        yield row, col


def _click(index: int, place: tuple[float, float]) -> Prompt:
    return Prompt(1, index, (place,), (1,))


def _row(size: int, kind: str, what: str, times: tuple[list[float], ...]) -> Row:
    reference, engine = times
    return Row(
        NAME,
        {"input": size, "click": kind, "clicks": len(engine)},
        {
            "reference [ms]": _quantile(reference, 0.5),
            "reference 90 % [ms]": _quantile(reference, 0.9),
            "engine [ms]": _quantile(engine, 0.5),
            "engine 90 % [ms]": _quantile(engine, 0.9),
        },
        what if reference else f"{what}; the reference has no such thing",
        {"reference_seconds": reference, "engine_seconds": engine},
    )


def _quantile(seconds: list[float], share: float) -> float | None:
    return 1000 * float(np.quantile(seconds, share)) if seconds else None
