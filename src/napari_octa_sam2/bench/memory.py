"""Peak memory by slices, each point in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from napari_octa_sam2.bench.alone import Peak, peak_alone
from napari_octa_sam2.bench.records import Row
from napari_octa_sam2.bench.runs import Watch
from napari_octa_sam2.bench.settings import MEMORY_SLICES, Settings

NAME = "memory"
WHO = ("reference", "engine")


def count(settings: Settings) -> int:
    """Return how many rows there will be."""
    return (
        len(settings.sizes)
        * len(settings.objects)
        * len(settings.slices or MEMORY_SLICES)
    )


def measure(settings: Settings, watch: Watch) -> Iterator[Row]:
    """Yield a row for each input size, number of objects, and number of slices.

    Points expected to take longer than `Settings.limit` are left out; the reference,
    which grows by the same with every slice, is extrapolated there.
    """
    for size in settings.sizes:
        for objects in settings.objects:
            done: dict[str, list[Peak]] = {who: [] for who in WHO}
            for slices in sorted(settings.slices or MEMORY_SLICES):
                for who in WHO:
                    at = f"input {size}, objects {objects}, {slices} slices"
                    look = partial(watch, f"{NAME} of the {who}, {at}")
                    look()
                    peak = _point(settings, who, size, objects, slices, done, look)
                    done[who].append(peak)
                yield _row(size, objects, *(done[who][-1] for who in WHO))


def _point(
    settings: Settings,
    who: str,
    size: int,
    objects: int,
    slices: int,
    done: dict[str, list[Peak]],
    look: Callable[[], None],
) -> Peak:
    if who == "reference" and not settings.has_stock:
        return Peak(slices, None, "not measured: stock SAM 2 has no such network")
    measured = [peak for peak in done[who] if peak.raw]
    pace = measured[-1].seconds_per_slice if measured else None
    if pace is not None and pace * slices > 60 * settings.limit:
        note = f"not measured: about {pace * slices / 60:.2g} min"
        if who == "reference" and len(measured) >= 2:
            return Peak(slices, _extrapolated(measured, slices), "extrapolated")
        return Peak(slices, None, note)
    if done[who] and not measured:
        return Peak(slices, None, done[who][-1].note)
    return peak_alone(settings, who, size, objects, slices, look)


def _extrapolated(measured: list[Peak], slices: int) -> float:
    """Return the bytes on the line through the two largest points measured."""
    at = [peak.slices for peak in measured[-2:]]
    found = [float(peak.bytes or 0) for peak in measured[-2:]]
    slope, offset = np.polyfit(at, found, 1)
    return float(slope * slices + offset)


def _row(size: int, objects: int, reference: Peak, engine: Peak) -> Row:
    pairs = zip(WHO, (reference, engine), strict=True)
    notes = [f"{who} {peak.note}" for who, peak in pairs if peak.note]
    known = reference.bytes is not None and engine.bytes is not None
    return Row(
        NAME,
        {"input": size, "objects": objects, "slices": reference.slices},
        {
            "reference [MB]": _megabytes(reference.bytes),
            "engine [MB]": _megabytes(engine.bytes),
            "engine / reference": (engine.bytes or 0) / (reference.bytes or 1)
            if known
            else None,
            "engine, whole process [MB]": _megabytes(_whole(engine)),
        },
        "; ".join(notes),
        {
            "reference_extrapolated": reference.note == "extrapolated",
            "reference": reference.raw,
            "engine": engine.raw,
        },
    )


def _whole(peak: Peak) -> float | None:
    """Return the peak with the model and what was loaded before."""
    return peak.raw["start_bytes"] + peak.bytes if peak.raw and peak.bytes else None


def _megabytes(number: float | None) -> float | None:
    return None if number is None else number / 1e6
