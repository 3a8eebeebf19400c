"""One pass of the network for one object on one slice.

Pure functions of ``(features, bank, prompt)``: they change neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_octa_sam2.engine.features import SliceFeatures
from napari_octa_sam2.engine.memory import Interaction, ObjectBank, SliceOutput
from napari_octa_sam2.model.connected import keep_connected
from napari_octa_sam2.model.prompt_encoder import (
    BOX_END,
    BOX_START,
    FIRST_CLASS,
    LOGIT_LIMIT,
)
from napari_octa_sam2.model.refinement import (
    NO_CLASS,
    Reading,
    RefinementHead,
    paint_clicks,
    to_square,
)
from napari_octa_sam2.prompts import SEGMENTABLE, Prompt

BOX_CORNERS = (BOX_START, BOX_END)
GIVEN = 10.0  # logit of a mask that was given, as in SAM 2


@dataclass(frozen=True)
class Grid:
    """The slices of a session: how many, and their size in pixels."""

    slices: int
    rows: int
    cols: int


def answer(
    network: Any,
    features: SliceFeatures,
    bank: ObjectBank,
    before: list[Interaction],
    prompt: Prompt,
    grid: Grid,
) -> SliceOutput:
    """Return the output for `prompt`, which follows the interactions `before`.

    On a slice that no propagation has reached, the prompt is answered from the slice
    alone; else memory is attended to, and the mask found so far is refined, as SAM 2
    does for corrections.
    """
    index = prompt.slice
    previous = before[-1].output if before else bank.followed.get(index)
    if prompt.mask is not None or prompt.absent:
        mask = np.zeros((grid.rows, grid.cols), bool)
        mask = prompt.mask if prompt.mask is not None else mask
        output = _track(
            network, features, bank, index, grid, mask=mask_input(network, mask)
        )
        if not prompt.absent:
            output.given = mask
            output.whole = None if previous is None else previous.whole
        return output
    chain = since_restart([i.prompt for i in before], prompt)
    points = point_input(network, chain, grid)
    logits = None
    if previous is not None:
        logits = previous.logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
    output = _track(
        network, features, bank, index, grid, points=points, previous=logits
    )
    output.whole = chain[0].whole
    if output.whole is None and previous is not None:
        output.whole = previous.whole
    output.clicks = tuple(
        (row, col, label)
        for p in chain
        for (row, col), label in zip(p.points, p.labels, strict=True)
    )
    return output


def follow(
    network: Any,
    features: SliceFeatures,
    bank: ObjectBank,
    index: int,
    grid: Grid,
    *,
    reverse: bool,
) -> SliceOutput:
    """Return the output for a slice without prompts."""
    output = _track(network, features, bank, index, grid, reverse=reverse)
    before = bank.output(index + 1 if reverse else index - 1)
    output.whole = None if before is None else before.whole
    return output


def remember(
    network: Any,
    features: SliceFeatures,
    output: SliceOutput,
    shown: Tensor | None = None,
    *,
    from_prompt: bool,
) -> None:
    """Encode a slice's mask into memory features, stored in `output`.

    Parameters
    ----------
    shown : Tensor, optional
        What `to_slice` returned, to be remembered instead of the network's own mask.
    """
    masks = output.logits
    if shown is not None:
        masks = shown
        output.remembered = to_square(shown, output.logits.shape[-1])
    memory, position = network._encode_new_memory(
        current_vision_feats=list(features.tokens),
        feat_sizes=list(features.sizes),
        pred_masks_high_res=to_square(masks, network.image_size),
        object_score_logits=output.score,
        is_mask_from_pts=from_prompt,
    )
    output.memory = memory.to(torch.bfloat16)
    output.memory_position = position


def to_slice(
    output: SliceOutput,
    grid: Grid,
    head: RefinementHead | None = None,
    reading: Reading | None = None,
    *,
    connected: bool = False,
) -> Tensor:
    """Return an output's logits at the slice's resolution, ``(1, 1, slow, fast)``.

    Parameters
    ----------
    head : RefinementHead, optional
        Sharpens them; without it they are interpolated.
    reading : Reading, optional
        What the head has read in the slice.
    connected : bool
        Leave out what the head adds away from a single object.
    """
    size = (grid.rows, grid.cols)
    coarse = F.interpolate(output.logits, size, mode="bilinear", align_corners=False)
    if head is None or reading is None:
        return coarse
    device = output.logits.device
    if output.given is not None:
        mask = torch.from_numpy(output.given).to(device)[None, None]
        return torch.where(mask, GIVEN, -GIVEN)
    clicks = torch.tensor(output.clicks, device=device).reshape(1, -1, 3)
    pictures = paint_clicks(clicks[..., [1, 0]], clicks[..., 2], size)
    asked = NO_CLASS if output.whole is None else SEGMENTABLE.index(output.whole)
    asked_for = torch.tensor([asked], device=device)
    logits: Tensor = head(reading, output.logits, pictures, asked_for)
    if connected and output.whole is None:
        seeds = (coarse > 0) | (pictures[:, :1] > 0.5)
        logits = keep_connected(logits, seeds, reach=1)
    return logits


def since_restart(earlier: list[Prompt], prompt: Prompt) -> list[Prompt]:
    """Return the prompts of a slice that `prompt` refines, and itself.

    Earlier points of the slice are repeated, as in SAM 2's predictor; a box or a class
    starts anew, because it must come first.
    """
    chain = [p for p in earlier if p.mask is None and not p.absent] + [prompt]
    starts = [
        i for i, p in enumerate(chain) if p.box is not None or p.whole is not None
    ]
    return chain[starts[-1] :] if starts else chain


def point_input(network: Any, chain: list[Prompt], grid: Grid) -> dict[str, Tensor]:
    """Return points and box as SAM 2 takes them: (x, y) in pixels of its input."""
    coords: list[tuple[float, float]] = []
    labels: list[int] = []
    if chain[0].whole is not None:
        coords.append((0.0, 0.0))
        labels.append(FIRST_CLASS + network.classes.index(chain[0].whole))
    if chain[0].box is not None:
        row0, col0, row1, col1 = chain[0].box
        coords += [(col0, row0), (col1, row1)]
        labels += BOX_CORNERS
    for p in chain:
        coords += [(col, row) for row, col in p.points]
        labels += p.labels
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


def _track(
    network: Any,
    features: SliceFeatures,
    bank: ObjectBank,
    index: int,
    grid: Grid,
    *,
    points: dict[str, Tensor] | None = None,
    mask: Tensor | None = None,
    previous: Tensor | None = None,
    reverse: bool | None = None,
) -> SliceOutput:
    # A prompt on a slice that no propagation has reached is answered without memory.
    first = reverse is None and (index not in bank.reverse or not bank.prompted)
    _, outputs, _, _ = network._track_step(
        frame_idx=index,
        is_init_cond_frame=first,
        current_vision_feats=list(features.tokens),
        current_vision_pos_embeds=list(features.positions),
        feat_sizes=list(features.sizes),
        point_inputs=points,
        mask_inputs=mask,
        output_dict=bank.as_sam2(),
        num_frames=grid.slices,
        track_in_reverse=bank.reverse.get(index, False) if reverse is None else reverse,
        prev_sam_mask_logits=previous,
    )
    _, _, ious, low_res, _, pointer, score = outputs
    return SliceOutput(low_res, pointer, score, float(ious.max()))
