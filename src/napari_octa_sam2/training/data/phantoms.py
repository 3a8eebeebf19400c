"""Synthetic scenes: volumes and projections whose every pixel is known."""

from __future__ import annotations

import numpy as np

from napari_octa_sam2.prompts import SEGMENTABLE
from napari_octa_sam2.training.data.scenes import Scene, normalised
from napari_octa_sam2.volume.phantom import (
    PhantomConfig,
    as_drawn,
    make_enface,
    make_phantom,
)


class PhantomVolumes:
    """Depth slices of synthetic volumes, as far apart as OCTA-500's."""

    def draw(self, rng: np.random.Generator, turn: int) -> Scene:
        """Return a fresh volume."""
        six = rng.random() < 0.4
        phantom = make_phantom(
            PhantomConfig(
                seed=int(rng.integers(2**31)),
                depth=160,
                depth_mm=0.5,
                size=400 if six else 304,
                field_mm=6.0 if six else 3.0,
                quality=float(rng.uniform(0.3, 1.0)),
            )
        )
        objects = phantom.volume.labels["objects"].data
        vessels = np.where(phantom.class_mask("RV"), objects, 0).astype(np.uint8)
        classes = {name: phantom.class_mask(name) for name in SEGMENTABLE}
        drawn = {name: as_drawn(classes[name]) for name in ("RV", "artery", "vein")}
        return Scene(
            images=normalised(phantom.volume.data),
            instances=as_drawn(vessels),
            classes=classes | drawn,
        )


class PhantomProjections:
    """Synthetic en-face projections, as sequences of one slice."""

    def draw(self, rng: np.random.Generator, turn: int) -> Scene:
        """Return a fresh projection."""
        six = rng.random() < 0.5
        image, masks, instances = make_enface(
            seed=int(rng.integers(2**31)),
            size=400 if six else 304,
            field_mm=6.0 if six else 3.0,
        )
        return Scene(
            images=normalised(image[None]),
            instances=instances[None],
            classes={name: masks[name][None] for name in SEGMENTABLE},
        )
