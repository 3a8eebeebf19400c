"""The Zarr groups of a feature store: one a signature, one chunk a slice and tensor."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from zarr.codecs import Crc32cCodec

_KEY = "napari_octa_sam2_features"
_GROUP = re.compile(r"features-[0-9a-f]{32}(\.[0-9a-f]{32})?\.zarr")
_PRESENT = 1 << 32

Layout = list[dict[str, Any]]


@dataclass(frozen=True)
class Arrays:
    """The arrays of an open group."""

    layout: Layout
    tensors: list[Any]
    checksums: Any

    def checksum(self, index: int) -> int:
        """Return what was written last of a slice; 0 if nothing was."""
        return int(self.checksums[index])

    def values(self, index: int) -> list[np.ndarray]:
        """Return the tensors of a slice as they are stored."""
        return [np.asarray(array[index]) for array in self.tensors]


def build(path: Path, header: dict[str, Any]) -> None:
    """Write an empty group with the arrays that its header announces."""
    slices = header["slices"]
    group = zarr.create_group(path, zarr_format=3, attributes={_KEY: header})

    def add(name: str, shape: list[int], dtype: str, said: dict[str, Any]) -> None:
        group.create_array(
            name,
            shape=(slices, *shape),
            chunks=(1, *shape),
            dtype=dtype,
            fill_value=0,
            filters=None,
            compressors=[Crc32cCodec()],
            attributes=said,
        )

    for i, tensor in enumerate(header["tensors"]):
        said = {"dtype": tensor["dtype"], "stored_as": _stored(tensor["dtype"])}
        add(f"tensor{i}", tensor["shape"], said["stored_as"], said)
    add("checksums", [], "uint64", {})


def open_group(path: Path, expected: dict[str, Any]) -> Arrays:
    """Open a group; an error of any kind if it is not as `expected`."""
    group: Any = zarr.open_group(path, mode="r+", zarr_format=3)
    header = group.attrs[_KEY]
    for key, value in expected.items():
        if header.get(key) != value:
            raise ValueError(f"another {key}")
    layout = header["tensors"]
    arrays = Arrays(
        layout, [group[f"tensor{i}"] for i in range(len(layout))], group["checksums"]
    )
    for array, tensor in zip(arrays.tensors, layout, strict=True):
        shape = (expected["slices"], *tensor["shape"])
        if array.shape != shape or array.dtype != _stored(tensor["dtype"]):
            raise ValueError("arrays other than announced")
    return arrays


def _stored(dtype: str) -> str:
    return "uint16" if dtype == "bfloat16" else dtype


def as_values(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor as it is stored."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(np.uint16)
    return tensor.numpy()


def as_tensor(values: np.ndarray, said: dict[str, Any]) -> torch.Tensor:
    """Return what was stored as the tensor that it was, as `said` in the layout."""
    if said["dtype"] == "bfloat16":
        return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(values)


def checksum_of(layout: Layout, values: Sequence[np.ndarray]) -> int:
    """Return the CRC-32 of a slice, with a bit that tells it from an absent one."""
    checksum = zlib.crc32(json.dumps(layout, sort_keys=True).encode())
    for value in values:
        checksum = zlib.crc32(np.ascontiguousarray(value).data, checksum)
    return checksum | _PRESENT


def evict(folder: Path, keep: Path, limit: int) -> int:
    """Delete groups used longest ago, down to `limit` bytes; return what is left."""
    sizes = {path: _size(path) for path in _groups(folder)}
    total = sum(sizes.values())
    for path in sorted(sizes.keys() - {keep}, key=_last_used):
        if total <= limit:
            break
        with suppress(OSError):
            discard(path)
            total -= sizes[path]
    return total


def _groups(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if _GROUP.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            yield path


def _size(path: Path) -> int:
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def sibling(path: Path) -> Path:
    """Return a new name in the same folder, still known as this cache's own."""
    return path.with_name(f"{path.name.split('.')[0]}.{uuid.uuid4().hex}.zarr")


def discard(path: Path) -> None:
    """Delete a group, in one step as others see it."""
    doomed = sibling(path)
    path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
