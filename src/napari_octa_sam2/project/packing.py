"""Labels of a slice in few bytes."""

from __future__ import annotations

import zlib

import numpy as np

BLANK = b""  # a slice without labels


def pack(labels: np.ndarray) -> bytes:
    """Return the labels of a slice in few bytes; none where all are zero.

    Raises
    ------
    ValueError
        If a label is not from 0 to 65535.
    """
    if not labels.any():
        return BLANK
    if labels.min() < 0 or labels.max() > 65535:
        raise ValueError(
            f"expected labels from 0 to 65535, found {labels.min()} to {labels.max()}"
        )
    dtype = "<u1" if labels.max() <= 255 else "<u2"
    content = np.ascontiguousarray(labels, dtype).tobytes()
    return bytes([np.dtype(dtype).itemsize]) + zlib.compress(content, 1)


def unpack(packed: bytes, shape: tuple[int, int]) -> np.ndarray:
    """Return what `pack` was given, uint8 or uint16.

    Raises
    ------
    ValueError
        If the bytes are damaged or not of `shape`.
    """
    if not packed:
        return np.zeros(shape, np.uint8)
    try:
        content = zlib.decompress(packed[1:])
        return np.frombuffer(content, f"<u{packed[0]}").reshape(shape).copy()
    except (zlib.error, TypeError) as error:
        raise ValueError(f"labels of a slice are damaged: {error}") from error
