"""Data sets and networks that are small enough to train on in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_octa_sam2.training.data.formats import write_annotated
from napari_octa_sam2.volume.phantom import make_enface

SIDE = 96
SLABS = ("FULL", "ILM_OPL", "OPL_BM")


def eye(seed: int, depth: int = 1) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return slices ``(depth, SIDE, SIDE)`` that look alike, and what is in them."""
    drawn = make_enface(seed, 2 * SIDE, pairs=3, faz_diameter_mm=0.5, quality=0.9)
    centre = slice(SIDE // 2, SIDE // 2 + SIDE)
    image, masks = drawn[0][centre, centre], drawn[1]
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 6, (depth, *image.shape))
    slices = np.clip(image + noise, 0, 255).astype(np.uint8)
    return slices, {name: mask[centre, centre] for name, mask in masks.items()}


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_pair(folder: Path, name: str, seed: int) -> None:
    """Write an image, and its large vessels, as ROSSA's are."""
    slices, masks = eye(seed)
    save(folder / "image" / f"{name}.png", slices[0])
    save(folder / "label" / f"{name}.png", masks["RV"].astype(np.uint8) * 255)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images of three subjects, with their vessels."""
    folder = tmp_path_factory.mktemp("pairs")
    for seed in range(3):
        write_pair(folder, f"eye{seed}", seed)
    return folder


@pytest.fixture(scope="session")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three projections of three subjects, as OCTA-500 has them."""
    folder = tmp_path_factory.mktemp("maps") / "OCTA_3M"
    for seed, subject in enumerate(("10301", "10302", "10303")):
        slices, masks = eye(seed, len(SLABS))
        for slab, pixels in zip(SLABS, slices, strict=True):
            save(folder / "ProjectionMaps" / f"OCTA({slab})" / f"{subject}.bmp", pixels)
        for place, kind in (("GT_LargeVessel", "RV"), ("GT_FAZ", "FAZ")):
            save(folder / place / f"{subject}.bmp", masks[kind].astype(np.uint8) * 255)
    return folder.parent


@pytest.fixture(scope="session")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short volumes of three subjects, all slices annotated."""
    folder = tmp_path_factory.mktemp("sequences")
    for seed in range(3):
        slices, masks = eye(seed, 8)
        labels = np.where(masks["FAZ"], 1, 2 * masks["RV"]).astype(np.uint8)
        write_annotated(
            folder / f"eye{seed}",
            slices,
            np.repeat(labels[None], len(slices), 0),
            classes={1: "FAZ", 2: "RV"},
            labelled=range(len(slices)),
            name=f"eye{seed}",
            subject=f"eye{seed}",
        )
    return folder
