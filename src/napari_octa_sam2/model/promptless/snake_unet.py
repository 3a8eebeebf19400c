"""The U-net of snake convolutions: for thin vessels, and slow."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model.promptless.aggregation import Aggregation, aggregated
from napari_octa_sam2.model.snake import MultiViewSnakeConv

DEEPEST = 5  # levels; the sides of the input are multiples of 16, or 32 if folded
SIZES = {
    "s": {"depth": 3, "width": 8},
    "m": {"depth": 3, "width": 72},
    "l": {"depth": 4, "width": 144},
}


class SnakeUNet(nn.Module):
    """S3-OCTA's network: snake convolutions, and a look at the whole picture.

    A level is two `MultiViewSnakeConv`, of twice the channels of the finer level. On
    the levels between the finest and the coarsest, features are gathered from the
    whole picture, on the way down and on the way up.

    Parameters
    ----------
    inputs, classes : int
    width : int
        Channels of the finest level; `SIZES` holds those of S3-OCTA.
    depth : int
        Number of levels, 1 to 5.
    kernel, extend
        As for `model.snake.SnakeConv`; 0 lets the snakes go straight on.
    aggregation : {"mit", "swint", "aspp"}
        One of `aggregation.AGGREGATIONS`.
    fold : {1, 2}
        2 works on blocks of 2 x 2 pixels, as `model.unet.BlockUNet` does, which takes
        a quarter of the time.

    Raises
    ------
    ModelError
        If a number is out of its range, or the aggregation is unknown.

    Notes
    -----
    What S3-OCTA says of its blocks leaves their number open. With one channel in and
    one class there are 18.54, 305.4 and 0.296 million parameters here in the sizes m,
    l and s; there it is 18.54, 307.7 and 0.284 million.

    References
    ----------
    Qi et al., "Dynamic Snake Convolution based on Topological Geometric Constraints
    for Tubular Structure Segmentation", ICCV 2023; S3-OCTA.
    """

    def __init__(
        self,
        inputs: int,
        classes: int,
        width: int = 72,
        depth: int = 3,
        kernel: int = 11,
        extend: float = 3.0,
        aggregation: Aggregation = "mit",
        fold: int = 1,
    ) -> None:
        super().__init__()
        if not 1 <= depth <= DEEPEST or width < 1 or extend < 0:
            raise ModelError(
                f"expected a depth of 1 to {DEEPEST}, a width above 0 and an extend "
                f"that is not negative, found {depth}, {width} and {extend:g}"
            )
        if fold not in (1, 2):
            raise ModelError(f"expected pixels one by one or a fold of 2, found {fold}")

        def level(number: int, channels: int) -> nn.Sequential:
            blocks: list[nn.Module] = [
                MultiViewSnakeConv(before, widths[number], kernel, extend)
                for before in (channels, widths[number])
            ]
            if 0 < number < depth - 1:
                blocks.append(aggregated(aggregation, widths[number]))
            return nn.Sequential(*blocks)

        widths = [width * 2**number for number in range(depth)]
        before = [inputs * fold**2, *widths]
        self.fold = fold
        self.down = nn.ModuleList(level(i, before[i]) for i in range(depth))
        joined = [fine + coarse for fine, coarse in pairwise(widths)]
        self.up = nn.ModuleList(level(i, channels) for i, channels in enumerate(joined))
        self.classes = nn.Conv2d(width, classes * fold**2, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(n, classes, slow, fast)`` of ``(n, inputs, slow, fast)``.

        The sides must be multiples of ``fold * 2 ** (depth - 1)``.
        """
        x, skipped = F.pixel_unshuffle(images, self.fold), list[Tensor]()
        for level in self.down:
            if skipped:
                x = F.max_pool2d(x, 2)
            x = level(x)
            skipped.append(x)
        for level, skip in zip(reversed(self.up), skipped[-2::-1], strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear")
            x = level(torch.cat([skip, x], 1))
        return F.pixel_shuffle(self.classes(x), self.fold)
