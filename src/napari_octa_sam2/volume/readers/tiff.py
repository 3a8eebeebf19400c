"""TIFF files of one or more pages, with the spacing of ImageJ or OME metadata."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from napari_octa_sam2.errors import ReadError, VolumeError
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import OctaVolume
from napari_octa_sam2.volume.readers import images
from napari_octa_sam2.volume.readers.record import (
    parse_record,
    settle_geometry,
    volume_from,
)

if TYPE_CHECKING:
    from tifffile import TiffFile

_MILLIMETRES = {
    "mm": 1.0,
    "millimeter": 1.0,
    "cm": 10.0,
    "nm": 1e-6,
    "um": 1e-3,
    "\u00b5m": 1e-3,
    "\u03bcm": 1e-3,
    "\\u00b5m": 1e-3,
    "micron": 1e-3,
    "microns": 1e-3,
    "micrometer": 1e-3,
}


def matches(path: Path) -> bool:
    """Return whether `path` is a TIFF file by its name."""
    return path.suffix.lower() in images.TIFF_SUFFIXES and path.is_file()


def read(path: Path) -> OctaVolume:
    """Read a TIFF: pages are slices, one page is a volume of one slice.

    Raises
    ------
    ReadError
        If the file is damaged or coloured, or has several channels or time points.
    """
    return volume_from(path, *load_array(path), reader="tiff")


def load_array(path: Path) -> tuple[np.ndarray, ScanGeometry, dict[str, Any]]:
    """Return the array as ``(depth, slow, fast)``, its geometry and its note."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            if len(file.series) != 1:
                raise ValueError(f"pages of {len(file.series)} kinds instead of one")
            array, axes = file.series[0].asarray(), file.series[0].axes
            info = (file.imagej_metadata or {}).get("Info", "")
            record = parse_record(str(info))
            geometry = _imagej_geometry(file) or _ome_geometry(file) or ScanGeometry()
    except (
        OSError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        struct.error,
        zlib.error,
    ) as error:
        raise ReadError(
            f"{path}: expected a complete TIFF, found a file that cannot be read "
            f"({error}); copy or export it again"
        ) from error
    stack = _as_stack(path, array, axes)
    return stack, settle_geometry(geometry, record), record


def _as_stack(path: Path, array: np.ndarray, axes: str) -> np.ndarray:
    """Return the pages as ``(depth, slow, fast)``.

    Many programs call the pages of a stack time points or give the axis no name, so
    any single axis besides rows, columns and channels is the depth. A palette is not
    applied: ImageJ stores gray images with a look-up table as such.
    """
    if axes.endswith("S") and array.shape[-1] in (3, 4):
        if not (array[..., :3] == array[..., :1]).all():
            raise ReadError(
                f"{path}: expected gray pages, found colours (the channels differ); "
                "export the flow signal in gray"
            )
        array, axes = array[..., 0], axes[:-1]
    extra = {
        axis: n for axis, n in zip(axes, array.shape, strict=True) if axis not in "YX"
    }
    long = [axis for axis, n in extra.items() if n > 1]
    if "YX" not in axes or len(long) > 1 or set(long) & {"C", "S"}:
        raise ReadError(
            f"{path}: expected pages of one channel and one time point, found axes "
            f"{axes} of shape {array.shape}; export one channel and one time point, "
            "with the slices as axis Z"
        )
    rows, columns = (array.shape[axes.index(axis)] for axis in "YX")
    array = array.reshape(-1, rows, columns)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def _imagej_geometry(file: TiffFile) -> ScanGeometry | None:
    metadata = file.imagej_metadata or {}
    factor = _MILLIMETRES.get(str(metadata.get("unit", "")).lower())
    tags = file.pages.first.tags
    x, y = tags.get("XResolution"), tags.get("YResolution")
    if factor is None or "spacing" not in metadata or x is None or y is None:
        return None
    try:
        columns, rows = (tag.value[0] / tag.value[1] for tag in (x, y))
        depth = float(metadata["spacing"])
        return ScanGeometry((depth * factor, factor / rows, factor / columns), "mm")
    except (ZeroDivisionError, VolumeError):
        return None


def _ome_geometry(file: TiffFile) -> ScanGeometry | None:
    if not file.ome_metadata:
        return None
    try:
        root = ElementTree.fromstring(file.ome_metadata)
        pixels = next(e for e in root.iter() if e.tag.endswith("}Pixels"))
        depth, slow, fast = (
            float(pixels.attrib[f"PhysicalSize{axis}"])
            * _MILLIMETRES[pixels.get(f"PhysicalSize{axis}Unit", "um").lower()]
            for axis in "ZYX"
        )
        return ScanGeometry((depth, slow, fast), "mm")
    except (ElementTree.ParseError, StopIteration, KeyError, ValueError):
        return None
