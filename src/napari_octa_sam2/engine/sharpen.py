"""From the decoder's coarse grid to the pixels of the slice."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_octa_sam2.engine.memory import SliceOutput
from napari_octa_sam2.engine.prompting import Grid
from napari_octa_sam2.model.connected import keep_connected
from napari_octa_sam2.model.refinement import (
    NO_CLASS,
    Reading,
    RefinementHead,
    paint_clicks,
)
from napari_octa_sam2.prompts import SEGMENTABLE

GIVEN = 10.0  # logit of a mask that was given, as in SAM 2


def sharpened(
    output: SliceOutput,
    grid: Grid,
    head: RefinementHead | None = None,
    reading: Reading | None = None,
    *,
    connected: bool = False,
) -> Tensor:
    """Return an output's logits at the slice's resolution, ``(1, 1, slow, fast)``.

    A mask that was given is shown as it is, not as the decoder's grid holds it.

    Parameters
    ----------
    head : RefinementHead, optional
        Sharpens them; without it they are interpolated.
    reading : Reading, optional
        What the head has read in the slice.
    connected : bool
        Leave out what the head adds away from a single object.
    """
    if output.given is not None:
        mask = torch.from_numpy(output.given).to(output.logits.device)[None, None]
        return torch.where(mask, GIVEN, -GIVEN)
    size = (grid.rows, grid.cols)
    coarse = F.interpolate(output.logits, size, mode="bilinear", align_corners=False)
    if head is None or reading is None:
        return coarse
    device = output.logits.device
    clicks = torch.tensor(output.clicks, device=device).reshape(1, -1, 3)
    pictures = paint_clicks(clicks[..., [1, 0]], clicks[..., 2], size)
    asked = NO_CLASS if output.whole is None else SEGMENTABLE.index(output.whole)
    asked_for = torch.tensor([asked], device=device)
    logits: Tensor = head(reading, output.logits, pictures, asked_for)
    if connected and output.whole is None:
        seeds = (coarse > 0) | (pictures[:, :1] > 0.5)
        logits = keep_connected(logits, seeds, reach=1)
    return logits
