"""From a slice of the volume to the network's input."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_octa_sam2.model.appearance import GREY, WINDOW, Appearance, colour_table

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def intensity_window(
    data: np.ndarray, percentiles: tuple[float, float] = WINDOW
) -> tuple[float, float]:
    """Return the grey values that become 0 and 1, from the volume as a whole.

    The same window serves every slice, because depth carries signal: a slice of the
    vitreous must stay dark. Values that are not finite are left out; at most about a
    million voxels are looked at, evenly spaced.

    Parameters
    ----------
    data : numpy.ndarray
        Shape ``(depth, slow, fast)``.
    percentiles : tuple of float
        Which of the grey values become 0 and 1.
    """
    sample = data.reshape(-1)[:: max(1, data.size // 1_000_000)]
    sample = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample
    if not sample.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(sample, percentiles))
    if high <= low:
        high = max(float(sample.max()), low + 1.0)
    return low, high


def windowed(image: np.ndarray, window: tuple[float, float]) -> Tensor:
    """Return one slice ``(slow, fast)`` in 0..1 as ``(1, 1, slow, fast)`` float32.

    Values that are not finite become the lower end of `window`.
    """
    low, high = window
    scaled = (image.astype(np.float32) - low) / (high - low)
    scaled = np.nan_to_num(scaled, nan=0.0, posinf=1.0, neginf=0.0)
    return torch.from_numpy(scaled).clamp_(0, 1)[None, None]


def network_input(images: Tensor, size: int, look: Appearance = GREY) -> Tensor:
    """Return `windowed` slices ``(n, 1 or 3, slow, fast)`` as SAM 2 expects them.

    Shape ``(n, 3, size, size)``, normalised.
    """
    if look.colours:
        images = coloured(images, look.colours)
    scaled = F.interpolate(
        images, (size, size), mode="bilinear", align_corners=False, antialias=True
    )
    return normalise(scaled)


def coloured(images: Tensor, colours: str) -> Tensor:
    """Return grey images ``(n, 1, h, w)`` in 0..1 as ``(n, 3, h, w)`` in colours."""
    table = torch.from_numpy(colour_table(colours)).to(images.device)
    return table[(images[:, 0] * 255).round().long()].permute(0, 3, 1, 2)


def normalise(images: Tensor) -> Tensor:
    """Return images ``(n, 1 or 3, h, w)`` in 0..1 with ImageNet's mean and spread."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=images.device).view(1, 3, 1, 1)
    return (images.expand(-1, 3, -1, -1) - mean) / std
