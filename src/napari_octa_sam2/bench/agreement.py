"""How equal the masks of two runs are."""

from __future__ import annotations

from statistics import fmean

import numpy as np

from napari_octa_sam2.bench.runs import Answer


class Agreement:
    """Masks of all slices and objects that were compared."""

    def __init__(self) -> None:
        self.ious: list[float] = []
        self.max_difference: float | None = None
        self.foreground: list[float] = []

    def add(self, expected: Answer, found: Answer) -> None:
        """Compare all objects of a slice, at the slice's own resolution."""
        for object_id, logits in expected.logits.items():
            self._compare(logits, found.logits[object_id])

    def _compare(self, expected: np.ndarray, found: np.ndarray) -> None:
        one, other = expected > 0, found > 0
        union = np.count_nonzero(one | other)
        iou = np.count_nonzero(one & other) / union if union else 1.0
        difference = float(np.abs(expected - found).max())
        self.ious.append(iou)
        self.max_difference = max(difference, self.max_difference or 0.0)
        self.foreground.append(float(one.mean()))

    def figures(self) -> dict[str, float | None]:
        """Return the worst and the mean IoU, and the worst difference of logits."""
        return {
            "min IoU": min(self.ious, default=None),
            "mean IoU": fmean(self.ious) if self.ious else None,
            "worst logit difference": self.max_difference,
        }

    def raw(self) -> dict[str, object]:
        """Return what tells whether there was something to compare."""
        return {
            "masks_compared": len(self.ious),
            "foreground_share": [
                min(self.foreground, default=None),
                max(self.foreground, default=None),
            ],
        }
