"""Image features in training: in little memory, and once only where they can be."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Features = dict[str, list[Tensor]]


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

    def of(self, image: Tensor, make: Callable[[Tensor], Features]) -> Features:
        """Return the features of one slice ``(1, channels, slow, fast)``."""
        content = image.detach().cpu().contiguous().numpy().tobytes()
        key = hashlib.blake2b(content, digest_size=16).digest()
        if key in self._held:
            self.hits += 1
            self._held.move_to_end(key)
            return self._held[key]
        with torch.no_grad():
            features = make(image)
        self._held[key] = features
        self._bytes += _bytes(features)
        while self._bytes > self.room and self._held:
            _, gone = self._held.popitem(last=False)
            self._bytes -= _bytes(gone)
        return features


def encode(encoder: Any, image: Tensor, *, thrifty: bool = False) -> Features:
    """Return what an image encoder of SAM 2 says of inputs ``(n, 3, side, side)``.

    Parameters
    ----------
    encoder : sam2.modeling.backbones.image_encoder.ImageEncoder
    image : Tensor
    thrifty : bool
        Compute the activations of each block again in the backward pass.
    """
    if not thrifty:
        found = encoder(image)
        return _without_fine_positions(found["backbone_fpn"], found["vision_pos_enc"])
    trunk = encoder.trunk
    x = trunk.patch_embed(image)
    x = x + trunk._get_pos_embed(x.shape[1:3])
    stages = []
    for number, block in enumerate(trunk.blocks):
        x = checkpoint(block, x, use_reentrant=False)
        if number in trunk.stage_ends:
            stages.append(x.permute(0, 3, 1, 2))
    features, positions = encoder.neck(stages)
    levels = len(features) - encoder.scalp
    return _without_fine_positions(features[:levels], positions[:levels])


def _without_fine_positions(levels: Any, positions: Any) -> Features:
    """Return features with the positions of the coarsest level, which alone count."""
    return {"backbone_fpn": list(levels), "vision_pos_enc": [positions[-1][:1]]}


def joined(parts: list[Any]) -> Features:
    """Return the features of slices as those of a batch; positions are the same."""
    levels = zip(*(part["backbone_fpn"] for part in parts), strict=True)
    return {
        "backbone_fpn": [torch.cat(level) for level in levels],
        "vision_pos_enc": parts[0]["vision_pos_enc"],
    }


def _bytes(features: Features) -> int:
    return sum(level.nbytes for levels in features.values() for level in levels)
