"""Prompts as SAM 2's decoder takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_octa_sam2.model.prompt_encoder import BOX_END, BOX_START, FIRST_CLASS
from napari_octa_sam2.prompts import SEGMENTABLE, Prompt

BOX_CORNERS = (BOX_START, BOX_END)


@dataclass(frozen=True)
class Grid:
    """The slices of a session: how many, and their size in pixels."""

    slices: int
    rows: int
    cols: int


def since_restart(earlier: list[Prompt], prompt: Prompt) -> list[Prompt]:
    """Return the prompts of a slice that `prompt` refines, and itself.

    Earlier points of the slice are repeated, as in SAM 2's predictor; a box or a class
    starts anew, because it must come first.
    """
    chain = [p for p in earlier if not (p.gives_mask or p.absent)] + [prompt]
    starts = [
        i for i, p in enumerate(chain) if p.box is not None or p.whole is not None
    ]
    return chain[starts[-1] :] if starts else chain


def point_input(network: Any, chain: list[Prompt], grid: Grid) -> dict[str, Tensor]:
    """Return clicks and box as SAM 2 takes them: (x, y) in pixels of its input."""
    coords: list[tuple[float, float]] = []
    labels: list[int] = []
    if chain[0].whole is not None:
        coords.append((0.0, 0.0))
        labels.append(FIRST_CLASS + SEGMENTABLE.index(chain[0].whole))
    if chain[0].box is not None:
        row0, col0, row1, col1 = chain[0].box
        coords += [(col0, row0), (col1, row1)]
        labels += BOX_CORNERS
    for p in chain:
        coords += [(col, row) for row, col, _ in p.clicks]
        labels += [label for *_, label in p.clicks]
    scale = torch.tensor([grid.cols, grid.rows], dtype=torch.float32)
    xy = torch.tensor(coords, dtype=torch.float32) / scale * network.image_size
    device = network.device
    return {
        "point_coords": xy[None].to(device),
        "point_labels": torch.tensor([labels], dtype=torch.int32, device=device),
    }


def mask_input(network: Any, mask: np.ndarray) -> Tensor:
    """Return a mask ``(slow, fast)`` at the size of the network's input."""
    size = network.image_size
    tensor = torch.from_numpy(mask.astype(np.float32))[None, None].to(network.device)
    if tensor.shape[-2:] != (size, size):
        tensor = F.interpolate(
            tensor, (size, size), mode="bilinear", align_corners=False, antialias=True
        )
        tensor = (tensor >= 0.5).float()
    return tensor
