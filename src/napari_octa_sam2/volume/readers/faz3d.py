"""OCTA-500: the three-dimensional truth of the foveal avascular zone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.octa_volume import LabelSet
from napari_octa_sam2.volume.readers import images, octa500_layout
from napari_octa_sam2.volume.readers.orientation import oriented

KEY = "FAZlabel"

# As h5py returns the array, it lies mirrored to the en-face maps; found by comparing
# both truths of the subjects, see `read_faz`.
FLIPS = {3: "columns reversed", 6: "rows reversed"}


def read_faz3d(path: Path) -> np.ndarray:
    """Read ``GT_FAZ3D/<id>.mat`` (MATLAB 7.3) as it is stored.

    Returns
    -------
    numpy.ndarray
        Booleans of shape ``(depth, slow, fast)``, not yet flipped to the en-face maps.

    Raises
    ------
    ReadError
        If the file is no MATLAB 7.3 file with a three-dimensional ``FAZlabel``.
    """
    import h5py

    expected = f"{path}: expected a MATLAB 7.3 file with a 3-D array {KEY!r}"
    try:
        with h5py.File(path, "r") as file:
            if KEY not in file or not isinstance(file[KEY], h5py.Dataset):
                raise ReadError(f"{expected}, found {sorted(file)}; move it away")
            stored = np.asarray(file[KEY][...])
    except (OSError, RuntimeError) as error:
        if isinstance(error, ReadError):
            raise
        raise ReadError(
            f"{expected}, found a file that cannot be read ({error}); copy it again or "
            "move it away to read the volume without it"
        ) from error
    if stored.ndim != 3 or stored.dtype.kind not in "uifb":
        raise ReadError(
            f"{expected}, found {stored.dtype} of shape {stored.shape}; move it away"
        )
    return np.ascontiguousarray(stored.transpose(2, 0, 1) > 0)


def read_faz(
    start: Path, subject: str, field_mm: int | None, shape: tuple[int, ...]
) -> tuple[LabelSet, dict[str, Any]] | None:
    """Read the FAZ of a subject in the orientation of the en-face maps.

    3 mm scans are mirrored left to right, 6 mm scans top to bottom. Where the en-face
    truth ``GT_FAZ`` is found, the Dice of the label's projection with it is recorded
    for every flip, with a warning if another one fits better by more than 0.1.

    Parameters
    ----------
    start : Path
        Folder of the subject; label folders are looked for above it.
    shape : tuple of int
        Shape of the volume, ``(depth, slow, fast)``.

    Returns
    -------
    (LabelSet, dict) or None
        The label and how it was oriented; None where the subject has no such file.

    Raises
    ------
    ReadError
        If the file cannot be read or is not of the volume's shape.
    """
    path = octa500_layout.find_label(start, "GT_FAZ3D", subject)
    if path is None:
        return None
    mask = read_faz3d(path)
    if mask.shape != shape:
        raise ReadError(
            f"{path}: expected a FAZ of shape {shape} (depth, slow, fast) like the "
            f"volume, found {mask.shape}; move it away to read the volume without it"
        )
    flip = "identity" if field_mm is None else FLIPS[field_mm]
    record: dict[str, Any] = {"file": str(path), "flip": flip}
    truth = octa500_layout.find_label(start, "GT_FAZ", subject)
    if truth is not None:
        record |= _compare(np.any(mask, axis=0), truth, flip)
    data = oriented(mask.view(np.uint8), flip)
    return LabelSet(data, names={1: "FAZ"}, classes={1: "FAZ"}), record


def _compare(projection: np.ndarray, truth: Path, flip: str) -> dict[str, Any]:
    """Return the Dice of the projection with the en-face truth for every flip."""
    expected = images.read_mask(truth, projection.shape)
    names = ("identity", *FLIPS.values(), "rotated by 180 degrees")
    dice = {name: _dice(oriented(projection, name), expected) for name in names}
    best = max(dice, key=lambda name: dice[name])
    record: dict[str, Any] = {"dice_with_en_face_truth": dice}
    if dice[best] - dice[flip] > 0.1:
        record["warning"] = (
            f"the 3-D FAZ fits the en-face FAZ better {best} (Dice {dice[best]:.2f}) "
            f"than {flip} as documented (Dice {dice[flip]:.2f}): check it by eye"
        )
    return record


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    total = int(a.sum()) + int(b.sum())
    return round(2 * int((a & b).sum()) / total, 4) if total else 1.0
