"""Prompts for every object of a slice, as an annotator could have drawn them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import distance_transform_cdt, label

from napari_octa_sam2.automatic.cleaning import EIGHT_CONNECTED
from napari_octa_sam2.automatic.keypoints import key_points
from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.metrics.segmentation.boxes import label_boxes
from napari_octa_sam2.metrics.segmentation.clicks import deepest_pixel
from napari_octa_sam2.prompts import Prompt, PromptObject, PromptSet
from napari_octa_sam2.volume.octa_volume import LabelSet

KINDS = ("midpoints", "bifurcations", "ends", "key points", "centres", "box", "mask")
MOST = 8
RING = (3, 9)  # pixels from the object: beyond the first, up to the second
NO_PIXELS = np.empty((0, 2), int)

Window = tuple[slice, ...]


def prompts_of(
    labels: np.ndarray, index: int, *, kind: str, most: int = MOST, negatives: int = 0
) -> tuple[Prompt, ...]:
    """Return one prompt for each object of a slice.

    Parameters
    ----------
    labels : numpy.ndarray of int
        Shape ``(slow, fast)``; the value is the id of the object, 0 is none.
    index : int
        The slice.
    kind : str
        One of `KINDS`. Points lie half-way along the branches of the centre line,
        where it forks or crosses, where it ends, at all of these key points, or at
        the deepest pixel of each component. An object that has no such point gets
        midpoints, and one without centre line its deepest pixel. A box has its
        corners in the outermost pixels; a mask is the object itself.
    most : int
        Positive points for an object, at most. The first is the one next to the
        object's deepest pixel, each further one the farthest from those before [1]_.
    negatives : int
        Negative points for an object, at most: as widely spread, 4 to 9 pixels
        (chessboard distance) off the object and on none.

    Returns
    -------
    tuple of Prompt
        In order of ids.

    Raises
    ------
    PromptError
        If `labels` are none of a slice, the kind is unknown, a number of points is
        out of range, or negative points are asked for beside a mask.

    References
    ----------
    .. [1] T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance",
       Theoretical Computer Science 38, 1985.
    """
    labels = np.asarray(labels)
    _check(labels, kind, most, negatives)
    labels = labels.astype(np.intp)
    prompts = []
    for object_id, box in label_boxes(labels).items():
        if kind == "mask":
            prompts.append(Prompt(object_id, index, mask=labels == object_id))
            continue
        beside = _beside(labels, object_id, box, negatives)
        inside = _inside(labels, object_id, box, kind, most)
        points = tuple((float(row), float(col)) for row, col in (*inside, *beside))
        signs = (1,) * len(inside) + (0,) * len(beside)
        corners = _corners(box) if kind == "box" else None
        prompts.append(Prompt(object_id, index, points, signs, box=corners))
    return tuple(prompts)


def prompts_from(
    labels: LabelSet,
    *,
    kind: str = "midpoints",
    at: Sequence[int] = (),
    most: int = MOST,
    negatives: int = 0,
) -> PromptSet:
    """Return prompts of the objects that were found.

    Parameters
    ----------
    labels : LabelSet
        Shape ``(depth, slow, fast)``.
    kind : str
        One of `KINDS`.
    at : sequence of int
        Slices to prompt on; by default, for each object the one that shows most of it.
    most, negatives : int
        As for `prompts_of`.

    Raises
    ------
    PromptError
        If nothing was found there, a slice lies outside, or a setting is none.
    """
    depth = len(labels.data)
    if outside := [index for index in at if not 0 <= index < depth]:
        raise PromptError(
            f"expected slices from 0 to {depth - 1} to prompt on, found {outside[0]}"
        )
    shown = labels.data if not at else labels.data[list(at)]
    ids = [int(i) for i in np.unique(shown) if i]
    if not ids:
        where = f"on slice {', '.join(map(str, at))}" if at else "on any slice"
        raise PromptError(
            f"expected objects to make prompts of, found none {where}; look on other "
            "slices, or lower the threshold or the smallest area"
        )
    places = dict.fromkeys(at, ids) if at else _best_slices(labels.data, ids)
    prompts = [
        prompt
        for index, wanted in sorted(places.items())
        for prompt in prompts_of(
            np.where(np.isin(labels.data[index], wanted), labels.data[index], 0),
            index,
            kind=kind,
            most=most,
            negatives=negatives,
        )
    ]
    objects = [
        PromptObject(i, labels.names.get(i, ""), labels.classes.get(i, "other"))
        for i in ids
    ]
    return PromptSet(tuple(objects), tuple(prompts))


def _best_slices(labels: np.ndarray, ids: Sequence[int]) -> dict[int, list[int]]:
    """Return for each slice the objects of which it shows most."""
    counts = np.stack(
        [np.bincount(plane.ravel(), minlength=max(ids) + 1) for plane in labels]
    )
    best: dict[int, list[int]] = {}
    for number in ids:
        best.setdefault(int(counts[:, number].argmax()), []).append(number)
    return best


def _check(labels: np.ndarray, kind: str, most: int, negatives: int) -> None:
    if labels.ndim != 2 or labels.dtype.kind not in "bui":
        raise PromptError(
            "expected labels of one slice, integers of shape (slow, fast), found "
            f"{labels.dtype} of shape {labels.shape}"
        )
    if kind not in KINDS:
        raise PromptError(f"expected a kind of {', '.join(KINDS)}, found {kind!r}")
    if most < 1 or negatives < 0:
        raise PromptError(
            "expected one positive point or more and no fewer than 0 negative ones, "
            f"found {most} and {negatives}"
        )
    if kind == "mask" and negatives:
        raise PromptError(
            "expected no negative points beside a mask, which is taken as it is; "
            "ask for another kind or for none"
        )


def _inside(
    labels: np.ndarray, object_id: int, box: Window, kind: str, most: int
) -> np.ndarray:
    """Return up to `most` pixels of an object; none where a box says it all."""
    if kind == "box":
        return NO_PIXELS
    mask = labels[box] == object_id
    deepest = np.array(deepest_pixel(mask))
    candidates = _candidates(mask, kind)
    if not len(candidates):
        candidates = deepest[None]
    return _moved(_spread(candidates, deepest, most), box)


def _candidates(mask: np.ndarray, kind: str) -> np.ndarray:
    if kind == "centres":
        pieces, count = label(mask, EIGHT_CONNECTED)
        deepest = [deepest_pixel(pieces == n) for n in range(1, count + 1)]
        return np.array(deepest)
    found = key_points(mask)
    points = {
        "midpoints": found.midpoints,
        "bifurcations": np.concatenate([found.bifurcations, found.intersections]),
        "ends": found.ends,
        "key points": found.all,
    }
    return points[kind] if len(points[kind]) else found.midpoints


def _beside(labels: np.ndarray, object_id: int, box: Window, count: int) -> np.ndarray:
    """Return up to `count` pixels of the ring around an object."""
    if not count:
        return NO_PIXELS
    window = tuple(slice(max(s.start - RING[1], 0), s.stop + RING[1]) for s in box)
    around = labels[window]
    mask = around == object_id
    away = distance_transform_cdt(~mask, "chessboard")
    ring = np.argwhere((away > RING[0]) & (away <= RING[1]) & (around == 0))
    return _moved(_spread(ring, np.array(deepest_pixel(mask)), count), window)


def _spread(pixels: np.ndarray, start: np.ndarray, most: int) -> np.ndarray:
    """Return up to `most` of `pixels`: that next to `start`, then the farthest."""
    if not len(pixels):
        return NO_PIXELS
    chosen = [int(_squared(pixels, start).argmin())]
    gaps = _squared(pixels, pixels[chosen[0]])
    while len(chosen) < most and gaps.max() > 0:
        chosen.append(int(gaps.argmax()))
        gaps = np.minimum(gaps, _squared(pixels, pixels[chosen[-1]]))
    spread: np.ndarray = pixels[chosen]
    return spread


def _squared(pixels: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Return squared distances: whole numbers, so that ties are ties everywhere."""
    squared: np.ndarray = np.square(pixels - point).sum(axis=1)
    return squared


def _moved(pixels: np.ndarray, window: Window) -> np.ndarray:
    """Return pixels of a window as pixels of the slice."""
    moved: np.ndarray = pixels + [side.start for side in window]
    return moved


def _corners(box: Window) -> tuple[float, float, float, float]:
    """Return the centres of the corner pixels; one row or column has no extent."""
    sides = []
    for side in box:
        first, last = side.start, side.stop - 1
        grown = 0.5 if first == last else 0.0
        sides.append((first - grown, last + grown))
    (row0, row1), (col0, col1) = sides
    return float(row0), float(col0), float(row1), float(col1)
