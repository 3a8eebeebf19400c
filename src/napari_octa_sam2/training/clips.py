"""From a scene to a training clip: crop, augment, choose objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_octa_sam2.training.sources import Scene

DENSE_CLASSES = ("RV", "FAZ")


@dataclass(frozen=True)
class ClipConfig:
    """How clips are cut.

    Parameters
    ----------
    frames : int
        Slices in a clip; scenes with one slice give clips of that slice repeated
        with fresh noise, as the projections of one scan look alike.
    size : int
        Side of the network's input.
    objects : int
        Objects followed in a clip.
    crop : tuple of float
        Smallest and largest side of the crop, as a share of the slice.
    max_stride : int
        Largest step between two slices of the clip.
    whole : float
        Share of objects that are followed whole; the others are one connected piece.
    min_area : int
        Smallest area (pixels of the crop at `size`) of an object on the first slice.
    """

    frames: int = 4
    size: int = 256
    objects: int = 3
    crop: tuple[float, float] = (0.4, 0.62)
    max_stride: int = 2
    whole: float = 0.35
    min_area: int = 40


@dataclass(frozen=True)
class Clip:
    """Images ``(frames, size, size)`` in 0..1 with the masks that belong to them.

    `masks` ``(objects, frames, size, size)`` are the objects to be prompted,
    `classes` ``(len(DENSE_CLASSES), frames, size, size)`` whole classes; `known`
    ``(len(DENSE_CLASSES),)`` tells which of those the scene has truth for.
    """

    images: Tensor
    masks: Tensor
    classes: Tensor
    known: Tensor


def cut_clip(
    scene: Scene, config: ClipConfig, rng: np.random.Generator, tries: int = 12
) -> Clip | None:
    """Return a random clip of `scene`, or None if no object was hit in `tries`."""
    for _ in range(tries):
        order = _slice_order(scene.images.shape[0], config, rng)
        rows, cols = _crop_window(scene.images.shape[1:], config, rng)
        candidates = _candidates(scene, order[0], rows, cols, config)
        if not candidates:
            continue
        picks = [
            candidates[i]
            for i in rng.choice(
                len(candidates),
                config.objects,
                replace=len(candidates) < config.objects,
            )
        ]
        picked = [
            scene.classes[key] if isinstance(key, str) else scene.instances == key
            for key in picks
        ]
        dense = [
            scene.classes.get(key, np.zeros_like(scene.instances, bool))
            for key in DENSE_CLASSES
        ]
        objects = [m[order][:, rows, cols] for m in picked]
        objects = [_maybe_one_piece(m, config, rng) for m in objects]
        masks = np.stack([*objects, *(m[order][:, rows, cols] for m in dense)])
        images = augment(scene.images[order][:, rows, cols], rng)
        turn, flip = int(rng.integers(4)), bool(rng.integers(2))
        sized = _to_size(_turn(masks.astype(np.float32), turn, flip), config.size) > 0.5
        return Clip(
            images=_to_size(_turn(images, turn, flip), config.size).clamp(0, 1),
            masks=sized[: len(picks)],
            classes=sized[len(picks) :],
            known=torch.tensor([key in scene.classes for key in DENSE_CLASSES]),
        )
    return None


def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vary gain, gamma, offset and noise; one draw a clip, the noise a slice."""
    images = images * rng.uniform(0.6, 1.4) + rng.uniform(-0.05, 0.05)
    images = np.clip(images, 0, 1) ** rng.uniform(0.7, 1.4)
    images = images + rng.normal(0, rng.uniform(0, 0.06), images.shape)
    return np.clip(images, 0, 1).astype(np.float32)


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


def _crop_window(
    shape: tuple[int, ...], config: ClipConfig, rng: np.random.Generator
) -> tuple[slice, slice]:
    side = round(min(shape) * rng.uniform(*config.crop))
    row = int(rng.integers(0, shape[0] - side + 1))
    col = int(rng.integers(0, shape[1] - side + 1))
    return slice(row, row + side), slice(col, col + side)


def _candidates(
    scene: Scene, first: int, rows: slice, cols: slice, config: ClipConfig
) -> list[int | str]:
    """Instances and classes that are large enough on the first slice of the clip."""
    scale = (config.size / (rows.stop - rows.start)) ** 2
    ids, counts = np.unique(scene.instances[first, rows, cols], return_counts=True)
    found: list[int | str] = [
        int(i)
        for i, n in zip(ids, counts, strict=True)
        if i and n * scale >= config.min_area
    ]
    for key, mask in scene.classes.items():
        if mask[first, rows, cols].sum() * scale >= config.min_area:
            found += [key] * (3 if key == "FAZ" else 1)
    return found


def _maybe_one_piece(
    mask: np.ndarray, config: ClipConfig, rng: np.random.Generator
) -> np.ndarray:
    """Return one connected piece of `mask`, or with probability `whole` all of it.

    A click shows which piece is meant, but not which pieces belong together.
    """
    from scipy.ndimage import label

    if rng.random() < config.whole:
        return mask
    pieces, _ = label(mask, np.ones((3, 3, 3)))
    scale = (config.size / mask.shape[-1]) ** 2
    ids, areas = np.unique(pieces[0], return_counts=True)
    large = [
        i for i, n in zip(ids, areas, strict=True) if i and n * scale >= config.min_area
    ]
    return pieces == rng.choice(large) if large else mask


def _turn(stack: np.ndarray, turn: int, flip: bool) -> np.ndarray:
    stack = np.rot90(stack, turn, axes=(-2, -1))
    return np.ascontiguousarray(stack[..., ::-1] if flip else stack)


def _to_size(stack: np.ndarray, size: int) -> Tensor:
    tensor = torch.from_numpy(stack)
    flat = tensor.reshape(1, -1, *tensor.shape[-2:])
    flat = F.interpolate(flat, (size, size), mode="bilinear", align_corners=False)
    return flat.reshape(*tensor.shape[:-2], size, size)
