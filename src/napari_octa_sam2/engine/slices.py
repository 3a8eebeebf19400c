"""What is known of the slices of a volume, whatever the objects in them."""

from __future__ import annotations

import numpy as np
import torch

from napari_octa_sam2.engine.feature_cache import FeatureCache
from napari_octa_sam2.engine.features import SliceFeatures
from napari_octa_sam2.engine.frames import intensity_window, network_input, windowed
from napari_octa_sam2.engine.passes import Passes
from napari_octa_sam2.model.appearance import appearance_of
from napari_octa_sam2.model.refinement import Reading


class Slices:
    """Features of slices, each made once as long as there is room.

    Parameters
    ----------
    data : numpy.ndarray
        Shape ``(depth, slow, fast)``.
    passes : Passes
    cache : FeatureCache
    """

    def __init__(self, data: np.ndarray, passes: Passes, cache: FeatureCache) -> None:
        self.data, self.passes, self.cache = data, passes, cache
        self._look = appearance_of(passes.network)
        self._window = intensity_window(data, self._look.window)
        self._read: tuple[int, Reading] | None = None  # of the slice read last

    def features(self, index: int) -> SliceFeatures:
        """Return what the image encoder says of a slice."""
        tokens = self.cache.get(index, lambda: self._encoded(index).tokens)
        device = self.passes.compute.device
        return SliceFeatures(tuple(t.to(device) for t in tokens))

    def reading(self, index: int) -> Reading | None:
        """Return what the refinement head sees in a slice, if there is a head."""
        if self.passes.refinement is None:
            return None
        if self._read is None or self._read[0] != index:
            grey = self._image(index).mean(1, keepdim=True)
            self._read = index, self.passes.read(grey)
        return self._read[1]

    def forget(self) -> None:
        """Free the memory of what can be made again."""
        self.cache.clear()
        self._read = None

    def _encoded(self, index: int) -> SliceFeatures:
        size = self.passes.network.image_size
        return self.passes.encode(network_input(self._image(index), size, self._look))

    def _image(self, index: int) -> torch.Tensor:
        """Return a slice in 0..1, with the others that make up its image."""
        shown = self._look.slices_of(index, len(self.data))
        return torch.cat(
            [windowed(np.asarray(self.data[z]), self._window) for z in shown], 1
        )
