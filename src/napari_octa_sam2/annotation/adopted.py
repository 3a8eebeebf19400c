"""Layers of users as prompts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

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
