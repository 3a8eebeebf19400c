"""Losses of promptable segmentation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CLICK_WEIGHT = 6.0


def soft_dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Return ``1 - (2 sum(p g) + 1) / (sum(p) + sum(g) + 1)`` of each mask.

    `logits` and `truth` have shape ``(..., rows, columns)``; the result the leading
    ones. Source: Milletari et al., V-Net, 2016, with a smoothing of one pixel.
    """
    p, g = logits.sigmoid().flatten(-2), truth.flatten(-2)
    return 1 - (2 * (p * g).sum(-1) + 1) / (p.sum(-1) + g.sum(-1) + 1)


def mask_loss(logits: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return binary cross-entropy (mean over pixels, twice) plus soft Dice.

    `weight`, of the masks' shape, is that of each pixel in the cross-entropy.
    """
    bce = F.binary_cross_entropy_with_logits(
        logits.clamp(-32, 32), truth, weight, reduction="none"
    )
    return 2 * bce.flatten(-2).mean(-1) + soft_dice_loss(logits, truth)


def coverage(truth: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the share of each cell of `grid` that is covered by `truth`."""
    return F.interpolate(truth.float(), grid, mode="area")


def prompt_loss(
    mask_logits: Tensor, iou_predictions: Tensor, score_logits: Tensor, truth: Tensor
) -> Tensor:
    """Return the loss of one decoder pass, averaged over objects.

    The best of the candidate masks is trained (Kirillov et al., Segment Anything,
    2023); every candidate's predicted IoU is; masks of objects that are absent are
    not, their object score is (Ravi et al., SAM 2, 2024).

    Parameters
    ----------
    mask_logits : Tensor
        Candidates, shape ``(objects, candidates, rows, columns)``.
    iou_predictions : Tensor
        Shape ``(objects, candidates)``, in 0..1.
    score_logits : Tensor
        Object scores, shape ``(objects, 1)``.
    truth : Tensor
        Covered share of each cell, shape ``(objects, rows, columns)``.
    """
    target = truth[:, None].expand_as(mask_logits)
    present = truth.flatten(1).any(1).float()
    per_candidate = mask_loss(mask_logits, target)
    best = per_candidate.argmin(1, keepdim=True)
    with torch.no_grad():
        covered = mask_logits.sigmoid()
        both = torch.minimum(covered, target).flatten(2).sum(-1)
        either = torch.maximum(covered, target).flatten(2).sum(-1)
        iou = both / either.clamp(min=1)
    iou_error = (iou_predictions - iou).square().mean(1)
    shown = per_candidate.gather(1, best)[:, 0] + iou_error
    score = F.binary_cross_entropy_with_logits(
        score_logits[:, 0], present, reduction="none"
    )
    return ((shown * present) + score).sum() / len(truth)


def refined_loss(logits: Tensor, truth: Tensor, near: Tensor) -> Tensor:
    """Return the mean `mask_loss` of the objects that are present.

    Parameters
    ----------
    logits : Tensor
        Shape ``(objects, 1, rows, columns)``.
    truth : Tensor
        Boolean, shape ``(objects, rows, columns)``.
    near : Tensor
        How near the clicks a pixel is, 0 to 1, same shape as `truth`: what was
        clicked on must not stay wrong, and weighs up to `CLICK_WEIGHT` times more.
    """
    present = truth.flatten(1).any(1).float()
    loss = mask_loss(logits[:, 0], truth.float(), 1 + (CLICK_WEIGHT - 1) * near)
    return (loss * present).sum() / present.sum().clamp(min=1)


def dense_loss(logits: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Return the mean loss of whole classes, where their truth is known.

    Every image counts alike, however many of its classes are known. Binary
    cross-entropy (twice), plus soft Dice where the class is there at all.

    Parameters
    ----------
    logits : Tensor
        Shape ``(images, classes, rows, columns)``.
    truth : Tensor
        Boolean, shape ``(images, classes, size, size)``; averaged to the logits' grid.
    known : Tensor
        Boolean, shape ``(images, classes)``.
    """
    target = coverage(truth, (logits.shape[-2], logits.shape[-1]))
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    present = truth.flatten(2).any(-1).float()
    loss = 2 * bce.flatten(2).mean(-1) + present * soft_dice_loss(logits, target)
    weight = known / known.sum(1, keepdim=True).clamp(min=1)
    return (loss * weight).sum(1).mean()
