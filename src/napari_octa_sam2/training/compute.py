"""How passes are computed: precision, kernels of attention, worker processes."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def precision_of(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which passes are of a precision."""
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device.type, kind, enabled=kind is not None)


def attention_on(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Return the context with the kernels of attention that suit a device."""
    if device.type == "cpu" and precision == "bf16":
        # on a CPU the backward pass of the fused kernel is the slower one in bfloat16
        return sdpa_kernel([SDPBackend.MATH])
    kernels = set(SDPBackend.__members__.values()) - {SDPBackend.ERROR}
    return sdpa_kernel(list(kernels))


def workers_context() -> str | None:
    """Return how workers start: forked ones end with a process that is killed."""
    return "fork" if sys.platform == "linux" else None
