"""Following an object again after one corrective click."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from statistics import median
from typing import Any

from napari_octa_sam2.bench.agreement import Agreement
from napari_octa_sam2.bench.contest import prepare_engine, prepare_reference
from napari_octa_sam2.bench.engine import EngineRun
from napari_octa_sam2.bench.records import Row
from napari_octa_sam2.bench.runs import Answer, Lap, Run, Watch, laps, timed, within
from napari_octa_sam2.bench.scene import clicks, volume
from napari_octa_sam2.bench.settings import SECOND_PASS_SLICES, Settings

NAME = "second-pass"
CHANGED, ALL = "what changed", "all slices"
Answers = dict[int, Answer]


@dataclass(frozen=True)
class Pass:
    """The slices of both runs after the correction."""

    reference: list[Lap]
    engine: list[Lap]

    def reference_seconds(self, slices: int, fill: int) -> float:
        """Return the seconds that the reference takes, or would, for `slices`."""
        seconds = [lap.seconds for lap in self.reference]
        steady = median(seconds[fill:] or seconds)
        return sum(seconds) + (slices - len(seconds)) * steady

    def agreement(self, before: Answers) -> Agreement:
        """Compare what the engine then shows, `before` where it did not go."""
        shown = before | {lap.answer.slice: lap.answer for lap in self.engine}
        found = Agreement()
        for lap in self.reference:
            found.add(lap.answer, shown[lap.answer.slice])
        return found


def count(settings: Settings) -> int:
    """Return how many rows there will be."""
    return 2 * len(settings.sizes) * len(settings.slices or SECOND_PASS_SLICES)


def measure(settings: Settings, watch: Watch) -> Iterator[Row]:
    """Yield two rows for each input size and number of slices.

    An object is clicked on slice 0 and followed; a click on the middle slice corrects
    it. Then both runs follow it again, slice by slice in turn: once from the corrected
    slice on, where the engine stops as soon as nothing changes, and once all slices.
    Either is timed against the reference's pass over all slices.
    """
    for size in settings.sizes:
        for slices in settings.slices or SECOND_PASS_SLICES:
            told = within(watch, f"{NAME}, input {size}, {slices} slices")
            yield from _rows(settings, size, slices, told)


def _rows(settings: Settings, size: int, slices: int, watch: Watch) -> Iterator[Row]:
    start = prepare_engine(settings, size)
    data = volume(slices, settings.pixels, settings.seed)
    reference = prepare_reference(settings, size)(data)
    engine = start.open(data)
    corrected = slices // 2
    before, click_seconds = _correct(settings, reference, engine, corrected, watch)
    sample = settings.sample or slices
    onwards = _together(
        islice(laps(reference.follow(corrected), reference.device), sample),
        laps(engine.follow_changed(), engine.device),
        within(watch, CHANGED),
    )
    everything = _together(
        islice(laps(reference.follow(), reference.device), sample),
        laps(engine.follow(), engine.device),
        within(watch, ALL),
    )
    total = everything.reference_seconds(slices, start.fill)
    shared = {"precision": engine.precision, **click_seconds}
    for name, both in ((CHANGED, onwards), (ALL, everything)):
        note = f"click on slice {corrected}, the engine visited {len(both.engine)}"
        if sample < slices:
            note += f"; reference timed and compared on {len(both.reference)}, scaled"
        point: dict[str, str | int] = {"input": size, "slices": slices, "again": name}
        yield _row(point, both, total, both.agreement(before), note, shared)


def _row(
    point: dict[str, str | int],
    both: Pass,
    total: float,
    agreement: Agreement,
    note: str,
    shared: dict[str, Any],
) -> Row:
    seconds = [lap.seconds for lap in both.engine]
    figures = {
        "reference, all slices [s]": total,
        "engine [s]": sum(seconds),
        "ratio": total / sum(seconds) if seconds else None,
        **agreement.figures(),
    }
    raw = {
        "reference_seconds": [lap.seconds for lap in both.reference],
        "engine_seconds": seconds,
        "engine_slices": [lap.answer.slice for lap in both.engine],
        **shared,
        **agreement.raw(),
    }
    return Row(NAME, point, figures, note, raw)


def _correct(
    settings: Settings, reference: Run, engine: EngineRun, index: int, watch: Watch
) -> tuple[Answers, dict[str, float]]:
    """Click, follow and correct; return the engine's answers by slice, and seconds.

    The reference follows to the slice that is corrected only: what it would find
    beyond has no bearing on the second pass.
    """
    first, second = clicks(2, settings.pixels, settings.seed)
    correction = replace(second, object=first.object, slice=index)
    for run in (reference, engine):
        run.click(first)
    for answer in islice(reference.follow(), index + 1):
        watch(f"first pass of the reference, slice {answer.slice}")
    answers: Answers = {}
    for found in engine.follow():
        watch(f"first pass of the engine, slice {found.slice}")
        answers[found.slice] = found
    reference_click, _ = timed(lambda: reference.click(correction), reference.device)
    engine_click, answers[index] = timed(
        lambda: engine.click(correction), engine.device
    )
    return answers, {
        "reference_click_seconds": reference_click,
        "engine_click_seconds": engine_click,
    }


def _together(one: Iterator[Lap], other: Iterator[Lap], watch: Watch) -> Pass:
    """Let two runs take turns, until both are done."""
    both = Pass([], [])
    for number, (reference, engine) in enumerate(zip_longest(one, other)):
        watch(f"slice {number}")
        both.reference.extend([reference] if reference else [])
        both.engine.extend([engine] if engine else [])
    return both
