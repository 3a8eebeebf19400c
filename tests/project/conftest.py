from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_octa_sam2.project.store import About
from napari_octa_sam2.volume.geometry import ScanGeometry

GEOMETRY = ScanGeometry((0.01, 0.02, 0.03), "mm")


@pytest.fixture
def data() -> np.ndarray:
    """Six slices of 12 x 16 pixels."""
    return np.random.default_rng(0).integers(0, 255, (6, 12, 16)).astype(np.uint8)


@pytest.fixture
def about(data: np.ndarray, tmp_path: Path) -> About:
    return About.of(data, "eye 1", str(tmp_path / "eye.npy"), GEOMETRY)
