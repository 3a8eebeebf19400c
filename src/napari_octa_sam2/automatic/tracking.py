"""From vessel masks of slices to vessels that keep their id through the depth."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_octa_sam2.errors import VolumeError

# A slice cuts a vessel in pieces that the view from above joins. In depth a vessel
# that passes over another without touching it stays another one.
VIEWS = ("above", "depth")


def connected_objects(
    masks: np.ndarray, *, least: int = 100, view: str = "above"
) -> np.ndarray:
    """Return the vessels in masks of slices, with one id each through all slices.

    Parameters
    ----------
    masks : numpy.ndarray of bool
        Shape ``(depth, slow, fast)``.
    least : int
        Fewest pixels that a vessel covers, seen from above; smaller ones are left out.
    view : {"above", "depth"}
        What hangs together: pixels that touch by side or corner in the union of all
        slices, as in the vessel clusters of SAM-OCTA2 [1]_, or voxels that do so in
        three dimensions, which keeps vessels apart that cross at different depths.

    Returns
    -------
    numpy.ndarray
        Ids of the shape of `masks`, 0 where there is none, uint8 or uint16; 1 is the
        vessel that covers most pixels seen from above.

    Raises
    ------
    VolumeError
        If the masks are not boolean or not three-dimensional, `least` is below 1, the
        view is unknown, or there are more vessels than ids.

    References
    ----------
    .. [1] X. Chen et al., "SAM-OCTA2: Layer sequence OCTA segmentation with fine-tuned
       Segment Anything Model 2", 2024.
    """
    _check(masks, least, view)
    from scipy.ndimage import label

    if view == "above":
        found, _ = label(masks.any(0), np.ones((3, 3)))
        pieces = np.where(masks, found, 0)
        sizes = np.bincount(found.ravel())
    else:
        pieces, _ = label(masks, np.ones((3, 3, 3)))
        sizes = _covered(pieces)
    sizes[0] = 0
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] >= least]
    if len(order) > np.iinfo(np.uint16).max:
        raise VolumeError(
            f"expected at most 65535 vessels, found {len(order)}; leave out smaller "
            f"ones by more pixels than {least}"
        )
    dtype: Any = np.uint8 if len(order) <= np.iinfo(np.uint8).max else np.uint16
    ids = np.zeros(len(sizes), dtype)
    ids[order] = np.arange(1, len(order) + 1)
    return ids[pieces]


def where_found(
    followed: np.ndarray, found: np.ndarray, *, least: int = 100
) -> np.ndarray:
    """Return labels without the slices on which an object was hardly found.

    Propagation goes on where a vessel leaves the slices; what was found in the single
    slices knows better where it ends.

    Parameters
    ----------
    followed, found : numpy.ndarray of int
        Ids of the same objects, from propagation and from `connected_objects`, shape
        ``(depth, slow, fast)``.
    least : int
        Pixels of `found` from which on an object is on a slice.

    Raises
    ------
    VolumeError
        If the shapes differ.
    """
    if followed.shape != found.shape:
        raise VolumeError(
            f"expected labels of one shape, found {followed.shape} and {found.shape}; "
            "give both of the same slices"
        )
    kept = followed.copy()
    count = int(max(followed.max(initial=0), found.max(initial=0))) + 1
    for plane, shown in zip(kept, found, strict=True):
        plane[(np.bincount(shown.ravel(), minlength=count) < least)[plane]] = 0
    return kept


def _covered(pieces: np.ndarray) -> np.ndarray:
    """Return how many pixels each piece covers, seen from above."""
    count = int(pieces.max()) + 1
    _, slow, fast = pieces.shape
    columns = np.arange(slow * fast).reshape(slow, fast)
    inside = pieces > 0
    place = np.broadcast_to(columns, pieces.shape)[inside]
    pairs = np.unique(pieces[inside].astype(np.int64) * columns.size + place)
    return np.bincount(pairs // columns.size, minlength=count)


def _check(masks: np.ndarray, least: int, view: str) -> None:
    if masks.ndim != 3 or masks.dtype != np.bool_:
        raise VolumeError(
            f"expected boolean masks of shape (depth, slow, fast), found {masks.dtype} "
            f"of {masks.shape}; compare probabilities with a threshold first"
        )
    if least < 1:
        raise VolumeError(
            f"expected vessels of at least 1 pixel, found {least}; 1 keeps them all"
        )
    if view not in VIEWS:
        raise VolumeError(f"expected a view of {', '.join(VIEWS)}, found {view!r}")
