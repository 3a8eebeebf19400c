"""Seconds and floating-point operations of the stages of a slice.

The engine marks its stages with ``torch.profiler.record_function``; of stock SAM 2 the
modules are watched. Operations are those of
``torch.utils.flop_counter.FlopCounterMode``: multiplications and additions of matrix
products, convolutions and attention, two a multiply-add.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from napari_octa_sam2.bench.runs import synchronise

STAGES = ("encode", "recall", "decode", "remember", "refine")


class Meter:
    """Sums up how far a counter goes within each stage."""

    def __init__(self, read: Callable[[], float]) -> None:
        self.totals: dict[str, float] = defaultdict(float)
        self._read = read
        self._begun: dict[str, float] = {}

    def begin(self, stage: str) -> None:
        """Enter a stage."""
        self._begun[stage] = self._read()

    def end(self, stage: str) -> None:
        """Leave it."""
        self.totals[stage] += self._read() - self._begun.pop(stage)


def clock(device: torch.device) -> Meter:
    """Return a meter of seconds."""

    def read() -> float:
        synchronise(device)
        return time.perf_counter()

    return Meter(read)


@contextmanager
def watched(modules: Mapping[str, torch.nn.Module], meter: Meter) -> Iterator[None]:
    """Let a meter run while the module of a stage does."""
    hooks = []
    for stage, module in modules.items():
        hooks += [
            module.register_forward_pre_hook(lambda *_, s=stage: meter.begin(s)),
            module.register_forward_hook(lambda *_, s=stage: meter.end(s)),
        ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class Marks(TorchDispatchMode):
    """Lets a meter run between the marks of ``record_function``."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._meter = meter
        self._open: list[str] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation; look at those that begin and end a mark."""
        if func is torch.ops.profiler._record_function_enter_new.default:
            self._open.append(args[0])
            if args[0] in STAGES:
                self._meter.begin(args[0])
        elif func is torch.ops.profiler._record_function_exit._RecordFunction:
            name = self._open.pop()
            if name in STAGES:
                self._meter.end(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def counted() -> Iterator[Meter]:
    """Yield a meter of the floating-point operations within."""
    counter = FlopCounterMode(display=False, custom_mapping=_ATTENTION)
    with counter:
        yield Meter(lambda: float(counter.get_total_flops()))


def marked_flops(work: Callable[[], object]) -> dict[str, float]:
    """Return the operations of each marked stage of `work`."""
    with counted() as meter, Marks(meter):
        work()
    return dict(meter.totals)


def marked_seconds(
    work: Callable[[], object], device: torch.device
) -> dict[str, float]:
    """Return the seconds of each marked stage of `work`, by torch's profiler.

    On CUDA they are those that the device was busy.
    """
    # else the profiler's library writes to stderr when it starts
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
    with profile(activities=activities) as profiler:
        work()
        synchronise(device)
    seconds: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        if event.key in STAGES and event.device_type.name == "CPU":
            spent = event.device_time_total if on_gpu else event.cpu_time_total
            seconds[event.key] += spent / 1e6
    return dict(seconds)


def _attention_flops(
    query: Any, key: Any, value: Any, *args: Any, **kwargs: Any
) -> int:
    """Return the operations of q·kᵀ and of the product with the values."""
    *batch, queries, channels = query
    heads: int = torch.Size(batch).numel()
    return int(2 * heads * queries * key[-2] * (channels + value[-1]))


# what FlopCounterMode leaves out: attention on a CPU
_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops
}
