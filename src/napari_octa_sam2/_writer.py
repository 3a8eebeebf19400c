"""npe2 writer: a labels layer to a file, the format by its suffix."""

from __future__ import annotations

from typing import Any

from napari_octa_sam2.layers import as_slices
from napari_octa_sam2.volume import ScanGeometry
from napari_octa_sam2.volume.writers import write_labels as write


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write labels with their spacing, names and classes; return the path written."""
    import numpy as np

    scale = [abs(float(s)) for s in attributes.get("scale", (1, 1, 1))]
    units = [str(u) for u in attributes.get("units", ())]
    spacing = tuple(([1.0] * 3 + scale)[-3:])
    known = bool(units) and all(u in ("mm", "millimeter") for u in units)
    metadata = attributes.get("metadata", {})
    labels = as_slices(np.asarray(data))
    if labels.dtype.kind != "u":
        labels = labels.astype(np.uint8 if labels.max() <= 255 else np.uint16)
    written = write(
        path,
        labels,
        ScanGeometry(spacing, "mm" if known else "pixel"),
        names=metadata.get("names", {}),
        classes=metadata.get("classes", {}),
        metadata=metadata.get("record", {}),
    )
    return [str(written)]
