"""The loss of a decoder's pass, put together from named terms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.training.config import LossConfig
from napari_octa_sam2.training.losses.heads import iou_loss, score_loss
from napari_octa_sam2.training.losses.named import MASK_LOSSES
from napari_octa_sam2.training.losses.overlap import bce

IOU_LOSSES: dict[str, tuple[Literal["l1", "mse"], bool]] = {
    "iou_l1": ("l1", False),
    "iou_mse": ("mse", False),
    "iou_soft_mse": ("mse", True),
}
SCORE_LOSS = "object_score"
CLICK_REACH = 6  # pixels around a click that weigh more


class Criterion:
    """The losses of a recipe.

    Of several candidate masks the best one is trained (Kirillov et al., Segment
    Anything, 2023), and every candidate's predicted IoU is; masks of objects that are
    absent are not, their object score is (Ravi et al., SAM 2, 2024).

    Parameters
    ----------
    config : LossConfig
    prompted : bool
        Whether there are masks of prompted objects; else whole classes alone.

    Raises
    ------
    TrainingError
        If a loss is unknown, has a negative weight, or there is none.
    """

    def __init__(self, config: LossConfig, *, prompted: bool = True) -> None:
        self.config = config
        known = {*MASK_LOSSES, *IOU_LOSSES, SCORE_LOSS}
        self.shown = _used(config.shown, known)
        self.grid = _used(config.grid, known)
        self.classes = _used(config.classes, set(MASK_LOSSES))
        if not prompted and not self.classes:
            raise TrainingError(
                "expected a loss of whole classes, found none; give loss.classes"
            )
        if prompted and not self.shown and not self.grid:
            raise TrainingError(
                "expected a loss of the masks, found none; give loss.shown or loss.grid"
            )

    def on_grid(
        self, candidates: Tensor, ious: Tensor, scores: Tensor, target: Tensor
    ) -> Tensor:
        """Return the loss of each object on the decoder's grid.

        Parameters
        ----------
        candidates : Tensor
            Mask logits, shape ``(objects, candidates, rows, columns)``.
        ious : Tensor
            Predicted IoU, shape ``(objects, candidates)``.
        scores : Tensor
            Logits of the object being there, shape ``(objects,)``.
        target : Tensor
            Masks at the slice's resolution, shape ``(objects, slow, fast)``.
        """
        if not self.grid:
            return scores.new_zeros(len(scores))
        grid = (candidates.shape[-2], candidates.shape[-1])
        covered = coverage(target[:, None], grid)[:, 0]
        return _loss(self.grid, candidates.float(), ious, scores, covered)

    def on_shown(
        self,
        logits: Tensor,
        ious: Tensor,
        scores: Tensor,
        target: Tensor,
        clicks: Tensor | None,
    ) -> Tensor:
        """Return the loss of each object at the slice's resolution.

        Parameters
        ----------
        logits : Tensor
            One mask, or candidates of any resolution, which are interpolated.
        ious, scores, target : Tensor
            As for `on_grid`.
        clicks : Tensor, optional
            What `model.refinement.paint_clicks` returns; what was clicked on must not
            stay wrong.
        """
        if not self.shown:
            return scores.new_zeros(len(scores))
        size = (target.shape[-2], target.shape[-1])
        logits = logits.float()
        if logits.shape[-2:] != target.shape[-2:]:
            logits = F.interpolate(logits, size, mode="bilinear")
        if logits.shape[1] != ious.shape[1]:
            ious = ious.amax(1, keepdim=True)
        weight = None
        if clicks is not None and self.config.click_weight != 1:
            weight = 1 + (self.config.click_weight - 1) * _near(clicks)
        return _loss(self.shown, logits, ious, scores, target.float(), weight)

    def of_classes(self, logits: Tensor, truth: Tensor, known: Tensor) -> Tensor:
        """Return the mean loss of whole classes, where their truth is known.

        Every image counts alike, however many of its classes are known; overlap is
        judged only where the class is there at all.

        Parameters
        ----------
        logits : Tensor
            Shape ``(images, classes, rows, columns)``.
        truth : Tensor
            Boolean, shape ``(images, classes, slow, fast)``; averaged to the logits'
            grid.
        known : Tensor
            Boolean, shape ``(images, classes)``.
        """
        if not self.classes:
            return logits.new_zeros(())
        target = coverage(truth, (logits.shape[-2], logits.shape[-1]))
        present = truth.flatten(2).any(-1).float()
        loss = torch.zeros_like(present)
        for name, weight in self.classes.items():
            each = MASK_LOSSES[name](logits.flatten(0, 1), target.flatten(0, 1))
            pixelwise = name in ("bce", "focal")
            loss = loss + weight * each.view_as(present) * (1 if pixelwise else present)
        share = known / known.sum(1, keepdim=True).clamp(min=1)
        return (loss * share).sum(1).mean()


def coverage(truth: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the share of each cell of `grid` that is covered by `truth`."""
    if truth.shape[-2:] == grid:
        return truth.float()
    return F.interpolate(truth.float(), grid, mode="area")


def _loss(
    terms: Mapping[str, float],
    logits: Tensor,
    ious: Tensor,
    scores: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
) -> Tensor:
    objects, candidates = logits.shape[:2]
    present = target.flatten(1).any(1).float()
    each = logits.flatten(0, 1)
    truth = target.repeat_interleave(candidates, dim=0)
    weights = None if weight is None else weight.repeat_interleave(candidates, dim=0)
    masks = torch.zeros(objects * candidates, device=logits.device)
    for name in (name for name in terms if name in MASK_LOSSES):
        if name == "bce":
            masks = masks + terms[name] * bce(each, truth, weights)
        else:
            masks = masks + terms[name] * MASK_LOSSES[name](each, truth)
    total = masks.view(objects, candidates).amin(1)
    for name in (name for name in terms if name in IOU_LOSSES):
        kind, soft = IOU_LOSSES[name]
        total = total + terms[name] * iou_loss(ious, logits, target, kind, soft=soft)
    total = total * present
    if SCORE_LOSS in terms:
        total = total + terms[SCORE_LOSS] * score_loss(scores, present)
    return total


def _near(clicks: Tensor) -> Tensor:
    """Return how near painted clicks a pixel is: spots several times their size."""
    side = 2 * CLICK_REACH + 1
    return F.max_pool2d(clicks.amax(1, keepdim=True), side, 1, CLICK_REACH)[:, 0]


def _used(terms: Mapping[str, float], known: set[str]) -> dict[str, float]:
    """Return the terms that weigh something."""
    for name, weight in terms.items():
        if name not in known:
            raise TrainingError(
                f"expected losses of {', '.join(sorted(known))}, found {name!r}"
            )
        if not (math.isfinite(weight) and weight >= 0):
            raise TrainingError(
                f"expected a weight of 0 or more for the loss {name}, found {weight}"
            )
    return {name: weight for name, weight in terms.items() if weight}
