"""NumPy arrays on disk, with an optional note ``<file>.json`` beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import OctaVolume
from napari_octa_sam2.volume.readers.record import (
    parse_record,
    recorded_geometry,
    volume_from,
)

_MAGIC = b"\x93NUMPY"


def matches(path: Path) -> bool:
    """Return whether `path` is a ``.npy`` file."""
    return path.suffix.lower() == ".npy" and path.is_file()


def read(path: Path) -> OctaVolume:
    """Read an array ``(depth, slow, fast)``, or ``(slow, fast)`` as one slice.

    Raises
    ------
    ReadError
        If the file is no complete ``.npy`` array of numbers.
    """
    return volume_from(path, *load_array(path), reader="npy")


def load_array(path: Path) -> tuple[np.ndarray, ScanGeometry, dict[str, Any]]:
    """Return the array as ``(depth, slow, fast)``, its geometry and its note."""
    array = load(path)
    note = note_path(path)
    record = parse_record(note.read_bytes()) if note.is_file() else {}
    return array[None] if array.ndim == 2 else array, recorded_geometry(record), record


def load(path: Path) -> np.ndarray:
    """Return the array of a ``.npy`` file; never unpickles.

    Raises
    ------
    ReadError
        If the file is no complete ``.npy`` array of numbers.
    """
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ReadError(
                f"{path}: expected an array saved with numpy.save, found another "
                "format; save it again with numpy.save"
            )
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
        return array
    except (ValueError, EOFError, SyntaxError) as error:
        reason = (
            "it holds Python objects, which are not loaded for safety"
            if "allow_pickle" in str(error)
            else f"it is damaged or incomplete ({error})"
        )
        raise ReadError(
            f"{path}: expected an array of numbers, but {reason}; save it again as a "
            "plain numeric array"
        ) from error


def note_path(path: Path) -> Path:
    """Return the path of the note beside an array."""
    return path.with_name(path.name + ".json")
