"""One clip through the network, with gradients: prompt, correct, propagate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from napari_octa_sam2.engine.frames import network_input
from napari_octa_sam2.model.appearance import appearance_of
from napari_octa_sam2.model.prompt_encoder import LOGIT_LIMIT
from napari_octa_sam2.model.refinement import Reading, paint_clicks, to_square
from napari_octa_sam2.training import simulate
from napari_octa_sam2.training.config import PromptConfig
from napari_octa_sam2.training.data.clips import Clip
from napari_octa_sam2.training.features import (
    FeatureMemo,
    Features,
    encode,
    joined,
)
from napari_octa_sam2.training.interaction import Interaction
from napari_octa_sam2.training.losses import Criterion
from napari_octa_sam2.training.simulate import Points
from napari_octa_sam2.training.tally import Tally, Walked, dice_of, over_clips

# A pass over a slice: with points, with a mask, or one of "correct" and "mask only".
Step = Points | Tensor | str | None
GIVEN_ABSENT = -10.0  # logit, and object score, of an empty mask that was given


@dataclass(frozen=True)
class Parts:
    """What is trained together.

    `dense_head` maps the finest features to the logits of every class. It serves the
    training alone: whole classes teach the encoder faster than single objects. Without
    a refinement head there is none, and masks are shown as they are interpolated.
    `memo` keeps the features of an encoder that is not trained.
    """

    network: Any
    refinement: Any = None
    dense_head: Any = None
    memo: FeatureMemo | None = None


@dataclass
class _Seen:
    """What the passes over a slice have shown so far.

    `given` is the mask that was given in the last one, `out` and `outputs` are what
    SAM 2's ``_track_step`` returned in it.
    """

    points: Points | None = None
    given: Tensor | None = None
    logits: Tensor | None = None
    shown: Tensor | None = None
    painted: Tensor | None = None
    out: dict[str, Any] = field(default_factory=dict)
    outputs: Any = None
    losses: list[Tensor] = field(default_factory=list)


def walk(
    parts: Parts,
    batch: Clip,
    interaction: Interaction,
    prompts: PromptConfig,
    criterion: Criterion,
    rngs: Sequence[np.random.Generator],
    *,
    checkpointing: bool = False,
) -> Walked:
    """Run a batch of clips (stacked along a new first axis) through the network.

    Clips without objects teach the refinement head alone where each class is.

    Parameters
    ----------
    rngs : sequence of numpy.random.Generator
        One for each object of each clip, so that a clip is prompted alike whatever it
        shares its batch with.
    checkpointing : bool
        Compute activations again in the backward pass, slice by slice.
    """
    return _Walk(
        parts, batch, interaction, prompts, criterion, rngs, checkpointing
    ).walked()


class _Walk:
    def __init__(
        self,
        parts: Parts,
        batch: Clip,
        interaction: Interaction,
        prompts: PromptConfig,
        criterion: Criterion,
        rngs: Sequence[np.random.Generator],
        checkpointing: bool,
    ) -> None:
        self.parts, self.batch, self.rngs = parts, batch, rngs
        self.interaction, self.prompts = interaction, prompts
        self.criterion, self.checkpointing = criterion, checkpointing
        self.network = parts.network
        self.clips, self.frames, _, self.native, _ = batch.images.shape
        self.objects = batch.masks.shape[1]
        self.owner = torch.arange(self.clips).repeat_interleave(self.objects)
        self.truth, self.asked = batch.masks.flatten(0, 1), batch.asked.flatten()
        self.prompted = {t for t in interaction.slices if self._can_be_prompted(t)}
        self.memory: dict[str, dict[int, Any]] = {
            "cond_frame_outputs": {},
            "non_cond_frame_outputs": {},
        }
        self.tally = Tally()
        self.first_points: Points | None = None

    def walked(self) -> Walked:
        images = self.batch.images.flatten(0, 1)
        classes = self.batch.classes.transpose(1, 2).flatten(0, 1)
        known = self.batch.known.flatten(0, 1)
        self.reading: Reading | None = None
        dense = images.new_zeros(())
        if self.parts.refinement is not None:
            self.reading = self.parts.refinement.read(images.mean(1, keepdim=True))
            dense = self.criterion.of_classes(self.reading.classes, classes, known)
        if not self.objects:
            return self.tally.walked(dense)
        backbone = self._encoded(images)
        finest = backbone["backbone_fpn"][0]
        if self.parts.dense_head is not None and finest.requires_grad:
            seen = self.parts.dense_head(finest).float()
            dense = dense + self.criterion.of_classes(seen, classes, known)
        for t in range(self.frames):
            self._slice(t, backbone)
        return self.tally.walked(dense)

    def _encoded(self, images: Tensor) -> Features:
        """Return the features of all slices; one after another to save memory."""
        network, memo = self.network, self.parts.memo
        size, look = network.image_size, appearance_of(network)
        decoder = network.sam_mask_decoder

        def encoded(part: Tensor) -> Features:
            scaled = network_input(part, size, look)
            return encode(network.image_encoder, scaled, thrifty=self._saves)

        def with_fine_levels(backbone: Features) -> Features:
            if network.use_high_res_features_in_sam:
                fine = backbone["backbone_fpn"]
                fine[0], fine[1] = decoder.conv_s0(fine[0]), decoder.conv_s1(fine[1])
            return backbone

        if memo is not None:
            found = joined([memo.of(image[None], encoded) for image in images])
            return with_fine_levels(found)
        if not self._saves:
            return with_fine_levels(encoded(images))
        parts = [
            self._saving(lambda part: with_fine_levels(encoded(part)), image[None])
            for image in images
        ]
        return joined(parts)

    @property
    def _saves(self) -> bool:
        return self.checkpointing and torch.is_grad_enabled()

    def _saving(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Return ``work(*arguments)``; with checkpointing, keep no activation of it."""
        if self._saves:
            return checkpoint(work, *arguments, use_reentrant=False)
        return work(*arguments)

    def _slice(self, t: int, backbone: Features) -> None:
        rows = self.owner * self.frames + t
        features = _features_of(self.network, backbone, rows)
        reading = None if self.reading is None else self.reading.of(rows)
        seen = _Seen()
        *before, last = self._steps(t, self.truth[:, t])
        for step in before:
            self._pass(t, features, reading, step, seen, teaches=False)
        self._pass(t, features, reading, last, seen, teaches=True)
        if seen.losses:
            self._judge(t, seen, refined=reading is not None)
        if t < self.frames - 1:
            self._remember(t, features, seen)

    def _pass(
        self,
        t: int,
        features: Any,
        reading: Reading | None,
        step: Step,
        seen: _Seen,
        *,
        teaches: bool,
    ) -> None:
        """Answer one prompt; the answers before the last teach the decoder alone."""
        target = self.truth[:, t]
        seen.given = step if isinstance(step, Tensor) else None
        if step == "correct":
            assert seen.shown is not None
            clicks = self._corrections(seen.shown[:, 0].detach() > 0, target)
            if seen.points is not None:
                clicks = simulate.join(seen.points, clicks)
            seen.points = clicks
        elif isinstance(step, tuple):
            seen.points = step
        points = None if step == "mask only" else seen.points
        previous = seen.logits if step in ("correct", "mask only") else None
        seen.out, seen.outputs = self._decoded(
            features, t, _to_input(points, self._scale), seen.given, previous
        )
        candidates, _, ious, seen.logits = seen.outputs[:4]
        seen.painted = None
        if seen.given is None:
            scores = seen.outputs[6][:, 0].float()
            loss = self.criterion.on_grid(candidates, ious.float(), scores, target)
            seen.losses.append(loss)
            if seen.points is not None:
                seen.painted = paint_clicks(*seen.points, (self.native, self.native))
        gradient = torch.is_grad_enabled() and teaches and seen.given is None
        with torch.set_grad_enabled(gradient):
            seen.shown = self._shown(reading, seen.logits, seen.painted)

    def _judge(self, t: int, seen: _Seen, *, refined: bool) -> None:
        """Add the loss of a slice, and the Dice of what is shown on it."""
        target, judged = self.truth[:, t], self._judged(t)
        assert seen.shown is not None
        loss = torch.stack(seen.losses).mean(0) + self.criterion.on_shown(
            seen.shown if refined else seen.outputs[0],
            seen.outputs[2].float(),
            seen.outputs[6][:, 0].float(),
            target,
            seen.painted,
        )
        kind = "followed" if seen.points is None else "prompted"
        self.tally.losses[kind].append(over_clips(loss * judged, judged, self.clips))
        self._score(kind, seen.shown[:, 0].detach() > 0, target, t)

    def _can_be_prompted(self, t: int) -> bool:
        """Return whether there is truth on slice `t`, and something to show of it."""
        known = bool(self.batch.labelled[:, t].all())
        shown = self.prompts.absent_mask or bool(self.truth[:, t].any())
        return t == 0 or (known and shown)

    @property
    def _scale(self) -> float:
        return float(self.network.image_size / self.native)

    def _judged(self, t: int) -> Tensor:
        """Return which objects have truth on slice `t`, 0 or 1."""
        return self.batch.labelled[:, t].repeat_interleave(self.objects).float()

    def _score(self, kind: str, found: Tensor, target: Tensor, t: int) -> None:
        judged, whole = self._judged(t) > 0, self.asked >= 0
        for name, chosen in (("whole", whole & judged), (kind, ~whole & judged)):
            self.tally.dice[name].append(dice_of(found[chosen], target[chosen]))

    def _steps(self, t: int, target: Tensor) -> list[Step]:
        """Return the passes over a slice: prompts, a mask, or corrections."""
        plan = self.interaction
        if t not in self.prompted:
            late = t == plan.late and bool(self.batch.labelled[:, t].all())
            return [None, "correct"] if late else [None]
        if plan.kind == "mask":
            return [target[:, None].float()]
        if self.prompts.same_points and self.first_points is not None:
            return [self.first_points]
        first = self.first_points = self._first_points(target)
        steps: list[Step] = [first]
        if t == 0:
            rounds: list[Step] = ["correct"] * plan.rounds
            if plan.mask_round is not None:
                rounds[plan.mask_round] = rounds[-1] = "mask only"
            steps += rounds
        return steps

    def _first_points(self, target: Tensor) -> Points:
        kind, masks = self.interaction.kind, target.cpu()
        if kind == "box":
            first = simulate.boxes(masks, self.prompts, self.rngs)
        else:
            first = simulate.first_clicks(
                masks,
                self.prompts,
                self.rngs,
                several=kind == "clicks",
                others=self._others(masks),
            )
        if (self.asked >= 0).any():
            first = simulate.ask_for_classes(first, self.asked.cpu())
        return first[0].to(target.device), first[1].to(target.device)

    def _corrections(self, found: Tensor, target: Tensor) -> Points:
        clicks = simulate.corrections(
            found.cpu(), target.cpu(), self.prompts, self.rngs
        )
        return clicks[0].to(target.device), clicks[1].to(target.device)

    def _others(self, target: Tensor) -> Tensor:
        """Return, for each object, where the others of its clip are."""
        masks = target.unflatten(0, (self.clips, self.objects))
        count: Tensor = masks.sum(1, keepdim=True) - masks.int()
        return torch.flatten(count > 0, 0, 1)

    def _shown(
        self, reading: Reading | None, logits: Tensor, painted: Tensor | None
    ) -> Tensor:
        """Return logits at the slice's resolution, ``(objects, 1, rows, columns)``."""
        if reading is None:
            size = (self.native, self.native)
            return F.interpolate(logits.float(), size, mode="bilinear")
        refined = self._saving(
            self.parts.refinement, reading, logits, painted, self.asked
        )
        assert isinstance(refined, Tensor)
        return refined

    def _decoded(
        self,
        features: Any,
        t: int,
        points: Points | None,
        mask_input: Tensor | None,
        previous: Tensor | None,
    ) -> tuple[dict[str, Any], Any]:
        network = self.network
        if mask_input is not None:
            size = (network.image_size, network.image_size)
            mask_input = F.interpolate(mask_input, size, mode="bilinear")
        if previous is not None:
            previous = previous.detach().clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
        if points is None and previous is not None:
            points = _no_points(self.asked)
        given = points is not None and mask_input is None
        memory = {kind: dict(held) for kind, held in self.memory.items()}

        def decode(tokens: Any, positions: Any) -> Any:
            out, outputs, _, _ = network._track_step(
                frame_idx=t,
                is_init_cond_frame=t in self.prompted,
                current_vision_feats=tokens,
                current_vision_pos_embeds=positions,
                feat_sizes=features[2],
                point_inputs=(
                    {"point_coords": points[0], "point_labels": points[1]}
                    if given and points is not None
                    else None
                ),
                mask_inputs=mask_input,
                output_dict=memory,
                num_frames=self.frames,
                track_in_reverse=False,
                prev_sam_mask_logits=previous if given else None,
            )
            return out, outputs

        out, outputs = self._saving(decode, features[0], features[1])
        return out, outputs

    def _remember(self, t: int, features: Any, seen: _Seen) -> None:
        network, outputs = self.network, seen.outputs
        low, high, score = outputs[3].detach(), outputs[4], outputs[6]
        pointer = outputs[5]
        if seen.given is None and getattr(network, "remembers_refined", False):
            assert seen.shown is not None
            low, high = (
                to_square(seen.shown.detach(), side)
                for side in (low.shape[-1], network.image_size)
            )
        prompted = t in self.prompted
        if prompted and self.prompts.absent_mask:
            gone = ~self.truth[:, t].flatten(1).any(1)
            low, high = (
                torch.where(gone[:, None, None, None], GIVEN_ABSENT, m)
                for m in (low, high)
            )
            score = torch.where(gone[:, None], GIVEN_ABSENT, score)
            pointer = torch.where(gone[:, None], network.no_obj_ptr, pointer)

        def memory_of(tokens: Any, masks: Tensor, scores: Tensor) -> Any:
            held: dict[str, Any] = {}
            network._encode_memory_in_output(
                tokens, features[2], seen.points, True, masks, scores, held
            )
            return held["maskmem_features"], held["maskmem_pos_enc"]

        memory = self._saving(memory_of, features[0], high, score)
        seen.out["maskmem_features"], seen.out["maskmem_pos_enc"] = memory
        seen.out |= {"obj_ptr": pointer, "pred_masks": low, "whole": self.asked >= 0}
        kind = "cond_frame_outputs" if prompted else "non_cond_frame_outputs"
        self.memory[kind][t] = seen.out


def _no_points(asked: Tensor) -> Points:
    labels = torch.full_like(asked[:, None], simulate.PADDING, dtype=torch.int32)
    return torch.zeros(len(asked), 1, 2, device=asked.device), labels


def _to_input(points: Points | None, scale: float) -> Points | None:
    return None if points is None else (points[0] * scale, points[1])


def _features_of(network: Any, backbone: Features, rows: Tensor) -> Any:
    """Return the features of slices `rows`, one row an object, as SAM 2 wants them.

    That is tokens ``(places, rows, channels)`` of each level, the positions of the
    coarsest (of the others nobody asks), and the levels' sizes.
    """
    levels = backbone["backbone_fpn"][-network.num_feature_levels :]
    positions = backbone["vision_pos_enc"][-1][:1].expand(len(rows), -1, -1, -1)
    sizes = [(level.shape[-2], level.shape[-1]) for level in levels]
    return [_tokens(level[rows]) for level in levels], [_tokens(positions)], sizes


def _tokens(level: Tensor) -> Tensor:
    return level.flatten(2).permute(2, 0, 1)
