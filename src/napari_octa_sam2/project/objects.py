"""What can be done to whole objects: remove, merge, split, duplicate.

Each function changes prompts and labels of a document, as part of its last step.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.project.document import Document
from napari_octa_sam2.project.locks import mask_prompt
from napari_octa_sam2.project.pieces import Pieces, divided
from napari_octa_sam2.prompts import Prompt, PromptObject, PromptSet


def find_object(prompts: PromptSet, object_id: int) -> PromptObject:
    """Return an object by its id.

    Raises
    ------
    PromptError
        If there is none.
    """
    for obj in prompts.objects:
        if obj.id == object_id:
            return obj
    known = ", ".join(str(o.id) for o in prompts.objects)
    raise PromptError(f"expected one of the objects {known}, found {object_id}")


def new_id(prompts: PromptSet) -> int:
    """Return the id after the largest one."""
    return max((o.id for o in prompts.objects), default=0) + 1


def remove(document: Document, object_id: int) -> None:
    """Remove an object with its prompts, locks and pixels.

    Raises
    ------
    PromptError
        If there is none.
    """
    prompts = document.prompts
    find_object(prompts, object_id)
    document.set_prompts(
        replace(
            prompts,
            objects=tuple(o for o in prompts.objects if o.id != object_id),
            prompts=tuple(p for p in prompts.prompts if p.object != object_id),
            locks=frozenset(k for k in prompts.locks if k[0] != object_id),
        )
    )
    _relabel(document, [object_id], 0)


def merge(document: Document, into: int, others: Collection[int]) -> None:
    """Give prompts, locks and pixels of `others` to the object `into`.

    On slices where several of them are, what is shown becomes the mask: their prompts
    together would tell the network something else.

    Raises
    ------
    PromptError
        If there is no such object.
    """
    prompts = document.prompts
    ids = {into, *others}
    for object_id in sorted(ids):
        find_object(prompts, object_id)
    locked = {(into if o in ids else o, i) for o, i in prompts.locks}
    given = [replace(p, object=into) if p.object in ids else p for p in prompts.prompts]
    for index in sorted({p.slice for p in prompts.prompts if p.object in ids}):
        union = np.isin(document.labels(index), list(ids))
        shown = {int(i) for i in np.unique(document.labels(index))} & ids
        asked = {p.object for p in prompts.prompts if p.slice == index} & ids
        if union.any() and len(shown | asked) > 1:
            given.append(mask_prompt(into, index, union))
    document.set_prompts(
        replace(
            prompts,
            objects=tuple(o for o in prompts.objects if o.id not in ids - {into}),
            prompts=tuple(given),
            locks=frozenset(locked),
        )
    )
    _relabel(document, ids, into)


def duplicate(document: Document, object_id: int) -> PromptObject:
    """Add an object with the same prompts; its mask comes with the next propagation.

    Raises
    ------
    PromptError
        If there is none.
    """
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

    The largest one keeps the id. Pieces touch by faces, edges or corners. A prompt goes
    to the piece that it is about (`pieces.divided`), with it the lock of its slice; a
    piece without any that says where it is, is given its mask on its largest slice.

    Raises
    ------
    PromptError
        If there is no such object, or it is in one piece, or in more than 50.
    """
    prompts = document.prompts
    old = find_object(prompts, object_id)
    pieces = Pieces(document.volume() == object_id)
    count = len(pieces)
    if not 2 <= count <= 50:
        raise PromptError(
            f"expected an object in 2 to 50 pieces, found {count}; "
            + ("there is nothing to split" if count < 2 else "remove the crumbs first")
        )
    first = new_id(prompts)
    made = [
        replace(old, id=first + n, name=f"{old.name} {n + 2}") for n in range(count - 1)
    ]
    ids = [object_id, *(o.id for o in made)]
    moved = divided([p for p in prompts.prompts if p.object == object_id], pieces, ids)
    for piece, new in enumerate(ids):
        if not any(p.object == new and p.positive for p in moved):
            largest = pieces.largest_slice(piece)
            moved.append(Prompt(new, largest, mask=pieces.on(largest) == piece))
    locked = {
        (ids[piece], index)
        for owner, index in prompts.locks
        if owner == object_id
        for piece in pieces.held(index) or range(count)
    }
    document.set_prompts(
        replace(
            prompts,
            objects=(*prompts.objects, *made),
            prompts=(*(p for p in prompts.prompts if p.object != object_id), *moved),
            locks=frozenset(k for k in prompts.locks if k[0] != object_id) | locked,
        )
    )
    values = np.array(ids, np.uint16)
    for index in pieces.slices():
        here = pieces.on(index)
        content = np.where(here >= 0, values[here], document.labels(index))
        document.write(index, content)
    return made


def _relabel(document: Document, ids: Collection[int], value: int) -> None:
    for index in document.labelled_slices():
        content = document.labels(index)
        hit = np.isin(content, list(ids))
        document.write(index, np.where(hit, np.uint16(value), content))
