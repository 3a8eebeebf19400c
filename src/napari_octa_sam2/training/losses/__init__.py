"""Losses: of masks, object by object, and of the heads that judge them."""

from napari_octa_sam2.training.losses.centreline import cldice, soft_skeleton
from napari_octa_sam2.training.losses.criterion import Criterion
from napari_octa_sam2.training.losses.heads import iou_loss, score_loss
from napari_octa_sam2.training.losses.homology import homology_loss
from napari_octa_sam2.training.losses.named import MASK_LOSSES
from napari_octa_sam2.training.losses.overlap import bce, dice_ce, focal, soft_dice
from napari_octa_sam2.training.losses.peeling import peeled_cldice, peeled_skeleton

__all__ = [
    "MASK_LOSSES",
    "Criterion",
    "bce",
    "cldice",
    "dice_ce",
    "focal",
    "homology_loss",
    "iou_loss",
    "peeled_cldice",
    "peeled_skeleton",
    "score_loss",
    "soft_dice",
    "soft_skeleton",
]
