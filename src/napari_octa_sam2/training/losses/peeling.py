"""Centreline Dice on skeletons that keep the topology of the mask."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_octa_sam2.training.losses.centreline import centreline_miss
from napari_octa_sam2.training.losses.overlap import soft_dice

# Parity of row and column. No two pixels of a sub-field touch, so all of its simple
# points can go at once. Counted in an image padded by one pixel, the first is (0, 0).
SUB_FIELDS = ((1, 1), (0, 1), (1, 0), (0, 0))
NOISE_SCALE = 0.33
TEMPERATURE = 1.0


def _neighbours(mask: Tensor, row: int, column: int, step: int) -> list[Tensor]:
    """Return the 8 neighbours of every `step`-th pixel, clockwise from the north."""
    rows, columns = mask.shape[-2:]
    padded = F.pad(mask, (1, 1, 1, 1))
    around = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))
    return [
        padded[..., row + dr : rows + dr : step, column + dc : columns + dc : step]
        for dr, dc in around
    ]


def _end_points(mask: Tensor) -> Tensor:
    """Return where no more than one of the 8 neighbours is foreground."""
    return torch.stack(_neighbours(mask, 0, 0, 1)).sum(0) <= 1


def _simple(neighbours: list[Tensor]) -> Tensor:
    """Return where a pixel can go without a change of the Euler number.

    A pixel is a closed square, so that diagonal neighbours touch. With it come its
    face, those edges that no neighbour has, and those corners that none of three
    neighbours has; the Euler number is corners minus edges plus faces.
    """
    edges = [~neighbour for neighbour in neighbours[::2]]
    corners = [
        ~(neighbours[k] | neighbours[k + 1] | neighbours[(k + 2) % 8])
        for k in range(0, 8, 2)
    ]
    return torch.stack(corners).sum(0) + 1 == torch.stack(edges).sum(0)


def _peeled(mask: Tensor, iterations: int) -> Tensor:
    mask = mask.clone()
    for _ in range(iterations):
        ends = _end_points(mask)
        for row, column in SUB_FIELDS:
            field = (..., slice(row, None, 2), slice(column, None, 2))
            simple = _simple(_neighbours(mask, row, column, 2))
            mask[field] &= ends[field] | ~simple
    return mask


def _discretised(p: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Return the mask and the probability that its gradient passes through."""
    if generator is None:
        return p > 0.5, p
    uniform = torch.rand(p.shape, generator=generator, device=generator.device)
    noise = torch.logit(uniform, eps=1e-6).to(p)
    soft = ((torch.logit(p, eps=1e-6) + NOISE_SCALE * noise) / TEMPERATURE).sigmoid()
    return soft > 0.5, soft


def peeled_skeleton(
    p: Tensor, iterations: int = 5, generator: torch.Generator | None = None
) -> Tensor:
    """Return skeletons by boundary peeling, with the Betti numbers of the masks.

    Every iteration takes away simple points, those that leave the Euler number of
    their 3 x 3 neighbourhood as it is, of one of four sub-fields after the other.
    What is an end point at the start of an iteration (no more than one of 8
    neighbours) stays. Foreground is 8-connected, and what is outside is background.

    Parameters
    ----------
    p : Tensor
        Probabilities, shape ``(n, rows, columns)``; each mask is treated by itself.
    iterations : int
        Number of layers to peel: at least half the largest width, in pixels.
    generator : torch.Generator, optional
        Source of logistic noise (scale 0.33, added to the logit of `p`) by which
        pixels near 0.5 fall on either side; without it, the mask is ``p > 0.5``.

    Returns
    -------
    Tensor
        Zeros and ones, same shape; a subset of the mask. Its gradient goes straight
        through the discretisation (temperature 1), to the pixels of the skeleton.

    References
    ----------
    Menten et al., A skeletonization algorithm for gradient-based optimization, ICCV
    2023; simple points: Lobregt et al., IEEE PAMI 2(1), 1980.
    """
    mask, soft = _discretised(p, generator)
    skeleton = _peeled(mask.detach(), iterations).to(p)
    return skeleton * (soft - soft.detach() + 1)


def peeled_cldice(
    logits: Tensor,
    truth: Tensor,
    share: float = 0.5,
    iterations: int = 5,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return ``(1 - share) Dice + share clDice`` of each mask, on peeled skeletons.

    Parameters
    ----------
    logits : Tensor
        Shape ``(n, rows, columns)``.
    truth : Tensor
        Covered share of each pixel, 0 to 1, same shape.
    share : float
        Weight of `centreline_miss` against `soft_dice`, 0 to 1.
    iterations, generator
        As of `peeled_skeleton`; there is no noise on the truth.

    Returns
    -------
    Tensor
        Shape ``(n,)``, 0 to 1.

    References
    ----------
    Menten et al., ICCV 2023; Shit et al., clDice, CVPR 2021.
    """
    p = logits.sigmoid()
    skeleton = peeled_skeleton(p, iterations, generator)
    miss = centreline_miss(p, truth, skeleton, peeled_skeleton(truth, iterations))
    return (1 - share) * soft_dice(logits, truth) + share * miss
