"""Whether this machine's CPU is faster in bfloat16: measured once, and kept."""

from __future__ import annotations

import contextlib
import json
import platform
import statistics
import time
from functools import cache
from pathlib import Path

import torch

from napari_octa_sam2.model.download import cache_folder

FASTER = 1.5  # times, from which on less precision is worth it
SHAPE = (1024, 256, 1024)  # of a product as attention has them
REPEATS = 7


@cache
def is_bf16_faster() -> bool:
    """Return whether products of matrices are much faster in bfloat16.

    CPUs without units for it emulate it, slowly. The answer is kept in the cache
    folder, so that a busy machine gives the same masks as an idle one.
    """
    key = f"{_machine()}, torch {torch.__version__}"
    file = cache_folder() / "bf16_speed.json"
    known = _read(file)
    if key not in known:
        known[key] = round(bf16_speed(), 2)
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(".part")
            partial.write_text(json.dumps(known, indent=1))
            partial.replace(file)
    return known[key] > FASTER


def bf16_speed() -> float:
    """Return how many times faster a matrix product is in bfloat16, interleaved."""
    rows, inner, cols = SHAPE
    a, b = torch.ones(rows, inner), torch.ones(inner, cols)
    pairs = [(a, b), (a.bfloat16(), b.bfloat16())]
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPEATS):
        for (left, right), times in zip(pairs, seconds, strict=True):
            began = time.perf_counter()
            torch.mm(left, right)
            times.append(time.perf_counter() - began)
    full, half = (statistics.median(times[1:]) for times in seconds)
    return full / half


def _read(file: Path) -> dict[str, float]:
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(file.read_text())
        if isinstance(known, dict):
            return {k: v for k, v in known.items() if isinstance(v, float)}
    return {}


def _machine() -> str:
    return f"{platform.node()} {torch.backends.cpu.get_cpu_capability()}"
