"""Label arrays: the value of a voxel is the id of its object."""

from __future__ import annotations

import numpy as np

from napari_octa_sam2.errors import VolumeError


def as_label_array(array: np.ndarray) -> np.ndarray:
    """Return object ids as uint8 or uint16.

    Both types are kept; other integers and booleans become uint8 if no id is above
    255, else uint16.

    Raises
    ------
    VolumeError
        If the values are no integers from 0 to 65535.
    """
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind not in "uib":
        raise VolumeError(
            f"expected labels as integers, found {array.dtype}; give object ids, not "
            "probabilities or intensities"
        )
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if low < 0 or high > 65535:
        raise VolumeError(
            f"expected object ids from 0 to 65535, found {low} to {high}; renumber them"
        )
    return array.astype(np.uint8 if high <= 255 else np.uint16)
