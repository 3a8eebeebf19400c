"""From a scene to a training clip: zoom, turn, crop, augment, choose objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from napari_octa_sam2.prompts import SEGMENTABLE
from napari_octa_sam2.training.sources import Scene

ONE_OBJECT = -1  # instead of the index of a class asked for as a whole
FAZ_SHARE = 0.3  # of the single objects on slices that show it


@dataclass(frozen=True)
class ClipConfig:
    """How clips are cut.

    Parameters
    ----------
    frames : int
        Slices in a clip; scenes with one slice give clips of that slice repeated
        with fresh noise, as the projections of one scan look alike.
    native : int
        Side of the clip in pixels, at which masks are refined.
    size : int
        Side of the network's input, to which the clip is scaled.
    objects : int
        Objects followed in a clip; without any, a clip teaches the classes alone.
    zoom : tuple of float
        Smallest and largest magnification, drawn evenly in its logarithm: pixels
        of other scanners, and of other fields.
    tilt : float
        Largest rotation besides quarter turns, in degrees.
    max_stride : int
        Largest step between two slices of the clip.
    whole : float
        Share of objects that are a whole class, asked for by name.
    pieces : float
        Share of the others that are one connected piece: of all large vessels, as
        data sets outline them, or else of the FAZ.
    absent : float
        Share of whole classes that may be absent from the clip.
    min_area : int
        Smallest area of a single object on the first slice, in pixels of the clip.
    """

    frames: int = 1
    native: int = 160
    size: int = 256
    objects: int = 4
    zoom: tuple[float, float] = (0.85, 2.0)
    tilt: float = 15.0
    max_stride: int = 2
    whole: float = 0.5
    pieces: float = 0.5
    absent: float = 0.15
    min_area: int = 24


@dataclass(frozen=True)
class Clip:
    """Images with the masks that belong to them.

    Parameters
    ----------
    images : Tensor
        0..1, shape ``(frames, native, native)``.
    masks : Tensor
        The objects to be prompted, boolean ``(objects, frames, native, native)``.
    asked : Tensor
        For each object the index in `SEGMENTABLE` of the class that it is the whole
        of, or `ONE_OBJECT`.
    classes : Tensor
        Every class, boolean ``(len(SEGMENTABLE), frames, native, native)``.
    known : Tensor
        Which of them the scene has truth for, boolean ``(len(SEGMENTABLE),)``.
    """

    images: Tensor
    masks: Tensor
    asked: Tensor
    classes: Tensor
    known: Tensor


def cut_clip(
    scene: Scene, config: ClipConfig, rng: np.random.Generator, tries: int = 12
) -> Clip | None:
    """Return a random clip of `scene`, or None if no object was hit in `tries`."""
    for _ in range(tries):
        order = _slice_order(scene.images.shape[0], config, rng)
        sampler = Sampler.draw(scene.images.shape[1:], config, rng)
        classes = np.stack(
            [
                sampler.mask(scene.classes[name][order])
                if name in scene.classes
                else np.zeros((config.frames, config.native, config.native), bool)
                for name in SEGMENTABLE
            ]
        )
        instances = sampler.nearest(scene.instances[order])
        chosen = _choose(scene, classes, instances, config, rng)
        if chosen is None:
            continue
        masks, asked = chosen
        images = scene.images[order]
        if len(scene.images) > 1 and rng.random() < 0.5:
            images = _windowed(images, rng)
        images = sampler.image(images)
        return Clip(
            images=torch.from_numpy(augment(images, rng)),
            masks=torch.from_numpy(np.array(masks, bool).reshape(-1, *images.shape)),
            asked=torch.tensor(asked, dtype=torch.long),
            classes=torch.from_numpy(classes),
            known=torch.tensor([name in scene.classes for name in SEGMENTABLE]),
        )
    return None


@dataclass(frozen=True)
class Sampler:
    """A turned, mirrored and scaled square window of a slice."""

    rows: np.ndarray
    cols: np.ndarray

    @classmethod
    def draw(
        cls, shape: tuple[int, ...], config: ClipConfig, rng: np.random.Generator
    ) -> Sampler:
        """Return a random window that lies within the slice where it can."""
        zoom = np.exp(rng.uniform(*np.log(config.zoom)))
        side = config.native / zoom
        angle = np.deg2rad(rng.uniform(-config.tilt, config.tilt))
        angle += np.pi / 2 * rng.integers(4)
        reach = side / 2 * (abs(np.cos(angle)) + abs(np.sin(angle)))
        centre = [
            rng.uniform(min(reach, n / 2), max(n - reach, n / 2)) - 0.5 for n in shape
        ]
        offset = (np.arange(config.native) + 0.5) / zoom - side / 2
        y, x = np.meshgrid(offset, offset * rng.choice([-1, 1]), indexing="ij")
        return cls(
            rows=centre[0] + np.cos(angle) * y - np.sin(angle) * x,
            cols=centre[1] + np.sin(angle) * y + np.cos(angle) * x,
        )

    def image(self, stack: np.ndarray) -> np.ndarray:
        """Return ``(frames, native, native)`` of a stack of slices, interpolated."""
        rows, cols = stack.shape[1:]
        grid = np.stack([2 * self.cols + 1, 2 * self.rows + 1], -1) / [cols, rows] - 1
        sampled = F.grid_sample(
            torch.from_numpy(np.ascontiguousarray(stack, np.float32))[None],
            torch.from_numpy(grid.astype(np.float32))[None],
            padding_mode="reflection",
            align_corners=False,
        )
        return np.asarray(sampled[0].numpy())

    def mask(self, stack: np.ndarray) -> np.ndarray:
        """Return the same of boolean masks."""
        return self.image(stack) > 0.5 if stack.any() else self.nearest(stack)

    def nearest(self, stack: np.ndarray) -> np.ndarray:
        """Return the same of labels, from the nearest pixel."""
        rows, cols = (
            _reflected(np.rint(index).astype(int), side)
            for index, side in zip((self.rows, self.cols), stack.shape[1:], strict=True)
        )
        return np.asarray(stack[:, rows, cols])


def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vary light, gamma, sharpness and noise; noise is drawn for each slice anew.

    Zooming in leaves no texture at the scale of a pixel: speckle puts it back.
    Some clips are changed a little, others a lot.
    """
    much = rng.uniform(0.1, 1)
    coarse = rng.normal(0, rng.uniform(0, 0.25 * much), (1, 4, 4))
    light = ndimage.zoom(coarse, (1, *(n / 4 for n in images.shape[1:])), order=1)
    gain, offset = 1 + much * rng.uniform(-0.4, 0.4), much * rng.uniform(-0.06, 0.06)
    images = images * gain * np.exp(light) + offset
    if rng.random() < 0.3 * much:
        images = ndimage.gaussian_filter(images, (0, *[rng.uniform(0.3, 0.9)] * 2))
    speckle, noise = rng.standard_normal((2, *images.shape), np.float32)
    grain = rng.uniform(0, 0.8)
    if grain > 0.3:
        speckle = ndimage.gaussian_filter(speckle, (0, grain, grain))
        speckle /= speckle.std()
    images = images * (1 + rng.uniform(0, 0.3 * much) * speckle)
    images = images + rng.uniform(0, 0.05 * much) * noise
    images = np.clip(images, 0, 1) ** np.exp(much * rng.uniform(-0.35, 0.35))
    return images.astype(np.float32)


def _windowed(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return slices scaled by themselves, as a scan cut to a few slices would be."""
    white = np.quantile(images[:, ::3, ::3], rng.uniform(0.98, 0.999))
    return np.clip(images / max(float(white), 0.1), 0, 1)


def _slice_order(
    depth: int, config: ClipConfig, rng: np.random.Generator
) -> np.ndarray:
    if depth == 1:
        return np.zeros(config.frames, int)
    stride = int(rng.integers(1, config.max_stride + 1))
    stride = max(1, min(stride, (depth - 1) // max(config.frames - 1, 1)))
    span = stride * (config.frames - 1)
    order = int(rng.integers(0, max(depth - span, 1))) + stride * np.arange(
        config.frames
    )
    order = np.minimum(order, depth - 1)
    return order[::-1] if rng.integers(2) else order


def _choose(
    scene: Scene,
    classes: np.ndarray,
    instances: np.ndarray,
    config: ClipConfig,
    rng: np.random.Generator,
) -> tuple[list[np.ndarray], list[int]] | None:
    """Return the masks of random objects, and the class that each is the whole of."""
    masks: list[np.ndarray] = []
    asked: list[int] = []
    for _ in range(config.objects):
        whole = _whole_class(scene, classes, set(asked), config, rng)
        if whole is not None:
            masks.append(classes[whole])
            asked.append(whole)
            continue
        single = _single_object(classes, instances, config, rng)
        if single is None:
            return None
        masks.append(single)
        asked.append(ONE_OBJECT)
    return masks, asked


def _whole_class(
    scene: Scene,
    classes: np.ndarray,
    taken: set[int],
    config: ClipConfig,
    rng: np.random.Generator,
) -> int | None:
    """Return the index of a class not `taken`, or None if a single object is due."""
    if rng.random() >= config.whole:
        return None
    pick = [
        index
        for index, name in enumerate(SEGMENTABLE)
        if name in scene.classes and index not in taken
    ]
    if rng.random() >= config.absent:
        pick = [i for i in pick if classes[i, 0].sum() >= config.min_area]
    return int(rng.choice(pick)) if pick else None


def _single_object(
    classes: np.ndarray,
    instances: np.ndarray,
    config: ClipConfig,
    rng: np.random.Generator,
) -> np.ndarray | None:
    """Return the mask of a vessel or the FAZ, or None if none is large enough."""
    ids, counts = np.unique(instances[0], return_counts=True)
    large = [i for i, n in zip(ids, counts, strict=True) if n >= config.min_area and i]
    faz = classes[SEGMENTABLE.index("FAZ")]
    seen = faz[0].sum() >= config.min_area
    if not large and not seen:
        return None
    mask: np.ndarray = faz
    vessel = not seen or (large and rng.random() >= FAZ_SHARE)
    if vessel:
        mask = instances == rng.choice(large)
    if rng.random() < config.pieces:
        mask = classes[SEGMENTABLE.index("RV")] if vessel else mask
        mask = _one_piece(mask, config.min_area, rng)
    return mask


def _one_piece(mask: np.ndarray, min_area: int, rng: np.random.Generator) -> np.ndarray:
    """Return one connected piece of `mask` that is seen on the first slice.

    A click shows which piece is meant, but neither which pieces belong together nor
    which vessel is above where two cross.
    """
    pieces, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    ids, areas = np.unique(pieces[0], return_counts=True)
    large = [i for i, n in zip(ids, areas, strict=True) if i and n >= min_area]
    return pieces == rng.choice(large) if large else mask


def _reflected(index: np.ndarray, side: int) -> np.ndarray:
    index = np.mod(index, 2 * side)
    return np.where(index < side, index, 2 * side - 1 - index)
