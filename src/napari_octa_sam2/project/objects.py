"""What can be done to whole objects: remove, merge, split, duplicate.

Each function changes prompts and labels of a document, as part of its last step.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.project.document import Document
from napari_octa_sam2.prompts import Prompt, PromptObject, PromptSet


def find_object(prompts: PromptSet, object_id: int) -> PromptObject:
    """Return an object by its id."""
    return next(o for o in prompts.objects if o.id == object_id)


def new_id(prompts: PromptSet) -> int:
    """Return the id after the largest one."""
    return max((o.id for o in prompts.objects), default=0) + 1


def remove(document: Document, object_id: int) -> None:
    """Remove an object with its prompts, locks and pixels."""
    prompts = document.prompts
    document.set_prompts(
        replace(
            prompts,
            objects=tuple(o for o in prompts.objects if o.id != object_id),
            prompts=tuple(p for p in prompts.prompts if p.object != object_id),
            locks=frozenset(k for k in prompts.locks if k[0] != object_id),
        )
    )
    _relabel(document, {object_id: 0})


def merge(document: Document, into: int, others: Collection[int]) -> None:
    """Give prompts, locks and pixels of `others` to the object `into`."""
    prompts = document.prompts

    def owner(object_id: int) -> int:
        return into if object_id in others else object_id

    document.set_prompts(
        replace(
            prompts,
            objects=tuple(
                o for o in prompts.objects if o.id == into or o.id not in others
            ),
            prompts=tuple(replace(p, object=owner(p.object)) for p in prompts.prompts),
            locks=frozenset((owner(o), i) for o, i in prompts.locks),
        )
    )
    _relabel(document, dict.fromkeys(others, into))


def duplicate(document: Document, object_id: int) -> PromptObject:
    """Add an object with the same prompts; its mask comes with the next propagation."""
    prompts = document.prompts
    old = find_object(prompts, object_id)
    new = replace(old, id=new_id(prompts), name=f"{old.name} copy", locked=False)
    copied = [replace(p, object=new.id) for p in prompts.prompts if p.object == old.id]
    document.set_prompts(
        replace(
            prompts,
            objects=(*prompts.objects, new),
            prompts=(*prompts.prompts, *copied),
        )
    )
    return new


def split(document: Document, object_id: int) -> list[PromptObject]:
    """Make the pieces that hang together in three dimensions objects of their own.

    The largest one keeps the id. A prompt with clicks goes to the piece that most of
    its positive ones lie in; a piece without prompts is given its mask on its largest
    slice. Pieces touch by faces, edges or corners.

    Raises
    ------
    PromptError
        If the object is in one piece, or in more than 50.
    """
    from scipy.ndimage import generate_binary_structure, label

    prompts = document.prompts
    volume = document.volume()
    pieces, count = label(volume == object_id, generate_binary_structure(3, 3))
    if not 2 <= count <= 50:
        raise PromptError(
            f"expected an object in 2 to 50 pieces, found {count}; "
            + ("there is nothing to split" if count < 2 else "remove the crumbs first")
        )
    order = np.argsort(-np.bincount(pieces.ravel())[1:], kind="stable") + 1
    old = find_object(prompts, object_id)
    first = new_id(prompts)
    made = [
        replace(old, id=first + n, name=f"{old.name} {n + 2}") for n in range(count - 1)
    ]
    ids = dict(zip(order.tolist(), [object_id, *(o.id for o in made)], strict=True))
    moved = [
        replace(p, object=ids.get(_piece_of(p, pieces), object_id))
        if p.object == object_id
        else p
        for p in prompts.prompts
    ]
    for piece, new in ids.items():
        if not any(p.object == new for p in moved):
            areas = np.count_nonzero(pieces == piece, axis=(1, 2))
            largest = int(areas.argmax())
            moved.append(Prompt(new, largest, mask=pieces[largest] == piece))
    document.set_prompts(
        replace(prompts, objects=(*prompts.objects, *made), prompts=tuple(moved))
    )
    for index in np.flatnonzero(pieces.any(axis=(1, 2))):
        content = document.labels(int(index)).astype(np.uint16)
        for piece, new in ids.items():
            content[pieces[index] == piece] = new
        document.write(int(index), content)
    return made


def _piece_of(prompt: Prompt, pieces: np.ndarray) -> int:
    """Return the piece that a prompt is about; 0 where it tells none."""
    shape = pieces.shape[1:]
    mask = prompt.given(shape)
    if mask is not None:
        inside = pieces[prompt.slice][mask]
    else:
        at = [
            (
                min(max(round(row), 0), shape[0] - 1),
                min(max(round(col), 0), shape[1] - 1),
            )
            for row, col, positive in prompt.clicks
            if positive
        ]
        inside = np.array([pieces[prompt.slice][p] for p in at], int)
    counts = np.bincount(inside[inside > 0])
    return int(counts.argmax()) if len(counts) else 0


def _relabel(document: Document, values: dict[int, int]) -> None:
    for index in document.labelled_slices():
        content = document.labels(index)
        hit = np.isin(content, list(values))
        if hit.any():
            new = content.astype(np.uint16)
            for old, value in values.items():
                new[content == old] = value
            document.write(index, new)
