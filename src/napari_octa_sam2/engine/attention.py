"""Attention in blocks, for CPUs.

torch's fused attention gains nothing from bfloat16 on a CPU; matrix products of blocks
that stay in its caches do. The exponentials are taken without the usual subtraction of
each row's largest logit, which the range of float32 and bfloat16 allows; where they
overflow all the same, or all vanish, the rows are done once more with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

QUERIES, KEYS = 1024, 2048  # of a block, whose logits fill the caches of two cores
SMALL = QUERIES * KEYS // 4  # logits of heads that are done many at a time


@dataclass(frozen=True, eq=False)
class Run:
    """Keys with their values, of which each counts `weight` times.

    Parameters
    ----------
    keys : Tensor
        Shape ``(n, channels)``.
    values : Tensor
        Shape ``(n, value channels)``.
    weight : float
    """

    keys: Tensor
    values: Tensor
    weight: float = 1.0


def attend(queries: Tensor, runs: Sequence[Run]) -> Tensor:
    """Return ``softmax(queries keys^T / sqrt(channels)) values`` over all runs.

    Parameters
    ----------
    queries : Tensor
        Shape ``(n, channels)``; the products are taken in the dtype of the keys.

    Returns
    -------
    Tensor
        float32, shape ``(n, value channels)``.
    """
    scaled = queries.float() * (math.log2(math.e) / math.sqrt(queries.shape[-1]))
    scaled = scaled.to(runs[0].keys.dtype)
    total, mass = _sums(scaled, runs, None)
    if not _sound(mass):
        total, mass = _sums(scaled, runs, _largest(scaled, runs))
    return total / mass


def blocked_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return what ``F.scaled_dot_product_attention`` does, block by block.

    Shapes ``(..., n, channels)``, with the same leading dimensions.
    """
    lead, rows = queries.shape[:-2], queries.shape[-2]
    q, k, v = (t.reshape(-1, *t.shape[-2:]) for t in (queries, keys, values))
    out = q.new_empty(len(q), rows, v.shape[-1])
    logits = rows * k.shape[1]
    if logits > SMALL:
        for head in range(len(q)):
            out[head] = attend(q[head], [Run(k[head], v[head])])
        return out.view(*lead, rows, -1)
    step = max(1, SMALL // logits)
    q = q * (math.log2(math.e) / math.sqrt(q.shape[-1]))
    for i in range(0, len(q), step):
        p = torch.bmm(q[i : i + step], k[i : i + step].transpose(1, 2)).exp2_()
        mass = p.sum(-1, keepdim=True)
        if not _sound(mass):
            return F.scaled_dot_product_attention(queries, keys, values)
        out[i : i + step] = torch.bmm(p, v[i : i + step]).div_(mass)
    return out.view(*lead, rows, -1)


class BlockedAttention(TorchFunctionMode):
    """Context in which every plain attention of a network is `blocked_attention`."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Answer one call of a function of torch."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and _is_plain(args, kwargs):
            return blocked_attention(*args)
        return func(*args, **kwargs)


def _is_plain(args: Any, kwargs: Any) -> bool:
    """Whether there is neither a mask nor dropout."""
    return (
        len(args) == 3 and not kwargs.get("dropout_p") and set(kwargs) <= {"dropout_p"}
    )


def _sums(
    queries: Tensor, runs: Sequence[Run], shift: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the weighted sum of the values, and of the weights, of each query."""
    total = torch.zeros(len(queries), runs[0].values.shape[-1], device=queries.device)
    mass = torch.zeros(len(queries), 1, device=queries.device)
    for run, keys, values in _blocks(runs):
        for i in range(0, len(queries), QUERIES):
            p = queries[i : i + QUERIES] @ keys
            if shift is not None:
                p -= shift[i : i + QUERIES]
            p.exp2_()
            total[i : i + QUERIES].add_(p @ values, alpha=run.weight)
            # added up in float32 inside; asking for that type would copy the block
            mass[i : i + QUERIES].add_(p.sum(-1, keepdim=True), alpha=run.weight)
    return total, mass


def _largest(queries: Tensor, runs: Sequence[Run]) -> Tensor:
    """Return the largest logit of each query, shape ``(n, 1)``."""
    largest = [
        torch.cat(
            [
                (queries[i : i + QUERIES] @ keys).amax(-1, keepdim=True)
                for i in range(0, len(queries), QUERIES)
            ]
        )
        for _, keys, _ in _blocks(runs)
    ]
    return torch.stack(largest).amax(0)


def _blocks(runs: Sequence[Run]) -> Any:
    for run in runs:
        for j in range(0, len(run.keys), KEYS):
            yield run, run.keys[j : j + KEYS].t(), run.values[j : j + KEYS]


def _sound(mass: Tensor) -> bool:
    return bool(torch.isfinite(mass).all() and (mass > 0).all())
