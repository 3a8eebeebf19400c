"""Surfaces of the retina from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.readers import npy
from napari_octa_sam2.volume.surfaces import LAYERS

KEY = "Layer"


def read_surfaces(path: str | Path, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Read depths of ILM, IPL, OPL, ISOS, RPE and BM.

    Parameters
    ----------
    path : path
        ``GT_Layers/<id>.mat`` of OCTA-500, whose rows are B-scans and are turned as
        those of the volume are; or a ``.npy`` array of shape ``(6, slow, fast)`` on
        the grid of the volume.
    shape : tuple of int
        Of the volume, ``(depth, slow, fast)``.

    Returns
    -------
    dict of str to numpy.ndarray
        Depth of each surface in slices, shape ``(slow, fast)``.

    Raises
    ------
    ReadError
        If the file cannot be read, or holds other surfaces.
    """
    path = Path(path)
    expected = f"{path}: expected {len(LAYERS)} surfaces ({', '.join(LAYERS)})"
    try:
        stored = _mat(path) if path.suffix.lower() == ".mat" else npy.load(path)
    except Exception as error:  # a damaged .mat file raises anything
        raise ReadError(
            f"{expected} in a .npy or OCTA-500's .mat file, found one that cannot be "
            f"read ({error}); check the path"
        ) from error
    if stored.shape != (len(LAYERS), *shape[1:]) or stored.dtype.kind not in "uif":
        raise ReadError(
            f"{expected} of {shape[1:]} (slow, fast), found {stored.dtype} of shape "
            f"{stored.shape}; give those of this volume"
        )
    return dict(zip(LAYERS, stored.astype(np.float32), strict=True))


def _mat(path: Path) -> np.ndarray:
    from scipy.io import loadmat

    return np.asarray(loadmat(path)[KEY])[:, ::-1]
