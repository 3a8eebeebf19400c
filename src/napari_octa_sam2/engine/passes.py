"""The passes of a network over a slice: encode, recall, decode, refine, remember.

A slice is encoded once, and its objects go through the rest together. What is found
comes back; banks stay as they are, but for the keys they keep of their memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.profiler import record_function

from napari_octa_sam2.engine.device import Compute
from napari_octa_sam2.engine.encoder import ready_encoder
from napari_octa_sam2.engine.features import SliceFeatures
from napari_octa_sam2.engine.memory import Interaction, ObjectBank, SliceOutput
from napari_octa_sam2.engine.prompting import (
    Grid,
    mask_input,
    point_input,
    since_restart,
)
from napari_octa_sam2.engine.recall import Recall, recollect
from napari_octa_sam2.engine.sharpen import sharpened
from napari_octa_sam2.model.prompt_encoder import LOGIT_LIMIT
from napari_octa_sam2.model.refinement import Reading, to_square
from napari_octa_sam2.prompts import Prompt

TOGETHER = 16  # objects that go through a pass at a time, where they fit the device
RECALLED_ON_CPU = 1  # one object's attention fills the caches of a CPU
# Decoder and refinement head stay in float32: less precision gains them nothing, and
# whether an object is there, and where thin vessels end, hangs on the last digits.
REDUCED = ("encode", "remember")  # memory attention reduces its products alone


class Passes:
    """A network and its refinement head, ready for a device and precision.

    Parameters
    ----------
    network : sam2.modeling.sam2_base.SAM2Base
    refinement : RefinementHead, optional
    compute : Compute
    pooled : bool
        Whether memory attention runs in its fast mode (`engine.recall`).
    grid : Grid
        The slices.
    """

    def __init__(
        self,
        network: Any,
        refinement: Any,
        compute: Compute,
        grid: Grid,
        *,
        pooled: bool = False,
    ) -> None:
        self.network = network.to(compute.device)
        self.refinement = refinement and refinement.to(compute.device)
        self.compute, self.grid = compute, grid
        if compute.device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32, where it stays float32
        self.together = TOGETHER
        self._recall = Recall(self.network, compute.dtype, pooled=pooled)
        self._encoder = ready_encoder(self.network.image_encoder, compute.dtype)

    @property
    def remembers_refined(self) -> bool:
        """Whether memory is of the masks that the refinement head makes."""
        refined = getattr(self.network, "remembers_refined", False)
        return self.refinement is not None and refined

    def encode(self, image: Tensor) -> SliceFeatures:
        """Return the features of one image ``(1, 3, size, size)``."""
        network, decoder = self.network, self.network.sam_mask_decoder
        with self._stage("encode"):
            image = image.to(self.compute.device, self.compute.dtype)
            levels = self._encoder(image)["backbone_fpn"]
            if network.use_high_res_features_in_sam:
                levels[:2] = decoder.conv_s0(levels[0]), decoder.conv_s1(levels[1])
            levels = levels[-network.num_feature_levels :]
            tokens = [level.flatten(2).permute(2, 0, 1) for level in levels]
        # the neck adds in float32, which would be kept at twice the size
        return SliceFeatures(
            tuple(t.contiguous().to(self.compute.dtype) for t in tokens)
        )

    def read(self, image: Tensor) -> Reading:
        """Return what the refinement head sees in a slice ``(1, 1, slow, fast)``."""
        with self._stage("refine"):
            reading: Reading = self.refinement.read(image.to(self.compute.device))
            return reading

    def answer(
        self,
        features: SliceFeatures,
        bank: ObjectBank,
        before: list[Interaction],
        prompt: Prompt,
    ) -> SliceOutput:
        """Return the output for `prompt`, which follows the interactions `before`.

        On a slice that no propagation has reached, the prompt is answered from the
        slice alone; else memory is attended to, and the mask found so far is refined,
        as SAM 2 does for corrections.
        """
        index = prompt.slice
        previous = before[-1].output if before else bank.followed.get(index)
        if prompt.gives_mask or prompt.absent:
            return self._adopt(features, prompt, previous)
        chain = since_restart([i.prompt for i in before], prompt)
        points = point_input(self.network, chain, self.grid)
        logits = None
        if previous is not None:
            logits = previous.logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
        first = index not in bank.reverse or not bank.prompted
        if first:
            seen = self._without_memory(features)
        else:
            seen = self._seen(features, [bank], index, reverse=bank.reverse[index])
        with self._stage("decode"):
            found = self.network._forward_sam_heads(
                backbone_features=seen,
                point_inputs=points,
                mask_inputs=logits,
                high_res_features=_fine(features, 1),
                multimask_output=self.network._use_multimask(first, points),
            )
        (output,) = _split(found)
        output.whole = chain[0].whole
        if output.whole is None and previous is not None:
            output.whole = previous.whole
        output.clicks = tuple(click for p in chain for click in p.clicks)
        return output

    def follow(
        self,
        features: SliceFeatures,
        banks: Sequence[ObjectBank],
        index: int,
        *,
        reverse: bool,
    ) -> list[SliceOutput]:
        """Return the outputs of objects on a slice where none has prompts."""
        neighbour = index + 1 if reverse else index - 1
        found: dict[ObjectBank, SliceOutput] = {}
        for is_known in (True, False):
            alike = [b for b in banks if (b.output(neighbour) is not None) == is_known]
            for i in range(0, len(alike), self.together):
                chunk = alike[i : i + self.together]
                seen = self._seen(features, chunk, index, reverse=reverse)
                before = [bank.output(neighbour) for bank in chunk]
                with self._stage("decode"):
                    outputs = self._follow(features, seen, before)
                found |= zip(chunk, outputs, strict=True)
        return [found[bank] for bank in banks]

    def remember(
        self,
        features: SliceFeatures,
        outputs: Sequence[SliceOutput],
        shown: Sequence[Tensor] | None = None,
        *,
        from_prompt: bool,
    ) -> None:
        """Encode masks of a slice into memory features, stored in `outputs`.

        Parameters
        ----------
        shown : sequence of Tensor, optional
            What `show` returned, to be remembered instead of the network's own masks.
        """
        network = self.network
        for i in range(0, len(outputs), self.together):
            chunk = outputs[i : i + self.together]
            masks = [output.logits for output in chunk]
            if shown is not None:
                masks = list(shown[i : i + self.together])
                for output, mask in zip(chunk, masks, strict=True):
                    output.remembered = to_square(mask, output.logits.shape[-1])
            square = [to_square(mask, network.image_size) for mask in masks]
            with self._stage("remember"):
                memory, _ = network._encode_new_memory(
                    current_vision_feats=[
                        features.tokens[-1].expand(-1, len(chunk), -1)
                    ],
                    feat_sizes=[features.sizes[-1]],
                    pred_masks_high_res=torch.cat(square),
                    object_score_logits=torch.cat([o.score for o in chunk]),
                    is_mask_from_pts=from_prompt,
                )
            tokens = memory.to(torch.bfloat16).flatten(2).transpose(1, 2)
            for output, own in zip(chunk, tokens, strict=True):
                output.memory = own.contiguous()

    def show(
        self, outputs: Sequence[SliceOutput], reading: Reading | None
    ) -> list[Tensor]:
        """Return logits at the slice's resolution, ``(1, 1, slow, fast)`` each."""
        connected = getattr(self.network, "connected", False)
        with self._stage("refine"):
            return [
                sharpened(o, self.grid, self.refinement, reading, connected=connected)
                for o in outputs
            ]

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        context = self.compute.passes() if name in REDUCED else nullcontext()
        with record_function(name), context:
            yield

    def _adopt(
        self, features: SliceFeatures, prompt: Prompt, previous: SliceOutput | None
    ) -> SliceOutput:
        """Return a mask that is given as the output."""
        size = (self.grid.rows, self.grid.cols)
        mask = prompt.given(size)
        if mask is None:
            mask = np.zeros(size, bool)
        rows, cols = features.sizes[-1]
        with self._stage("decode"):
            found = self.network._use_mask_as_output(
                features.tokens[-1].float().permute(1, 2, 0).unflatten(2, (rows, cols)),
                _fine(features, 1),
                mask_input(self.network, mask),
            )
        (output,) = _split(found)
        if not prompt.absent:
            output.given = mask
            output.whole = None if previous is None else previous.whole
        return output

    def _without_memory(self, features: SliceFeatures) -> Tensor:
        tokens = features.tokens[-1].float() + self.network.no_mem_embed
        maps: Tensor = tokens.permute(1, 2, 0).unflatten(2, features.sizes[-1])
        return maps

    def _seen(
        self,
        features: SliceFeatures,
        banks: Sequence[ObjectBank],
        index: int,
        *,
        reverse: bool,
    ) -> Tensor:
        chosen = [
            recollect(self.network, bank, index, self.grid.slices, reverse=reverse)
            for bank in banks
        ]
        on_cpu = self.compute.device.type == "cpu"
        at_a_time = RECALLED_ON_CPU if on_cpu else self.together
        with record_function("recall"):
            seen = self._recall.read(features, chosen, at_a_time)
        for bank, recollection in zip(banks, chosen, strict=True):
            bank.keep_keys({output for _, output in recollection.memories})
        return seen

    def _follow(
        self,
        features: SliceFeatures,
        seen: Tensor,
        before: Sequence[SliceOutput | None],
    ) -> list[SliceOutput]:
        network = self.network
        fine = _fine(features, len(seen))
        known = [output for output in before if output is not None]
        if hasattr(network, "follow") and len(known) == len(before):
            whole = [output.whole is not None for output in known]
            found = network.follow(
                seen,
                fine,
                torch.cat([output.handed_on for output in known]),
                torch.tensor(whole, device=seen.device),
            )
        else:
            found = network._forward_sam_heads(
                backbone_features=seen,
                high_res_features=fine,
                multimask_output=network._use_multimask(False, None),
            )
        outputs = _split(found)
        for output, earlier in zip(outputs, before, strict=True):
            output.whole = None if earlier is None else earlier.whole
        return outputs


def _fine(features: SliceFeatures, objects: int) -> list[Tensor] | None:
    """Return the finer features as maps, the same for each object."""
    maps = [
        tokens.float().permute(1, 2, 0).unflatten(2, size).expand(objects, -1, -1, -1)
        for tokens, size in zip(features.tokens[:-1], features.sizes[:-1], strict=True)
    ]
    return maps or None


def _split(found: Any) -> list[SliceOutput]:
    """Return the outputs of single objects."""
    _, _, ious, logits, _, pointers, scores = found
    return [
        SliceOutput(
            logits[i : i + 1].clone(),
            pointers[i : i + 1].clone(),
            scores[i : i + 1].clone(),
            float(ious[i].max()),
        )
        for i in range(len(logits))
    ]
