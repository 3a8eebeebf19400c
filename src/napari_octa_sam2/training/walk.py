"""One clip through the network, with gradients: prompt, correct, propagate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_octa_sam2.engine.frames import normalise
from napari_octa_sam2.training import simulate
from napari_octa_sam2.training.clips import Clip
from napari_octa_sam2.training.losses import dense_loss, prompt_loss
from napari_octa_sam2.training.simulate import Points


@dataclass(frozen=True)
class Interaction:
    """What the simulated annotator does on a clip.

    Parameters
    ----------
    kind : {"click", "clicks", "box", "mask"}
        Prompt on the first slice.
    corrections : int
        Correction clicks on the first slice, each seeing the mask before it.
    late_correction : int, optional
        Slice of the clip (not 0) that gets one correction click.
    """

    kind: str
    corrections: int
    late_correction: int | None

    @classmethod
    def draw(cls, frames: int, generator: torch.Generator) -> Interaction:
        """Return a random interaction for a clip of `frames` slices."""
        # A mask is the answer on its own slice: it trains nothing without a next one.
        kinds = torch.tensor([0.45, 0.25, 0.2, 0.1 if frames > 1 else 0.0])
        kind = int(torch.multinomial(kinds, 1, generator=generator))
        late = frames > 2 and float(torch.rand(1, generator=generator)) < 0.25
        return cls(
            kind=("click", "clicks", "box", "mask")[kind],
            corrections=int(torch.randint(0, 3, (1,), generator=generator)),
            late_correction=(
                int(torch.randint(1, frames, (1,), generator=generator))
                if late
                else None
            ),
        )


@dataclass(frozen=True)
class Walked:
    """Loss of a batch of clips and the Dice of its present objects, prompted or not."""

    loss: Tensor
    dense_loss: float
    prompted_dice: float
    tracked_dice: float


def walk(
    network: Any,
    dense_head: torch.nn.Module,
    batch: Clip,
    interaction: Interaction,
    generator: torch.Generator,
) -> Walked:
    """Run a batch of clips through a ``SAM2Base`` network.

    Parameters
    ----------
    network : sam2.modeling.sam2_base.SAM2Base
    dense_head : torch.nn.Module
        From the finest features to the logits of `DENSE_CLASSES`. It serves the
        training alone: whole classes teach the encoder faster than single objects.
    batch : Clip
        Clips stacked along a new first axis.
    """
    images, masks = batch.images, batch.masks
    clips, frames, size, _ = images.shape
    objects = masks.shape[1]
    backbone = network.forward_image(normalise(images.reshape(-1, 1, size, size)))
    owner = torch.arange(clips).repeat_interleave(objects)
    truth = masks.flatten(0, 1)
    memory: dict[str, dict[int, Any]] = {
        "cond_frame_outputs": {},
        "non_cond_frame_outputs": {},
    }
    dense = dense_loss(
        dense_head(backbone["backbone_fpn"][0]),
        batch.classes.transpose(1, 2).flatten(0, 1),
        batch.known.repeat_interleave(frames, dim=0),
    )
    losses: list[Tensor] = []
    prompted: list[Tensor] = []
    tracked: list[Tensor] = []
    for t in range(frames):
        features = _features_of(network, backbone, owner * frames + t)
        target = truth[:, t]
        if t == 0:
            steps = _first_slice_steps(target, interaction, generator)
        elif t == interaction.late_correction:
            steps = [None, "correct"]
        else:
            steps = [None]
        points: Points | None = None
        logits: Tensor | None = None
        for step in steps:
            mask_input = None
            if step == "mask":
                mask_input = target[:, None].float()
            elif step == "correct":
                assert logits is not None
                click = simulate.correction_clicks(logits[:, 0] > 0, target, generator)
                points = click if points is None else simulate.join(points, click)
            elif step is not None:
                points = step
            out, outputs = _decode(
                network,
                features,
                memory,
                t,
                frames,
                points,
                mask_input,
                None if mask_input is not None or step is None else logits,
            )
            candidates, ious, logits = outputs[1], outputs[2], outputs[4]
            if step != "mask":
                losses.append(prompt_loss(candidates, ious, outputs[6], target))
                found = _dice(logits[:, 0] > 0, target)
                (tracked if step is None else prompted).append(found)
        network._encode_memory_in_output(
            features[0], features[2], points, True, outputs[4], outputs[6], out
        )
        out["obj_ptr"] = outputs[5]
        out["pred_masks"] = outputs[3].detach()
        key = "cond_frame_outputs" if t == 0 else "non_cond_frame_outputs"
        memory[key][t] = out
    return Walked(
        loss=torch.stack(losses).mean() + dense,
        dense_loss=float(dense.detach()),
        prompted_dice=_mean(prompted),
        tracked_dice=_mean(tracked),
    )


def _first_slice_steps(
    target: Tensor, interaction: Interaction, generator: torch.Generator
) -> list[Any]:
    corrections = ["correct"] * interaction.corrections
    if interaction.kind == "mask":
        return ["mask"]
    if interaction.kind == "box":
        jitter = target.shape[-1] * 0.02
        return [simulate.boxes(target, jitter, generator), *corrections]
    if interaction.kind == "clicks":
        count = int(torch.randint(2, 6, (1,), generator=generator))
        return [simulate.first_clicks(target, count, generator), *corrections]
    return [simulate.first_clicks(target, 1, generator), *corrections]


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
    t: int,
    frames: int,
    points: Points | None,
    mask_input: Tensor | None,
    previous: Tensor | None,
) -> tuple[dict[str, Any], Any]:
    low_res = None
    if previous is not None and points is not None:
        low_res = torch.nn.functional.interpolate(
            previous.detach().clamp(-32, 32),
            size=network.sam_prompt_encoder.mask_input_size,
            mode="bilinear",
        )
    out, outputs, _, _ = network._track_step(
        frame_idx=t,
        is_init_cond_frame=t == 0,
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
        num_frames=frames,
        track_in_reverse=False,
        prev_sam_mask_logits=low_res,
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
