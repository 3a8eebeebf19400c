"""Losses of overlap: pixel by pixel, and of regions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

LARGEST_LOGIT = 32.0


def soft_dice(logits: Tensor, truth: Tensor, smooth: float = 1.0) -> Tensor:
    """Return ``1 - (2 sum(p g) + s) / (sum(p) + sum(g) + s)`` of each mask.

    Parameters
    ----------
    logits : Tensor
        Shape ``(n, rows, columns)``; ``p`` is their sigmoid.
    truth : Tensor
        Covered share ``g`` of each pixel, 0 to 1, same shape.
    smooth : float
        The ``s`` of the formula, in pixels.

    Returns
    -------
    Tensor
        Shape ``(n,)``, 0 to 1.

    References
    ----------
    Milletari et al., V-Net, 3DV 2016.
    """
    p, g = logits.sigmoid().flatten(-2), truth.flatten(-2)
    both, each = (p * g).sum(-1), p.sum(-1) + g.sum(-1)
    return 1 - (2 * both + smooth) / (each + smooth)


def bce(logits: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the binary cross-entropy of each mask, averaged over its pixels.

    Logits are limited to ±32, so that one wild pixel cannot rule the mean.

    Parameters
    ----------
    logits : Tensor
        Shape ``(n, rows, columns)``.
    truth : Tensor
        Covered share of each pixel, 0 to 1, same shape.
    weight : Tensor, optional
        Factor of each pixel, same shape; the mean is still over all pixels.

    Returns
    -------
    Tensor
        Shape ``(n,)``.
    """
    limited = logits.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
    each = F.binary_cross_entropy_with_logits(limited, truth, weight, reduction="none")
    return each.flatten(-2).mean(-1)


def focal(
    logits: Tensor, truth: Tensor, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """Return the focal loss of each mask, averaged over its pixels.

    ``alpha_t (1 - p_t)^gamma bce``, where ``p_t = p g + (1 - p)(1 - g)`` and
    ``alpha_t = alpha g + (1 - alpha)(1 - g)``.

    Parameters
    ----------
    logits : Tensor
        Shape ``(n, rows, columns)``; ``p`` is their sigmoid.
    truth : Tensor
        Covered share ``g`` of each pixel, 0 to 1, same shape.
    alpha : float
        Weight of the foreground against the background; below 0, both weigh 1.
    gamma : float
        How much less pixels count that are right already; 0 for not at all.

    Returns
    -------
    Tensor
        Shape ``(n,)``.

    References
    ----------
    Lin et al., Focal loss for dense object detection, ICCV 2017.
    """
    p = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    wrong = p * (1 - truth) + (1 - p) * truth
    loss = wrong**gamma * entropy
    if alpha >= 0:
        loss = (alpha * truth + (1 - alpha) * (1 - truth)) * loss
    return loss.flatten(-2).mean(-1)


def dice_ce(logits: Tensor, truth: Tensor) -> Tensor:
    """Return soft Dice plus binary cross-entropy of each mask.

    ``1 - (2 sum(p g) + 1e-5) / (sum(p) + sum(g) + 1e-5) + mean(bce)``: what MONAI
    calls ``DiceCELoss(sigmoid=True)``, of one channel.

    Parameters
    ----------
    logits : Tensor
        Shape ``(n, rows, columns)``; ``p`` is their sigmoid.
    truth : Tensor
        Covered share ``g`` of each pixel, 0 to 1, same shape.

    Returns
    -------
    Tensor
        Shape ``(n,)``.
    """
    return soft_dice(logits, truth, smooth=1e-5) + bce(logits, truth)
