"""How fast a model answers clicks and follows an object, beside stock SAM 2.1 tiny."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np

from napari_octa_sam2.bench.contest import prepare_reference
from napari_octa_sam2.bench.engine import EngineRun
from napari_octa_sam2.bench.runs import Run, laps
from napari_octa_sam2.bench.settings import Settings
from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.model.loading import LoadedModel
from napari_octa_sam2.prompts import Prompt
from napari_octa_sam2.protocol.records import SPEED, Sample, Target, TaskReport
from napari_octa_sam2.volume.phantom import make_enface

TITLE = "warm clicks and propagation of 1 object on 304 x 304 pixels, on the CPU"
STOCK = "sam2.1_hiera_tiny"
STOCK_SIZE = 1024
SIZE = 304  # OCTA-500 at 3 mm
CLICKS = 20
FOLLOWED = 8  # slices of the stock network, whose memory holds seven
PER_STOCK_SLICE = 3  # slices of the model between two of the stock network
JUDGED = ("click [ms]", "slices/s", "times stock")
TARGETS = {
    "click [ms]": Target(60, at_most=True),
    "slices/s": Target(5),
    "times stock": Target(25),
}
PROMPTS = (
    f"median of {CLICKS} first clicks on a slice whose features are known; median "
    "slice of a propagation, interleaved with that of SAM 2's own predictor of "
    f"{STOCK} with random weights"
)


def measure(model: LoadedModel, stopped: Callable[[], bool]) -> list[Sample]:
    """Return click latency and slices a second; nothing if stopped on the way."""
    data = slices(1 + FOLLOWED * PER_STOCK_SLICE)
    clicks = click_times(Session(data[:1], model, device="cpu"))
    own = slice_times(EngineRun(data, model, device="cpu"))
    stock = slice_times(stock_run(data[: 1 + FOLLOWED]))
    seconds: list[float] = []
    stock_seconds: list[float] = []
    for _ in range(FOLLOWED):
        if stopped():
            return []
        seconds += islice(own, PER_STOCK_SLICE)
        stock_seconds += islice(stock, 1)
    median, stock_median = map(statistics.median, (seconds, stock_seconds))
    values = {
        "click [ms]": 1000 * statistics.median(clicks),
        "slices/s": 1 / median,
        "times stock": stock_median / median,
        f"slices/s of {STOCK}": 1 / stock_median,
    }
    detail = {
        "click_seconds": clicks,
        "slice_seconds": seconds,
        "stock_slice_seconds": stock_seconds,
    }
    return [Sample(model.name, values, detail=detail)]


def report(samples: Sequence[Sample]) -> TaskReport:
    """Return the report of what `measure` returns."""
    return TaskReport(
        *(SPEED, "", TITLE, PROMPTS, JUDGED, TARGETS),
        *(1, len(samples), tuple(samples)),
    )


def stock_run(data: np.ndarray) -> Run:
    """Return SAM 2's own predictor on a volume: its speed does not need its weights."""
    settings = Settings(model=STOCK, random=True, device="cpu")
    return prepare_reference(settings, STOCK_SIZE)(data)


def click_times(session: Session) -> list[float]:
    """Return the seconds of each of `CLICKS` clicks on a slice seen before."""
    rng = np.random.default_rng(0)
    places = rng.uniform(0, min(session.data.shape[1:]) - 1, (CLICKS, 2))
    session.add(Prompt(1, 0, ((0.0, 0.0),), (1,)))
    times = []
    for row, col in places.tolist():
        began = time.perf_counter()
        session.set_prompts(1, 0, [Prompt(1, 0, ((row, col),), (1,))])
        times.append(time.perf_counter() - began)
    return times


def slice_times(run: Run) -> Iterator[float]:
    """Yield the seconds of each slice that is followed from a click on the first."""
    middle = SIZE / 2
    run.click(Prompt(1, 0, ((middle, middle),), (1,)))
    following = laps(run.follow(), run.device)
    next(following)  # the clicked slice itself
    for lap in following:
        yield lap.seconds


def slices(count: int) -> np.ndarray:
    """Return an en-face phantom that drifts by a pixel a slice."""
    image, _, _ = make_enface(seed=0, size=SIZE)
    return np.stack([np.roll(image, shift, 1) for shift in range(count)])
