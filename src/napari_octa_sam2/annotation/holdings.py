"""Which objects are on which slices."""

from __future__ import annotations

import numpy as np


class Holdings:
    """The ids that each slice of labels holds."""

    def __init__(self) -> None:
        self._held: dict[int, frozenset[int]] = {}

    def note(self, index: int, labels: np.ndarray) -> None:
        """Take note of the labels of a slice."""
        ids = np.flatnonzero(np.bincount(labels.ravel()))
        self._held[index] = frozenset(int(i) for i in ids if i)

    def extent(self, object_id: int) -> tuple[int, int] | None:
        """Return the first and last slice that hold an object, if any does."""
        slices = [i for i, ids in self._held.items() if object_id in ids]
        return (min(slices), max(slices)) if slices else None
