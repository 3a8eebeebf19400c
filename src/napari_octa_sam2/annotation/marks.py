"""Where an object is not: marks of absence, and of its ends."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.prompts import Prompt, PromptSet


@dataclass(frozen=True)
class Marks:
    """Slices of an object that stand out."""

    prompted: frozenset[int] = frozenset()
    locked: frozenset[int] = frozenset()
    absent: frozenset[int] = frozenset()


def marks_of(prompts: PromptSet, object_id: int) -> Marks:
    """Return where an object has prompts, is locked, and is said to be absent."""
    own = [p for p in prompts.prompts if p.object == object_id]
    last = {p.slice: p for p in own}
    return Marks(
        frozenset(last),
        frozenset(i for o, i in prompts.locks if o == object_id),
        frozenset(i for i, p in last.items() if p.absent),
    )


def with_absence(prompts: PromptSet, object_id: int, index: int) -> PromptSet:
    """Return the prompts with an object absent on a slice; said twice, not any more."""
    own = [p for p in prompts.prompts if (p.object, p.slice) == (object_id, index)]
    if own and own[-1].absent:
        kept = tuple(p for p in prompts.prompts if p is not own[-1])
        return replace(prompts, prompts=kept)
    mark = Prompt(object_id, index, absent=True)
    return replace(prompts, prompts=(*prompts.prompts, mark))


def with_end(prompts: PromptSet, object_id: int, beyond: int, depth: int) -> PromptSet:
    """Return the prompts with an object ending before the slice `beyond`.

    Raises
    ------
    PromptError
        If it has a prompt there that says where it is.
    """
    here = [p for p in prompts.prompts if (p.object, p.slice) == (object_id, beyond)]
    if not 0 <= beyond < depth or (here and here[-1].absent):
        return prompts
    if any(p.positive for p in here):
        raise PromptError(
            f"expected no prompt of object {object_id} on slice {beyond}, where it "
            "shall have ended; take that one back first"
        )
    return with_absence(prompts, object_id, beyond)
