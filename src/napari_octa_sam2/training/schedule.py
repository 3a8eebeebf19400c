"""Learning rates, and when a training ends."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.training.config import FitConfig


@dataclass(frozen=True)
class Schedule:
    """How far a training is, and what follows from it.

    Parameters
    ----------
    config : FitConfig
    epoch_steps : float
        Steps in which every training sample is drawn once on average.
    """

    config: FitConfig
    epoch_steps: float

    @property
    def steps(self) -> int:
        """Steps due; 0 where minutes alone say how long."""
        wanted = []
        if self.config.steps:
            wanted.append(self.config.steps)
        if self.config.epochs:
            wanted.append(max(1, round(self.config.epochs * self.epoch_steps)))
        return min(wanted, default=0)

    def done(self, step: int, seconds: float) -> float:
        """Return the share that is done after `step` steps and so many seconds."""
        by_steps = step / self.steps if self.steps else 0.0
        budget = 60 * self.config.minutes
        return max(by_steps, seconds / budget if budget else 0.0)

    def factor(self, step: int, seconds: float) -> float:
        """Return by what the learning rates are multiplied in step number `step`."""
        config = self.config
        if step < config.warmup:
            return (step + 1) / config.warmup
        if config.schedule == "constant":
            return 1.0
        if config.schedule == "cosine":
            total = self.steps or math.inf
            rest = max(total - config.warmup, 1)
            done = max(
                (step - config.warmup) / rest if math.isfinite(rest) else 0.0,
                self.done(0, seconds),
            )
            wave = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
            return config.floor + (1 - config.floor) * wave
        epoch = step / self.epoch_steps
        if config.schedule == "decay":
            return max(float(config.gamma**epoch), config.floor)
        return max(config.gamma ** bisect_right(config.milestones, epoch), config.floor)


def make_optimiser(
    config: FitConfig, groups: Iterable[tuple[float, list[Any]]]
) -> torch.optim.Optimizer:
    """Return the optimiser of groups of weights, each with its learning rate.

    Prodigy estimates the step itself: learning rates are factors of it, 1 as a rule
    (Mishchenko and Defazio, "Prodigy", 2024).

    Raises
    ------
    TrainingError
        If Prodigy is given several learning rates, as it has one step for all.
    """
    settings: list[dict[str, Any]] = [
        {"params": weights, "lr": rate, "peak": rate} for rate, weights in groups
    ]
    if config.optimiser == "prodigy":
        from prodigyopt import Prodigy

        if len(rates := {group["peak"] for group in settings}) > 1:
            raise TrainingError(
                "expected one learning rate for all parts with prodigy, found "
                f"{', '.join(map(str, sorted(rates)))}; make trained.parts alike"
            )
        optimiser: torch.optim.Optimizer = Prodigy(
            settings, weight_decay=config.weight_decay
        )
        return optimiser
    kinds: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    made: torch.optim.Optimizer = kinds[config.optimiser](
        settings, weight_decay=config.weight_decay
    )
    return made


def set_rates(optimiser: Any, factor: float) -> None:
    """Set the learning rates to `factor` times their peaks."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * factor
