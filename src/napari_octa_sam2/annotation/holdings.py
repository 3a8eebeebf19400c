"""Which objects are on which slices."""

from __future__ import annotations

import numpy as np

FEW = 8


class Holdings:
    """The ids that each slice of labels holds."""

    def __init__(self) -> None:
        self._held: dict[int, frozenset[int]] = {}

    def note(self, index: int, labels: np.ndarray) -> None:
        """Take note of the labels of a slice."""
        last = int(labels.max(initial=0))
        if last <= FEW:  # faster than counting
            ids = [i for i in range(1, last + 1) if (labels == i).any()]
        else:
            ids = [int(i) for i in np.flatnonzero(np.bincount(labels.ravel())) if i]
        self._held[index] = frozenset(ids)

    def extent(self, object_id: int) -> tuple[int, int] | None:
        """Return the first and last slice that hold an object, if any does."""
        slices = [i for i, ids in self._held.items() if object_id in ids]
        return (min(slices), max(slices)) if slices else None
