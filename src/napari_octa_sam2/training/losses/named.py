"""Mask losses by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

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
