"""Labels kept as one image: a mask of 0 and another value, or object ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.readers import enface, images, octa500_layout

LOSSLESS = (".png", ".bmp")
MOST_IDS = 64


def matches(path: Path) -> bool:
    """Return whether the name is that of an image without loss."""
    return path.suffix.lower() in LOSSLESS and path.is_file()


def load_array(path: Path) -> tuple[np.ndarray, ScanGeometry, dict[str, Any]]:
    """Return labels ``(1, rows, columns)``, their geometry, names and classes.

    A mask becomes object 1; values below 64 are object ids. In a label folder of
    OCTA-500, its class and field of view are known; of any other image the spacing is
    unknown.

    Raises
    ------
    ReadError
        If the image cannot be decoded, or holds too many values for object ids.
    """
    image = images.read_gray(path)
    values = np.unique(image)
    if len(values) > MOST_IDS:
        raise ReadError(
            f"{path}: expected a mask of two values, or at most {MOST_IDS} object ids, "
            f"found {len(values)} values; this looks like an image, give its labels"
        )
    is_mask = len(values) <= 2 and values[-1] >= MOST_IDS
    labels = image > (values[0] if len(values) == 2 else 0) if is_mask else image
    record: dict[str, Any] = {}
    geometry = ScanGeometry()
    for name, (folder, cls) in enface.LABEL_FOLDERS.items():
        if path.absolute().parent.name == folder:
            record = {"names": {"1": name}, "classes": {"1": cls}}
            field = octa500_layout.field_of_view(path, path.stem, image.shape[1])
            geometry = octa500_layout.resampled_geometry(field, *image.shape)
    return labels[None], geometry, record
