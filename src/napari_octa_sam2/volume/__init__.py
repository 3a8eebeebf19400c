"""What is segmented: volumes, their geometry, and the files they come from."""

from napari_octa_sam2.volume.geometry import AXES, ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume

__all__ = ["AXES", "LabelSet", "OctaVolume", "ScanGeometry"]
