"""Vessel objects of a layer by the colours of an en-face map, as in SAM-OCTA2.

There every vessel is painted in one colour of a list on the en-face image. What of a
layer's vessels lies under a colour is one object; a layer may cut a vessel in two, so
an object need not be connected.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_octa_sam2.automatic.cleaning import without_specks
from napari_octa_sam2.errors import ReadError, VolumeError
from napari_octa_sam2.volume.readers import images, npy

USED = 25  # colours of the list that objects are painted in
TOLERANCE = 10  # sum of the differences of the three channels, below which it is one
LEAST = 100  # pixels of a component, and of an object, in a layer
LEAST_IN_REGION = 20


def read_colours(path: Path) -> np.ndarray:
    """Return the colours of a list such as SAM-OCTA2's ``color_list.npy``.

    Returns
    -------
    numpy.ndarray of int
        Shape ``(n, 3)``, blue, green, red.

    Raises
    ------
    ReadError
        If the file is no list of colours.
    """
    colours = npy.load(path)
    if colours.ndim != 2 or colours.shape[1] != 3 or colours.dtype.kind not in "ui":
        raise ReadError(
            f"{path}: expected colours (blue, green, red) as integers of shape (n, 3), "
            f"found {colours.dtype} of shape {colours.shape}"
        )
    return colours.astype(int)


def read_coloured_objects(path: Path, colours: np.ndarray) -> np.ndarray:
    """Return the objects of a coloured map on disk, as `coloured_objects` does.

    Raises
    ------
    ReadError
        If the file is no colour image.
    """
    pixels = images.read_pixels(path)
    try:
        return coloured_objects(pixels, colours)
    except VolumeError as error:
        raise ReadError(f"{path}: {error}") from error


def coloured_objects(coloured: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return the objects of a coloured map.

    Parameters
    ----------
    coloured : numpy.ndarray of uint8
        Shape ``(slow, fast, 3)``, red, green, blue, as image readers give it.
    colours : numpy.ndarray of int
        Shape ``(n, 3)``, blue, green, red, as `read_colours` gives them; the first 25
        count.

    Returns
    -------
    numpy.ndarray of uint8
        Shape ``(slow, fast)``: 1 + the index of the colour that is nearer than 10
        (sum of the absolute differences), 0 where none is.

    Raises
    ------
    VolumeError
        If the map is no colour image.
    """
    if coloured.ndim != 3 or coloured.shape[2] not in (3, 4):
        raise VolumeError(
            "expected a coloured map of shape (slow, fast, 3), found "
            f"{coloured.shape}; give the map with one colour an object"
        )
    pixels = coloured[..., 2::-1].astype(int)
    labels = np.zeros(coloured.shape[:2], np.uint8)
    for number, colour in enumerate(colours[:USED], start=1):
        labels[np.abs(pixels - colour).sum(axis=-1) < TOLERANCE] = number
    return labels


def objects_of_layer(
    vessels: np.ndarray, objects: np.ndarray, *, least: int = LEAST
) -> np.ndarray:
    """Return the objects of a layer.

    Parameters
    ----------
    vessels : numpy.ndarray of bool
        The vessels of the layer, shape ``(slow, fast)``.
    objects : numpy.ndarray of int
        The en-face objects, of the same shape, as `coloured_objects` gives them.
    least : int
        Smaller components of the vessels, in pixels, belong to none; objects that
        have fewer pixels in the layer are not there.

    Returns
    -------
    numpy.ndarray of int
        Ids of objects, of the type and shape of `objects`.

    Raises
    ------
    VolumeError
        If the shapes differ.
    """
    _require_alike(vessels, objects)
    labels = objects * without_specks(vessels > 0, least)
    is_there = np.bincount(labels.ravel()) >= least
    kept: np.ndarray = labels * is_there[labels]
    return kept


def vessels_in_region(
    region: np.ndarray, large_vessels: np.ndarray, *, least: int = LEAST_IN_REGION
) -> np.ndarray:
    """Return the vessels of a layer: the en-face large vessels inside a region.

    Parameters
    ----------
    region : numpy.ndarray of bool
        Where the layer shows vessels, shape ``(slow, fast)``.
    large_vessels : numpy.ndarray of bool
        En-face mask of any size; interpolated linearly to that of the region, it
        holds every pixel that is not black in eight bits.
    least : int
        Smaller components of the result, in pixels, are dropped. With 20 the layers
        that SAM-OCTA2 publishes come out bit for bit; its published code has 50.

    Returns
    -------
    numpy.ndarray of bool
        Of the region's shape.

    Raises
    ------
    VolumeError
        If one of the masks has another number of axes.
    """
    from skimage.transform import resize

    for mask in (region, large_vessels):
        if mask.ndim != 2:
            raise VolumeError(
                f"expected masks of shape (slow, fast), found {mask.shape}"
            )
    bright = resize(
        255.0 * (large_vessels > 0),
        region.shape,
        order=1,
        mode="edge",
        anti_aliasing=False,
    )
    return without_specks((region > 0) & (bright >= 0.5), least)


def _require_alike(vessels: np.ndarray, objects: np.ndarray) -> None:
    if vessels.ndim != 2 or vessels.shape != objects.shape:
        raise VolumeError(
            "expected vessels and objects of one shape (slow, fast), found "
            f"{vessels.shape} and {objects.shape}; resample one of them"
        )
