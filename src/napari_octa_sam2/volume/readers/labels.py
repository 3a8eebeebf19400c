"""Labels: images whose values are object ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.errors import ReadError, VolumeError
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet, check_volume_array
from napari_octa_sam2.volume.readers import mask_image, nifti, npy, ome_zarr, tiff
from napari_octa_sam2.volume.readers.label_values import as_label_array

WHITE = 255

_FORMATS = (ome_zarr, nifti, tiff, npy, mask_image)


def is_label_file(path: Path) -> bool:
    """Return whether the name is that of a format that may hold labels."""
    return any(module.matches(path) for module in _FORMATS)


def read_labels(path: str | Path) -> tuple[LabelSet, ScanGeometry]:
    """Read what `write_labels` wrote, or any label image of one of its formats.

    Returns
    -------
    (LabelSet, ScanGeometry)
        Values ``(depth, slow, fast)`` as uint8 or uint16, names and classes where the
        file has them, and the spacing. A mask of 0 and 255 that another program wrote
        is object 1.

    Raises
    ------
    ReadError
        If the file is missing, damaged, of another format, or holds no labels.
    """
    path = Path(path)
    if not path.exists():
        raise ReadError(f"{path}: expected labels, found nothing there; check the path")
    module = next((m for m in _FORMATS if m.matches(path)), None)
    if module is None:
        raise ReadError(
            f"{path}: expected labels in one of .ome.zarr, .nii.gz, .nii, .tif, .tiff, "
            ".npy, .png, .bmp, found another format; convert them first"
        )
    array, geometry, record = module.load_array(path)
    _refuse_image(path, record)
    try:
        labels = as_label_array(array)
        check_volume_array(labels, path.name)
    except VolumeError as error:
        raise ReadError(f"{path}: {error}") from error
    if not record and _is_mask(labels):
        labels = (labels > 0).view(np.uint8)
    names, classes = (_by_id(record.get(key)) for key in ("names", "classes"))
    return LabelSet(labels, names, classes), geometry


def _is_mask(labels: np.ndarray) -> bool:
    """Return whether labels are a mask as image programs write it: 0 and 255."""
    return int(labels.max()) == WHITE and bool(np.isin(labels, (0, WHITE)).all())


def _refuse_image(path: Path, record: Mapping[str, Any]) -> None:
    """Raise `ReadError` if the file says of itself that it holds intensities."""
    if record.get("kind") == "image":
        raise ReadError(
            f"{path}: expected labels, whose values are object ids, found an image, "
            "whose values are intensities; give the labels of this image (in an "
            "OME-Zarr image, one of the groups in its folder labels)"
        )


def _by_id(entries: object) -> dict[int, str]:
    if not isinstance(entries, Mapping):
        return {}
    return {int(k): str(v) for k, v in entries.items() if str(k).isdecimal()}
