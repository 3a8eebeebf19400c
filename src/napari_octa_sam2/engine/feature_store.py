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
import shutil
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from napari_octa_sam2.engine.feature_cache import Tensors
from napari_octa_sam2.engine.feature_groups import (
    Arrays,
    Layout,
    as_tensor,
    as_values,
    build,
    checksum_of,
    discard,
    evict,
    open_group,
    sibling,
)
from napari_octa_sam2.engine.signature import Signature

FORMAT = 1
BUDGET = 4 * 2**30


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
        self._arrays: Arrays | None = None
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
            if checksum == checksum_of(arrays.layout, values):
                self._touch()
                return tuple(map(as_tensor, values, arrays.layout))
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
        values = [as_values(t) for t in tensors]
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
        arrays.checksums[index] = checksum_of(layout, values)
        self._damaged.discard(index)
        self._touch()

    def _load(self) -> Arrays | None:
        """Open the group of this signature; drop what only bears its name."""
        with self._lock:
            if not self._writing or not os.path.isdir(self.path):
                return None
            try:
                self._arrays = open_group(self.path, self._header)
            except Exception as error:  # whatever a damaged file makes zarr raise
                self._drop(str(error))
                return None
            self._touch()
            return self._arrays

    def _drop(self, reason: str) -> None:
        self._warn(f"features of this volume and model in {self.path}", reason)
        self._arrays = None
        try:
            discard(self.path)
        except FileNotFoundError:  # another process did
            pass
        except OSError:
            self._writing = False

    def _fitting(self, layout: Layout) -> Arrays | None:
        """Return arrays for tensors of `layout`; None if old ones are in the way."""
        arrays = self._arrays
        # Another process may have deleted the group, or put it there.
        if arrays is None or not (self.path / "zarr.json").is_file():
            arrays = self._load()
        if arrays is not None and arrays.layout != layout:
            self._drop("tensors of another shape or dtype")
            arrays = None
        return arrays or (self._create(layout) if self._writing else None)

    def _create(self, layout: Layout) -> Arrays:
        draft = sibling(self.path)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            build(draft, {**self._header, "tensors": layout})
            draft.rename(self.path)
        except OSError:
            if not self.path.is_dir():  # else another process was first
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return open_group(self.path, self._header)

    def _room_for(self, nbytes: int) -> bool:
        """Take `nbytes` of the budget; look at the folder only now and then."""
        if nbytes > self._allowance:
            used = evict(self.folder, self.path, self.budget - nbytes)
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
