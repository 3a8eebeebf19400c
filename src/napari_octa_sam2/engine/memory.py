"""What an object leaves behind on the slices it was prompted on or followed to.

The bank of an object is the state that SAM 2's video predictor would hold for it,
less what the network cannot attend to any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

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
        Memory features ``(cells, channels)``, bfloat16 as in SAM 2's predictor; None
        until the slice is remembered.
    keys : tuple, optional
        Keys that memory attention made of them, for each layer, and values.
    remembered : Tensor, optional
        Logits on the same grid of the refined mask, where the memory is of that.
    clicks : tuple of (row, col, label)
        Those that the answer heeds, in pixels of the slice; label 1 or 0.
    whole : str, optional
        Class that the object is everything of.
    given : numpy.ndarray of bool, optional
        The mask of a mask or polygon prompt, shape ``(slow, fast)``.
    """

    logits: Tensor
    pointer: Tensor
    score: Tensor
    iou: float
    memory: Tensor | None = None
    keys: tuple[list[Tensor], Tensor] | None = None
    remembered: Tensor | None = None
    clicks: tuple[tuple[float, float, int], ...] = ()
    whole: str | None = None
    given: np.ndarray | None = None

    @property
    def handed_on(self) -> Tensor:
        """Logits of the mask that is remembered, on the decoder's grid."""
        return self.logits if self.remembered is None else self.remembered

    def move(self, device: torch.device) -> None:
        """Move the tensors to `device`, in place."""
        self.logits = self.logits.to(device)
        self.pointer = self.pointer.to(device)
        self.score = self.score.to(device)
        if self.memory is not None:
            self.memory = self.memory.to(device)
        if self.remembered is not None:
            self.remembered = self.remembered.to(device)
        self.keys = None

    @property
    def nbytes(self) -> int:
        """Bytes held, without those of the keys."""
        held = [self.logits, self.pointer, self.memory, self.remembered]
        return sum(t.nbytes for t in held if t is not None)

    @property
    def key_nbytes(self) -> int:
        """Bytes of the keys."""
        if self.keys is None:
            return 0
        return self.keys[1].nbytes + sum(k.nbytes for k in self.keys[0])


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
    outdated : set of int
        Slices whose output followed from the prompts before the last edits.
    edited : set of int
        Slices whose prompts were edited since the last propagation.
    """

    prompted: dict[int, SliceOutput] = field(default_factory=dict)
    pending: dict[int, SliceOutput] = field(default_factory=dict)
    followed: dict[int, SliceOutput] = field(default_factory=dict)
    reverse: dict[int, bool] = field(default_factory=dict)
    interactions: dict[int, list[Interaction]] = field(default_factory=dict)
    fresh: set[int] = field(default_factory=set)
    outdated: set[int] = field(default_factory=set)
    edited: set[int] = field(default_factory=set)
    keyed: set[SliceOutput] = field(default_factory=set)  # whose keys are kept

    def output(self, index: int) -> SliceOutput | None:
        """Return the newest output on a slice."""
        for held in (self.pending, self.prompted, self.followed):
            if index in held:
                return held[index]
        return None

    def prompted_slices(self) -> list[int]:
        """Return the slices with prompts, in order."""
        return sorted(self.interactions)

    def edit(self, index: int) -> None:
        """Note that the prompts of a slice are others: what followed is outdated."""
        self.outdated |= self.fresh
        self.fresh.clear()
        self.edited.add(index)

    @property
    def is_corrected(self) -> bool:
        """Whether prompts were edited after a propagation had used those before."""
        return bool(self.edited and self.outdated)

    def finish(self, edited: set[int]) -> None:
        """Note the end of a propagation that began with these slices `edited`."""
        self.outdated -= self.fresh
        self.edited -= edited

    def ends_before(self, index: int) -> bool:
        """Whether the annotator marked the object absent all around a slice.

        That is on the nearest prompted slice of either side, where there is one.
        """
        prompted = self.prompted_slices()
        nearest = {
            max((i for i in prompted if i <= index), default=prompted[0]),
            min((i for i in prompted if i >= index), default=prompted[-1]),
        }
        return all(self.interactions[i][-1].prompt.absent for i in nearest)

    def is_certain(self, index: int) -> bool:
        """Whether the mask of a slice was given, and that before the last edits."""
        if index not in self.interactions or index in self.edited:
            return False
        return self.interactions[index][-1].prompt.gives_mask

    def forget_prompts(self, index: int) -> None:
        """Take a slice's prompts away; what propagation found there is shown again."""
        for held in (self.interactions, self.pending, self.prompted):
            held.pop(index, None)
        if index not in self.followed:
            self.reverse.pop(index, None)

    def outputs(self) -> Iterator[SliceOutput]:
        """Yield every output held."""
        for held in (self.pending, self.prompted, self.followed):
            yield from held.values()

    @property
    def nbytes(self) -> int:
        """Bytes held, without those of the keys."""
        return sum(o.nbytes for o in self.outputs())

    @property
    def key_nbytes(self) -> int:
        """Bytes of the keys."""
        return sum(o.key_nbytes for o in self.keyed)

    def keep_keys(self, outputs: set[SliceOutput]) -> None:
        """Keep the keys of `outputs` alone."""
        for output in self.keyed - outputs:
            output.keys = None
        self.keyed = outputs

    def drop_unreachable(self, current: int, reach: int) -> None:
        """Drop followed slices further than `reach` from any anchor.

        Anchors are the current slice and the prompted ones: a pass goes through
        them, and attends to what lies within `reach` of it.
        """
        anchors = [current, *self.interactions]
        for index in list(self.followed):
            if all(abs(index - anchor) > reach for anchor in anchors):
                del self.followed[index]
