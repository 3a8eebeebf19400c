"""What the engine answers with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
        Per changed object, how sure the answer is, from 0 to 1; an object of which
        nothing is known here is left out.

    Notes
    -----
    The confidence is in the answer, whichever it is. Let p be the probability that
    the object is on the slice, the logistic function of SAM 2's object score, and u the
    IoU that the network predicts for its mask:

    - a mask is shown: p u, as both the object and its outline must be right;
    - the object is shown as absent: 1 - p;
    - mask or absence were given: 1 if an annotator did so, else how sure whoever did
      is of it (`prompts.Prompt`).
    """

    slice: int
    logits: Mapping[int, np.ndarray]
    changed: tuple[int, ...]
    confidence: Mapping[int, float]

    def mask(self, object_id: int) -> np.ndarray:
        """Return the boolean mask of one object."""
        return self.logits[object_id] > 0

    def write_into(self, labels: np.ndarray, protected: Collection[int] = ()) -> None:
        """Write the changed masks into one slice of labels ``(slow, fast)``, in place.

        Where masks overlap the higher logit wins. Pixels that a changed object had
        and lost go to the object that holds them now; all others are left alone, and
        so is all that belongs to `protected` objects.
        """
        free = [o for o in self.logits if o not in protected]
        changed = np.array([o for o in self.changed if o in free], labels.dtype)
        if not len(changed):
            return
        ids = np.array(free, labels.dtype)
        stack = np.stack([self.logits[o] for o in free])
        winner = np.where(stack.max(0) > 0, ids[stack.argmax(0)], labels.dtype.type(0))
        concerned = np.isin(labels, changed) | np.isin(winner, changed)
        concerned &= ~np.isin(labels, list(protected))
        labels[concerned] = winner[concerned]

    def written(
        self, labels: np.ndarray, protected: Collection[int] = ()
    ) -> np.ndarray:
        """Return what `write_into` makes of labels, in a type that holds every id."""
        dtype = label_dtype(max(self.logits, default=0))
        copied = labels.astype(np.promote_types(labels.dtype, dtype))
        self.write_into(copied, protected)
        return copied


def answer_confidence(presence: float, iou: float, *, is_shown: bool) -> float:
    """Return the confidence in the network's answer, as `SliceResult` defines it.

    Parameters
    ----------
    presence : float
        Probability that the object is on the slice.
    iou : float
        IoU that is predicted for the mask.
    is_shown : bool
        Whether the mask has any pixel.
    """
    confidence = presence * iou if is_shown else 1.0 - presence
    return min(1.0, max(0.0, confidence))


def label_dtype(largest_id: int) -> type[np.unsignedinteger]:
    """Return the type for ids up to `largest_id`: uint8 up to 255, else uint16."""
    return np.uint8 if largest_id <= 255 else np.uint16
