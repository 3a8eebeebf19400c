"""Prompts for `OctaSAM2`: SAM 2's code of them, classes, and pictures of them all.

Clicks, boxes and classes are also painted onto the image embedding: from a picture of
a click its place is learned long before it is from the Fourier code that SAM 2 gives
its decoder. The painted part starts at zero, so that the network starts as plain SAM 2.

A class prompt ("all large vessels") is a point without a place: its label is
`FIRST_CLASS` plus the index of the class.
"""

from __future__ import annotations

import torch
from sam2.modeling.sam.prompt_encoder import PromptEncoder
from torch import Tensor, nn

POSITIVE, NEGATIVE, BOX_START, BOX_END, FIRST_CLASS = 1, 0, 2, 3, 4
LOGIT_LIMIT = 32.0  # as SAM 2 limits the logits that it is given back


def paint(
    points: Tensor, labels: Tensor, input_size: int, grid: int, classes: int = 0
) -> Tensor:
    """Return pictures of prompts: positive clicks, negative clicks, boxes, classes.

    Parameters
    ----------
    points : Tensor
        (x, y) in pixels of the network's input, shape ``(objects, points, 2)``.
    labels : Tensor
        SAM 2's labels and class prompts, shape ``(objects, points)``; -1 is padding.
    input_size, grid : int
        Side of the input and of the pictures.
    classes : int
        Number of classes.

    Returns
    -------
    Tensor
        Shape ``(objects, 3 + classes, grid, grid)``, 0 to 1: Gaussian spots with a
        standard deviation of 1.5 cells, filled boxes, and ones for a class asked for.
    """
    place = (torch.arange(grid, device=points.device) + 0.5) * (input_size / grid)
    sigma = 1.5 * input_size / grid
    x, y = points[..., 0:1], points[..., 1:2]
    spots = torch.exp(
        -((place - y)[..., :, None] ** 2 + (place - x)[..., None, :] ** 2)
        / (2 * sigma**2)
    )
    pictures = [
        (spots * (labels == kind)[..., None, None]).amax(1)
        for kind in (POSITIVE, NEGATIVE)
    ]
    inside = torch.zeros_like(pictures[0], dtype=torch.bool)
    for first in range(labels.shape[1] - 1):
        is_box = (labels[:, first] == BOX_START) & (labels[:, first + 1] == BOX_END)
        low, high = points[:, first, :, None], points[:, first + 1, :, None]
        within = (place >= low) & (place <= high)
        inside |= is_box[:, None, None] & within[:, 1, :, None] & within[:, 0, None, :]
    wanted = FIRST_CLASS + torch.arange(classes, device=labels.device)
    asked = (labels[..., None] == wanted).any(1).to(spots.dtype)
    return torch.cat(
        [
            torch.stack([*pictures, inside.to(spots.dtype)], 1),
            asked[..., None, None].expand(-1, -1, grid, grid),
        ],
        1,
    )


class OctaPromptEncoder(PromptEncoder):  # type: ignore[misc]
    """SAM 2's prompt encoder with class prompts, and prompts painted as well."""

    def __init__(
        self,
        embed_dim: int,
        image_embedding_size: tuple[int, int],
        input_image_size: tuple[int, int],
        mask_in_chans: int,
        classes: int,
    ) -> None:
        super().__init__(
            embed_dim, image_embedding_size, input_image_size, mask_in_chans
        )
        self.class_embeddings = nn.Embedding(classes, embed_dim)
        self.painting = nn.Sequential(
            nn.Conv2d(3 + classes, 2 * mask_in_chans, 4, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * mask_in_chans, 2 * mask_in_chans, 4, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * mask_in_chans, embed_dim, 1),
        )
        for parameter in self.painting[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return sparse and dense embeddings, as ``PromptEncoder`` does."""
        sparse, dense = super().forward(points, boxes, masks)
        if points is not None:
            size, grid = self.input_image_size[0], self.mask_input_size[0]
            classes = self.class_embeddings.num_embeddings
            dense = dense + self.painting(paint(*points, size, grid, classes))
        return sparse, dense

    def _embed_points(self, points: Tensor, labels: Tensor, pad: bool) -> Tensor:
        embedded: Tensor = super()._embed_points(points, labels, pad)
        index = labels.long() - FIRST_CLASS
        named = self.class_embeddings(index.clamp(min=0))
        given = torch.where(
            (index >= 0)[..., None], named, embedded[:, : labels.shape[1]]
        )
        return torch.cat([given, embedded[:, labels.shape[1] :]], 1)
