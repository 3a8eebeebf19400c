"""What an object leaves behind on the slices it was prompted on or followed to.

The bank of an object is the state that SAM 2's video predictor would hold for it,
less what the network cannot attend to any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_octa_sam2.prompts import Prompt


@dataclass(eq=False)
class SliceOutput:
    """The network's answer for one object on one slice.

    Parameters
    ----------
    logits : Tensor
        Mask logits on the decoder's grid, shape ``(1, 1, size / 4, size / 4)``.
    pointer : Tensor
        Object pointer, shape ``(1, channels)``.
    score : Tensor
        Object score logit, shape ``(1, 1)``.
    iou : float
        Predicted IoU of the mask, 0 to 1.
    memory : Tensor, optional
        Memory features ``(1, channels, size / 16, size / 16)``, bfloat16 as in
        SAM 2's predictor; None until the slice is remembered.
    memory_position : list of Tensor, optional
        Their position encoding.
    remembered : Tensor, optional
        Logits on the same grid of the refined mask, where the memory is of that.
    clicks : tuple of (row, col, label)
        Those that the answer heeds, in pixels of the slice; label 1 or 0.
    whole : str, optional
        Class that the object is everything of.
    given : numpy.ndarray of bool, optional
        The mask of a mask prompt, shape ``(slow, fast)``.
    """

    logits: Tensor
    pointer: Tensor
    score: Tensor
    iou: float
    memory: Tensor | None = None
    memory_position: list[Tensor] | None = None
    remembered: Tensor | None = None
    clicks: tuple[tuple[float, float, int], ...] = ()
    whole: str | None = None
    given: np.ndarray | None = None

    def as_sam2(self) -> dict[str, Any]:
        """Return the record as ``SAM2Base`` looks it up."""
        memory = self.memory
        return {
            # kept in bfloat16, but attended to in the precision of the pass
            "maskmem_features": None
            if memory is None
            else memory.to(self.logits.dtype),
            "maskmem_pos_enc": self.memory_position,
            "obj_ptr": self.pointer,
            "pred_masks": self.logits if self.remembered is None else self.remembered,
            "whole": self.whole is not None,
        }

    def move(self, device: torch.device) -> None:
        """Move the tensors to `device`, in place."""
        self.logits = self.logits.to(device)
        self.pointer = self.pointer.to(device)
        self.score = self.score.to(device)
        if self.memory is not None:
            self.memory = self.memory.to(device)
        if self.remembered is not None:
            self.remembered = self.remembered.to(device)
        if self.memory_position is not None:
            self.memory_position = [p.to(device) for p in self.memory_position]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        held = [self.logits, self.pointer, self.memory, self.remembered]
        return sum(t.numel() * t.element_size() for t in held if t is not None)


@dataclass(frozen=True, eq=False)
class Interaction:
    """A prompt and the answer to it, given all prompts before it on the slice."""

    prompt: Prompt
    output: SliceOutput


@dataclass(eq=False)
class ObjectBank:
    """Outputs of one object.

    Parameters
    ----------
    prompted : dict of int to SliceOutput
        Slices with prompts, remembered since the last propagation ("conditioning").
    pending : dict of int to SliceOutput
        Slices prompted since then; they join `prompted` when propagation begins.
    followed : dict of int to SliceOutput
        Slices reached by propagation.
    reverse : dict of int to bool
        For each slice visited, whether it was reached towards lower indices.
    interactions : dict of int to list of Interaction
        The prompts of each slice, in order.
    fresh : set of int
        Slices whose output follows from the present prompts.
    """

    prompted: dict[int, SliceOutput] = field(default_factory=dict)
    pending: dict[int, SliceOutput] = field(default_factory=dict)
    followed: dict[int, SliceOutput] = field(default_factory=dict)
    reverse: dict[int, bool] = field(default_factory=dict)
    interactions: dict[int, list[Interaction]] = field(default_factory=dict)
    fresh: set[int] = field(default_factory=set)

    def output(self, index: int) -> SliceOutput | None:
        """Return the newest output on a slice."""
        for held in (self.pending, self.prompted, self.followed):
            if index in held:
                return held[index]
        return None

    def prompted_slices(self) -> list[int]:
        """Return the slices with prompts, in order."""
        return sorted(self.interactions)

    def forget_prompts(self, index: int) -> None:
        """Take a slice's prompts away; what propagation found there is shown again."""
        for held in (self.interactions, self.pending, self.prompted):
            held.pop(index, None)
        if index not in self.followed:
            self.reverse.pop(index, None)

    def as_sam2(self) -> dict[str, dict[int, dict[str, Any]]]:
        """Return what ``SAM2Base`` may attend to."""
        return {
            "cond_frame_outputs": {k: v.as_sam2() for k, v in self.prompted.items()},
            "non_cond_frame_outputs": {
                k: v.as_sam2()
                for k, v in self.followed.items()
                if k not in self.prompted
            },
        }

    def outputs(self) -> Iterator[SliceOutput]:
        """Yield every output held."""
        for held in (self.pending, self.prompted, self.followed):
            yield from held.values()

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(o.nbytes for o in self.outputs())

    def drop_unreachable(self, current: int, reach: int) -> None:
        """Drop followed slices further than `reach` from any anchor.

        Anchors are the current slice and the prompted ones: a pass goes through
        them, and attends to what lies within `reach` of it.
        """
        anchors = [current, *self.interactions]
        for index in list(self.followed):
            if all(abs(index - anchor) > reach for anchor in anchors):
                del self.followed[index]
