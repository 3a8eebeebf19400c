"""Image features of slices, encoded once and kept within a byte budget."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class SliceFeatures:
    """What the image encoder says of one slice.

    Parameters
    ----------
    tokens : tuple of Tensor
        Per level, finest first, shape ``(height * width, 1, channels)``.
    positions : tuple of Tensor
        Position encodings of the same shapes.
    sizes : tuple of (int, int)
        Height and width of each level.
    """

    tokens: tuple[Tensor, ...]
    positions: tuple[Tensor, ...]
    sizes: tuple[tuple[int, int], ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens; positions are the same for every slice."""
        return sum(t.numel() * t.element_size() for t in self.tokens)


def encode(network: Any, image: Tensor) -> SliceFeatures:
    """Return the features of one image ``(1, 3, size, size)``."""
    _, tokens, positions, sizes = network._prepare_backbone_features(
        network.forward_image(image)
    )
    return SliceFeatures(tuple(tokens), tuple(positions), tuple(sizes))


class FeatureCache:
    """Features of the slices used last, at most `budget` bytes of them.

    The newest slice is kept even where it alone exceeds the budget.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.nbytes = 0
        self._items: OrderedDict[int, SliceFeatures] = OrderedDict()

    def get(self, index: int, make: Callable[[], SliceFeatures]) -> SliceFeatures:
        """Return the features of slice `index`, from `make` if they are not kept."""
        if index in self._items:
            self._items.move_to_end(index)
            return self._items[index]
        features = make()
        if self._items:
            # One set of position encodings serves all slices.
            shared = next(iter(self._items.values())).positions
            features = SliceFeatures(features.tokens, shared, features.sizes)
        self._items[index] = features
        self.nbytes += features.nbytes
        while self.nbytes > self.budget and len(self._items) > 1:
            _, dropped = self._items.popitem(last=False)
            self.nbytes -= dropped.nbytes
        return features

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()
        self.nbytes = 0

    def __contains__(self, index: int) -> bool:
        return index in self._items

    def __len__(self) -> int:
        return len(self._items)
