"""A single object is in one piece with what was prompted, or with the slice before.

Vessels look alike: a network that was asked for one of them readily adds its
neighbours. Pieces that touch neither a prompt nor the mask before are left out.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LEFT_OUT = -10.0  # logit of what is left out, as SAM 2 takes masks that it is given


def keep_connected(
    logits: Tensor, seeds: Tensor, reach: int, *, may_end: Tensor | bool = False
) -> Tensor:
    """Return logits with the pieces left out that do not come near their seeds.

    Parameters
    ----------
    logits : Tensor
        Shape ``(objects, 1, rows, columns)``; positive is foreground.
    seeds : Tensor
        Boolean, same shape.
    reach : int
        Distance in cells at which a piece still touches a seed.
    may_end : Tensor or bool
        For each object what happens where no piece comes near a seed: True leaves all
        out, because the object has ended; False keeps all.
    """
    near = F.max_pool2d(seeds.float(), 2 * reach + 1, 1, reach) > 0
    found = logits[:, 0] > 0
    kept = touched(found, near[:, 0])
    ends = torch.as_tensor(may_end, device=logits.device).expand(len(logits))
    cut = found & ~kept & (ends | kept.flatten(1).any(1))[:, None, None]
    return torch.where(cut[:, None], logits.new_tensor(LEFT_OUT), logits)


def touched(masks: Tensor, seeds: Tensor) -> Tensor:
    """Return the pieces of `masks` in which a seed lies.

    All are boolean ``(n, rows, columns)``. Pixels that touch by a corner are of one
    piece.
    """
    from scipy.ndimage import label

    kept = np.zeros(masks.shape, bool)
    for mask, seed, out in zip(
        masks.cpu().numpy(), seeds.cpu().numpy(), kept, strict=True
    ):
        pieces, count = label(mask, np.ones((3, 3)))
        with_seed = np.zeros(count + 1, bool)
        with_seed[pieces[seed & mask]] = True
        with_seed[0] = False
        out[:] = with_seed[pieces]
    return torch.from_numpy(kept).to(masks.device)
