"""One clip through the network, with gradients: prompt, correct, propagate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_octa_sam2.engine.frames import normalise
from napari_octa_sam2.model.prompt_encoder import LOGIT_LIMIT
from napari_octa_sam2.model.refinement import paint_clicks, to_square
from napari_octa_sam2.training import simulate
from napari_octa_sam2.training.clips import Clip
from napari_octa_sam2.training.losses import (
    coverage,
    dense_loss,
    prompt_loss,
    refined_loss,
)
from napari_octa_sam2.training.simulate import Points

CLICK_REACH = 6  # pixels around a click that weigh more


@dataclass(frozen=True)
class Interaction:
    """What the simulated annotator does on a clip.

    Parameters
    ----------
    kind : {"click", "clicks", "box", "mask"}
        Prompt on the first slice, for objects that are not a class as a whole.
    corrections : int
        Correction clicks on the first slice, each seeing the mask before it.
    late_correction : int, optional
        Slice of the clip (not 0) that gets one correction click.
    """

    kind: str
    corrections: int
    late_correction: int | None

    @classmethod
    def draw(
        cls, frames: int, corrections: Sequence[float], rng: np.random.Generator
    ) -> Interaction:
        """Return a random interaction for a clip of `frames` slices.

        `corrections` holds the probabilities of 0, 1, 2 … correction clicks.
        """
        # A mask is the answer on its own slice: it trains nothing without a next one.
        weights = np.array([0.5, 0.2, 0.2, 0.1 if frames > 1 else 0.0])
        kind = rng.choice(["click", "clicks", "box", "mask"], p=weights / weights.sum())
        late = frames > 2 and rng.random() < 0.25
        return cls(
            kind=str(kind),
            corrections=int(rng.choice(len(corrections), p=corrections)),
            late_correction=int(rng.integers(1, frames)) if late else None,
        )


@dataclass(frozen=True)
class Walked:
    """Loss of a batch of clips, and the Dice of what was there.

    Of single objects on slices with prompts and on others, and of whole classes.
    """

    loss: Tensor
    prompted_dice: float
    tracked_dice: float
    class_dice: float


@dataclass(frozen=True)
class Parts:
    """What is trained together.

    `dense_head` maps the finest features to the logits of every class. It serves the
    training alone: whole classes teach the encoder faster than single objects.
    """

    network: Any
    refinement: Any
    dense_head: Any


def walk(
    parts: Parts, batch: Clip, interaction: Interaction, rng: np.random.Generator
) -> Walked:
    """Run a batch of clips (stacked along a new first axis) through the network.

    Clips without objects teach the refinement head alone where each class is.
    """
    network = parts.network
    clips, frames, native, _ = batch.images.shape
    objects = batch.masks.shape[1]
    size = network.image_size
    images = batch.images.reshape(-1, 1, native, native)
    classes = batch.classes.transpose(1, 2).flatten(0, 1)
    known = batch.known.repeat_interleave(frames, dim=0)
    reading = parts.refinement.read(images)
    seen = dense_loss(reading.classes, classes, known)
    if not objects:
        return Walked(seen, *3 * (math.nan,))
    inputs = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    backbone = network.forward_image(normalise(inputs))
    dense = seen
    finest = backbone["backbone_fpn"][0]
    if finest.requires_grad:  # a frozen network learns nothing from it
        dense = dense + dense_loss(parts.dense_head(finest).float(), classes, known)
    owner = torch.arange(clips).repeat_interleave(objects)
    truth, asked = batch.masks.flatten(0, 1), batch.asked.flatten()
    memory: dict[str, dict[int, Any]] = {
        "cond_frame_outputs": {},
        "non_cond_frame_outputs": {},
    }
    losses, refined_losses = [dense], []
    scores: dict[str, list[Tensor]] = {"prompted": [], "tracked": [], "whole": []}
    for t in range(frames):
        features = _features_of(network, backbone, owner * frames + t)
        target = truth[:, t]
        pictures = reading.of(owner * frames + t)
        steps: list[Any] = [None]
        if t == 0:
            steps = _first_slice_steps(target, asked, interaction, rng)
        elif t == interaction.late_correction:
            steps = [None, "correct"]
        points: Points | None = None
        logits: Tensor | None = None
        shown: Tensor | None = None
        passes = []
        for number, step in enumerate(steps):
            mask_input = None
            if isinstance(step, Tensor):
                mask_input = step
            elif step == "correct":
                assert shown is not None
                click = simulate.correction_clicks(shown[:, 0] > 0, target)
                points = click if points is None else simulate.join(points, click)
            elif step is not None:
                points = step
            out, outputs = _decode(
                network,
                features,
                memory,
                (t, frames),
                _to_input(points, size / native),
                mask_input,
                None if mask_input is not None or step is None else logits,
            )
            candidates, _, ious, logits = outputs[:4]
            if mask_input is None:
                grid = (candidates.shape[-2], candidates.shape[-1])
                covered = coverage(target[:, None], grid)[:, 0]
                passes.append(
                    prompt_loss(candidates, ious.float(), outputs[6].float(), covered)
                )
            last = number == len(steps) - 1
            clicks = None
            if points is not None and mask_input is None:
                clicks = paint_clicks(*points, (native, native))
            with torch.set_grad_enabled(last and mask_input is None):
                shown = parts.refinement(pictures, logits, clicks, asked)
        assert shown is not None
        if passes:
            losses.append(torch.stack(passes).mean())
            refined_losses.append(refined_loss(shown, target, _near(clicks, target)))
            found = shown[:, 0] > 0
            whole = asked >= 0
            scores["whole"].append(_dice(found[whole], target[whole]))
            kind = "prompted" if points is not None else "tracked"
            scores[kind].append(_dice(found[~whole], target[~whole]))
        if t == frames - 1:
            break
        low, high = outputs[3].detach(), outputs[4]
        if mask_input is None and getattr(network, "remembers_refined", False):
            low, high = (
                to_square(shown.detach(), side) for side in (low.shape[-1], size)
            )
        network._encode_memory_in_output(
            features[0], features[2], points, True, high, outputs[6], out
        )
        out["obj_ptr"] = outputs[5]
        out["pred_masks"] = low
        out["whole"] = asked >= 0
        key = "cond_frame_outputs" if t == 0 else "non_cond_frame_outputs"
        memory[key][t] = out
    loss = losses[0] + torch.stack(losses[1:]).mean()
    return Walked(
        loss=loss + torch.stack(refined_losses).mean(),
        prompted_dice=_mean(scores["prompted"]),
        tracked_dice=_mean(scores["tracked"]),
        class_dice=_mean(scores["whole"]),
    )


def _first_slice_steps(
    target: Tensor, asked: Tensor, interaction: Interaction, rng: np.random.Generator
) -> list[Any]:
    if interaction.kind == "mask":
        return [target[:, None].float()]
    if interaction.kind == "box":
        first = simulate.boxes(target, target.shape[-1] * 0.02, rng)
    elif interaction.kind == "clicks":
        first = simulate.first_clicks(target, int(rng.integers(2, 6)), rng)
    else:
        first = simulate.first_clicks(target, 1, rng)
    corrections = ["correct"] * interaction.corrections
    return [simulate.ask_for_classes(first, asked), *corrections]


def _near(clicks: Tensor | None, target: Tensor) -> Tensor:
    """Return how near painted clicks a pixel is: spots several times their size."""
    if clicks is None:
        return torch.zeros(target.shape)
    spots = F.max_pool2d(
        clicks.amax(1, keepdim=True), 2 * CLICK_REACH + 1, 1, CLICK_REACH
    )
    return spots[:, 0]


def _to_input(points: Points | None, scale: float) -> Points | None:
    return None if points is None else (points[0] * scale, points[1])


def _features_of(network: Any, backbone: dict[str, Any], rows: Tensor) -> Any:
    """Return the features of slices `rows`, one row an object, as SAM 2 wants them."""
    chosen = {
        "backbone_fpn": [f[rows] for f in backbone["backbone_fpn"]],
        "vision_pos_enc": [f[rows] for f in backbone["vision_pos_enc"]],
    }
    return network._prepare_backbone_features(chosen)[1:]


def _decode(
    network: Any,
    features: Any,
    memory: dict[str, Any],
    at: tuple[int, int],
    points: Points | None,
    mask_input: Tensor | None,
    previous: Tensor | None,
) -> tuple[dict[str, Any], Any]:
    if mask_input is not None:
        size = (network.image_size, network.image_size)
        mask_input = F.interpolate(mask_input, size, mode="bilinear")
    out, outputs, _, _ = network._track_step(
        frame_idx=at[0],
        is_init_cond_frame=at[0] == 0,
        current_vision_feats=features[0],
        current_vision_pos_embeds=features[1],
        feat_sizes=features[2],
        point_inputs=(
            None
            if points is None or mask_input is not None
            else {"point_coords": points[0], "point_labels": points[1]}
        ),
        mask_inputs=mask_input,
        output_dict=memory,
        num_frames=at[1],
        track_in_reverse=False,
        prev_sam_mask_logits=(
            None
            if previous is None or points is None
            else previous.detach().clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
        ),
    )
    return out, outputs


def _dice(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the Dice of each present object, shape ``(present,)``."""
    present = truth.flatten(1).any(1)
    p, g = predicted[present].flatten(1), truth[present].flatten(1)
    return 2 * (p & g).sum(1) / (p.sum(1) + g.sum(1))


def _mean(values: list[Tensor]) -> float:
    joined = torch.cat(values) if values else torch.empty(0)
    return float(joined.mean()) if joined.numel() else float("nan")
