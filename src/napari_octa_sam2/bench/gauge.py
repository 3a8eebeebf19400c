"""The peak of this process's memory, or of a GPU's, over where it stands."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from pathlib import Path

import torch

from napari_octa_sam2.engine.device import return_free_memory

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


class Gauge:
    """Measures from when it is made.

    On Linux the peak is ``VmHWM``, set back at the start: ``ru_maxrss`` would begin at
    the peak of the parent that started the process. Elsewhere it is ``ru_maxrss``.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        gc.collect()
        return_free_memory()  # reused, it would not count
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            self.start = torch.cuda.memory_allocated(device)
        elif _STATUS.is_file():
            with suppress(OSError):
                _RESET.write_text("5")  # the peak becomes what is resident now
            self.start = _status("VmRSS")
        else:
            self.start = _peak_by_usage()

    def peak(self) -> int:
        """Return the bytes at the peak over those at the start."""
        return self.highest() - self.start

    def highest(self) -> int:
        """Return the bytes at the peak."""
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        if _STATUS.is_file():
            return _status("VmHWM")
        return _peak_by_usage()


def _status(name: str) -> int:
    for line in _STATUS.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise OSError(f"{_STATUS} has no {name}")


def _peak_by_usage() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
