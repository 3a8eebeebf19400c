"""Image features of a slice."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class SliceFeatures:
    """What the image encoder says of one slice.

    Parameters
    ----------
    tokens : tuple of Tensor
        Per level, finest first, shape ``(height * width, 1, channels)``.
    """

    tokens: tuple[Tensor, ...]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of each level; the network's input is a square."""
        return [(math.isqrt(len(t)), math.isqrt(len(t))) for t in self.tokens]
