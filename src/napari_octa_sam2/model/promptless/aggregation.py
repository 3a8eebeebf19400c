"""What lets every pixel see the whole picture, or far into it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_octa_sam2.errors import ModelError

Aggregation = Literal["mit", "swint", "aspp"]
HEADS = 8
EXPANSION = 4  # of the channels, between the two layers of a feed-forward network


def aggregated(kind: Aggregation, channels: int) -> nn.Module:
    """Return a block of `AGGREGATIONS` that keeps channels and size.

    Raises
    ------
    ModelError
        If there is none of that name.
    """
    if kind not in AGGREGATIONS:
        raise ModelError(
            f"expected an aggregation of {', '.join(AGGREGATIONS)}, found {kind!r}"
        )
    return AGGREGATIONS[kind](channels)


class MixTransformer(nn.Module):
    """A layer of the Mix Transformer: attention to the whole, coarsened picture.

    Parameters
    ----------
    channels : int
        Of features ``(n, channels, rows, columns)`` of any size. There are 8 heads, or
        the largest number of them that divides both 8 and this.
    reduction : int
        Side of the patches, in pixels, that become one key and value.

    References
    ----------
    Xie et al., "SegFormer", NeurIPS 2021. As there, a 3 x 3 convolution in the
    feed-forward network stands in for an encoding of the position; here it is followed
    by one across the channels.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.heads, self.reduction = math.gcd(HEADS, channels), reduction
        self.before_attention = ChannelNorm(channels)
        self.query = nn.Conv2d(channels, channels, 1, bias=False)
        self.key_value = nn.Conv2d(
            channels, 2 * channels, reduction, stride=reduction, bias=False
        )
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        hidden = EXPANSION * channels
        self.feed_forward = nn.Sequential(
            ChannelNorm(channels),
            nn.Conv2d(channels, hidden, 1),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden),
            nn.Conv2d(hidden, hidden, 1),
            nn.GELU(),
            nn.Conv2d(hidden, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        x = x + self._attended(self.before_attention(x))
        features: Tensor = x + self.feed_forward(x)
        return features

    def _attended(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[-2:]
        more = (-columns % self.reduction, -rows % self.reduction)
        patches = F.pad(x, (0, more[0], 0, more[1]), mode="replicate")
        key, value = self.key_value(patches).chunk(2, 1)
        query, key, value = map(self._tokens, (self.query(x), key, value))
        seen = F.scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.project(seen.transpose(-1, -2).reshape(x.shape))
        return projected

    def _tokens(self, x: Tensor) -> Tensor:
        """Return ``(n, heads, pixels, channels of a head)``."""
        n, channels, rows, columns = x.shape
        heads = x.reshape(n, self.heads, channels // self.heads, rows * columns)
        return heads.transpose(-1, -2)


class ShiftedWindows(nn.Sequential):
    """Attention within windows, then within windows shifted by half of one.

    Parameters
    ----------
    channels : int
        As for `MixTransformer`.
    window : int
        Side in pixels.

    References
    ----------
    Liu et al., "Swin Transformer", ICCV 2021.
    """

    def __init__(self, channels: int, window: int = 8) -> None:
        super().__init__(
            WindowAttention(channels, window, shift=0),
            WindowAttention(channels, window, shift=window // 2),
        )


class WindowAttention(nn.Module):
    """A layer of the Swin Transformer.

    Parameters
    ----------
    channels, window
        As for `ShiftedWindows`.
    shift : int
        Of the grid of windows, down and right, in pixels.
    """

    distance: Tensor

    def __init__(self, channels: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = math.gcd(HEADS, channels), window, shift
        self.before_attention = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, EXPANSION * channels),
            nn.GELU(),
            nn.Linear(EXPANSION * channels, channels),
        )
        # what pixels of a window give to each other, by how far apart they are
        apart = (2 * window - 1) ** 2
        self.position = nn.Parameter(0.02 * torch.randn(self.heads, apart))
        places = torch.cartesian_prod(torch.arange(window), torch.arange(window))
        distance = places[:, None] - places + window - 1
        index = distance[..., 0] * (2 * window - 1) + distance[..., 1]
        self.register_buffer("distance", index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        pixels = x.movedim(1, -1)
        pixels = pixels + self._attended(self.before_attention(pixels))
        features: Tensor = pixels + self.feed_forward(pixels)
        return features.movedim(-1, 1)

    def _attended(self, pixels: Tensor) -> Tensor:
        rows, columns = pixels.shape[1:3]
        windows = self._windows(pixels)
        parts = self.query_key_value(windows).unflatten(-1, (3, self.heads, -1))
        # (n, windows, heads, pixels of a window, channels of a head)
        query, key, value = parts.movedim(-3, 0).transpose(-2, -3)
        region = self._windows(_regions(rows, columns, self.shift, pixels.device))
        strange = region != region.transpose(-1, -2)
        bias = self.position[:, self.distance].to(query.dtype)
        bias = bias.masked_fill(strange[0, :, None], -torch.inf)
        seen = F.scaled_dot_product_attention(query, key, value, bias)
        joined = self.project(seen.transpose(-2, -3).flatten(-2))
        return self._pixels(joined, rows, columns)

    def _windows(self, pixels: Tensor) -> Tensor:
        """Cut ``(n, rows, columns, channels)`` into ``(n, windows, pixels, ...)``."""
        rows, columns = (-side % self.window for side in pixels.shape[1:3])
        wide = F.pad(pixels, (0, 0, 0, columns, 0, rows))
        wide = wide.roll((-self.shift, -self.shift), (1, 2))
        n, rows, columns, channels = wide.shape
        side = self.window
        cut = wide.reshape(n, rows // side, side, columns // side, side, channels)
        return cut.transpose(2, 3).reshape(n, -1, side * side, channels)

    def _pixels(self, windows: Tensor, rows: int, columns: int) -> Tensor:
        """Undo `_windows`."""
        n, side, channels = len(windows), self.window, windows.shape[-1]
        down, across = -(-rows // side), -(-columns // side)
        cut = windows.reshape(n, down, across, side, side, channels)
        wide = cut.transpose(2, 3).reshape(n, down * side, across * side, channels)
        return wide.roll((self.shift, self.shift), (1, 2))[:, :rows, :columns]


class AtrousPyramid(nn.Module):
    """Convolutions of growing reach side by side, and the mean of the picture.

    Parameters
    ----------
    channels : int
        As for `MixTransformer`.
    rates : tuple of int
        Pixels between the taps of the 3 x 3 convolutions.

    References
    ----------
    Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation",
    arXiv:1706.05587, 2017. Normalised by group, since batches are small.
    """

    def __init__(self, channels: int, rates: tuple[int, ...] = (6, 12, 18)) -> None:
        super().__init__()
        self.views = nn.ModuleList([_normalised(nn.Conv2d(channels, channels, 1))])
        for rate in rates:
            conv = nn.Conv2d(channels, channels, 3, padding=rate, dilation=rate)
            self.views.append(_normalised(conv))
        self.whole = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU())
        count = len(self.views) + 1
        self.fuse = _normalised(nn.Conv2d(count * channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        views = [view(x) for view in self.views]
        whole = self.whole(x.mean((-2, -1), keepdim=True))
        fused: Tensor = self.fuse(torch.cat([*views, whole.expand_as(x)], 1))
        return fused


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation of the channels of ``(n, channels, rows, columns)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


AGGREGATIONS: dict[str, Callable[[int], nn.Module]] = {
    "mit": MixTransformer,
    "swint": ShiftedWindows,
    "aspp": AtrousPyramid,
}


def _normalised(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.GroupNorm(1, conv.out_channels), nn.ReLU())


def _regions(rows: int, columns: int, shift: int, device: torch.device) -> Tensor:
    """Return the number, 1 to 4, of what a pixel belongs with, ``(1, rows, ..., 1)``.

    A shifted grid of windows brings pixels of opposite borders together, and a picture
    is widened with zeros: these must not see each other.
    """
    row = torch.arange(rows, device=device) < shift
    column = torch.arange(columns, device=device) < shift
    return (1 + 2 * row[:, None] + column)[None, ..., None]
