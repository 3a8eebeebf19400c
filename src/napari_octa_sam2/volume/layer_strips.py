"""Layers, objects and sparse annotations as files in the forms of SAM-OCTA2.

What `readers.sam_octa2` reads is written here; the panels of each kind of file are
listed there.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from napari_octa_sam2.errors import VolumeError, WriteError
from napari_octa_sam2.files import write_whole
from napari_octa_sam2.palette import OBJECTS

WHITE = 255
REFERENCES = "ref_mask"


def write_layer_strip(
    path: Path, image: np.ndarray, region: np.ndarray, vessels: np.ndarray
) -> None:
    """Write ``RV_LayerSequence/<subject>/<layer>.png``.

    Four panels: the region, the region and the vessels each in green over the layer,
    and the layer. An overlay is the layer, up to half of white, with half of green
    added. SAM-OCTA2's own are the same, except that brighter pixels wrap to black.

    Parameters
    ----------
    path : Path
        Missing folders are made, an existing file is replaced.
    image : numpy.ndarray of uint8
        The layer, square.
    region, vessels : numpy.ndarray of bool
        Of the same shape.

    Raises
    ------
    VolumeError
        If the arrays cannot be such a file.
    WriteError
        If it cannot be written.
    """
    region, vessels = _on(image, region, vessels)
    panels = [_white(region), _overlay(image, region), _overlay(image, vessels), image]
    _write_image(path, np.hstack([_coloured(panel) for panel in panels]))


def write_annotation(path: Path, image: np.ndarray, region: np.ndarray) -> None:
    """Write ``RV_Annotation/<subject>_<layer>.png``: the layer, then the region.

    Parameters, errors as for `write_layer_strip`.
    """
    (region,) = _on(image, region)
    _write_image(path, np.hstack([image, _white(region)]))


def write_objects(
    folder: Path,
    labels: np.ndarray,
    *,
    vessels: np.ndarray | None = None,
    colours: np.ndarray | None = None,
) -> None:
    """Write the objects of a layer, ``RV_LayerSequence/<subject>/<layer>/``.

    An image ``NN.png`` for each object, NN being its id less one, ``objects.npy``
    with these numbers, and ``<subject>/ref_mask/<layer>.png`` to look at: the vessels
    in white, and the objects in colours. Images of objects of an earlier writing that
    are no longer there are removed.

    Parameters
    ----------
    folder : Path
        Named by the layer's depth index; made if it is missing.
    labels : numpy.ndarray of int
        Ids of objects, shape ``(slow, fast)``; 0 is none.
    vessels : numpy.ndarray of bool, optional
        All vessels of the layer, by default the objects.
    colours : numpy.ndarray of int, optional
        Shape ``(n, 3)``, blue, green, red: the first is that of object 1, and after
        the last comes the first. By default those of this package.

    Raises
    ------
    VolumeError
        If the arrays cannot be such files.
    WriteError
        If they cannot be written.
    """
    white = _white(labels > 0 if vessels is None else vessels)
    if labels.ndim != 2 or labels.dtype.kind not in "ui" or white.shape != labels.shape:
        raise VolumeError(
            "expected labels as integers of shape (slow, fast) and vessels of the same "
            f"shape, found {labels.dtype} of {labels.shape} and {white.shape}"
        )
    ids = np.unique(labels[labels > 0])
    files = {i: folder / f"{i - 1:02d}.png" for i in ids.tolist()}
    for object_id, file in files.items():
        _write_image(file, _white(labels == object_id))
    numbers = io.BytesIO()
    np.save(numbers, (ids - 1).astype(np.int32))
    _write(folder / "objects.npy", numbers.getvalue())
    _remove_others(folder, set(files.values()))
    painted = _painted(labels, _default_colours() if colours is None else colours)
    reference = folder.parent / REFERENCES / f"{folder.name}.png"
    _write_image(reference, np.hstack([_coloured(white), painted]))


def _remove_others(folder: Path, kept: set[Path]) -> None:
    for file in folder.glob("*.png"):
        if file.stem.isdecimal() and file not in kept:
            with _told(file):
                file.unlink(missing_ok=True)


def _on(image: np.ndarray, *masks: np.ndarray) -> list[np.ndarray]:
    """Return masks that go with a layer, as booleans."""
    if image.ndim != 2 or image.shape[0] != image.shape[1] or image.dtype != np.uint8:
        raise VolumeError(
            "expected a square layer in 8 bits, found "
            f"{image.dtype} of shape {image.shape}; resample or rescale it"
        )
    for mask in masks:
        if mask.shape != image.shape:
            raise VolumeError(
                f"expected masks of the layer's shape {image.shape}, found {mask.shape}"
            )
    return [mask > 0 for mask in masks]


def _overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    blended = np.repeat(np.minimum(image, WHITE / 2)[..., None], 3, axis=2)
    blended[mask, 1] += WHITE / 2
    rounded: np.ndarray = np.rint(blended).astype(np.uint8)
    return rounded


def _painted(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    rgb = np.asarray(colours)[:, ::-1].astype(np.uint8)
    painted: np.ndarray = rgb[(labels.astype(int) - 1) % len(rgb)]
    painted[labels == 0] = 0
    return painted


def _default_colours() -> np.ndarray:
    return np.array([list(bytes.fromhex(colour[1:]))[::-1] for colour in OBJECTS])


def _white(mask: np.ndarray) -> np.ndarray:
    white: np.ndarray = (mask > 0).astype(np.uint8) * np.uint8(WHITE)
    return white


def _coloured(panel: np.ndarray) -> np.ndarray:
    return panel if panel.ndim == 3 else np.repeat(panel[..., None], 3, axis=2)


def _write_image(path: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    _write(path, content.getvalue())


def _write(path: Path, content: bytes) -> None:
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"{path}: could not be written ({error}); check the folder and the free "
            "space"
        ) from error
