"""Verified slices, and objects that are done: what nothing may overwrite."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_octa_sam2.prompts import Prompt, PromptSet


def protected(prompts: PromptSet, index: int) -> frozenset[int]:
    """Return the objects whose pixels on a slice may not change."""
    locked = {o.id for o in prompts.objects if o.locked}
    return frozenset(locked | {o for o, i in prompts.locks if i == index})


def lock(prompts: PromptSet, object_id: int, index: int, mask: np.ndarray) -> PromptSet:
    """Return the prompts with a slice of an object verified.

    Its mask ``(slow, fast)`` becomes a prompt, so that the other slices follow from it;
    an empty one says that the object is absent.
    """
    own = [p for p in prompts.prompts if (p.object, p.slice) == (object_id, index)]
    given = mask_prompt(object_id, index, mask)
    added = () if own and own[-1] == given else (given,)
    return replace(
        prompts,
        prompts=(*prompts.prompts, *added),
        locks=prompts.locks | {(object_id, index)},
    )


def unlock(prompts: PromptSet, object_id: int, index: int) -> PromptSet:
    """Return the prompts with a slice of an object open to changes again."""
    return replace(prompts, locks=prompts.locks - {(object_id, index)})


def is_locked(prompts: PromptSet, object_id: int, index: int) -> bool:
    """Return whether the pixels of an object on a slice may not change."""
    return object_id in protected(prompts, index)


def mask_prompt(object_id: int, index: int, mask: np.ndarray) -> Prompt:
    """Return the prompt that gives a mask; an empty one says "absent"."""
    if mask.any():
        return Prompt(object_id, index, mask=mask)
    return Prompt(object_id, index, absent=True)
