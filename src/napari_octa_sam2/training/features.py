"""Image features of a frozen encoder, made once for each slice."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Features = dict[str, list[Tensor]]
LEVELS = ("backbone_fpn", "vision_pos_enc")


class FeatureMemo:
    """Features by what the slices look like, those unused for longest going first.

    It helps where the same slices come again and again: a frozen encoder, and clips
    that are not changed at random.

    Parameters
    ----------
    megabytes : float
        Most memory to take, in units of 10^6 bytes.
    """

    def __init__(self, megabytes: float) -> None:
        self.room = megabytes * 1e6
        self.hits = 0
        self._held: OrderedDict[bytes, Features] = OrderedDict()
        self._bytes = 0

    def of(self, image: Tensor, encode: Callable[[Tensor], Features]) -> Features:
        """Return the features of one slice ``(1, channels, slow, fast)``."""
        content = image.detach().cpu().contiguous().numpy().tobytes()
        key = hashlib.blake2b(content, digest_size=16).digest()
        if key in self._held:
            self.hits += 1
            self._held.move_to_end(key)
            return self._held[key]
        with torch.no_grad():
            features = encode(image)
        self._held[key] = features
        self._bytes += _bytes(features)
        while self._bytes > self.room and self._held:
            _, gone = self._held.popitem(last=False)
            self._bytes -= _bytes(gone)
        return features


def joined(parts: list[Any]) -> Features:
    """Return the features of slices as those of a batch."""
    return {
        key: [torch.cat(level) for level in zip(*(p[key] for p in parts), strict=True)]
        for key in LEVELS
    }


def _bytes(features: Features) -> int:
    return sum(level.nbytes for key in LEVELS for level in features[key])
