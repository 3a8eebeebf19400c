"""How long a promptless model looks at a slice."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from napari_octa_sam2.engine.promptless import Predictor
from napari_octa_sam2.model.promptless.model import PromptlessModel
from napari_octa_sam2.protocol.records import SPEED, Sample, Target, TaskReport
from napari_octa_sam2.volume.phantom import make_enface

SIZE = 304  # OCTA-500 at 3 mm
PASSES = 9
PATIENCE = 3.0  # seconds of a slice that is looked at once only
KEY = "slice [ms]"
TITLE = f"all classes on a slice of {SIZE} x {SIZE} pixels"
PROMPTS = f"median of {PASSES} slices after one that is not counted"
TARGETS = {KEY: Target(150, at_most=True)}


def measure(
    model: PromptlessModel,
    *,
    device: str = "auto",
    views: int = 1,
    stopped: Callable[[], bool] = lambda: False,
) -> TaskReport:
    """Return the median time of a slice; without samples if stopped on the way.

    Parameters
    ----------
    model : PromptlessModel
    device, views
        As for `engine.promptless.Predictor`.
    stopped : callable
        Looked at before each slice.
    """
    seconds = slice_seconds(model, device=device, views=views, stopped=stopped)
    samples = []
    if seconds:
        values = {KEY: 1000 * statistics.median(seconds)}
        samples.append(Sample(model.name, values, detail={"slice_seconds": seconds}))
    return TaskReport(
        *(SPEED, "", TITLE, PROMPTS, (KEY,), TARGETS),
        *(1, len(samples), tuple(samples)),
    )


def slice_seconds(
    model: PromptlessModel,
    *,
    device: str = "auto",
    views: int = 1,
    passes: int = PASSES,
    stopped: Callable[[], bool] = lambda: False,
) -> list[float]:
    """Return the seconds of each of some slices, after one that is not counted.

    Of a network that takes longer than `PATIENCE` the first slice is all there is;
    nothing is returned if it was stopped.
    """
    image, _, _ = make_enface(seed=0, size=SIZE)
    predictor = Predictor(image[None], model, device=device, views=views)
    seconds: list[float] = []
    for _ in range(1 + passes):
        if stopped():
            return []
        began = time.perf_counter()
        predictor.on_slice(0)
        seconds.append(time.perf_counter() - began)
        if seconds[0] > PATIENCE:
            return seconds
    return seconds[1:]
