"""What a user makes of an image in a viewer. Needs no Qt."""

from napari_octa_sam2.annotation.annotation import Annotation
from napari_octa_sam2.annotation.edits import Edit

__all__ = ["Annotation", "Edit"]
