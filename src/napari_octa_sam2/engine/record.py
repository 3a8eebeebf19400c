"""What made a result: written beside every one of them."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_octa_sam2 import __version__

if TYPE_CHECKING:
    from napari_octa_sam2.engine.session import Session


def run_record(session: Session) -> dict[str, Any]:
    """Return model and hash, device, precision and versions, ready for JSON."""
    model, compute = session.model, session.compute
    return {
        "model": {
            "name": model.name,
            "sha256": model.sha256,
            "input_size": model.input_size,
            "refinement": model.refinement is not None,
        },
        "device": str(compute.device),
        "precision": compute.precision,
        "versions": {
            "napari-octa-sam2": __version__,
            "torch": torch.__version__,
            "sam2": version("sam2"),
            "numpy": np.__version__,
        },
    }
