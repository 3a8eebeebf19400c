"""Which device and precision a network runs on, and its memory."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from napari_octa_sam2.engine.attention import BlockedAttention
from napari_octa_sam2.engine.options import PRECISIONS
from napari_octa_sam2.engine.probe import is_bf16_faster
from napari_octa_sam2.errors import ModelError

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """A device and the precision of the forward pass."""

    device: torch.device
    precision: str

    @property
    def dtype(self) -> torch.dtype:
        """Type of the numbers that matrix products take."""
        return _DTYPES[self.precision]

    @contextmanager
    def passes(self) -> Iterator[None]:
        """Enter the context of a forward pass; do so in the thread that runs it."""
        with ExitStack() as stack:
            if self.precision != "fp32":
                stack.enter_context(torch.autocast(self.device.type, self.dtype))
                if self.device.type == "cpu":
                    stack.enter_context(BlockedAttention())
            yield


def available_devices() -> list[str]:
    """Return the devices of this machine, the fastest first."""
    devices = []
    if torch.cuda.is_available():
        devices.append("cuda")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


def choose_compute(device: str = "auto", precision: str = "auto") -> Compute:
    """Return the device and precision to run on.

    ``"auto"`` takes CUDA, then MPS, then the CPU; bfloat16 on CUDA devices that have
    it and on CPUs where it is faster, float16 on older CUDA devices, float32 elsewhere.

    Raises
    ------
    ModelError
        If the device is not there, or the precision is unknown.
    """
    found = available_devices()
    kind = found[0] if device == "auto" else torch.device(device).type
    if kind not in found:
        raise ModelError(
            f"expected a device of {', '.join(['auto', *found])} on this machine, "
            f"found {device!r}"
        )
    if precision not in PRECISIONS:
        raise ModelError(
            f"expected a precision of {', '.join(PRECISIONS)}, found {precision!r}"
        )
    if precision == "auto":
        precision = "fp32"
        if kind == "cuda":
            precision = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        elif kind == "cpu" and is_bf16_faster():
            precision = "bf16"
    return Compute(torch.device(kind if device == "auto" else device), precision)


def compute_for(network: Any, device: str, precision: str) -> Compute:
    """Return `choose_compute`, where ``"auto"`` is what a network prefers, if it does.

    Raises
    ------
    ModelError
        As `choose_compute`.
    """
    if precision == "auto":
        precision = getattr(network, "precision", precision)
    return choose_compute(device, precision)


def release_memory(device: torch.device) -> None:
    """Give cached memory of `device` back after an out-of-memory error."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def return_free_memory() -> None:
    """Give pages of the heap that nothing lies on back to the system.

    glibc before 2.38 fills gaps between aligned blocks badly (its bug 14581): without
    this, a heap that holds as much after every slice as before grows all the same.
    """
    if trim := _trim():
        trim(0)


@cache
def _trim() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)  # other libraries lack it
