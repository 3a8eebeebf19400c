"""What a prompt must be."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from napari_octa_sam2.prompts.objects import SEGMENTABLE

if TYPE_CHECKING:
    from napari_octa_sam2.prompts.records import Prompt


def problems(prompt: Prompt) -> Iterator[str]:
    """Yield why a record is no prompt."""
    if len(prompt.points) != len(prompt.labels):
        yield (
            f"expected one label a point, found {len(prompt.points)} points and "
            f"{len(prompt.labels)} labels"
        )
    if any(label not in (0, 1) for label in prompt.labels):
        yield f"expected labels 0 or 1, found {prompt.labels}"
    if prompt.box is not None:
        row0, col0, row1, col1 = prompt.box
        if not (row0 < row1 and col0 < col1):
            yield (
                "expected a box (row0, col0, row1, col1) with row0 < row1 and "
                f"col0 < col1, found {prompt.box}"
            )
    if prompt.polygon is not None and len(set(prompt.polygon)) < 3:
        yield (
            "expected a polygon of three or more different vertices, "
            f"found {list(prompt.polygon)}"
        )
    pairs = (*prompt.points, *(prompt.polygon or ()))
    numbers = [c for pair in pairs for c in pair] + list(prompt.box or ())
    if not all(math.isfinite(n) for n in numbers):
        yield f"expected finite coordinates, found {numbers}"
    if prompt.whole is not None and prompt.whole not in SEGMENTABLE:
        yield (f"expected a class of {', '.join(SEGMENTABLE)}, found {prompt.whole!r}")
    if not 0 <= prompt.confidence <= 1:
        yield f"expected a confidence from 0 to 1, found {prompt.confidence}"
    elif prompt.confidence < 1 and prompt.mask is None and not prompt.absent:
        yield (
            "expected a confidence with a mask or absent, found it with a prompt that "
            "the network answers"
        )
    drawn = bool(prompt.points or prompt.scribbles) or prompt.box is not None
    asked = drawn or prompt.whole is not None
    kinds = (asked, prompt.mask is not None, prompt.polygon is not None, prompt.absent)
    if sum(kinds) != 1:
        yield (
            "expected points, scribbles, a box, a class, a mask, a polygon or absent; "
            f"found {'several' if any(kinds) else 'none of them'}"
        )


def problems_inside(prompt: Prompt, slow: int, fast: int) -> Iterator[str]:
    """Yield why a prompt does not lie in slices of ``slow`` rows, ``fast`` columns."""
    outside = f"lies outside the image of {slow} x {fast} pixels; move or delete it"
    drawn = [("point", point) for point in prompt.points]
    drawn += [("scribble at", v) for s in prompt.scribbles for v in s.path]
    for kind, (row, col) in drawn:
        if not (-0.5 <= row <= slow - 0.5 and -0.5 <= col <= fast - 0.5):
            yield f"the {kind} (row {row:g}, col {col:g}) {outside}"
    if prompt.box is not None:
        row0, col0, row1, col1 = prompt.box
        if row1 < 0 or col1 < 0 or row0 > slow - 1 or col0 > fast - 1:
            yield f"the box {prompt.box} {outside}"
    mask = prompt.given((slow, fast))
    if mask is not None and mask.shape != (slow, fast):
        yield f"expected a mask of shape {(slow, fast)}, found {mask.shape}"
    if mask is not None and prompt.polygon is not None and not mask.any():
        yield (
            "expected a polygon around one pixel centre at least of the image of "
            f"{slow} x {fast} pixels, found none inside; draw it larger or delete it"
        )
