"""Cross suppression: where one object is, the others are not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from napari_octa_sam2.prompts.fields import Vertex
from napari_octa_sam2.prompts.records import Prompt

MOST = 16  # clicks of other objects that an object is kept from
SAME = 1.0  # pixels: nearer than this to an own click, one is no objection

Groups = dict[tuple[int, int], list[Prompt]]


def suppressed(groups: Mapping[tuple[int, int], list[Prompt]]) -> Groups:
    """Return the prompts of each ``(object, slice)`` with those of cross suppression.

    An object that is clicked on, scribbled on or boxed on a slice gets one more prompt
    there: the positive clicks of all other objects on the slice, as negative ones. The
    `MOST` nearest to what was drawn of it are taken, and none that it has been clicked
    on itself. Where its mask is given or it is absent, that stands.
    """
    kept_from = {key: _objections(key, groups) for key in groups}
    return {key: [*given, *kept_from[key]] for key, given in groups.items()}


def _objections(
    key: tuple[int, int], groups: Mapping[tuple[int, int], list[Prompt]]
) -> list[Prompt]:
    object_id, index = key
    own = groups[key]
    anchors = [at for prompt in own for at in _anchors(prompt)]
    if not anchors or own[-1].gives_mask or own[-1].absent:
        return []
    mine = list(_positive(own))
    others = {
        at
        for (other, slice_), prompts in groups.items()
        if slice_ == index and other != object_id
        for at in _positive(prompts)
        if all(math.dist(at, own_click) >= SAME for own_click in mine)
    }
    near = sorted(others, key=lambda at: (min(math.dist(at, a) for a in anchors), at))
    points = tuple(near[:MOST])
    return [Prompt(object_id, index, points, (0,) * len(points))] if points else []


def _positive(prompts: Iterable[Prompt]) -> Iterable[Vertex]:
    return ((row, col) for p in prompts for row, col, label in p.clicks if label)


def _anchors(prompt: Prompt) -> list[Vertex]:
    """Return where on the slice a prompt was drawn."""
    anchors = [(row, col) for row, col, _ in prompt.clicks]
    if prompt.box is not None:
        row0, col0, row1, col1 = prompt.box
        anchors.append(((row0 + row1) / 2, (col0 + col1) / 2))
    return anchors
