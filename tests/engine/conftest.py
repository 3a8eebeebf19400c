from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_octa_sam2.model.loading import LoadedModel, build_network


@pytest.fixture(scope="session")
def tiny_model() -> LoadedModel:
    """octa-nano with random weights at a small input, all objects called present."""
    torch.manual_seed(0)
    network = build_network("octa-nano.yaml", input_size=128)
    with torch.no_grad():
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(4.0)
    return LoadedModel(network, "random", "")


@pytest.fixture
def data() -> np.ndarray:
    """Twelve slices of 40 x 50 pixels."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (12, 40, 50), dtype=np.uint8)
