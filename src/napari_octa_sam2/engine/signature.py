"""What features of slices depend on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
import torch

from napari_octa_sam2 import __version__

BLOCK = 32 * 2**20  # bytes that are read of a volume at a time


def _software() -> str:
    names = ("sam2", version("sam2")), ("torch", torch.__version__)
    return ", ".join(f"{k} {v}" for k, v in (("napari-octa-sam2", __version__), *names))


@dataclass(frozen=True)
class Signature:
    """What features depend on; features of another signature are never met.

    Parameters
    ----------
    volume : str
        `volume_hash` of the volume whose slices these are, cut as they are encoded.
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


def volume_hash(data: np.ndarray) -> str:
    """Return the SHA-256 of the shape, the dtype and every byte of a volume.

    Parameters
    ----------
    data : numpy.ndarray
        Shape ``(depth, slow, fast)``. Or any array that is sliced like one (of zarr,
        dask or h5py): it is read in blocks of slices, 32 MiB of them at most.
    """
    dtype = np.dtype(data.dtype)
    digest = hashlib.sha256(f"{tuple(data.shape)} {dtype.str} ".encode())
    row = max(1, dtype.itemsize * int(np.prod(data.shape[1:], dtype=np.int64)))
    step = max(1, BLOCK // row)
    for start in range(0, data.shape[0], step):
        block = np.ascontiguousarray(data[start : start + step])
        digest.update(block.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
