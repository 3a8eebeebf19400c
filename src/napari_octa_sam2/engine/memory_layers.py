"""A layer of SAM 2's memory attention, in parts that can be reused."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from sam2.modeling.sam.transformer import RoPEAttention
from torch import Tensor

from napari_octa_sam2.engine.attention import Run, attend
from napari_octa_sam2.errors import ModelError

Turn = Tensor  # of each cell and pair of channels: a complex number of modulus one


class Layer:
    """One layer, its weights made ready for products in `dtype`.

    What is added up, and the keys that are kept, are projected in float32.

    Parameters
    ----------
    layer : sam2.modeling.memory_attention.MemoryAttentionLayer

    Raises
    ------
    ModelError
        If it is not built as in SAM 2.1.
    """

    @torch.no_grad()
    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        own, cross = layer.self_attn, layer.cross_attn_image
        if not all(
            isinstance(a, RoPEAttention) and a.num_heads == 1 for a in (own, cross)
        ) or (
            layer.pos_enc_at_attn
            or layer.pos_enc_at_cross_attn_queries
            or not layer.pos_enc_at_cross_attn_keys
        ):
            raise ModelError(
                "expected memory attention as in SAM 2.1 (rotary, one head, positions "
                "at the keys alone), found another; use a configuration of the zoo"
            )
        self.dtype = dtype
        self.norms = layer.norm1, layer.norm2, layer.norm3
        ready = partial(_ready, dtype=dtype)
        self.own = [
            ready(a) for a in (own.q_proj, own.k_proj, own.v_proj, own.out_proj)
        ]
        self.query, self.keys = ready(cross.q_proj), cross.k_proj
        self.value, self.out = cross.v_proj, cross.out_proj
        self.wide, self.narrow = ready(layer.linear1), ready(layer.linear2)
        self.activation = layer.activation
        # attention is linear in the values: their projection may follow it
        weight = cross.out_proj.weight @ cross.v_proj.weight
        bias = cross.out_proj.weight @ cross.v_proj.bias + cross.out_proj.bias
        self.joined = weight.to(dtype), bias.to(dtype)

    def look_around(self, x: Tensor, turn: Turn) -> Tensor:
        """Add self-attention to tokens ``(objects, cells, channels)``, float32."""
        seen = self.norms[0](x).to(self.dtype)
        query, key, value, out = self.own
        q, k = (turned(F.linear(seen, *p), turn) for p in (query, key))
        v = F.linear(seen, *value)
        return x + F.linear(_attention(q, k.to(self.dtype), v), *out)

    def remember(self, x: Tensor, runs: Sequence[Sequence[Run]], turn: Turn) -> Tensor:
        """Add attention to what each object remembers."""
        seen = self.norms[1](x).to(self.dtype)
        q = turned(F.linear(seen, *self.query), turn)
        if x.device.type == "cpu":
            found = torch.stack(
                [attend(one, own) for one, own in zip(q, runs, strict=True)]
            )
            return x + F.linear(found.to(self.dtype), *self.joined)
        out: Tensor = self.out(self._fused(q.to(self.dtype), runs).float())
        return x + out

    def think(self, x: Tensor) -> Tensor:
        """Add the feed-forward network."""
        wide = F.linear(self.norms[2](x).to(self.dtype), *self.wide)
        return x + F.linear(self.activation(wide), *self.narrow)

    def _fused(self, q: Tensor, runs: Sequence[Sequence[Run]]) -> Tensor:
        """Attend with the device's own kernel, which wants values as wide as keys."""
        keys = torch.stack([torch.cat([r.keys for r in own]) for own in runs])
        values = torch.stack([torch.cat([r.values for r in own]) for own in runs])
        values = F.linear(
            values, self.value.weight.to(self.dtype), self.value.bias.to(self.dtype)
        )
        mask = None
        if any(run.weight != 1 for run in runs[0]):
            counts = [q.new_full((len(r.keys),), r.weight) for r in runs[0]]
            mask = torch.cat(counts).log()[None]
        found = F.scaled_dot_product_attention(
            q[:, None], keys[:, None], values[:, None], mask
        )
        return found.squeeze(1)


def turned(tokens: Tensor, turn: Turn) -> Tensor:
    """Return tokens ``(..., cells, channels)`` under rotary encoding, float32.

    Source: Su et al., "RoFormer", 2021, along two axes as in SAM 2.
    """
    pairs = torch.view_as_complex(tokens.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn).flatten(-2)


def turn_of(attention: Any, rows: int, cols: int) -> Turn:
    """Return the rotation of each cell of a grid, as an attention of SAM 2 has it."""
    made: Tensor = attention.compute_cis(end_x=cols, end_y=rows)
    return made


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q.to(k.dtype), k, v)
    found = [attend(one, [Run(a, b)]) for one, a, b in zip(q, k, v, strict=True)]
    return torch.stack(found).to(k.dtype)


def _ready(linear: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return linear.weight.to(dtype), linear.bias.to(dtype)
