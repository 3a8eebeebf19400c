"""What made a result: written beside every one of them."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_octa_sam2 import __version__

if TYPE_CHECKING:
    from napari_octa_sam2.engine.device import Compute
    from napari_octa_sam2.engine.session import Session


def peak_memory_mb() -> int | None:
    """Return the most memory that this process has had so far, in MB of 10^6 bytes.

    None on systems that do not tell.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6)


def run_record(session: Session) -> dict[str, Any]:
    """Return model and hash, device, precision and versions, ready for JSON."""
    model = session.model
    return {
        "model": {
            "name": model.name,
            "sha256": model.sha256,
            "input_size": model.input_size,
            "refinement": model.refinement is not None,
        },
        "attention": session.attention,
        **compute_record(session.compute),
    }


def compute_record(compute: Compute) -> dict[str, Any]:
    """Return device, precision and versions, ready for JSON."""
    return {
        "device": str(compute.device),
        "precision": compute.precision,
        "threads": torch.get_num_threads(),
        "versions": {
            "napari-octa-sam2": __version__,
            "torch": torch.__version__,
            "sam2": version("sam2"),
            "numpy": np.__version__,
        },
    }
