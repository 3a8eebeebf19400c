"""Features of slices on disk: a cache that may be lost, but is never wrong.

Below one folder lies a Zarr v3 group for every `Signature`: an array ``tensor<i>`` for
every tensor, a chunk for every slice of it with its CRC-32C, and an array ``checksums``
with one number a slice, written last. A slice counts only if that number is there and
fits what its chunks say together: a chunk that is lost would else read as zeros, and
chunks of two writers as one slice. So nothing depends on the order in which a crash,
a full disk or another process leaves the files.

Chunks are not compressed: Zstandard takes a fifth off normally distributed bfloat16
values, at several times the cost of writing them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
import uuid
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from zarr.codecs import Crc32cCodec

from napari_octa_sam2 import __version__
from napari_octa_sam2.engine.feature_cache import Tensors

FORMAT = 1
BUDGET = 4 * 2**30
_KEY = "napari_octa_sam2_features"
_GROUP = re.compile(r"features-[0-9a-f]{32}(\.[0-9a-f]{32})?\.zarr")
_BLOCK = 32 * 2**20
_PRESENT = 1 << 32

Layout = list[dict[str, Any]]


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
    step = max(1, _BLOCK // row)
    for start in range(0, data.shape[0], step):
        block = np.ascontiguousarray(data[start : start + step])
        digest.update(block.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


class FeatureStore:
    """Tensors of the slices of one volume as one model sees them, on disk.

    A tensor is stored in its own dtype: half precision where the session computes in
    it, float32 where it promises SAM 2's masks exactly, which rounded features would
    not give. bfloat16, which Zarr lacks, is stored as its bit patterns in uint16.

    No method raises. A fault costs time, not correctness: it is said through `notify`,
    once, and slices are computed anew. All methods may be called from several threads,
    and several processes may use the folder.

    Parameters
    ----------
    folder : Path
        Root of the cache, for all volumes and models. Files there that are not this
        cache's own are neither touched nor counted.
    signature : Signature
        What the features depend on.
    slices : int
        Number of slices of the volume.
    budget : int
        Bytes that all groups in `folder` may take. Groups used longest ago are deleted
        for it; where this group alone reaches it, no more slices are written.
    notify : callable
        Called with a sentence for the user, in the thread that met the fault.
    """

    def __init__(
        self,
        folder: Path,
        signature: Signature,
        slices: int,
        *,
        budget: int = BUDGET,
        notify: Callable[[str], None] = warnings.warn,
    ) -> None:
        record = asdict(signature)
        name = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
        self.folder = Path(folder)
        self.path = self.folder / f"features-{name[:32]}.zarr"
        self.slices = slices
        self.budget = budget
        self._header = {"version": FORMAT, "signature": record, "slices": slices}
        self._notify = notify
        self._lock = threading.RLock()
        self._writing = True
        self._allowance = 0
        self._damaged: set[int] = set()
        self._warned = False
        self._arrays: _Arrays | None = None
        self._load()

    def read(self, index: int) -> Tensors | None:
        """Return the tensors of slice `index` on the CPU; None if they must be made."""
        arrays = self._arrays or self._load()
        if arrays is None or index not in range(self.slices):
            return None
        try:
            checksum = arrays.checksum(index)
            if checksum == 0:
                return None
            values = arrays.values(index)
            if checksum == _checksum(arrays.layout, values):
                self._touch()
                return tuple(map(_as_tensor, values, arrays.layout))
            reason = "chunks that do not belong together"
        except Exception as error:  # whatever a damaged file makes zarr raise
            reason = str(error)
        if os.path.exists(self.path):  # else deleted by another process: no damage
            self._damaged.add(index)
            self._warn(f"the features of slice {index} in {self.path}", reason)
        return None

    def write(self, index: int, tensors: Tensors) -> None:
        """Keep the tensors of slice `index`; after a failure, do nothing any more."""
        with self._lock:
            if not self._writing or index not in range(self.slices):
                return
            try:
                self._write(index, tensors)
            except Exception as error:
                self._stop(f"could not write there ({error}); free space or choose")

    def __contains__(self, index: int) -> bool:
        """Whether slice `index` was written completely; only `read` finds damage."""
        arrays = self._arrays or self._load()
        if arrays is None or index in self._damaged or index not in range(self.slices):
            return False
        try:
            return arrays.checksum(index) != 0
        except Exception:  # as in `read`, which will say it
            return False

    def _write(self, index: int, tensors: Tensors) -> None:
        values = [_as_values(t) for t in tensors]
        layout = [
            {"dtype": str(t.dtype).removeprefix("torch."), "shape": list(t.shape)}
            for t in tensors
        ]
        arrays = self._arrays = self._fitting(layout)
        if arrays is None:
            return
        if not self._room_for(sum(v.nbytes + 4 for v in values) + 12):
            self._stop(f"is at its budget of {self.budget:,} bytes; raise it or choose")
            return
        for array, value in zip(arrays.tensors, values, strict=True):
            array[index] = value
        arrays.checksums[index] = _checksum(layout, values)
        self._damaged.discard(index)
        self._touch()

    def _load(self) -> _Arrays | None:
        """Open the group of this signature; drop what only bears its name."""
        with self._lock:
            if not self._writing or not os.path.isdir(self.path):
                return None
            try:
                self._arrays = _open(self.path, self._header)
            except Exception as error:  # whatever a damaged file makes zarr raise
                self._drop(str(error))
                return None
            self._touch()
            return self._arrays

    def _drop(self, reason: str) -> None:
        self._warn(f"features of this volume and model in {self.path}", reason)
        self._arrays = None
        try:
            _discard(self.path)
        except FileNotFoundError:  # another process did
            pass
        except OSError:
            self._writing = False

    def _fitting(self, layout: Layout) -> _Arrays | None:
        """Return arrays for tensors of `layout`; None if old ones are in the way."""
        arrays = self._arrays
        # Another process may have deleted the group, or put it there.
        if arrays is None or not (self.path / "zarr.json").is_file():
            arrays = self._load()
        if arrays is not None and arrays.layout != layout:
            self._drop("tensors of another shape or dtype")
            arrays = None
        return arrays or (self._create(layout) if self._writing else None)

    def _create(self, layout: Layout) -> _Arrays:
        draft = _sibling(self.path)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _build(draft, {**self._header, "tensors": layout})
            draft.rename(self.path)
        except OSError:
            if not self.path.is_dir():  # else another process was first
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return _open(self.path, self._header)

    def _room_for(self, nbytes: int) -> bool:
        """Take `nbytes` of the budget; look at the folder only now and then."""
        if nbytes > self._allowance:
            used = _evict(self.folder, self.path, self.budget - nbytes)
            share = max(nbytes, self.budget // 16)
            self._allowance = min(self.budget - used, share)
        if nbytes > self._allowance:
            return False
        self._allowance -= nbytes
        return True

    def _touch(self) -> None:
        with suppress(OSError):
            os.utime(self.path)

    def _warn(self, expected: str, found: str) -> None:
        with self._lock:
            warned, self._warned = self._warned, True
        if not warned:
            self._notify(
                f"feature cache: expected {expected}, found {found}; what is damaged "
                "is computed anew"
            )

    def _stop(self, reason: str) -> None:
        self._writing = False
        self._notify(
            f"the feature cache {self.folder} {reason} another folder; slices not yet "
            "there are computed anew each time"
        )


@dataclass(frozen=True)
class _Arrays:
    """The arrays of an open group."""

    layout: Layout
    tensors: list[Any]
    checksums: Any

    def checksum(self, index: int) -> int:
        return int(self.checksums[index])

    def values(self, index: int) -> list[np.ndarray]:
        return [np.asarray(array[index]) for array in self.tensors]


def _build(path: Path, header: dict[str, Any]) -> None:
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


def _open(path: Path, expected: dict[str, Any]) -> _Arrays:
    """Open a group; an error of any kind if it is not as `expected`."""
    group: Any = zarr.open_group(path, mode="r+", zarr_format=3)
    header = group.attrs[_KEY]
    for key, value in expected.items():
        if header.get(key) != value:
            raise ValueError(f"another {key}")
    layout = header["tensors"]
    arrays = _Arrays(
        layout, [group[f"tensor{i}"] for i in range(len(layout))], group["checksums"]
    )
    for array, tensor in zip(arrays.tensors, layout, strict=True):
        shape = (expected["slices"], *tensor["shape"])
        if array.shape != shape or array.dtype != _stored(tensor["dtype"]):
            raise ValueError("arrays other than announced")
    return arrays


def _stored(dtype: str) -> str:
    return "uint16" if dtype == "bfloat16" else dtype


def _as_values(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(np.uint16)
    return tensor.numpy()


def _as_tensor(values: np.ndarray, said: dict[str, Any]) -> torch.Tensor:
    if said["dtype"] == "bfloat16":
        return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(values)


def _checksum(layout: Layout, values: Sequence[np.ndarray]) -> int:
    """Return the CRC-32 of a slice, with a bit that tells it from an absent one."""
    checksum = zlib.crc32(json.dumps(layout, sort_keys=True).encode())
    for value in values:
        checksum = zlib.crc32(np.ascontiguousarray(value).data, checksum)
    return checksum | _PRESENT


def _evict(folder: Path, keep: Path, limit: int) -> int:
    """Delete groups used longest ago, down to `limit` bytes; return what is left."""
    sizes = {path: _size(path) for path in _groups(folder)}
    total = sum(sizes.values())
    for path in sorted(sizes.keys() - {keep}, key=_last_used):
        if total <= limit:
            break
        with suppress(OSError):
            _discard(path)
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


def _sibling(path: Path) -> Path:
    """Return a new name in the same folder, still known as this cache's own."""
    return path.with_name(f"{path.name.split('.')[0]}.{uuid.uuid4().hex}.zarr")


def _discard(path: Path) -> None:
    """Delete a group, in one step as others see it."""
    doomed = _sibling(path)
    path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
