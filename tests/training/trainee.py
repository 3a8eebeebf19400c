"""What a child process trains: imported ahead by the server that forks it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import accelerate  # noqa: F401
import torch
import torch.utils.tensorboard

from napari_octa_sam2.model.adapters import attach
from napari_octa_sam2.model.adapters.config import AdapterConfig
from napari_octa_sam2.model.loading import build_network
from napari_octa_sam2.training import checkpoint
from napari_octa_sam2.training.run import train

attach(build_network("octa-nano.yaml", input_size=64), AdapterConfig("lora"))


def run(
    folder: str,
    dies_at: int = 0,
    written: float = 1.0,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Train, and be killed once a share of checkpoint number `dies_at` is written."""
    os.environ.update(variables or {})
    torch.set_num_threads(1)
    # as from a shell: what prepares clips ends with the process that it is of
    multiprocessing.set_start_method("fork", force=True)
    write_whole, count = checkpoint.write_whole, 0

    def deadly(file: Path, content: bytes) -> None:
        nonlocal count
        count += 1
        if count == dies_at and written < 1:
            part = file.with_name(file.name + ".part")
            part.write_bytes(content[: int(written * len(content))])
            os.kill(os.getpid(), signal.SIGKILL)
        write_whole(file, content)
        if count == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.write_whole = deadly  # type: ignore[assignment]
    for _ in train(folder):
        pass
