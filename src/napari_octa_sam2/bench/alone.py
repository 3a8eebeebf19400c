"""Peak memory of one run, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from napari_octa_sam2.bench.settings import Settings

LOOK = 0.5  # seconds between two looks whether to stop


@dataclass(frozen=True)
class Peak:
    """Peak memory of one run at one number of slices."""

    slices: int
    bytes: float | None
    note: str = ""
    raw: dict[str, Any] | None = None

    @property
    def seconds_per_slice(self) -> float | None:
        """Of the last slice, which costs as much as any."""
        return self.raw["seconds"][-1] if self.raw else None


def peak_alone(
    settings: Settings,
    who: str,
    size: int,
    objects: int,
    slices: int,
    look: Callable[[], None],
) -> Peak:
    """Return the peak of one run, measured in a new process.

    `look` is called now and then; what it raises ends the process.
    """
    alone = replace(settings, sizes=(size,), objects=(objects,), slices=(slices,))
    request = json.dumps({"who": who, "settings": alone.to_json()})
    command = [sys.executable, "-m", __name__, request]
    status, output, errors = _run(command, look)
    if status:
        look()  # Ctrl-C on a terminal reaches the process as well
        reason = (errors.strip().splitlines() or ["killed, as when memory ends"])[-1]
        return Peak(slices, None, f"failed: {reason}")
    raw = json.loads(output.splitlines()[-1])
    return Peak(slices, raw["peak_bytes"], raw=raw)


def _run(command: list[str], look: Callable[[], None]) -> tuple[int, str, str]:
    """Return status, stdout and stderr of a process."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as child:
        try:
            while True:
                try:
                    output, errors = child.communicate(timeout=LOOK)
                    return child.returncode, output, errors
                except subprocess.TimeoutExpired:
                    look()
        finally:
            child.kill()


def peak_here(settings: Settings, who: str) -> dict[str, Any]:
    """Follow objects through all slices; return peak bytes and seconds a slice.

    The peak is counted over model and volume.
    """
    import torch

    from napari_octa_sam2.bench.contest import Start, prepare_engine, prepare_reference
    from napari_octa_sam2.bench.gauge import Gauge
    from napari_octa_sam2.bench.runs import Run, laps
    from napari_octa_sam2.bench.scene import clicks, volume
    from napari_octa_sam2.engine.device import choose_compute

    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    (size,), (objects,) = settings.sizes, settings.objects
    (slices,) = settings.slices or ()
    if who == "engine":
        start: Start = prepare_engine(settings, size).open
    else:
        start = prepare_reference(settings, size)
    prompts = clicks(objects, settings.pixels, settings.seed)
    data = volume(slices, settings.pixels, settings.seed)
    gauge = Gauge(choose_compute(settings.device, settings.precision).device)
    run: Run = start(data)
    for prompt in prompts:
        run.click(prompt)
    seconds = [lap.seconds for lap in laps(run.follow(), run.device)]
    return {
        "peak_bytes": gauge.peak(),
        "start_bytes": gauge.start,
        "precision": run.precision,
        "seconds": seconds,
    }


def main(text: str) -> None:
    """Measure what a request asks for, and write the answer to stdout."""
    request = json.loads(text)
    settings = Settings.from_json(request["settings"])
    measure = peak_here
    if request["who"].startswith("training"):
        from napari_octa_sam2.bench.training import step_here as measure
    elif request["who"].startswith("metrics"):
        from napari_octa_sam2.bench.metrics import measure_here as measure
    answer = measure(settings, request["who"])
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
