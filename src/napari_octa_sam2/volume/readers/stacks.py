"""Folders of numbered images, one a slice."""

from __future__ import annotations

from pathlib import Path

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.octa_volume import OctaVolume
from napari_octa_sam2.volume.readers import images


def matches(path: Path) -> bool:
    """Return whether `path` is a folder with numbered images."""
    return path.is_dir() and any(
        images.is_image(p) and p.stem[-1:].isdecimal() for p in path.iterdir()
    )


def read(path: Path) -> OctaVolume:
    """Read a folder of gray images in numeric order; the spacing is unknown.

    A sequence that starts at 0 or 1 starts at slice 0 of the scan; any other first
    number is taken as the depth index of the first slice.

    Raises
    ------
    ReadError
        If a number is missing or occurs twice, or an image cannot be read, is
        coloured, or is unlike the first.
    """
    found = images.numbered_images(path)
    if not found:
        raise ReadError(f"{path}: expected numbered images, found none")
    first, last = min(found), max(found)
    images.require_numbers(path, found, range(first, last + 1), "slices")
    return OctaVolume(
        images.read_stack(found.values()),
        name=path.absolute().name,
        source=path,
        first_slice=first if first > 1 else 0,
        provenance={"reader": "stacks", "numbers": [first, last]},
    )
