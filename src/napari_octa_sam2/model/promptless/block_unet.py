"""The smallest and fastest of the promptless networks: the bundled one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from napari_octa_sam2.model.unet import BlockUNet


class BlockUNetClasses(BlockUNet):
    """`model.unet.BlockUNet` with a logit of each class.

    Parameters
    ----------
    inputs, classes : int
    channels : sequence of int
        Of each level, finest first.
    """

    def __init__(
        self, inputs: int, classes: int, channels: Sequence[int] = (48, 96, 144, 192)
    ) -> None:
        super().__init__(inputs, channels)
        self.classes = nn.Conv2d(channels[0], 4 * classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(n, classes, slow, fast)`` of ``(n, inputs, slow, fast)``."""
        return self.to_pixels(self.classes(self.features(images)), images)
