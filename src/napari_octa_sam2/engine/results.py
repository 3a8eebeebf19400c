"""What the engine answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class SliceResult:
    """Masks of one slice.

    Parameters
    ----------
    slice : int
        Index along the propagation axis.
    logits : mapping of int to numpy.ndarray
        Per object id, mask logits at the slice's own resolution, shape
        ``(slow, fast)``, float32; positive is foreground. It holds every object that
        the session knows on this slice.
    changed : tuple of int
        Ids of the objects that this result is about; the others are there because
        masks may overlap.
    confidence : mapping of int to float
        Per changed object, 0 to 1: predicted IoU times the probability that the
        object is there.
    """

    slice: int
    logits: Mapping[int, np.ndarray]
    changed: tuple[int, ...]
    confidence: Mapping[int, float]

    def mask(self, object_id: int) -> np.ndarray:
        """Return the boolean mask of one object."""
        return self.logits[object_id] > 0

    def write_into(self, labels: np.ndarray) -> None:
        """Write the changed masks into one slice of labels ``(slow, fast)``, in place.

        Where masks overlap the higher logit wins. Pixels that a changed object had
        and lost go to the object that holds them now; all others are left alone.
        """
        if not self.logits:
            return
        ids = np.array(list(self.logits), labels.dtype)
        stack = np.stack(list(self.logits.values()))
        winner = np.where(stack.max(0) > 0, ids[stack.argmax(0)], labels.dtype.type(0))
        changed = np.array(self.changed, labels.dtype)
        concerned = np.isin(labels, changed) | np.isin(winner, changed)
        labels[concerned] = winner[concerned]


def label_dtype(largest_id: int) -> type[np.unsignedinteger]:
    """Return the type for ids up to `largest_id`: uint8 up to 255, else uint16."""
    return np.uint8 if largest_id <= 255 else np.uint16
