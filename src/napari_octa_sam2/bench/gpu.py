"""Frames a second and memory of a GPU, each run alone, at SAM 2's own input size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from statistics import median

from napari_octa_sam2.bench.contest import prepare_engine, prepare_reference
from napari_octa_sam2.bench.gauge import Gauge
from napari_octa_sam2.bench.records import Row
from napari_octa_sam2.bench.runs import Run, Watch, laps, within
from napari_octa_sam2.bench.scene import clicks, volume
from napari_octa_sam2.bench.settings import Settings
from napari_octa_sam2.engine.device import choose_compute

NAME = "gpu"
MODELS = ("sam2.1_hiera_tiny", "sam2.1_hiera_base_plus")
SIZE = 1024
TIMED = 50  # slices
FIGURES = (
    "reference [frames/s]",
    "engine [frames/s]",
    "ratio",
    "reference peak over the model [MB]",
    "engine peak over the model [MB]",
)


def count(settings: Settings) -> int:
    """Return how many rows there will be."""
    return len(MODELS) * len(settings.objects)


def measure(settings: Settings, watch: Watch) -> Iterator[Row]:
    """Yield a row for each model and number of objects; without CUDA an empty one."""
    device = choose_compute(settings.device, settings.precision).device
    for model in MODELS:
        for objects in settings.objects:
            told = within(watch, f"{NAME}, {model}, objects {objects}")
            point: dict[str, str | int] = {
                "model": model,
                "input": SIZE,
                "objects": objects,
            }
            if device.type != "cuda":
                note = f"not measured: the device is {device.type}, not cuda"
                yield Row(NAME, point, dict.fromkeys(FIGURES), note)
                continue
            chosen = replace(settings, model=model)
            yield Row(NAME, point, *_figures(chosen, objects, told))


def _figures(
    settings: Settings, objects: int, watch: Watch
) -> tuple[dict[str, float | None], str, dict[str, list[float]]]:
    engine = prepare_engine(settings, SIZE)
    data = volume(engine.fill + TIMED, settings.pixels, settings.seed)
    device = choose_compute(settings.device, settings.precision).device
    prompts = clicks(objects, settings.pixels, settings.seed)
    speeds: list[float] = []
    peaks: list[float] = []
    raw: dict[str, list[float]] = {}
    for who, start in (
        ("reference", prepare_reference(settings, SIZE)),
        ("engine", engine.open),
    ):
        gauge = Gauge(device)
        run: Run = start(data)
        for prompt in prompts:
            run.click(prompt)
        seconds = []
        for lap in laps(run.follow(), device):
            watch(f"slice {lap.answer.slice}")
            seconds.append(lap.seconds)
        speeds.append(1 / median(seconds[engine.fill :]))
        peaks.append(gauge.peak() / 1e6)
        raw[f"{who}_seconds"] = seconds
        del run
    values = (*speeds, speeds[1] / speeds[0], *peaks)
    return dict(zip(FIGURES, values, strict=True)), f"{TIMED} slices", raw
