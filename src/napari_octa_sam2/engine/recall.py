"""Memory attention: a slice's features, seen in the light of what is remembered.

The same numbers as SAM 2's own module gives, with less work: an object's first
self-attention is that of every other object; keys of a past slice are projected and
turned once; the values' projection comes after the weighted sum, which then has as
many channels as the memory and not as many as the features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_utils import get_1d_sine_pe, select_closest_cond_frames
from torch import Tensor

from napari_octa_sam2.engine.attention import Run
from napari_octa_sam2.engine.features import SliceFeatures
from napari_octa_sam2.engine.memory import ObjectBank, SliceOutput
from napari_octa_sam2.engine.memory_layers import Layer, turn_of, turned

POOL = 2  # cells of memory that the fast mode joins, along each axis


@dataclass(frozen=True)
class Recollection:
    """What one object attends to on a slice.

    Parameters
    ----------
    memories : sequence of (int, SliceOutput)
        Place in time, 0 for prompted slices, and what was found there.
    pointers : sequence of (int, SliceOutput)
        Slices that way back, and what was found there.
    farthest : int
        Slices that a pointer may be back.
    """

    memories: Sequence[tuple[int, SliceOutput]]
    pointers: Sequence[tuple[int, SliceOutput]]
    farthest: int

    @property
    def size(self) -> tuple[int, int]:
        """Numbers of memories and of pointers."""
        return len(self.memories), len(self.pointers)


def recollect(
    network: Any, bank: ObjectBank, index: int, slices: int, *, reverse: bool
) -> Recollection:
    """Choose what an object attends to on slice `index`, as SAM 2 does.

    The prompted slices, the latest of the others before it, and the object pointers of
    a few more. "Before" is in the direction of the pass.

    Parameters
    ----------
    slices : int
        Slices of the volume.
    """
    chosen, others = select_closest_cond_frames(
        index, bank.prompted, network.max_cond_frames_in_attn
    )
    sign = -1 if reverse else 1

    def found(t: int) -> SliceOutput | None:
        if t in bank.followed and t not in bank.prompted:
            return bank.followed[t]
        held: SliceOutput | None = others.get(t)
        return held

    memories = [(0, output) for output in chosen.values()]
    for place in range(1, network.num_maskmem):
        output = found(index - sign * (network.num_maskmem - place))
        if output is not None:
            memories.append((place, output))
    pointers = []
    for t, output in chosen.items():
        back = (index - t) * sign
        if back >= 0 or not network.only_obj_ptrs_in_the_past_for_eval:
            signed = network.use_signed_tpos_enc_to_obj_ptrs
            pointers.append((back if signed else abs(back), output))
    farthest = max(1, min(slices, network.max_obj_ptrs_in_encoder) - 1)
    for back in range(1, farthest + 1):
        output = found(index - sign * back)
        if output is not None:
            pointers.append((back, output))
    return Recollection(memories, pointers, farthest)


class Recall:
    """Memory attention of a network, with its weights made ready for one precision.

    Parameters
    ----------
    network : sam2.modeling.sam2_base.SAM2Base
    dtype : torch.dtype
        Of the matrix products; what is added up stays float32.
    pooled : bool
        The fast mode: 2 x 2 cells of memory are joined to one key (Xiong et al.,
        "Efficient Track Anything", 2024). Masks differ a little.

    Raises
    ------
    ModelError
        If the network's memory attention is not built as in SAM 2.
    """

    def __init__(self, network: Any, dtype: torch.dtype, *, pooled: bool) -> None:
        self.network, self.dtype, self.pooled = network, dtype, pooled
        self.layers = [Layer(layer, dtype) for layer in network.memory_attention.layers]
        self._grids: dict[tuple[int, int], _Grid] = {}

    def read(
        self,
        features: SliceFeatures,
        recollections: Sequence[Recollection],
        at_a_time: int,
    ) -> Tensor:
        """Return the features of a slice as each object sees them.

        Parameters
        ----------
        features : SliceFeatures
        recollections : sequence of Recollection
            One for each object.
        at_a_time : int
            Objects that go through the layers together, where they remember equally
            much.

        Returns
        -------
        Tensor
            float32, shape ``(objects, channels, rows, columns)``.
        """
        rows, cols = features.sizes[-1]
        grid = self._grid(rows, cols)
        stream = features.tokens[-1][:, 0].float()
        if self.network.memory_attention.pos_enc_at_input:
            stream = stream + 0.1 * grid.place
        stream = self.layers[0].look_around(stream[None], grid.turn)
        out = stream.new_empty(len(recollections), stream.shape[-1], rows, cols)
        sizes = [(r.size, i) for i, r in enumerate(recollections)]
        for _, alike in groupby(sorted(sizes), key=lambda pair: pair[0]):
            members = [i for _, i in alike]
            for first in range(0, len(members), at_a_time):
                chunk = members[first : first + at_a_time]
                found = self._through(stream, [recollections[i] for i in chunk], grid)
                out[chunk] = found.transpose(1, 2).unflatten(2, (rows, cols))
        return out

    def _through(
        self, stream: Tensor, recollections: Sequence[Recollection], grid: _Grid
    ) -> Tensor:
        """Return tokens ``(objects, cells, channels)`` that went through all layers."""
        x = stream.expand(len(recollections), -1, -1)
        for number, layer in enumerate(self.layers):
            if number:
                x = layer.look_around(x, grid.turn)
            runs = [self._runs(number, r, grid) for r in recollections]
            x = layer.think(layer.remember(x, runs, grid.turn))
        normed: Tensor = self.network.memory_attention.norm(x)
        return normed

    def _runs(self, number: int, recollection: Recollection, grid: _Grid) -> list[Run]:
        weight = float(POOL**2) if self.pooled else 1.0
        runs = []
        for place, output in recollection.memories:
            keys, values = self._kept(output, grid)
            moved = keys[number] + self._shift(place, grid)[number]
            runs.append(Run(moved, values, weight))
        if recollection.pointers:
            tokens, position = self._pointers(recollection)
            keys = self.layers[number].keys(tokens + position)
            runs.append(Run(keys.to(self.dtype), tokens.to(self.dtype)))
        return runs

    def _kept(self, output: SliceOutput, grid: _Grid) -> tuple[list[Tensor], Tensor]:
        """Return a memory's keys for each layer, whatever its age, and its values."""
        if output.keys is None:
            assert output.memory is not None
            tokens = output.memory.float()
            placed = tokens + grid.position
            keys = [
                self._joined(turned(layer.keys(placed), grid.turn), grid)
                for layer in self.layers
            ]
            output.keys = keys, self._joined(tokens, grid)
        return output.keys

    def _shift(self, place: int, grid: _Grid) -> list[Tensor]:
        """Return what a memory's place in time adds to the keys of each layer.

        Keys are linear in it, so that those of a memory are made once.
        """
        if place not in grid.shifts:
            code = self.network.maskmem_tpos_enc[self.network.num_maskmem - place - 1]
            grid.shifts[place] = []
            for layer in self.layers:
                added = F.linear(code[0], layer.keys.weight)
                moved = turned(added.expand(len(grid.position), -1), grid.turn)
                grid.shifts[place].append(self._joined(moved, grid))
        return grid.shifts[place]

    def _joined(self, tokens: Tensor, grid: _Grid) -> Tensor:
        if self.pooled:
            cells = tokens.T.unflatten(1, grid.size)[None]
            tokens = F.avg_pool2d(cells, POOL)[0].flatten(1).T.contiguous()
        return tokens.to(self.dtype)

    def _pointers(self, recollection: Recollection) -> tuple[Tensor, Tensor]:
        """Return object pointers as tokens of the memory, and their places in time."""
        network = self.network
        pointers = torch.cat([output.pointer for _, output in recollection.pointers])
        tokens = pointers.float().reshape(-1, network.mem_dim)
        if not network.add_tpos_enc_to_obj_ptrs:
            return tokens, torch.zeros_like(tokens)
        back = torch.tensor([b for b, _ in recollection.pointers], device=tokens.device)
        projected = network.proj_tpos_enc_in_obj_ptrs
        wide = network.hidden_dim if projected else network.mem_dim
        code = get_1d_sine_pe(back / recollection.farthest, dim=wide)
        position = network.obj_ptr_tpos_proj(code)
        return tokens, position.repeat_interleave(len(tokens) // len(pointers), dim=0)

    def _grid(self, rows: int, cols: int) -> _Grid:
        if (rows, cols) not in self._grids:
            network = self.network
            blank = network.maskmem_tpos_enc.new_zeros(1, 1, rows, cols)
            place, position = (
                encoding(blank)[0].flatten(1).T
                for encoding in (
                    network.image_encoder.neck.position_encoding,
                    network.memory_encoder.position_encoding,
                )
            )
            attention = network.memory_attention.layers[0].self_attn
            turn = turn_of(attention, rows, cols).to(blank.device)
            self._grids[rows, cols] = _Grid((rows, cols), place, position, turn)
        return self._grids[rows, cols]


@dataclass(frozen=True, eq=False)
class _Grid:
    """What is the same for every slice.

    Parameters
    ----------
    size : (int, int)
        Rows and columns.
    place, position : Tensor
        Position encodings of features and of memory, shape ``(cells, channels)``.
    turn : Tensor
        Rotation of each cell, for rotary encoding.
    shifts : dict of int to list of Tensor
        What a place in time adds to the keys of each layer.
    """

    size: tuple[int, int]
    place: Tensor
    position: Tensor
    turn: Tensor
    shifts: dict[int, list[Tensor]] = field(default_factory=dict)
