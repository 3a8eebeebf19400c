"""The slices that everything is measured on, and the clicks."""

from __future__ import annotations

import numpy as np

from napari_octa_sam2.prompts import Prompt
from napari_octa_sam2.volume.phantom import make_enface

FIELD_MM, PIXELS = 3.0, 304  # OCTA-500 at 3 mm
MOST_MM = 6.0


def volume(slices: int, pixels: int, seed: int) -> np.ndarray:
    """Return an en-face phantom that drifts by a pixel a slice.

    uint8, shape ``(slices, pixels, pixels)``.
    """
    image, _ = _phantom(pixels, seed)
    data = np.empty((slices, pixels, pixels), np.uint8)
    for index in range(slices):
        data[index] = np.roll(image, index, 1)
    return data


def clicks(objects: int, pixels: int, seed: int) -> list[Prompt]:
    """Return a positive click on a vessel of the first slice for each object."""
    _, vessels = _phantom(pixels, seed)
    places = np.argwhere(vessels)
    chosen = np.random.default_rng(seed).choice(
        len(places), objects, replace=objects > len(places)
    )
    return [
        Prompt(number, 0, ((float(row), float(col)),), (1,))
        for number, (row, col) in enumerate(places[chosen].tolist(), start=1)
    ]


def _phantom(pixels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    field_mm = float(np.clip(FIELD_MM * pixels / PIXELS, 1.0, MOST_MM))
    image, masks, _ = make_enface(seed, pixels, field_mm)
    return image, masks["vessel"]
