"""Oracles of other people."""

from __future__ import annotations

import importlib

import pytest

from napari_octa_sam2.model.adapters.low_rank import import_peft


@pytest.fixture(scope="session")
def monai_metrics():
    """Return MONAI's metrics.

    MONAI looks for torchvision in a way that PEFT, imported after it, cannot do without
    one that works; other tests of the same process need PEFT.
    """
    import_peft()
    return importlib.import_module("monai.metrics")
