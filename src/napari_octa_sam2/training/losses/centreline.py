"""Centreline Dice: losses of the connectedness of thin structures."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from napari_octa_sam2.training.losses.overlap import soft_dice


def _dilated(p: Tensor) -> Tensor:
    return F.max_pool2d(p, 3, stride=1, padding=1)


def _eroded(p: Tensor) -> Tensor:
    return -_dilated(-p)


def soft_skeleton(p: Tensor, rounds: int = 10) -> Tensor:
    """Return the differentiable morphological skeleton of grey-scale masks.

    In each round, what an opening by 3 x 3 pixels removes is added to the skeleton,
    then the mask is eroded: ``S ← S + (1 - S) relu(I - open(I))``, ``I ← erode(I)``.

    Parameters
    ----------
    p : Tensor
        Values 0 to 1, shape ``(n, rows, columns)``.
    rounds : int
        Number of erosions: at least half the largest width, in pixels.

    Returns
    -------
    Tensor
        Values 0 to 1, same shape. It may be broken where a mask changes its width.

    References
    ----------
    Shit et al., clDice, CVPR 2021, algorithm 1.
    """
    p = p[:, None]
    eroded = _eroded(p)
    skeleton = F.relu(p - _dilated(eroded))
    for _ in range(rounds):
        p, eroded = eroded, _eroded(eroded)
        skeleton = skeleton + (1 - skeleton) * F.relu(p - _dilated(eroded))
    return skeleton[:, 0]


def centreline_miss(
    p: Tensor, truth: Tensor, skeleton_p: Tensor, skeleton_truth: Tensor
) -> Tensor:
    """Return ``1 - 2 tp ts / (tp + ts)`` of each mask, the clDice loss proper.

    The topological precision ``tp = (sum(skel(p) g) + 1) / (sum(skel(p)) + 1)`` is the
    share of the prediction's skeleton that lies in the truth, the sensitivity ``ts``
    that of the truth's skeleton in the prediction.

    Parameters
    ----------
    p, truth, skeleton_p, skeleton_truth : Tensor
        Prediction, truth and the skeleton of each; values 0 to 1, shape
        ``(n, rows, columns)``.

    Returns
    -------
    Tensor
        Shape ``(n,)``, 0 to 1.
    """

    def share(skeleton: Tensor, mask: Tensor) -> Tensor:
        covered = (skeleton * mask).flatten(-2).sum(-1)
        return (covered + 1) / (skeleton.flatten(-2).sum(-1) + 1)

    precision, sensitivity = share(skeleton_p, truth), share(skeleton_truth, p)
    return 1 - 2 * precision * sensitivity / (precision + sensitivity)


def cldice(
    logits: Tensor, truth: Tensor, share: float = 0.2, rounds: int = 10
) -> Tensor:
    """Return ``(1 - share) Dice + share clDice`` of each mask, on soft skeletons.

    Parameters
    ----------
    logits : Tensor
        Shape ``(n, rows, columns)``.
    truth : Tensor
        Covered share of each pixel, 0 to 1, same shape.
    share : float
        Weight of `centreline_miss` against `soft_dice`, 0 to 1.
    rounds : int
        As of `soft_skeleton`.

    Returns
    -------
    Tensor
        Shape ``(n,)``, 0 to 1.

    References
    ----------
    Shit et al., clDice, CVPR 2021.
    """
    p = logits.sigmoid()
    skeletons = soft_skeleton(p, rounds), soft_skeleton(truth, rounds)
    miss = centreline_miss(p, truth, *skeletons)
    return (1 - share) * soft_dice(logits, truth) + share * miss
