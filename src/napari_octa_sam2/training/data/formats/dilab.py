"""B-scans with 14 tissues: ``imagesgreyscale/<n>.png`` and ``masks14/<n>.png``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.training.config import DataConfig
from napari_octa_sam2.training.data.formats.building import (
    components_by_value,
    read_slice,
    require_shape,
    unlabelled,
)
from napari_octa_sam2.training.data.scenes import Sample, Scene
from napari_octa_sam2.volume.readers import images

IMAGES, MASKS = "imagesgreyscale", "masks14"
TISSUES = 14


def matches(path: Path) -> bool:
    """Return whether the folder has the two sub-folders."""
    return (path / IMAGES).is_dir() and (path / MASKS).is_dir()


def find(path: Path, config: DataConfig) -> list[Sample]:
    """Return a sample for each image; its name is taken for the subject."""
    samples = []
    for image in sorted(filter(images.is_image, (path / IMAGES).iterdir())):
        mask = path / MASKS / image.name
        label = mask if mask.is_file() else None
        files = (image,) if label is None else (image, label)
        read = partial(_read, image, label, config.window)
        samples.append(Sample(image.stem, image.stem, files, read))
    return samples


def _read(image: Path, label: Path | None, window: tuple[float, float]) -> Scene:
    picture = read_slice(image, window)
    if label is None:
        return unlabelled(picture)
    values = images.read_pixels(label)
    values = values[..., 0] if values.ndim == 3 else values
    require_shape(label, values, picture.shape[1:])
    if values.max() >= TISSUES:
        wrong = np.unique(values[values >= TISSUES])
        raise ReadError(
            f"{label}: expected values from 0 (background) to {TISSUES - 1}, found "
            f"{', '.join(str(v) for v in wrong[:8])}; save the tissue's number in the "
            "first channel"
        )
    return Scene(picture, components_by_value(values)[None], {})
