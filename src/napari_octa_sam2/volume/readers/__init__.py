"""Every file format in.

A family of formats is a module with ``matches(path)``, which is cheap, and
``read(path)``. The first family that matches reads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from napari_octa_sam2.errors import ReadError, VolumeError
from napari_octa_sam2.volume.octa_volume import OctaVolume
from napari_octa_sam2.volume.readers import (
    enface,
    nifti,
    npy,
    octa500,
    ome_zarr,
    sam_octa2,
    stacks,
    tiff,
)
from napari_octa_sam2.volume.readers.enface import read_projections
from napari_octa_sam2.volume.readers.labels import read_labels

__all__ = ["find_reader", "read_labels", "read_projections", "read_volume"]


class Family(Protocol):
    """What a module of this package offers."""

    def matches(self, path: Path) -> bool:
        """Return whether the family reads `path`."""
        ...

    def read(self, path: Path) -> OctaVolume:
        """Read `path`."""
        ...


# From the most to the least specific layout.
_FAMILIES: tuple[Family, ...] = (
    sam_octa2,
    octa500,
    ome_zarr,
    nifti,
    npy,
    tiff,
    enface,
    stacks,
)


def read_volume(path: str | Path) -> OctaVolume:
    """Read a volume from a file or folder, whatever its format.

    Parameters
    ----------
    path : path
        An OCTA-500 subject, projection map or SAM-OCTA2 sequence, an OME-Zarr group, a
        NIfTI, TIFF or NumPy file, a folder of numbered images, or one gray image.

    Returns
    -------
    OctaVolume
        In memory; axes ``(depth, slow, fast)``.

    Raises
    ------
    ReadError
        If there is no such path, no family reads it, or its content is damaged.
    """
    path = Path(path)
    reader = find_reader(path)
    if reader is None:
        raise ReadError(_why_unread(path))
    return reader(path)


def find_reader(path: str | Path) -> Callable[[Path], OctaVolume] | None:
    """Return a function that reads `path`, or None; cheap, and never raises.

    The function raises nothing but `ReadError`.
    """
    try:
        path = Path(path)
        family = next((f for f in _FAMILIES if f.matches(path)), None)
    except (OSError, ValueError, TypeError):
        return None
    return None if family is None else partial(_read, family)


def _read(family: Family, path: str | Path) -> OctaVolume:
    path = Path(path)
    try:
        return family.read(path)
    except ReadError:
        raise
    except VolumeError as error:
        raise ReadError(f"{path}: {error}") from error
    except Exception as error:
        # Decoders of damaged files raise anything.
        raise ReadError(
            f"{path}: expected a readable volume, found a file or folder that failed "
            f"with {type(error).__name__}: {error}; copy or export it again"
        ) from error


def _why_unread(path: Path) -> str:
    expected = (
        "expected an OCTA-500 subject folder with B-scans 1.bmp ..., a folder of "
        "numbered images, .ome.zarr, .nii, .nii.gz, .tif, .npy, or one image"
    )
    try:
        exists, is_folder = path.exists(), path.is_dir()
        if is_folder:
            next(path.iterdir(), None)
    except (OSError, ValueError) as error:
        return f"{path}: {expected}, found a path that cannot be read ({error})"
    if not exists:
        return f"{path}: {expected}, found nothing there; check the path"
    if is_folder:
        return (
            f"{path}: {expected}, found a folder without numbered images; give the "
            "folder that holds the images themselves, or a file in it"
        )
    return f"{path}: {expected}, found a file of another kind; export it to one of them"
