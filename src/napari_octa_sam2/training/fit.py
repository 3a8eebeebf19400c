"""The training loop: resumable, bounded by steps and by wall time."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.prompts import SEGMENTABLE
from napari_octa_sam2.training.clips import Clip, ClipConfig, cut_clip
from napari_octa_sam2.training.sources import Source
from napari_octa_sam2.training.walk import Interaction, Parts, walk


@dataclass(frozen=True)
class FitConfig:
    """Settings of one phase of training.

    Parameters
    ----------
    steps : int
        Optimiser steps of the phase.
    clips : int
        Clips a step.
    learning_rate, warmup, weight_decay, clip_norm : float
        AdamW with linear warm-up over `warmup` steps and a cosine to 1 %; gradients
        are clipped to `clip_norm`.
    head_factor : float
        How many times faster the refinement head learns: convolutions bear what
        attention does not.
    seed : int
        Seed of the data and of the simulated annotator.
    corrections : tuple of float
        Probabilities of 0, 1, 2 … correction clicks on the first slice.
    frozen : tuple of str
        What stays as it is, such as ``"network"`` or ``"network.image_encoder"``.
    average : float
        Decay, a step, of the moving average of the weights that is the result
        (Polyak averaging); less in the first steps, which are forgotten.
    precision : {"bf16", "fp32"}
        Of the passes through the network; weights and losses are float32.
    workers : int
        Processes that prepare clips; 0 prepares them in this one.
    save_every : float
        Seconds between two checkpoints.
    """

    steps: int
    clips: int = 4
    learning_rate: float = 4e-4
    warmup: int = 100
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    head_factor: float = 5.0
    seed: int = 0
    corrections: tuple[float, ...] = (0.3, 0.3, 0.25, 0.15)
    frozen: tuple[str, ...] = ()
    average: float = 0.997
    precision: str = "bf16"
    workers: int = 1
    save_every: float = 120.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.clips < 1:
            raise TrainingError(
                "expected at least one step and one clip a step, found "
                f"{self.steps} and {self.clips}"
            )


@dataclass(frozen=True)
class StepReport:
    """What one optimiser step did; Dice values are of the training clips."""

    step: int
    loss: float
    prompted_dice: float
    tracked_dice: float
    class_dice: float
    learning_rate: float
    seconds: float


class ClipStream(torch.utils.data.IterableDataset[tuple[Tensor, ...]]):
    """Endless batches of clips drawn from `source`, as the fields of `Clip`."""

    def __init__(self, source: Source, clip: ClipConfig, clips: int, seed: int):
        self.source, self.clip, self.clips, self.seed = source, clip, clips, seed

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        info = torch.utils.data.get_worker_info()
        torch.set_num_threads(1)
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        while True:
            batch: list[Clip] = []
            while len(batch) < self.clips:
                clip = cut_clip(self.source.draw(rng), self.clip, rng)
                if clip is not None:
                    batch.append(clip)
            yield tuple(
                torch.stack([getattr(c, field.name) for c in batch])
                for field in fields(Clip)
            )


def learning_rate(config: FitConfig, step: int) -> float:
    """Return the learning rate of `step`: linear warm-up, then cosine to 1 %."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def fit(
    network: Any,
    refinement: Any,
    source: Source,
    clip: ClipConfig,
    config: FitConfig,
    folder: Path,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[StepReport]:
    """Train `network` and `refinement` in place and yield a report after each step.

    A checkpoint in `folder` with the same settings is continued. On every end,
    also a cancelled one, a checkpoint is written, and the averaged weights are put
    into `network` and `refinement`.

    Parameters
    ----------
    network : sam2.modeling.sam2_base.SAM2Base
        Its ``image_size`` must be ``clip.size``.
    refinement : RefinementHead
    folder : Path
        Receives ``checkpoint.pt``, ``config.json`` and ``log.csv``.

    Raises
    ------
    TrainingError
        If the loss stops being finite, or `folder` holds a checkpoint of other
        settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"clip": asdict(clip), "fit": asdict(config)}
    _check_same_settings(folder, settings)
    trained = torch.nn.ModuleDict(
        {
            "network": network,
            "refinement": refinement,
            "dense_head": dense_head_for(network),
        }
    )
    for name in config.frozen:
        trained.get_submodule(name).requires_grad_(False)
    optimiser = torch.optim.AdamW(
        [
            {
                "params": [p for p in part.parameters() if p.requires_grad],
                "factor": config.head_factor if name == "refinement" else 1.0,
            }
            for name, part in trained.items()
        ],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
    )
    average = AveragedModel(
        trained, multi_avg_fn=_moving_average(config.average), use_buffers=True
    )
    run = _Run(folder, trained, average, optimiser)
    start = run.resume()
    rng = np.random.default_rng([config.seed, start])
    stream = ClipStream(source, clip, config.clips, config.seed + start)
    loader = torch.utils.data.DataLoader(
        stream, batch_size=None, num_workers=config.workers
    )
    trained.train()
    saved = time.monotonic()
    step = start
    try:
        for step, batch in zip(range(start, config.steps), loader, strict=False):
            began = time.monotonic()
            for group in optimiser.param_groups:
                group["lr"] = group["factor"] * learning_rate(config, step)
            interaction = Interaction.draw(clip.frames, config.corrections, rng)
            with _passes_in(config.precision):
                walked = walk(Parts(**trained), Clip(*batch), interaction, rng)
            if not torch.isfinite(walked.loss):
                raise TrainingError(
                    f"the loss is {walked.loss.item()} at step {step}; "
                    "train again with a smaller learning rate"
                )
            optimiser.zero_grad(set_to_none=True)
            walked.loss.backward()
            torch.nn.utils.clip_grad_norm_(trained.parameters(), config.clip_norm)
            optimiser.step()
            average.update_parameters(trained)
            report = StepReport(
                step=step,
                loss=walked.loss.item(),
                prompted_dice=walked.prompted_dice,
                tracked_dice=walked.tracked_dice,
                class_dice=walked.class_dice,
                learning_rate=learning_rate(config, step),
                seconds=time.monotonic() - began,
            )
            _log(folder / "log.csv", report)
            step += 1
            if time.monotonic() - saved > config.save_every:
                run.save(step)
                saved = time.monotonic()
            yield report
            if should_stop():
                break
    finally:
        run.save(step)
        trained.load_state_dict(average.module.state_dict())
        trained.eval()


@contextmanager
def _passes_in(precision: str) -> Iterator[None]:
    # On a CPU the backward pass of fused attention is the slower one in bfloat16.
    with (
        torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"),
        sdpa_kernel(SDPBackend.MATH),
    ):
        yield


def _moving_average(decay: float) -> Callable[[Any, Any, Any], None]:
    def update(averages: Any, weights: Any, count: Any) -> None:
        steps = int(count)
        now = min(decay, (1 + steps) / (10 + steps))
        get_ema_multi_avg_fn(now)(averages, weights, count)

    return update


def dense_head_for(network: Any) -> torch.nn.Module:
    """Return a linear map from a network's finest features to all classes."""
    channels = network.sam_mask_decoder.conv_s0.out_channels
    return torch.nn.Conv2d(channels, len(SEGMENTABLE), 1)


def _check_same_settings(folder: Path, settings: dict[str, Any]) -> None:
    file = folder / "config.json"
    text = json.dumps(settings, indent=1, sort_keys=True)
    if (folder / "checkpoint.pt").exists() and file.read_text() != text:
        raise TrainingError(
            f"{folder} holds a checkpoint of other settings; choose another folder, "
            "or delete it to begin anew"
        )
    file.write_text(text)


@dataclass(frozen=True, eq=False)
class _Run:
    """What a checkpoint holds."""

    folder: Path
    trained: torch.nn.Module
    average: AveragedModel
    optimiser: torch.optim.Optimizer

    def save(self, step: int) -> None:
        partial = self.folder / "checkpoint.part"
        torch.save(
            {
                "trained": self.trained.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "step": step,
            },
            partial,
        )
        partial.replace(self.folder / "checkpoint.pt")

    def resume(self) -> int:
        """Load the checkpoint, if there is one, and return its step."""
        file = self.folder / "checkpoint.pt"
        if not file.exists():
            return 0
        state = torch.load(file, map_location="cpu", weights_only=True)
        self.trained.load_state_dict(state["trained"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        return int(state["step"])


def _log(file: Path, report: StepReport) -> None:
    values = asdict(report)
    new = not file.exists()
    with file.open("a", encoding="utf-8") as stream:
        if new:
            stream.write(",".join(values) + "\n")
        stream.write(",".join(f"{v:.6g}" for v in values.values()) + "\n")
