"""What features of slices depend on."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version

import torch

from napari_octa_sam2 import __version__


def _software() -> str:
    names = ("sam2", version("sam2")), ("torch", torch.__version__)
    return ", ".join(f"{k} {v}" for k, v in (("napari-octa-sam2", __version__), *names))


@dataclass(frozen=True)
class Signature:
    """What features depend on; features of another signature are never met.

    Parameters
    ----------
    volume : str
        `napari_octa_sam2.volume.identity.volume_hash` of the volume whose slices
        these are, cut as they are encoded.
    model : str
        SHA-256 of the weights.
    input_size : int
        Side of the network's input, in pixels.
    precision : str
        ``"fp32"``, ``"bf16"`` or ``"fp16"``.
    device : str
        Features of another kind of device differ in their last bits.
    software : str
        Versions of this package, of sam2 and of torch.
    """

    volume: str
    model: str
    input_size: int
    precision: str
    device: str = "cpu"
    software: str = field(default_factory=_software)
