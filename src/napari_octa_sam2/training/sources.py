"""Where training sequences come from: images with exact or drawn masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.prompts import SEGMENTABLE
from napari_octa_sam2.volume.phantom import (
    PhantomConfig,
    as_drawn,
    make_enface,
    make_phantom,
)


@dataclass(frozen=True, eq=False)
class Scene:
    """A stack of slices and the objects in it.

    Parameters
    ----------
    images : numpy.ndarray
        Floats in 0..1, shape ``(depth, slow, fast)``.
    instances : numpy.ndarray
        Labels of the single vessels, same shape, 0 for background.
    classes : mapping of str to numpy.ndarray
        Boolean masks of whole classes (`prompts.SEGMENTABLE`), same shape; those for
        which there is truth.
    """

    images: np.ndarray
    instances: np.ndarray
    classes: dict[str, np.ndarray]


class Source(Protocol):
    """Anything that draws scenes."""

    def draw(self, rng: np.random.Generator) -> Scene:
        """Return a scene; the same generator state gives the same scene."""
        ...


class PhantomVolumes:
    """Depth slices of synthetic volumes, as far apart as OCTA-500's."""

    def draw(self, rng: np.random.Generator) -> Scene:
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

    def draw(self, rng: np.random.Generator) -> Scene:
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


class PairFolder:
    """Images with drawn vessel masks: ``image/<n>.png`` and ``label/<n>.png``.

    Parameters
    ----------
    folders : sequence of Path
        Each holds the two sub-folders; ROSSA (MIT licence) has this layout.

    Raises
    ------
    TrainingError
        If a folder holds no pair.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.pairs = [
            (image, folder / "label" / image.name)
            for folder in folders
            for image in sorted((folder / "image").glob("*.png"))
            if (folder / "label" / image.name).exists()
        ]
        if not self.pairs:
            raise TrainingError(
                "expected image/<n>.png and label/<n>.png, found no pair in "
                + (", ".join(map(str, folders)) or "no folder at all")
            )

    def draw(self, rng: np.random.Generator) -> Scene:
        """Return one of the pairs; its vessels' components are the instances."""
        from PIL import Image
        from skimage.measure import label

        image_file, label_file = self.pairs[rng.integers(len(self.pairs))]
        with Image.open(image_file) as opened:
            image = np.asarray(opened.convert("L"))
        with Image.open(label_file) as opened:
            mask = np.asarray(opened.convert("L")) > 127
        components = label(mask, connectivity=2)
        components[components > 255] = 0
        return Scene(
            images=normalised(image[None]),
            instances=components[None].astype(np.uint8),
            classes={"RV": mask[None]},
        )


class Pool:
    """Scenes that are costly to make, each drawn about `reuse` times.

    Parameters
    ----------
    source : Source
    size : int
        Scenes held at a time; the oldest is replaced by a fresh one.
    """

    def __init__(self, source: Source, *, size: int, reuse: int) -> None:
        self.source, self.size, self.reuse = source, size, reuse
        self._scenes: list[Scene] = []
        self._draws = 0

    def draw(self, rng: np.random.Generator) -> Scene:
        """Return one of the scenes held."""
        if len(self._scenes) < self.size or self._draws % self.reuse == 0:
            fresh = self.source.draw(rng)
            self._scenes = [*self._scenes, fresh][-self.size :]
        self._draws += 1
        return self._scenes[rng.integers(len(self._scenes))]


@dataclass(frozen=True)
class Mixture:
    """Sources drawn with given probabilities."""

    sources: tuple[tuple[Source, float], ...]

    def draw(self, rng: np.random.Generator) -> Scene:
        """Return a scene of one of the sources."""
        weights = np.array([weight for _, weight in self.sources], float)
        choice = rng.choice(len(weights), p=weights / weights.sum())
        return self.sources[choice][0].draw(rng)


def normalised(data: np.ndarray) -> np.ndarray:
    """Return `data` scaled as the engine scales a volume, once as a whole."""
    from napari_octa_sam2.engine.frames import intensity_window

    low, high = intensity_window(data)
    return np.clip((data - low) / (high - low), 0, 1).astype(np.float32)
