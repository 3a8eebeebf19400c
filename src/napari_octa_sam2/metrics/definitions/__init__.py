"""Every figure that is told anywhere, with formula, unit, source and known bias."""

from __future__ import annotations

from napari_octa_sam2.metrics.definitions.agreement import AGREEMENT
from napari_octa_sam2.metrics.definitions.definition import Definition
from napari_octa_sam2.metrics.definitions.faz import FAZ
from napari_octa_sam2.metrics.definitions.segmentation import SEGMENTATION
from napari_octa_sam2.metrics.definitions.vessels import VESSELS
from napari_octa_sam2.metrics.definitions.volumes import VOLUMES

GROUPS: dict[str, dict[str, Definition]] = {
    "Segmentation against a reference": SEGMENTATION,
    "Vessels in the plane": VESSELS,
    "Foveal avascular zone": FAZ,
    "Vessels in the volume": VOLUMES,
    "Agreement of graders": AGREEMENT,
}
DEFINITIONS: dict[str, Definition] = {
    key: definition for group in GROUPS.values() for key, definition in group.items()
}

__all__ = ["DEFINITIONS", "GROUPS", "Definition"]
