"""From a scene to a training clip: choose slices, zoom, turn, crop, choose objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from napari_octa_sam2.prompts import SEGMENTABLE
from napari_octa_sam2.training.config import ClipConfig
from napari_octa_sam2.training.data.effects import apply_effects
from napari_octa_sam2.training.data.scenes import Scene

ONE_OBJECT = -1  # instead of the index of a class asked for as a whole
FAZ_SHARE = 0.3  # of the single objects on slices that show it


@dataclass(frozen=True)
class Clip:
    """Images with the masks that belong to them.

    Parameters
    ----------
    images : Tensor
        0..1, shape ``(frames, channels, native, native)``, one or three channels.
    masks : Tensor
        The objects to be prompted, boolean ``(objects, frames, native, native)``.
    asked : Tensor
        For each object the index in `SEGMENTABLE` of the class that it is the whole
        of, or `ONE_OBJECT`.
    classes : Tensor
        Every class, boolean ``(len(SEGMENTABLE), frames, native, native)``.
    known : Tensor
        Which of them there is truth for, boolean ``(frames, len(SEGMENTABLE))``.
    labelled : Tensor
        Which slices have truth, boolean ``(frames,)``.
    """

    images: Tensor
    masks: Tensor
    asked: Tensor
    classes: Tensor
    known: Tensor
    labelled: Tensor

    @classmethod
    def stacked(cls, clips: Sequence[Clip]) -> Clip:
        """Return clips of the same number of slices along a new first axis."""
        return cls(
            *(torch.stack([getattr(c, f.name) for c in clips]) for f in fields(cls))
        )

    def to(self, device: torch.device) -> Clip:
        """Return the clip on a device."""
        return Clip(*(getattr(self, f.name).to(device) for f in fields(Clip)))


def cut_clip(
    scene: Scene,
    config: ClipConfig,
    rng: np.random.Generator,
    frames: int | None = None,
    tries: int = 12,
) -> Clip | None:
    """Return a random clip of `scene`, or None if no object was hit in `tries`."""
    frames = frames or config.frames
    labelled = (
        np.ones(len(scene.images), bool) if scene.labelled is None else scene.labelled
    )
    if not labelled.any():
        return None
    for _ in range(tries):
        order = _slice_order(labelled, frames, config.max_stride, rng)
        sampler = Sampler.draw(scene.images.shape[-2:], config, rng)
        classes = np.stack(
            [
                sampler.mask(scene.classes[name][order])
                if name in scene.classes
                else np.zeros((frames, config.native, config.native), bool)
                for name in SEGMENTABLE
            ]
        )
        instances = sampler.nearest(scene.instances[order])
        chosen = _choose(scene, classes, instances, config, rng)
        if chosen is None:
            continue
        masks, asked = chosen
        images = scene.images[order]
        if "scanner" in config.effects and len(scene.images) > 1 and rng.random() < 0.5:
            images = _windowed(images, rng)
        channels = images.shape[1] if images.ndim == 4 else 1
        images = sampler.image(images.reshape(-1, *images.shape[-2:]))
        images = apply_effects(images, channels, config.effects, rng)
        there = np.array([name in scene.classes for name in SEGMENTABLE])
        side = (config.native, config.native)
        return Clip(
            images=torch.from_numpy(images.reshape(frames, channels, *side)),
            masks=torch.from_numpy(np.array(masks, bool).reshape(-1, frames, *side)),
            asked=torch.tensor(asked, dtype=torch.long),
            classes=torch.from_numpy(classes),
            known=torch.from_numpy(labelled[order][:, None] & there),
            labelled=torch.from_numpy(labelled[order]),
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
        """Return a random window that lies within the slice where it can.

        Without cropping it is the slice, turned about its centre and zoomed.
        """
        zoom = np.exp(rng.uniform(*np.log(config.zoom)))
        angle = np.deg2rad(rng.uniform(-config.tilt, config.tilt))
        if config.quarter_turns:
            angle += np.pi / 2 * rng.integers(4)
        mirror = rng.choice([-1, 1]) if config.mirror else 1
        if not config.crop:
            unit = ((np.arange(config.native) + 0.5) / config.native - 0.5) / zoom
            y, x = np.meshgrid(unit, unit * mirror, indexing="ij")
            rows, cols = shape
            return cls(
                rows=(np.cos(angle) * y - np.sin(angle) * x + 0.5) * rows - 0.5,
                cols=(np.sin(angle) * y + np.cos(angle) * x + 0.5) * cols - 0.5,
            )
        side = config.native / zoom
        reach = side / 2 * (abs(np.cos(angle)) + abs(np.sin(angle)))
        centre = [
            rng.uniform(min(reach, n / 2), max(n - reach, n / 2)) - 0.5 for n in shape
        ]
        offset = (np.arange(config.native) + 0.5) / zoom - side / 2
        y, x = np.meshgrid(offset, offset * mirror, indexing="ij")
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


def _windowed(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return slices scaled by themselves, as a scan cut to a few slices would be."""
    white = np.quantile(images[..., ::3, ::3], rng.uniform(0.98, 0.999))
    return np.clip(images / max(float(white), 0.1), 0, 1)


def _slice_order(
    labelled: np.ndarray, frames: int, max_stride: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the slices of a clip, evenly spaced; the first has truth.

    Where few slices have truth, clips lead from one of them to another.
    """
    depth, known = len(labelled), np.flatnonzero(labelled)
    if depth == 1 or frames == 1:
        return np.full(frames, rng.choice(known))
    if not labelled.all() and len(known) > 1:
        start, end = rng.choice(known, 2, replace=False)
        return np.rint(np.linspace(start, end, frames)).astype(int)
    widest = max(1, (depth - 1) // (frames - 1))
    stride = int(rng.integers(1, min(max_stride or widest, widest) + 1))
    span = stride * (frames - 1)
    order = int(rng.integers(0, max(depth - span, 1))) + stride * np.arange(frames)
    order = np.minimum(order, depth - 1)
    order = order[::-1] if rng.integers(2) else order
    return order if labelled[order[0]] else np.full(frames, rng.choice(known))


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
        if name in scene.classes
        and index not in taken
        and (not config.labels or name in config.labels)
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
    vessels = not config.labels or config.labels != ("FAZ",)
    ids, counts = np.unique(instances[0], return_counts=True)
    large = [i for i, n in zip(ids, counts, strict=True) if n >= config.min_area and i]
    large = large if vessels else []
    faz = classes[SEGMENTABLE.index("FAZ")]
    seen = faz[0].sum() >= config.min_area
    seen = seen and (not config.labels or "FAZ" in config.labels)
    if not large and not seen:
        return None
    mask: np.ndarray = faz
    vessel = not seen or (large and rng.random() >= FAZ_SHARE)
    if vessel:
        mask = instances == rng.choice(large)
    if rng.random() < config.pieces:
        trees = classes[SEGMENTABLE.index("RV")]
        mask = trees if vessel and trees[0].any() else mask
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
