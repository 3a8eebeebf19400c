"""Sharp masks: a small U-net at the slice's own resolution, behind any SAM 2 network.

SAM 2 decodes masks on a grid of a quarter of its input, too coarse for vessels of a
few pixels. The head reads the slice once, whatever the number of objects, and says
where each class is; for each object it then joins this with the network's logits and
the clicks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_octa_sam2.model.connected import touched
from napari_octa_sam2.model.unet import BlockUNet, block
from napari_octa_sam2.prompts import SEGMENTABLE

LOGIT_SCALE = 8.0
DOUBT = 2.0  # logit to which the network's own mask is believed
ABSENT = -100.0  # logit below which the network says that there is no object
CLICK_RADIUS = 2.0  # standard deviation of a painted click, in pixels
# slice, logits, probability, class asked for, clicks of two kinds, reach of two classes
OBJECT_INPUTS = 8
REACHED = ("RV", "FAZ")
FAINT = -1.0  # logit from which on a class leads on: vessels have faint stretches
NO_CLASS = -1


@dataclass(frozen=True)
class Reading:
    """What the head sees in slices, for all objects alike.

    Parameters
    ----------
    images : Tensor
        Slices in 0..1, shape ``(n, 1, slow, fast)``.
    features : Tensor
        Shape ``(n, channels, rows, columns)``, of blocks of 2 x 2 pixels.
    classes : Tensor
        Logits of `prompts.SEGMENTABLE`, shape ``(n, classes, slow, fast)``, float32.
    """

    images: Tensor
    features: Tensor
    classes: Tensor

    def of(self, rows: Tensor) -> Reading:
        """Return the reading of slices `rows`, in this order."""
        return Reading(self.images[rows], self.features[rows], self.classes[rows])


class RefinementHead(BlockUNet):
    """U-net that reads slices, and a few layers more for each object.

    Parameters
    ----------
    channels : sequence of int
        Channels of each level of the U-net, finest first.
    """

    def __init__(self, channels: Sequence[int] = (32, 64, 96, 128)) -> None:
        super().__init__(1, channels)
        finest = channels[0]
        self.classes = nn.Conv2d(finest, len(SEGMENTABLE) * 4, 1)
        self.join = nn.Sequential(
            block(finest + OBJECT_INPUTS * 4, finest), block(finest, finest)
        )
        self.last = nn.Conv2d(finest, 4, 1)

    def read(self, images: Tensor) -> Reading:
        """Return what is seen in slices in 0..1, shape ``(n, 1, slow, fast)``."""
        x = self.features(images)
        return Reading(images, x, self.to_pixels(self.classes(x), images))

    def forward(
        self,
        reading: Reading,
        logits: Tensor,
        clicks: Tensor | None = None,
        asked: Tensor | None = None,
    ) -> Tensor:
        """Return refined logits.

        Parameters
        ----------
        reading : Reading
            Of the slice of each object.
        logits : Tensor
            Mask logits of any resolution, shape ``(n, 1, rows, columns)``.
        clicks : Tensor, optional
            What `paint_clicks` returns, shape ``(n, 2, slow, fast)``.
        asked : Tensor, optional
            Index in `prompts.SEGMENTABLE` of the class that each object is the whole
            of, or `NO_CLASS`; shape ``(n,)``.

        Returns
        -------
        Tensor
            Shape ``(n, 1, slow, fast)``, float32. Where the network says that the
            object is absent, by logits far below zero, it stays absent.
        """
        images = reading.images
        size = images.shape[-2:]
        # at reduced precision a sum would lose what is small beside NO_OBJ_SCORE
        logits = F.interpolate(logits.float(), size, mode="bilinear")
        if clicks is None:
            clicks = images.new_zeros(len(images), 2, *size)
        whole = torch.zeros_like(logits)
        if asked is not None:
            own = reading.classes[torch.arange(len(asked)), asked.clamp(min=0)]
            whole = torch.where((asked >= 0)[:, None, None], own, 0.0)[:, None]
        seen = [images, _bounded(logits), logits.sigmoid(), _bounded(whole), clicks]
        blocks = self.to_blocks(torch.cat([*seen, reach(reading, logits, clicks)], 1))
        change = self.last(self.join(torch.cat([reading.features, blocks], 1)))
        refined = logits.clamp(-DOUBT, DOUBT) + whole + self.to_pixels(change, images)
        return torch.where(logits > ABSENT, refined, logits)


def to_square(logits: Tensor, side: int) -> Tensor:
    """Return logits ``(n, 1, rows, columns)`` as a square of `side`, smoothed."""
    if logits.shape[-1] <= side and logits.shape[-2] <= side:
        return F.interpolate(logits, (side, side), mode="bilinear")
    return F.interpolate(logits, (side, side), mode="bilinear", antialias=True)


def reach(reading: Reading, logits: Tensor, clicks: Tensor) -> Tensor:
    """Return how far vessels, and the FAZ, lead from where an object is known to be.

    That is the positive clicks, or the mask where there is none. As geodesic maps do
    (Wang et al., "DeepIGeoS", 2019), it tells what no small neighbourhood can: which
    branches hang together.

    Parameters
    ----------
    reading : Reading
    logits : Tensor
        Of the object's mask, shape ``(n, 1, slow, fast)``.
    clicks : Tensor
        What `paint_clicks` returns.

    Returns
    -------
    Tensor
        1 in the pieces of `REACHED` that hold a seed, shape ``(n, 2, slow, fast)``.
    """
    spots = clicks[:, 0] > 0.5
    seeds = torch.where(spots.flatten(1).any(1)[:, None, None], spots, logits[:, 0] > 0)
    found = [
        touched(reading.classes[:, SEGMENTABLE.index(name)] > FAINT, seeds)
        for name in REACHED
    ]
    return torch.stack(found, 1).to(logits.dtype)


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


def _bounded(logits: Tensor) -> Tensor:
    return (logits / LOGIT_SCALE).clamp(-2, 2)
