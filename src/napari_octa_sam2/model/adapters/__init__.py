"""Small weights trained beside the frozen ones of a SAM 2 network."""

from napari_octa_sam2.model.adapters.attachment import (
    adapter_state,
    apply_adapters,
    attach,
    drop,
)
from napari_octa_sam2.model.adapters.config import AdapterConfig

__all__ = ["AdapterConfig", "adapter_state", "apply_adapters", "attach", "drop"]
