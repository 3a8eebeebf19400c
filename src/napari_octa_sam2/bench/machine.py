"""What the figures were measured on, and its peak."""

from __future__ import annotations

import os
import platform
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch

from napari_octa_sam2 import __version__
from napari_octa_sam2.bench.runs import timed
from napari_octa_sam2.engine.device import Compute

FLAGS = (
    *("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_bf16", "amx_int8", "asimd", "bf16", "sve", "i8mm"),
)
# (m, k, n): queries against keys, a square, attention times values
SHAPES = ((4096, 256, 4096), (2048, 2048, 2048), (4096, 4096, 256))
PEAK_REPEATS = 7
_CPUINFO = Path("/proc/cpuinfo")


def describe(compute: Compute) -> dict[str, Any]:
    """Return processor, device, threads and versions, ready for JSON."""
    gpu = torch.cuda.get_device_name() if compute.device.type == "cuda" else None
    return {
        "processor": _cpu_name(),
        "processor_flags": _cpu_flags(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "device": str(compute.device),
        "platform": platform.platform(),
        "versions": {
            "napari-octa-sam2": __version__,
            "torch": torch.__version__,
            "sam2": version("sam2"),
            "python": platform.python_version(),
        },
    }


def matmul_peak(compute: Compute) -> dict[str, float]:
    """Return GFLOP/s of ``torch.mm`` by shape, medians."""
    dtype, device = compute.dtype, compute.device
    found = {}
    with torch.inference_mode():
        for m, k, n in SHAPES:
            one = torch.randn(m, k, dtype=torch.float32).to(device, dtype)
            other = torch.randn(k, n, dtype=torch.float32).to(device, dtype)
            torch.mm(one, other)  # warms up
            seconds = [
                timed(partial(torch.mm, one, other), device)[0]
                for _ in range(PEAK_REPEATS)
            ]
            found[f"{m}x{k}x{n}"] = 2e-9 * m * k * n / median(seconds)
    return found


def _cpu_name() -> str:
    if _CPUINFO.is_file():
        return _cpuinfo().get("model name") or platform.machine()
    return platform.processor() or platform.machine()


def _cpu_flags() -> list[str]:
    found = _cpuinfo() if _CPUINFO.is_file() else {}
    words = (found.get("flags") or found.get("Features") or "").split()
    return [flag for flag in FLAGS if flag in words]


def _cpuinfo() -> dict[str, str]:
    """Return what is said of the first processor."""
    first = _CPUINFO.read_text().partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
