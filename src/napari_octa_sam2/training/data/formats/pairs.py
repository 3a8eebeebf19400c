"""Images with drawn vessels: ``image/<name>`` and ``label/<name>``, as in ROSSA."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from napari_octa_sam2.training.config import DataConfig
from napari_octa_sam2.training.data.formats.building import (
    binary_mask,
    components,
    folders_in,
    read_slice,
    unlabelled,
)
from napari_octa_sam2.training.data.scenes import Sample, Scene
from napari_octa_sam2.volume.readers import images


def matches(path: Path) -> bool:
    """Return whether the folder, or a folder in it, has the two sub-folders."""
    return _is_pair(path) or any(map(_is_pair, folders_in(path)))


def find(path: Path, config: DataConfig) -> list[Sample]:
    """Return a sample for each image; of a folder of splits, named ``<split>/<name>``.

    An OCTA-500 id is the subject; other names are taken to start anew in every split.
    """
    if _is_pair(path):
        return _pairs(path, "", config)
    splits = filter(_is_pair, folders_in(path))
    return [s for split in splits for s in _pairs(split, f"{split.name}/", config)]


def _is_pair(folder: Path) -> bool:
    return (folder / "image").is_dir() and (folder / "label").is_dir()


def _pairs(folder: Path, prefix: str, config: DataConfig) -> list[Sample]:
    labels = {p.stem: p for p in _images(folder / "label")}
    samples = []
    for image in _images(folder / "image"):
        stem = image.stem
        label = labels.get(stem)
        subject = stem if _is_octa500(stem) else f"{folder.absolute().name}/{stem}"
        files = (image,) if label is None else (image, label)
        read = partial(_read, image, label, config.window)
        samples.append(Sample(f"{prefix}{stem}", subject, files, read))
    return samples


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if images.is_image(p))


def _is_octa500(stem: str) -> bool:
    return stem.isdecimal() and 10001 <= int(stem) <= 10500


def _read(image: Path, label: Path | None, window: tuple[float, float]) -> Scene:
    picture = read_slice(image, window)
    if label is None:
        return unlabelled(picture)
    mask = binary_mask(label, (picture.shape[1], picture.shape[2]))[None]
    return Scene(picture, components(mask), {"RV": mask})
