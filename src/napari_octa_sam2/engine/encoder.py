"""The image encoder, less what it computes anew for every slice."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn


def ready_encoder(encoder: Any, dtype: torch.dtype) -> Any:
    """Return an image encoder of SAM 2 whose weights are of `dtype`.

    The one given stays as it is, and shares its weights if they are of `dtype`
    already: converting them once is cheaper than at every pass, as autocast would. The
    trunk's position encoding is kept, and that of the levels left out: it says the same
    of every slice, and of most levels nobody asks.
    """
    if next(encoder.parameters()).dtype == dtype:
        ready = _twin(encoder)
        ready.trunk, ready.neck = _twin(ready.trunk), _twin(ready.neck)
    else:
        ready = copy.deepcopy(encoder).to(dtype)
    ready.neck.position_encoding = _NoPosition()
    ready.trunk._get_pos_embed = cache(ready.trunk._get_pos_embed)
    return ready


class _NoPosition(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.new_empty(len(x), 0, *x.shape[-2:])


def _twin(module: Any) -> Any:
    """Return a module with the same parameters and parts, which can be changed."""
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin
