"""Losses and Dice of the slices of clips, put together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Walked:
    """Losses of a batch of clips, and the Dice of what was there.

    Parameters
    ----------
    prompted : Tensor
        Loss of slices with prompts, and of whole classes.
    followed : Tensor
        Loss of the slices without prompts; both are means over the slices of the clip.
    prompted_dice, followed_dice, class_dice : float
        Of single objects on slices with prompts and on others, and of whole classes.
    """

    prompted: Tensor
    followed: Tensor
    prompted_dice: float
    followed_dice: float
    class_dice: float

    @property
    def loss(self) -> Tensor:
        """All of it."""
        return self.prompted + self.followed


@dataclass
class Tally:
    """Losses and Dice as they come, by the kind of slice."""

    losses: dict[str, list[Tensor]] = field(
        default_factory=lambda: {"prompted": [], "followed": []}
    )
    dice: dict[str, list[Tensor]] = field(
        default_factory=lambda: {"prompted": [], "followed": [], "whole": []}
    )

    def walked(self, dense: Tensor) -> Walked:
        """Return what came together, with the loss of whole classes."""
        count = max(1, sum(map(len, self.losses.values())))
        prompted, followed = (
            sum(self.losses[kind], dense.new_zeros(())) / count
            for kind in ("prompted", "followed")
        )
        return Walked(
            dense + prompted,
            followed,
            *(_mean(self.dice[kind]) for kind in ("prompted", "followed", "whole")),
        )


def over_clips(losses: Tensor, weights: Tensor, clips: int) -> Tensor:
    """Return the mean over clips of the mean over the judged objects of each."""
    judged = weights.view(clips, -1).sum(1).clamp(min=1)
    return (losses.view(clips, -1).sum(1) / judged).mean()


def dice_of(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the Dice of each present object, shape ``(present,)``."""
    present = truth.flatten(1).any(1)
    p, g = predicted[present].flatten(1), truth[present].flatten(1)
    values: Tensor = 2 * (p & g).sum(1) / (p.sum(1) + g.sum(1))
    return values


def _mean(values: list[Tensor]) -> float:
    joined = torch.cat(values) if values else torch.empty(0)
    return float(joined.mean()) if joined.numel() else math.nan
