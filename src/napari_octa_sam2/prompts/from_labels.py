"""Prompts made of masks that are there already."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.prompts.fields import Vertex
from napari_octa_sam2.prompts.records import Prompt
from napari_octa_sam2.prompts.scribbles import MOST, SPACING


def centre_line_prompt(mask: np.ndarray, object_id: int, index: int) -> Prompt:
    """Return positive points along the centre lines of a vessel on a slice.

    The first lies at an end, each further one as far as can be from those before, up
    to 16 of them or until they are 8 pixels apart [1]_ on the skeleton [2]_.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Shape ``(slow, fast)``.
    object_id, index : int
        Object and slice of the prompt.

    Raises
    ------
    PromptError
        If the mask has another number of axes or is empty.

    References
    ----------
    .. [1] T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance",
       Theoretical Computer Science 38, 1985.
    .. [2] T.-C. Lee, R. L. Kashyap, C.-N. Chu, "Building skeleton models via 3-D
       medial surface/axis thinning algorithms", CVGIP 56 (6), 1994.
    """
    from skimage.morphology import skeletonize

    mask = np.asarray(mask, bool)
    where = f"object {object_id}, slice {index}"
    if mask.ndim != 2:
        raise PromptError(
            f"{where}: expected a mask of shape (slow, fast), found {mask.shape}; "
            "take one slice"
        )
    if not mask.any():
        raise PromptError(
            f"{where}: the mask is empty and has no centre line; choose a slice that "
            "shows the object"
        )
    # the thinning of Lee stays on the axis where Zhang's runs into the corners of ends
    skeleton = np.argwhere(skeletonize(mask, method="lee"))
    points = _spread(skeleton.astype(float))
    return Prompt(object_id, index, points, (1,) * len(points))


def mask_prompts(
    labels: np.ndarray,
    ids: Iterable[int] | None = None,
    slices: Iterable[int] | None = None,
) -> tuple[Prompt, ...]:
    """Return a mask prompt for each object on each slice where it holds pixels.

    Parameters
    ----------
    labels : numpy.ndarray of int
        Shape ``(depth, slow, fast)``; the value is the id of the object, 0 is none.
    ids : iterable of int, optional
        Objects to take, by default all.
    slices : iterable of int, optional
        Slices to take, by default all.

    Returns
    -------
    tuple of Prompt
        In order of slices, then of ids.

    Raises
    ------
    PromptError
        If `labels` has another number of axes, or a slice lies outside.
    """
    if labels.ndim != 3:
        raise PromptError(
            f"expected labels of shape (depth, slow, fast), found {labels.shape}"
        )
    wanted = None if ids is None else set(ids)
    chosen = range(len(labels)) if slices is None else sorted(set(slices))
    prompts = []
    for index in chosen:
        if not 0 <= index < len(labels):
            raise PromptError(
                f"expected slices from 0 to {len(labels) - 1} of these labels, "
                f"found {index}"
            )
        image = np.asarray(labels[index])
        present = {int(value) for value in np.unique(image)} - {0}
        prompts += [
            Prompt(object_id, index, mask=image == object_id)
            for object_id in sorted(present if wanted is None else present & wanted)
        ]
    return tuple(prompts)


def _spread(pixels: np.ndarray) -> tuple[Vertex, ...]:
    """Return up to `MOST` of `pixels`, each the farthest from those before it."""
    start = int(np.hypot(*(pixels - pixels.mean(0)).T).argmax())
    chosen, gaps = [start], np.hypot(*(pixels - pixels[start]).T)
    while len(chosen) < MOST and gaps.max() >= SPACING:
        chosen.append(int(gaps.argmax()))
        gaps = np.minimum(gaps, np.hypot(*(pixels - pixels[chosen[-1]]).T))
    return tuple((float(row), float(col)) for row, col in pixels[chosen])
