"""Pixels that a user paints, as prompts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_octa_sam2.project.locks import mask_prompt, protected
from napari_octa_sam2.prompts import PromptObject, PromptSet


def guarded(
    prompts: PromptSet, index: int, before: np.ndarray, painted: np.ndarray
) -> tuple[np.ndarray, set[int]]:
    """Return the painted labels of a slice less what touches protected objects.

    Parameters
    ----------
    before, painted : numpy.ndarray
        Labels, shape ``(slow, fast)``.

    Returns
    -------
    labels : numpy.ndarray
    refused : set of int
        The objects that would have changed.
    """
    changed = before != painted
    safe = list(protected(prompts, index))
    refused = changed & (np.isin(before, safe) | np.isin(painted, safe))
    ids = {*np.unique(before[refused]), *np.unique(painted[refused])} & set(safe)
    return np.where(refused, before, painted), {int(i) for i in ids}


def painted_prompts(
    prompts: PromptSet, index: int, before: np.ndarray, painted: np.ndarray
) -> PromptSet:
    """Return the prompts with the masks of the objects whose pixels changed.

    A mask that was the last prompt of the slice is replaced. Labels that are no object
    yet become one.
    """
    changed = before != painted
    ids = sorted({*np.unique(before[changed]), *np.unique(painted[changed])} - {0})
    known = {o.id for o in prompts.objects}
    added = [PromptObject(int(i)) for i in ids if i not in known]
    given = list(prompts.prompts)
    for object_id in map(int, ids):
        own = [p for p in given if (p.object, p.slice) == (object_id, index)]
        if own and (own[-1].mask is not None or own[-1].absent):
            given.remove(own[-1])
        given.append(mask_prompt(object_id, index, painted == object_id))
    return replace(prompts, objects=(*prompts.objects, *added), prompts=tuple(given))
