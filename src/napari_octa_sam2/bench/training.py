"""Peak memory of one training step on a sequence, with and without checkpointing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from napari_octa_sam2.bench.alone import Peak, peak_alone
from napari_octa_sam2.bench.records import Row
from napari_octa_sam2.bench.runs import Watch
from napari_octa_sam2.bench.settings import Settings

NAME = "training"
PLAIN, CHECKPOINTED = "training plain", "training checkpointed"
SLICES = (8,)  # of SAM-OCTA2's clips, which take 78 GB of a GPU with its largest model
RANK = 32
FEW = (1, 2, 3)  # slices from which a step that does not fit is extrapolated
ROOM = 0.7  # share of the free memory that a step may be expected to take


def count(settings: Settings) -> int:
    """Return how many rows there will be."""
    return len(settings.sizes) * len(settings.slices or SLICES)


def measure(settings: Settings, watch: Watch) -> Iterator[Row]:
    """Yield a row for each input size and number of slices.

    One object, clicked on the first slice; low-rank updates of the encoder are trained
    by soft Dice, as SAM-OCTA2's recipe does. Without checkpointing, steps that do not
    fit into the memory are extrapolated from shorter sequences.
    """
    for size in settings.sizes:
        for slices in settings.slices or SLICES:
            at = f"input {size}, {slices} slices"
            look = partial(watch, f"{NAME} with checkpointing, {at}")
            look()
            thrifty = peak_alone(settings, CHECKPOINTED, size, 1, slices, look)
            plain = _plain(settings, watch, size, slices)
            yield _row(size, slices, plain, thrifty)


def _plain(settings: Settings, watch: Watch, size: int, slices: int) -> Peak:
    done: list[Peak] = []
    for few in FEW:
        look = partial(watch, f"{NAME} without, input {size}, {few} slices")
        look()
        peak = peak_alone(settings, PLAIN, size, 1, few, look)
        if peak.bytes is None:
            return peak
        done.append(peak)
    expected = float(
        np.polyval(
            np.polyfit(FEW, [float(peak.bytes or 0) for peak in done], 1), slices
        )
    )
    if expected > ROOM * _free_bytes():
        return Peak(slices, expected, f"extrapolated from {FEW[0]} to {FEW[-1]} slices")
    look = partial(watch, f"{NAME} without, input {size}, {slices} slices")
    return peak_alone(settings, PLAIN, size, 1, slices, look)


def _row(size: int, slices: int, plain: Peak, thrifty: Peak) -> Row:
    known = plain.bytes is not None and thrifty.bytes is not None
    times = [peak.raw["seconds"][-1] if peak.raw else None for peak in (plain, thrifty)]
    notes = [
        f"{who} {peak.note}"
        for who, peak in (("without", plain), ("with", thrifty))
        if peak.note
    ]
    return Row(
        NAME,
        {"input": size, "slices": slices},
        {
            "without checkpointing [GB]": _gigabytes(plain.bytes),
            "with checkpointing [GB]": _gigabytes(thrifty.bytes),
            "without / with": (plain.bytes or 0) / (thrifty.bytes or 1)
            if known
            else None,
            "with, whole process [GB]": _gigabytes(_whole(thrifty)),
            "step without checkpointing [s]": times[0],
            "step with checkpointing [s]": times[1],
        },
        "; ".join(notes),
        {"plain": plain.raw, "checkpointed": thrifty.raw},
    )


def step_here(settings: Settings, who: str) -> dict[str, Any]:
    """Do one training step in this process; return peak bytes and seconds.

    The peak is counted over the model.
    """
    import time

    import torch

    from napari_octa_sam2.bench.gauge import Gauge
    from napari_octa_sam2.engine.device import choose_compute
    from napari_octa_sam2.model.adapters import AdapterConfig
    from napari_octa_sam2.model.loading import build_network
    from napari_octa_sam2.model.registry import get_entry
    from napari_octa_sam2.training.config import (
        LossConfig,
        PromptConfig,
        TrainedConfig,
    )
    from napari_octa_sam2.training.interaction import Interaction
    from napari_octa_sam2.training.losses import Criterion
    from napari_octa_sam2.training.parts import Trained
    from napari_octa_sam2.training.walk import walk

    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    (size,), (slices,) = settings.sizes, settings.slices or SLICES
    device = choose_compute(settings.device, settings.precision).device
    torch.manual_seed(settings.seed)
    adapter = AdapterConfig("lora", rank=RANK, alpha=RANK, train_bias=True)
    network = build_network(get_entry(settings.model).config, input_size=size)
    config = TrainedConfig({"adapters": 1e-4}, adapter)
    trained = Trained(network, None, config, dense=False).to(device)
    trained.set_training(True)
    clip = _clip(slices, settings.pixels, settings.seed).to(device)
    gauge = Gauge(device)
    began = time.perf_counter()
    walked = walk(
        trained.parts,
        clip,
        Interaction("click"),
        PromptConfig(),
        Criterion(LossConfig()),
        [np.random.default_rng(settings.seed)],
        checkpointing=who == CHECKPOINTED,
    )
    walked.loss.backward()
    return {
        "peak_bytes": gauge.peak(),
        "start_bytes": gauge.start,
        "precision": "fp32",
        "seconds": [time.perf_counter() - began],
    }


def _clip(slices: int, pixels: int, seed: int) -> Any:
    """Return a clip of one disc that stays where it is."""
    import torch

    from napari_octa_sam2.prompts import SEGMENTABLE
    from napari_octa_sam2.training.data.clips import ONE_OBJECT, Clip

    rows, columns = np.mgrid[:pixels, :pixels] - pixels / 2
    disc = torch.from_numpy(np.hypot(rows, columns) < pixels / 6)
    noise = torch.rand(
        slices, 1, pixels, pixels, generator=torch.Generator().manual_seed(seed)
    )
    classes = torch.zeros(len(SEGMENTABLE), slices, pixels, pixels, dtype=torch.bool)
    return Clip.stacked(
        [
            Clip(
                images=0.5 * noise + 0.5 * disc,
                masks=disc.expand(1, slices, pixels, pixels).clone(),
                asked=torch.tensor([ONE_OBJECT]),
                classes=classes,
                known=torch.zeros(slices, len(SEGMENTABLE), dtype=torch.bool),
                labelled=torch.ones(slices, dtype=torch.bool),
            )
        ]
    )


def _free_bytes() -> float:
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return 0.0  # unknown: extrapolate rather than swap


def _whole(peak: Peak) -> float | None:
    return peak.raw["start_bytes"] + peak.bytes if peak.raw and peak.bytes else None


def _gigabytes(number: float | None) -> float | None:
    return None if number is None else number / 1e9
