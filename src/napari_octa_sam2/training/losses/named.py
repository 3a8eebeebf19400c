"""Mask losses by name, and weighted sums of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from torch import Tensor

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.training.losses.centreline import cldice
from napari_octa_sam2.training.losses.homology import homology_loss
from napari_octa_sam2.training.losses.overlap import bce, dice_ce, focal, soft_dice
from napari_octa_sam2.training.losses.peeling import peeled_cldice

MaskLoss = Callable[[Tensor, Tensor], Tensor]

MASK_LOSSES: dict[str, MaskLoss] = {
    "focal": focal,
    "dice": soft_dice,
    "bce": bce,
    "dice_ce": dice_ce,
    "cldice": cldice,
    "peeled_cldice": peeled_cldice,
    "homology": homology_loss,
}


def weighted(terms: Mapping[str, float]) -> MaskLoss:
    """Return the weighted sum of named losses, as one loss.

    Parameters
    ----------
    terms : mapping of str to float
        Weight of each loss of `MASK_LOSSES`; 0 leaves it out.

    Returns
    -------
    callable
        Of logits and truth (covered share of each pixel), both of shape
        ``(n, rows, columns)``; returns shape ``(n,)``. It computes in single
        precision, and raises `TrainingError` if the shapes differ.

    Raises
    ------
    TrainingError
        If a name is unknown, a weight negative or not finite, or no weight above 0.
    """
    for name, weight in terms.items():
        if name not in MASK_LOSSES:
            known = ", ".join(sorted(MASK_LOSSES))
            raise TrainingError(f"No loss is called {name!r}. Choose from: {known}.")
        if not (math.isfinite(weight) and weight >= 0):
            raise TrainingError(
                f"The weight of the loss {name!r} must be 0 or more, not {weight}. "
                "Give another."
            )
    used = {name: weight for name, weight in terms.items() if weight}
    if not used:
        raise TrainingError(
            "A mask loss needs at least one term with a weight above 0, and has none. "
            "Name one, such as dice."
        )

    def loss(logits: Tensor, truth: Tensor) -> Tensor:
        if logits.shape != truth.shape:
            raise TrainingError(
                "Logits and truth must have the same shape, and have "
                f"{tuple(logits.shape)} and {tuple(truth.shape)}. Resize the truth."
            )
        logits, truth = logits.float(), truth.float()
        values = [
            weight * MASK_LOSSES[name](logits, truth) for name, weight in used.items()
        ]
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total

    return loss
