"""A small promptless model with random weights."""

from __future__ import annotations

import pytest
import torch

from napari_octa_sam2.model.promptless.config import NetworkConfig
from napari_octa_sam2.model.promptless.model import PromptlessModel
from napari_octa_sam2.model.promptless.network import PromptlessNetwork


@pytest.fixture(scope="session")
def finder() -> PromptlessModel:
    """A model of large vessels and the FAZ that takes bright pixels for vessels."""
    torch.manual_seed(0)
    config = NetworkConfig("block-unet", ("RV", "FAZ"), {"channels": [8, 16]})
    network = PromptlessNetwork(config).eval()
    with torch.no_grad():  # each pixel of a block of 2 x 2 goes straight through
        stem = network.body.stem
        for conv in (stem[0], stem[3]):
            conv.weight.zero_()
            for pixel in range(4):
                conv.weight[pixel, pixel, 1, 1] = 1.0
        up = network.body.up[0]
        for conv, first in ((up[0], 16), (up[3], 0)):
            conv.weight.zero_()
            for pixel in range(4):
                conv.weight[pixel, first + pixel, 1, 1] = 1.0
        classes = network.body.classes
        classes.weight.zero_()
        classes.bias[:4], classes.bias[4:] = -4.0, 2.0
        for pixel in range(4):
            classes.weight[pixel, pixel] = 8.0
            classes.weight[4 + pixel, pixel] = -8.0
    return PromptlessModel(network, "bright")
