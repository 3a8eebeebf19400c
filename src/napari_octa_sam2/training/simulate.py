"""A simulated annotator: clicks and boxes from masks, corrections from errors.

All functions are batched over objects; masks are boolean ``(objects, rows, columns)``,
points ``(objects, points, 2)`` as (x, y) in pixels of the masks, labels
``(objects, points)`` with 1 positive, 0 negative, 2 and 3 box corners, class prompts
as `model.prompt_encoder` has them, -1 padding.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from napari_octa_sam2.metrics.clicks import deepest_pixel, next_click
from napari_octa_sam2.model.prompt_encoder import (
    BOX_END,
    BOX_START,
    FIRST_CLASS,
    POSITIVE,
)

Points = tuple[Tensor, Tensor]
PADDING = -1


def first_clicks(masks: Tensor, count: int, rng: np.random.Generator) -> Points:
    """Return `count` positive clicks in each mask; padding where it is empty.

    The first is for half of the objects the pixel farthest from the border, as
    annotators aim; the others are random pixels.
    """
    points, labels = _nothing(len(masks), count)
    for i, mask in enumerate(masks.numpy()):
        rows, cols = mask.nonzero()
        if not len(rows):
            continue
        pick = rng.integers(len(rows), size=count)
        points[i] = torch.from_numpy(np.stack([cols[pick], rows[pick]], -1))
        labels[i] = POSITIVE
        if rng.random() < 0.5:
            row, col = deepest_pixel(mask)
            points[i, 0] = torch.tensor([col, row])
    return points, labels


def boxes(masks: Tensor, jitter: float, rng: np.random.Generator) -> Points:
    """Return the box of each mask as two points, each side moved by up to `jitter`."""
    points, labels = _nothing(len(masks), 2)
    for i, mask in enumerate(masks.numpy()):
        rows, cols = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        if len(rows):
            box = np.array([[cols[0], rows[0]], [cols[-1], rows[-1]]], float)
            box += rng.uniform(-jitter, jitter, (2, 2))
            points[i] = torch.from_numpy(box.clip(0, max(mask.shape) - 1))
            labels[i] = torch.tensor([BOX_START, BOX_END])
    return points, labels


def ask_for_classes(points: Points, asked: Tensor) -> Points:
    """Put a class prompt in place of the points of the objects that have a class.

    `asked` holds the index of the class, or a negative number.
    """
    labels = points[1].clone()
    whole = asked >= 0
    labels[whole] = PADDING
    labels[whole, 0] = (FIRST_CLASS + asked[whole]).int()
    return torch.where(whole[:, None, None], 0.0, points[0]), labels


def correction_clicks(predicted: Tensor, truth: Tensor) -> Points:
    """Return the click of `next_click` for each mask, padding if there is no error."""
    points, labels = _nothing(len(truth), 1)
    for i, (found, mask) in enumerate(
        zip(predicted.numpy(), truth.numpy(), strict=True)
    ):
        click = next_click(mask, found)
        if click is not None:
            points[i, 0] = torch.tensor([click.col, click.row])
            labels[i, 0] = int(click.positive)
    return points, labels


def join(first: Points, second: Points) -> Points:
    """Return the points of both, in order."""
    return torch.cat([first[0], second[0]], 1), torch.cat([first[1], second[1]], 1)


def _nothing(objects: int, count: int) -> Points:
    labels = torch.full((objects, count), PADDING, dtype=torch.int32)
    return torch.zeros(objects, count, 2), labels
