"""Sharp masks: a small U-net at the slice's own resolution, behind any SAM 2 network.

SAM 2 decodes masks on a grid of a quarter of its input, too coarse for vessels of a
few pixels. The head sees the slice, the interpolated logits and the clicks, and
corrects the logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOGIT_SCALE = 8.0
CLICK_RADIUS = 2.0  # standard deviation of a painted click, in pixels
INPUTS = 5  # slice, logits, probability, positive and negative clicks


class RefinementHead(nn.Module):
    """U-net from slice, logits and clicks to corrected logits.

    It works on blocks of 2 x 2 pixels (pixel unshuffle), which loses nothing and costs
    a quarter. The last layer sees the input once more.

    Parameters
    ----------
    channels : sequence of int
        Channels of each level, finest first.

    References
    ----------
    Ronneberger et al., "U-Net", MICCAI 2015; Shi et al., "Real-time single image and
    video super-resolution using an efficient sub-pixel convolutional neural network",
    CVPR 2016.
    """

    def __init__(self, channels: Sequence[int] = (32, 64, 96, 128)) -> None:
        super().__init__()
        self.channels = tuple(channels)
        fine, coarse = self.channels[:-1], self.channels[1:]
        self.stem = _block(INPUTS * 4, self.channels[0])
        self.down = nn.ModuleList(
            _block(a, b) for a, b in zip(fine, coarse, strict=True)
        )
        self.up = nn.ModuleList(
            _block(a + b, a) for a, b in zip(fine, coarse, strict=True)
        )
        self.last = nn.Conv2d(self.channels[0] + INPUTS * 4, 4, 1)

    def forward(
        self, images: Tensor, logits: Tensor, clicks: Tensor | None = None
    ) -> Tensor:
        """Return refined logits.

        Parameters
        ----------
        images : Tensor
            Slices in 0..1 at their own resolution, shape ``(n, 1, slow, fast)``.
        logits : Tensor
            Mask logits of any resolution, shape ``(n, 1, rows, columns)``.
        clicks : Tensor, optional
            What `paint_clicks` returns, shape ``(n, 2, slow, fast)``.

        Returns
        -------
        Tensor
            Shape ``(n, 1, slow, fast)``, float32. Where the network says that the
            object is absent, by logits far below zero, it stays absent.
        """
        size = images.shape[-2:]
        # at reduced precision a sum would lose what is small beside NO_OBJ_SCORE
        logits = F.interpolate(logits.float(), size, mode="bilinear")
        scaled = (logits / LOGIT_SCALE).clamp(-2, 2)
        if clicks is None:
            clicks = images.new_zeros(len(images), 2, *size)
        x = torch.cat([images, scaled, logits.sigmoid(), clicks], 1)
        blocks = F.pixel_unshuffle(_padded(x, 2 ** len(self.channels)), 2)
        x = self.stem(blocks)
        skipped = []
        for block in self.down:
            skipped.append(x)
            x = block(F.max_pool2d(x, 2))
        for block, skip in zip(reversed(self.up), reversed(skipped), strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0), skip], 1))
        change = F.pixel_shuffle(self.last(torch.cat([x, blocks], 1)), 2)
        return logits + change[..., : size[0], : size[1]].float()


def paint_clicks(points: Tensor, labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Return pictures of the positive and of the negative clicks.

    Parameters
    ----------
    points : Tensor
        (x, y) in pixels of the slice, shape ``(n, points, 2)``.
    labels : Tensor
        1 positive, 0 negative, others are left out; shape ``(n, points)``.
    size : (int, int)
        Rows and columns of the slice.

    Returns
    -------
    Tensor
        Gaussian spots of height 1, shape ``(n, 2, slow, fast)``.
    """
    if not points.shape[1]:
        return points.new_zeros(len(points), 2, *size)
    rows, cols = (
        torch.exp(
            -((torch.arange(n, device=points.device) - points[..., i, None]) ** 2)
            / (2 * CLICK_RADIUS**2)
        )
        for i, n in ((1, size[0]), (0, size[1]))
    )
    spots = rows[..., :, None] * cols[..., None, :]
    return torch.stack(
        [(spots * (labels == kind)[..., None, None]).amax(1) for kind in (1, 0)], 1
    )


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _padded(x: Tensor, multiple: int) -> Tensor:
    """Repeat the border until both sides are multiples of `multiple`."""
    rows, cols = (-side % multiple for side in x.shape[-2:])
    return F.pad(x, (0, cols, 0, rows), mode="replicate")
