"""A simulated annotator: clicks and boxes from masks, corrections from errors.

All functions are batched over objects; masks are boolean ``(objects, size, size)``,
points ``(objects, points, 2)`` as (x, y) in pixels of the network's input, labels
``(objects, points)`` with 1 positive, 0 negative, 2 and 3 box corners, -1 padding:
what SAM 2's prompt encoder takes.
"""

from __future__ import annotations

import torch
from torch import Tensor

Points = tuple[Tensor, Tensor]


def random_pixels(masks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a random (x, y) in each mask, ``(objects, 2)``, and if there is any."""
    flat = masks.flatten(1).float()
    present = flat.any(1)
    flat = torch.where(present[:, None], flat, torch.ones_like(flat))
    index = torch.multinomial(flat, 1, generator=generator)[:, 0]
    size = masks.shape[-1]
    pixels = torch.stack([index % size, index // size], dim=-1)
    return pixels.float(), present


def first_clicks(masks: Tensor, count: int, generator: torch.Generator) -> Points:
    """Return `count` positive clicks in each mask; padding where it is empty."""
    pixels, present = zip(
        *(random_pixels(masks, generator) for _ in range(count)), strict=True
    )
    labels = torch.where(torch.stack(present, 1), 1, -1)
    return torch.stack(pixels, 1), labels.int()


def boxes(masks: Tensor, jitter: float, generator: torch.Generator) -> Points:
    """Return the box of each mask as two points, each side moved by up to `jitter`."""
    size = masks.shape[-1]
    corners = torch.zeros(len(masks), 2, 2)
    labels = torch.full((len(masks), 2), -1, dtype=torch.int32)
    for i, mask in enumerate(masks):
        rows, cols = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        if len(rows):
            box = torch.tensor([[cols[0], rows[0]], [cols[-1], rows[-1]]]).float()
            move = (torch.rand(2, 2, generator=generator) * 2 - 1) * jitter
            corners[i] = (box + move).clamp(0, size - 1)
            labels[i] = torch.tensor([2, 3], dtype=torch.int32)
    return corners, labels


def correction_clicks(
    predicted: Tensor, truth: Tensor, generator: torch.Generator
) -> Points:
    """Return one click a mask in a random pixel of its error, padding if none."""
    error = predicted ^ truth
    pixels, present = random_pixels(error, generator)
    rows, cols = pixels[:, 1].long(), pixels[:, 0].long()
    positive = truth[torch.arange(len(truth)), rows, cols]
    labels = torch.where(present, positive.int(), torch.tensor(-1, dtype=torch.int32))
    return pixels[:, None], labels[:, None].int()


def join(first: Points, second: Points) -> Points:
    """Return the points of both, in order."""
    return torch.cat([first[0], second[0]], 1), torch.cat([first[1], second[1]], 1)
