"""What was made elsewhere as objects: layers of users, and what networks found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_octa_sam2.engine.results import label_dtype
from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.layers import as_slices, foreign_points
from napari_octa_sam2.project.objects import new_id
from napari_octa_sam2.prompts import (
    CLASSES,
    Prompt,
    PromptObject,
    PromptSet,
    centre_line_prompt,
)

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Points

    from napari_octa_sam2.engine.segment import Confidence
    from napari_octa_sam2.project.document import Document


def points_as_clicks(layer: Points, image: Image, object_id: int) -> list[Prompt]:
    """Return the points of any layer as clicks on an object.

    They are positive unless the layer's features hold ``label`` ``"negative"``.

    Raises
    ------
    PromptError
        If the layer has fewer axes than the image.
    """
    found = foreign_points(layer, image)
    given = layer.features.get("label", [None] * len(found))
    clicks = []
    for position, label in zip(found, given, strict=True):
        index, row, col = [0.0, *map(float, position)][-3:]
        positive = int(label != "negative")
        clicks.append(Prompt(object_id, round(index), ((row, col),), (positive,)))
    return clicks


def with_labels(
    prompts: PromptSet, layer: Labels, image: Image, index: int, *, centre_lines: bool
) -> tuple[PromptSet, int]:
    """Return the prompts with the labels of a slice as objects, and how many those are.

    Parameters
    ----------
    centre_lines : bool
        Whether their centre lines become clicks, for vessels; else their pixels are
        the masks.

    Raises
    ------
    PromptError
        If the layer is not on the grid of the image, or empty on this slice.
    """
    if layer.data.shape != image.data.shape:
        raise PromptError(
            f"{layer.name}: expected labels of shape {image.data.shape} as "
            f"{image.name} has, found {layer.data.shape}"
        )
    own = np.asarray(as_slices(np.asarray(layer.data))[index])
    labels = [int(i) for i in np.unique(own) if i]
    if not labels:
        raise PromptError(
            f"{layer.name}: expected labels on slice {index}, found none; go to a "
            "slice that holds some"
        )
    first = new_id(prompts) if prompts.prompts else 1
    kept = tuple(o for o in prompts.objects if o.id < first)
    names, classes = (layer.metadata.get(key, {}) for key in ("names", "classes"))
    added, given = [], []
    for number, label in enumerate(labels, start=first):
        cls = classes.get(label, "other")
        cls = cls if cls in CLASSES else "other"
        added.append(PromptObject(number, str(names.get(label, "")), cls))
        mask = own == label
        given.append(
            centre_line_prompt(mask, number, index)
            if centre_lines
            else Prompt(number, index, mask=mask)
        )
    made = replace(prompts, objects=(*kept, *added), prompts=(*prompts.prompts, *given))
    return made, len(labels)


def with_objects(
    document: Document, objects: Iterable[PromptObject], given: Iterable[Prompt]
) -> PromptSet:
    """Return the prompts of a document with objects of another set as new ones.

    They come without those that have no prompt, and take the place of the empty object
    that an annotation begins with.

    Parameters
    ----------
    document : Document
    objects : iterable of PromptObject
        With ids of their own.
    given : iterable of Prompt
        By these ids.

    Raises
    ------
    PromptError
        If there is no prompt.
    """
    prompts, added = document.prompts, list(given)
    if not added:
        raise PromptError(
            "expected something found that no object has yet, found nothing; look on "
            "other slices, lower the threshold, or remove the objects that are there"
        )
    used = {p.object for p in added}
    kept = () if is_untouched(document) else prompts.objects
    first = new_id(replace(prompts, objects=kept))
    wanted = [o for o in objects if o.id in used]
    ids = {o.id: first + n for n, o in enumerate(wanted)}
    renamed = (_numbered(o, ids[o.id]) for o in wanted)
    return replace(
        prompts,
        objects=(*kept, *renamed),
        prompts=(*prompts.prompts, *(replace(p, object=ids[p.object]) for p in added)),
    )


def is_untouched(document: Document) -> bool:
    """Return whether an annotation is as it began: one object, of which is nothing."""
    return document.prompts == PromptSet((PromptObject(1),)) and (
        not document.labelled_slices()
    )


def _numbered(obj: PromptObject, number: int) -> PromptObject:
    """Return an object with another id, and the name that goes with it."""
    is_plain = obj.name == PromptObject(obj.id).name
    return PromptObject(number, "" if is_plain else obj.name, obj.cls)


def found_prompts(
    document: Document,
    labels: np.ndarray,
    confidence: Iterable[Confidence],
    *,
    only_blank: bool = False,
) -> list[Prompt]:
    """Return the masks of labels that were found, slice by slice, as prompts.

    A pixel that an object has already stays with that. Where an object was looked for
    and is not, it is said to be absent.

    Parameters
    ----------
    document : Document
    labels : numpy.ndarray of int
        Ids of what was found, shape ``(depth, slow, fast)``.
    confidence : iterable of Confidence
        Of the slices and objects that were looked for.
    only_blank : bool
        Whether slices that hold labels already are left as they are.

    Raises
    ------
    PromptError
        If the labels are not of the shape of the document.
    """
    if labels.shape != document.shape:
        raise PromptError(
            f"expected labels of shape {document.shape}, found {labels.shape}; find "
            "them in the image that is annotated"
        )
    left = set(document.labelled_slices()) if only_blank else set()
    sure = {
        (c.object, c.slice): round(c.confidence, 4)
        for c in confidence
        if c.slice not in left
    }
    given: list[Prompt] = []
    there: set[tuple[int, int]] = set()
    for index in sorted(set(np.flatnonzero(labels.any(axis=(1, 2))).tolist()) - left):
        own = labels[index]
        free = np.where(document.labels(index) == 0, own, 0)
        for label in np.unique(own[own > 0]).tolist():
            there.add((label, index))
            mask, certain = free == label, sure.get((label, index), 1.0)
            if mask.any():
                given.append(Prompt(label, index, mask=mask, confidence=certain))
    seen = {p.object for p in given}
    given += [
        Prompt(label, index, absent=True, confidence=certain)
        for (label, index), certain in sure.items()
        if label in seen and (label, index) not in there
    ]
    return given


def masks_over(labels: np.ndarray, masks: Iterable[Prompt]) -> np.ndarray:
    """Return labels of a slice with masks, given as prompts, over them."""
    shown = list(masks)
    dtype = np.result_type(labels, label_dtype(max(p.object for p in shown)))
    content = labels.astype(dtype)
    for prompt in shown:
        content[prompt.mask] = prompt.object
    return content
