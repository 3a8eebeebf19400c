"""Each stage of a slice beside the peak of the machine's matrix product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from napari_octa_sam2.bench.contest import prepare_engine, prepare_reference
from napari_octa_sam2.bench.machine import matmul_peak
from napari_octa_sam2.bench.records import Row
from napari_octa_sam2.bench.runs import Answer, Run, Watch, within
from napari_octa_sam2.bench.scene import clicks, volume
from napari_octa_sam2.bench.settings import Settings
from napari_octa_sam2.bench.stages import (
    STAGES,
    clock,
    counted,
    marked_flops,
    marked_seconds,
    watched,
)
from napari_octa_sam2.bench.stock import MODULES, StockRun
from napari_octa_sam2.engine.device import Compute

NAME = "roofline"


def count(settings: Settings) -> int:
    """Return how many rows there will be at most."""
    return 2 * len(STAGES) * len(settings.sizes) * len(settings.objects)


def measure(settings: Settings, watch: Watch) -> Iterator[Row]:
    """Yield a row for each stage of each run, input size and number of objects.

    Seconds are means over `Settings.repeats` slices with a full memory bank, and the
    operations those of one more. The peak is measured before and after.
    """
    for size in settings.sizes:
        for objects in settings.objects:
            start = prepare_engine(settings, size)
            slices = start.fill + settings.repeats + 1
            data = volume(slices, settings.pixels, settings.seed)
            for who, run in (
                ("reference", prepare_reference(settings, size)(data)),
                ("engine", start.open(data)),
            ):
                where = f"{NAME} of the {who}, input {size}, objects {objects}"
                for prompt in clicks(objects, settings.pixels, settings.seed):
                    run.click(prompt)
                following = _filled(run, start.fill, within(watch, where))
                peaks = [_peak(run)]
                seconds, flops = stage_costs(run, following, settings.repeats)
                peaks.append(_peak(run))
                point = {"run": who, "input": size, "objects": objects}
                yield from _rows(point, run.precision, seconds, flops, peaks)


def stage_costs(
    run: Run, following: Iterator[Answer], repeats: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Return seconds and operations a slice of each stage of a run."""

    def some() -> None:
        for _ in islice(following, repeats):
            pass

    def one() -> None:
        next(following, None)

    if isinstance(run, StockRun):
        modules = {s: getattr(run.predictor, name) for s, name in MODULES.items()}
        meter = clock(run.device)
        with watched(modules, meter):
            some()
        with counted() as flops, watched(modules, flops):
            one()
        seconds, operations = dict(meter.totals), dict(flops.totals)
    else:
        seconds = marked_seconds(some, run.device)
        operations = marked_flops(one)
    return {stage: s / repeats for stage, s in seconds.items()}, operations


def _filled(run: Run, fill: int, watch: Watch) -> Iterator[Answer]:
    following = run.follow()
    for answer in islice(following, fill):
        watch(f"slice {answer.slice}")
    return following


def _peak(run: Run) -> dict[str, float]:
    return matmul_peak(Compute(run.device, run.precision))


def _rows(
    point: Mapping[str, Any],
    precision: str,
    seconds: Mapping[str, float],
    flops: Mapping[str, float],
    peaks: Sequence[Mapping[str, float]],
) -> Iterator[Row]:
    peak = max(max(found.values()) for found in peaks)
    for stage in STAGES:
        if not (flops.get(stage) and seconds.get(stage)):
            continue
        operations = flops[stage] / 1e9
        rate = operations / seconds[stage]
        yield Row(
            NAME,
            {**point, "stage": stage, "precision": precision},
            {
                "time [s/slice]": seconds[stage],
                "work [GFLOP]": operations,
                "rate [GFLOP/s]": rate,
                "peak [GFLOP/s]": peak,
                "share of peak": rate / peak,
            },
            raw={"peak_gflops_by_shape": list(peaks)},
        )
