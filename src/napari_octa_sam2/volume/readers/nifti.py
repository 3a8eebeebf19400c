"""NIfTI images.

NIfTI stores ``(x, y, z)`` with x fastest. They are read as (fast, slow, depth), that
is transposed to ``(depth, slow, fast)``; the affine is not applied: no voxel moves.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.errors import ReadError, VolumeError
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import OctaVolume
from napari_octa_sam2.volume.readers.record import (
    parse_record,
    settle_geometry,
    volume_from,
)

SUFFIXES = (".nii", ".nii.gz")
_MILLIMETRES = {"mm": 1.0, "micron": 1e-3, "meter": 1e3}


def matches(path: Path) -> bool:
    """Return whether `path` is a NIfTI file by its name."""
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def read(path: Path) -> OctaVolume:
    """Read a NIfTI image of three axes, or of two as one slice.

    Raises
    ------
    ReadError
        If the file is damaged, or has channels or time points.
    """
    axes = "x, y, z = fast, slow, depth"
    return volume_from(path, *load_array(path), reader="nifti", axes=axes)


def load_array(path: Path) -> tuple[np.ndarray, ScanGeometry, dict[str, Any]]:
    """Return the array as ``(depth, slow, fast)``, its geometry and its note."""
    import nibabel as nib

    try:
        image: Any = nib.load(path)
        header = image.header
        stored = np.asanyarray(image.dataobj)
        space, _ = header.get_xyzt_units()
        notes = [e.get_content() for e in header.extensions if e.get_code() == 6]
    except (
        nib.filebasedimages.ImageFileError,
        nib.spatialimages.HeaderDataError,
        OSError,
        EOFError,
        KeyError,
        ValueError,
        zlib.error,
    ) as error:
        raise ReadError(
            f"{path}: expected a complete NIfTI image, found a file that cannot be "
            f"read ({error}); copy or export it again"
        ) from error
    if stored.ndim < 2 or any(n > 1 for n in stored.shape[3:]):
        raise ReadError(
            f"{path}: expected three axes (x, y, z), found shape {stored.shape}; "
            "export one channel and one time point"
        )
    stored = stored.reshape((*stored.shape, 1)[:3])
    rescaled = stored.dtype == np.float64 != header.get_data_dtype()
    dtype = np.dtype(np.float32) if rescaled else stored.dtype.newbyteorder("=")
    array = np.ascontiguousarray(stored.T, dtype)
    record = next(filter(None, map(parse_record, notes)), {})
    zooms = (*header.get_zooms(), 0.0)[:3]
    return array, settle_geometry(_geometry(zooms, space), record), record


def _geometry(zooms: tuple[float, ...], unit: str) -> ScanGeometry:
    factor = _MILLIMETRES.get(unit)
    x, y, z = (float(size) for size in zooms)
    try:
        if factor is None:
            return ScanGeometry((z, y, x), "pixel")
        return ScanGeometry((z * factor, y * factor, x * factor), "mm")
    except VolumeError:
        return ScanGeometry()
