"""Run the cases of a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from napari_octa_sam2.bench import (
    absent,
    clicks,
    gpu,
    memory,
    metrics,
    roofline,
    second_pass,
    speed,
    training,
)
from napari_octa_sam2.bench.contest import has_weights, load, reference_name
from napari_octa_sam2.bench.machine import describe
from napari_octa_sam2.bench.records import Row
from napari_octa_sam2.bench.report import Report
from napari_octa_sam2.bench.runs import Stopped
from napari_octa_sam2.bench.settings import Settings
from napari_octa_sam2.engine.device import compute_for

CASES = {
    case.NAME: case
    for case in (
        *(speed, clicks, second_pass, absent, memory, roofline, gpu, training),
        metrics,
    )
}


def run_bench(
    settings: Settings,
    *,
    progress: Callable[[int, int | None, str], None] = lambda done, total, note: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Report:
    """Measure the engine beside stock SAM 2, or beside itself where stock cannot run.

    Parameters
    ----------
    settings : Settings
    progress : callable
        Called with the rows done, their total, and what is worked on.
    cancelled : callable
        Looked at before each slice and click; what is done is reported.

    Raises
    ------
    OctaError
        If something cannot be measured as asked.
    """
    settings.check()
    rows: list[Row] = []
    total = sum(CASES[name].count(settings) for name in settings.cases)

    def watch(note: str) -> None:
        if cancelled():
            raise Stopped
        progress(len(rows), total, note)

    with _threads(settings.threads):
        record = _record(settings)
        try:
            for name in settings.cases:
                for row in CASES[name].measure(settings, watch):
                    rows.append(row)
        except Stopped:
            return Report(record, tuple(rows), False)
    progress(total, total, "")
    return Report(record, tuple(rows), True)


def _record(settings: Settings) -> dict[str, Any]:
    network = load(settings, settings.sizes[0]).network
    compute = compute_for(network, settings.device, settings.precision)
    weights = "trained" if has_weights(settings) else "random"
    return {
        "model": settings.model,
        "weights": weights,
        "reference": reference_name(settings),
        "precision": compute.precision,
        **describe(compute),
        "settings": settings.to_json(),
    }


@contextmanager
def _threads(wanted: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(wanted or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
