"""The U-net that reads slices: for the refinement head, and without a click."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BlockUNet(nn.Module):
    """U-net on blocks of 2 x 2 pixels, which lose nothing and cost a quarter.

    Parameters
    ----------
    inputs : int
        Channels of the slices.
    channels : sequence of int
        Channels of each level, finest first.

    References
    ----------
    Ronneberger et al., "U-Net", MICCAI 2015; Shi et al., "Real-time single image and
    video super-resolution using an efficient sub-pixel convolutional neural network",
    CVPR 2016.
    """

    def __init__(self, inputs: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = tuple(channels)
        fine, coarse = channels[:-1], channels[1:]
        self.stem = block(4 * inputs, channels[0])
        self.down = nn.ModuleList(
            block(a, b) for a, b in zip(fine, coarse, strict=True)
        )
        self.up = nn.ModuleList(
            block(a + b, a) for a, b in zip(fine, coarse, strict=True)
        )

    def features(self, images: Tensor) -> Tensor:
        """Return features of blocks of 2 x 2 pixels, ``(n, channels, rows, columns)``.

        `images` have any size, shape ``(n, inputs, slow, fast)``.
        """
        x: Tensor = self.stem(self.to_blocks(images))
        skipped = []
        for level in self.down:
            skipped.append(x)
            x = level(F.max_pool2d(x, 2))
        for level, skip in zip(reversed(self.up), reversed(skipped), strict=True):
            x = level(torch.cat([F.interpolate(x, scale_factor=2.0), skip], 1))
        return x

    def to_blocks(self, pixels: Tensor) -> Tensor:
        """Repeat the border until all levels fit, and fold 2 x 2 pixels into one."""
        multiple = 2 ** len(self.channels)
        rows, cols = (-side % multiple for side in pixels.shape[-2:])
        return F.pixel_unshuffle(F.pad(pixels, (0, cols, 0, rows), mode="replicate"), 2)

    def to_pixels(self, blocks: Tensor, images: Tensor) -> Tensor:
        """Unfold blocks to the size of `images`, float32."""
        rows, cols = images.shape[-2:]
        return F.pixel_shuffle(blocks, 2)[..., :rows, :cols].float()


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Return two 3 x 3 convolutions, each with batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
