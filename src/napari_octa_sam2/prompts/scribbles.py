"""Scribbles: lines drawn along an object, such as centre lines of vessels.

Networks take clicks. A line is given to them as clicks that are evenly spread on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.prompts.fields import Vertex, integer, vertices

SPACING = 8.0  # pixels between the clicks of a line, at most
MOST = 16  # clicks of a line


@dataclass(frozen=True)
class Scribble:
    """A drawn line.

    Parameters
    ----------
    path : tuple of (row, col)
        Its vertices in pixels of the slice, two that differ at least.
    label : int
        1: the line lies on the object; 0: it lies beside it.

    Raises
    ------
    PromptError
        If it is no line, or the label is another.
    """

    path: tuple[Vertex, ...]
    label: int = 1

    def __post_init__(self) -> None:
        if not all(math.isfinite(c) for vertex in self.path for c in vertex):
            raise PromptError(
                f"a scribble: expected finite coordinates, found {self.path}"
            )
        if len(set(self.path)) < 2:
            raise PromptError(
                "a scribble: expected a path of two or more different vertices, "
                f"found {list(self.path)}; give a click instead"
            )
        if self.label not in (0, 1):
            raise PromptError(f"a scribble: expected label 0 or 1, found {self.label}")

    @property
    def clicks(self) -> tuple[tuple[float, float, int], ...]:
        """Clicks ``(row, col, label)`` on the line, from its start to its end."""
        return tuple((row, col, self.label) for row, col in resample(self.path))

    def to_json(self) -> dict[str, Any]:
        """Return the scribble as the prompt file holds it."""
        return {"path": [list(v) for v in self.path], "label": self.label}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Scribble:
        """Return the scribble of a record of the prompt file.

        Raises
        ------
        PromptError
            If it has unknown keys or is no line.
        KeyError, TypeError, ValueError
            If it is malformed.
        """
        if unknown := set(record) - {"path", "label"}:
            raise PromptError(
                f"unknown keys {sorted(unknown)} in a scribble; "
                "expected 'path' and 'label'"
            )
        return cls(vertices(record["path"]), integer(record["label"]))


def resample(
    path: Sequence[Vertex], spacing: float = SPACING, most: int = MOST
) -> tuple[Vertex, ...]:
    """Return points at equal arc lengths along a path, both ends among them.

    Parameters
    ----------
    path : sequence of (row, col)
        Vertices in pixels.
    spacing : float
        Largest arc length between two points in pixels, where `most` allows it.
    most : int
        Largest number of points; there are two at least.
    """
    corners = np.asarray(path, float)
    steps = np.hypot(*np.diff(corners, axis=0).T)
    at = np.concatenate([[0.0], np.cumsum(steps)])
    count = min(max(2, math.ceil(at[-1] / spacing) + 1), most)
    wanted = np.linspace(0, at[-1], count)
    rows, cols = (np.interp(wanted, at, corners[:, axis]) for axis in (0, 1))
    return tuple((float(r), float(c)) for r, c in zip(rows, cols, strict=True))
