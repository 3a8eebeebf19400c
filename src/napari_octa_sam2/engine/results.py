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
        ``(slow, fast)``, float32; positive is foreground.
    confidence : mapping of int to float
        Per object id, 0 to 1: predicted IoU times the probability that the object
        is there.
    """

    slice: int
    logits: Mapping[int, np.ndarray]
    confidence: Mapping[int, float]

    def mask(self, object_id: int) -> np.ndarray:
        """Return the boolean mask of one object."""
        return self.logits[object_id] > 0

    def write_into(self, labels: np.ndarray) -> None:
        """Write the masks into one slice of labels ``(slow, fast)``, in place.

        Where masks overlap the higher logit wins. Pixels that one of these objects
        had before and has no more are cleared; other objects keep theirs unless a
        mask of this result covers them.
        """
        if not self.logits:
            return
        ids = np.array(list(self.logits), labels.dtype)
        stack = np.stack(list(self.logits.values()))
        best, top = stack.argmax(0), stack.max(0)
        labels[np.isin(labels, ids)] = 0
        labels[top > 0] = ids[best[top > 0]]


def label_dtype(largest_id: int) -> type[np.unsignedinteger]:
    """Return the label type for ids up to `largest_id`: uint8 up to 255, else uint16."""
    return np.uint8 if largest_id <= 255 else np.uint16
