"""Promptless networks at work: the probability of each class, slice by slice."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from napari_octa_sam2.engine.device import Compute, choose_compute
from napari_octa_sam2.engine.frames import coloured, intensity_window, windowed
from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.model.appearance import Appearance
from napari_octa_sam2.model.promptless.model import PromptlessModel

VIEWS = (1, 8)


class Predictor:
    """Says of the slices of a volume where each class is.

    Parameters
    ----------
    data : numpy.ndarray
        Shape ``(depth, slow, fast)``.
    model : PromptlessModel
        Its network is moved to the device.
    device, precision : str
        As for `engine.device.choose_compute`.
    views : {1, 8}
        8 averages over the slice turned by quarters and mirrored, which takes eight
        times as long and is a little better.

    Raises
    ------
    VolumeError
        If the data are no volume.
    ModelError
        If the device is not there, or the network sees three maps at once and the
        volume does not have them.
    """

    def __init__(
        self,
        data: np.ndarray,
        model: PromptlessModel,
        *,
        device: str = "auto",
        precision: str = "auto",
        views: int = 1,
    ) -> None:
        if data.ndim != 3 or not data.size:
            raise VolumeError(
                f"expected a volume (depth, slow, fast), found {data.shape}; give one "
                "volume of grey values"
            )
        if views not in VIEWS:
            raise VolumeError(f"expected 1 or 8 views of a slice, found {views}")
        self.data, self.model, self.views = data, model, views
        self.compute = choose_compute(device, precision)
        model.appearance.slices_of(0, len(data))
        self._window = intensity_window(data, model.appearance.window)
        model.network.to(self.compute.device)

    def on_slice(self, index: int) -> dict[str, np.ndarray]:
        """Return the probability of each class, float32 ``(slow, fast)``, 0 to 1."""
        look = self.model.appearance
        images = torch.cat(
            [
                windowed(self.data[number], self._window)
                for number in look.slices_of(index, len(self.data))
            ],
            1,
        ).to(self.compute.device)
        found = probabilities(self.model, images, self.compute, self.views)[0]
        return dict(zip(self.model.classes, found, strict=True))


def probabilities(
    model: PromptlessModel,
    images: Tensor,
    compute: Compute | None = None,
    views: int = 1,
) -> np.ndarray:
    """Return the probability of each class, float32 ``(n, classes, slow, fast)``.

    Parameters
    ----------
    model : PromptlessModel
        On the device of `images`.
    images : Tensor
        Slices in 0..1, shape ``(n, 1 or channels, slow, fast)``.
    compute : Compute, optional
        Precision of the passes; float32 by default.
    views : {1, 8}
        As for `Predictor`.
    """
    images = as_seen(images, model.appearance, model.network.channels)
    compute = compute or Compute(images.device, "fp32")
    with torch.inference_mode(), compute.passes():
        total = torch.zeros(())
        for turns, mirrored in _symmetries(views):
            seen = torch.rot90(images, turns, (2, 3))
            seen = seen.flip(3) if mirrored else seen
            found = model.network(seen).sigmoid()
            found = found.flip(3) if mirrored else found
            total = total.to(found) + torch.rot90(found, -turns, (2, 3))
    return np.asarray((total / views).float().cpu().numpy())


def as_seen(images: Tensor, look: Appearance, channels: int) -> Tensor:
    """Return slices ``(n, 1 or 3, slow, fast)`` in 0..1 as a network sees them."""
    if look.colours:
        return coloured(images, look.colours)
    if images.shape[1] == channels:
        return images
    return images.mean(1, keepdim=True).expand(-1, channels, -1, -1)


def _symmetries(views: int) -> list[tuple[int, bool]]:
    """Return quarter turns and mirroring of each view."""
    if views == 1:
        return [(0, False)]
    return [(turns, mirrored) for turns in range(4) for mirrored in (False, True)]
