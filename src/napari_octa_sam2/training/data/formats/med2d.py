"""Images with one binary mask an object, as SAM-Med2D indexes them.

``image2label_<part>.json`` maps an image to its masks, ``label2image_<part>.json`` a
mask to its image; without them, masks are found by the name of their image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.training.config import DataConfig
from napari_octa_sam2.training.data.formats.building import (
    binary_mask,
    load_json,
    located,
    scaled,
    unlabelled,
)
from napari_octa_sam2.training.data.scenes import Sample, Scene
from napari_octa_sam2.volume.readers import images

_INDICES = ("image2label*.json", "label2image*.json")


def matches(path: Path) -> bool:
    """Return whether it is such an index, or a folder with one or with masks."""
    if path.suffix.lower() == ".json":
        content = load_json(path)
        return isinstance(content, Mapping) and _is_index(content)
    return bool(_indices(path)) or all(
        (path / name).is_dir() for name in ("images", "masks")
    )


def find(path: Path, config: DataConfig) -> list[Sample]:
    """Return the samples of every image, named ``<part>/<image>`` by the index.

    Masks of an image that overlap become several samples of one subject.

    Raises
    ------
    ReadError
        If an index is damaged.
    """
    return [
        sample
        for prefix, masks_of in _listed(path)
        for image, masks in masks_of.items()
        for sample in _samples(prefix, image, masks, config)
    ]


def _is_index(content: Mapping[object, object]) -> bool:
    return bool(content) and all(
        isinstance(key, str)
        and (
            isinstance(value, str)
            or (isinstance(value, list) and all(isinstance(v, str) for v in value))
        )
        for key, value in content.items()
    )


def _indices(folder: Path) -> list[Path]:
    return sorted(file for pattern in _INDICES for file in folder.glob(pattern))


def _listed(path: Path) -> Iterator[tuple[str, dict[Path, list[Path]]]]:
    """Yield the prefix of an index and the masks of each of its images."""
    indices = _indices(path) if path.is_dir() else [path]
    for index in indices:
        content = load_json(index)
        if not isinstance(content, Mapping) or not _is_index(content):
            raise ReadError(
                f"{index}: expected {{image: [mask, …]}} or {{mask: image}}, found "
                "another content or a damaged file; write the index again"
            )
        masks_of: dict[Path, list[Path]] = {}
        for key, value in content.items():
            if isinstance(value, str):
                image = located(value, index.parent)
                masks_of.setdefault(image, []).append(located(key, index.parent))
            else:
                masks = [located(mask, index.parent) for mask in value]
                masks_of.setdefault(located(key, index.parent), []).extend(masks)
        _, _, part = index.stem.partition("_")
        yield (f"{part}/" if part else ""), masks_of
    if not indices:
        yield "", _by_name(path)


def _by_name(folder: Path) -> dict[Path, list[Path]]:
    """Return the masks whose names begin with that of an image, the longest such."""
    pictures = {p.stem: p for p in sorted((folder / "images").iterdir())}
    masks_of: dict[Path, list[Path]] = {
        p: [] for p in pictures.values() if images.is_image(p)
    }
    for mask in sorted(filter(images.is_image, (folder / "masks").iterdir())):
        words = mask.stem.split("_")
        stems = ("_".join(words[:n]) for n in range(len(words), 0, -1))
        image = next((pictures[stem] for stem in stems if stem in pictures), None)
        if image in masks_of:
            masks_of[image].append(mask)
    return masks_of


def _samples(
    prefix: str, image: Path, masks: list[Path], config: DataConfig
) -> Iterator[Sample]:
    groups = _packed(masks) or [()]
    for number, group in enumerate(groups, 1):
        name = f"{prefix}{image.stem}" + (f" {number}" if len(groups) > 1 else "")
        read = partial(_read, image, group, config.window)
        yield Sample(name, image.stem, (image, *group), read)


def _packed(masks: list[Path]) -> list[tuple[Path, ...]]:
    """Return groups of masks that do not overlap: each goes to the first it fits in.

    One that cannot be read gets a group of its own, which tells of it when it is read.
    """
    if len(masks) < 2:
        return [tuple(masks)] if masks else []
    groups: list[list[Path]] = []
    taken: list[np.ndarray | None] = []
    for path in masks:
        mask = _drawn(path)
        fits = (
            i
            for i, other in enumerate(taken)
            if mask is not None
            and other is not None
            and other.shape == mask.shape
            and not (other & mask).any()
        )
        place = next(fits, None)
        if place is None:
            groups.append([path])
            taken.append(mask)
        else:
            groups[place].append(path)
            taken[place] = taken[place] | mask  # type: ignore[operator]
    return [tuple(group) for group in groups]


def _drawn(path: Path) -> np.ndarray | None:
    try:
        return images.read_gray(path) > 0
    except ReadError:
        return None


def _read(image: Path, masks: tuple[Path, ...], window: tuple[float, float]) -> Scene:
    pixels = images.read_pixels(image)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    colours = np.broadcast_to(
        pixels[..., :3] if pixels.shape[2] > 2 else pixels[..., :1],
        (*pixels.shape[:2], 3),
    )
    picture = scaled(image, np.moveaxis(colours, -1, 0)[None], window)
    if not masks:
        return unlabelled(picture)
    shape = picture.shape[2], picture.shape[3]
    instances = np.zeros(shape, np.uint8 if len(masks) <= 255 else np.uint16)
    for number, mask in enumerate(masks, 1):
        instances[binary_mask(mask, shape)] = number
    return Scene(picture, instances[None], {})
