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
    from scipy.ndimage import label

    near = F.max_pool2d(seeds.float(), 2 * reach + 1, 1, reach) > 0
    found = (logits > 0).cpu().numpy()
    drop = np.zeros(found.shape, bool)
    ends = torch.as_tensor(may_end).expand(len(logits)).tolist()
    for mask, seed, out, end in zip(
        found[:, 0], near[:, 0].cpu().numpy(), drop[:, 0], ends, strict=True
    ):
        pieces, count = label(mask, np.ones((3, 3)))
        touched = np.zeros(count + 1, bool)
        touched[pieces[seed & mask]] = True
        if end or touched.any():
            out[:] = mask & ~touched[pieces]
    left_out = torch.from_numpy(drop).to(logits.device)
    return torch.where(left_out, logits.new_tensor(LEFT_OUT), logits)
