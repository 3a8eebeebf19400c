"""Losses of the heads that judge a mask: its predicted IoU and its object score."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_octa_sam2.errors import TrainingError

EPSILON = 1e-7


def iou_loss(
    predicted: Tensor,
    logits: Tensor,
    truth: Tensor,
    kind: Literal["l1", "mse"] = "mse",
    soft: bool = False,
) -> Tensor:
    """Return how wrong the predicted IoUs are, averaged over the candidates.

    The target is ``(sum(m g) + e) / (sum(m + g - m g) + e)``, with ``e = 1e-7``, of
    each candidate with the truth of its own object; 1 where both are empty. No
    gradient goes to the masks.

    Parameters
    ----------
    predicted : Tensor
        Predicted IoUs, shape ``(n, candidates)``.
    logits : Tensor
        Shape ``(n, candidates, rows, columns)``.
    truth : Tensor
        Covered share ``g`` of each pixel, 0 to 1, shape ``(n, rows, columns)``.
    kind : {"l1", "mse"}
        Mean absolute or mean squared error.
    soft : bool
        Whether ``m`` is the sigmoid of the logits, rather than ``logits > 0``.

    Returns
    -------
    Tensor
        Shape ``(n,)``.

    Raises
    ------
    TrainingError
        If `kind` is another.
    """
    if kind not in ("l1", "mse"):
        raise TrainingError(
            f"The loss of the predicted IoU is 'l1' or 'mse', not {kind!r}. Choose one."
        )
    with torch.no_grad():
        mask = logits.sigmoid() if soft else (logits > 0).to(truth)
        truth = truth[:, None]
        both = (mask * truth).sum((-2, -1))
        either = (mask + truth - mask * truth).sum((-2, -1))
        iou = (both + EPSILON) / (either + EPSILON)
    error = (predicted - iou).abs() if kind == "l1" else (predicted - iou).square()
    return error.mean(-1)


def score_loss(logit: Tensor, present: Tensor, positive_weight: float = 1.0) -> Tensor:
    """Return the binary cross-entropy of each object score.

    An object that is absent has the target 0. NeuroSAM2D sets 1 for all objects,
    so that its score cannot learn absence; here it can.

    Parameters
    ----------
    logit : Tensor
        Object scores, shape ``(n,)``.
    present : Tensor
        1 where the object is in the slice, 0 where it is not; floats, shape ``(n,)``.
    positive_weight : float
        Factor of the objects that are present.

    Returns
    -------
    Tensor
        Shape ``(n,)``.
    """
    return F.binary_cross_entropy_with_logits(
        logit,
        present,
        pos_weight=logit.new_tensor(positive_weight),
        reduction="none",
    )
