"""When a correction has no more to change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from torch import Tensor

SAME = 0.99  # IoU of masks from which on they are the same
SLICES = 4  # that follow one another and are the same


class Settling:
    """Counts, for each object and direction, the slices that stayed as they were.

    Parameters
    ----------
    last : mapping of int to int
        Per object, the highest slice whose prompts were edited: a pass towards higher
        indices has not settled before it is beyond.
    """

    def __init__(self, last: Mapping[int, int]) -> None:
        self._last = last
        self._same: Counter[tuple[int, bool]] = Counter()

    def note(
        self, object_id: int, index: int, reverse: bool, old: Tensor | None, new: Tensor
    ) -> None:
        """Take note of an object's mask logits on a slice, before and now."""
        key = (object_id, reverse)
        is_same = old is not None and _iou(old > 0, new > 0) >= SAME
        is_one_more = is_same and self._is_beyond(object_id, index, reverse)
        self._same[key] = self._same[key] + 1 if is_one_more else 0

    def bound(self, object_id: int, index: int, reverse: bool) -> None:
        """Take note of a slice whose mask is certain: a pass ends there."""
        if self._is_beyond(object_id, index, reverse):
            self._same[object_id, reverse] = SLICES

    def has_settled(self, object_id: int, reverse: bool) -> bool:
        """Whether slices further on would stay as they are."""
        return self._same[object_id, reverse] >= SLICES

    def _is_beyond(self, object_id: int, index: int, reverse: bool) -> bool:
        """Whether a slice is behind the edits; False for what was edited since."""
        last = self._last.get(object_id)
        return last is not None and (reverse or index > last)


def _iou(a: Tensor, b: Tensor) -> float:
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else 1.0
