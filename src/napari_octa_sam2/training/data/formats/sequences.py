"""Layer sequences of SAM-OCTA2: neighbouring depths with the FAZ or the vessels."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from napari_octa_sam2.training.config import DataConfig
from napari_octa_sam2.training.data.formats.building import (
    components,
    folders_in,
    scaled,
)
from napari_octa_sam2.training.data.scenes import Sample, Scene
from napari_octa_sam2.volume.readers import sam_octa2


def matches(path: Path) -> bool:
    """Return whether it is ``FAZ_LayerSequence``, ``RV_LayerSequence`` or one of it."""
    return bool(_sequences(path))


def find(path: Path, config: DataConfig) -> list[Sample]:
    """Return a sample for each sequence of a subject."""
    samples = []
    for folder in _sequences(path):
        structure = folder.absolute().parent.name.partition("_")[0]
        files = sorted(
            (p for p in folder.rglob("*") if p.is_file() and p.name[0] != "."),
            key=lambda p: (p.parent != folder, p),
        )
        read = partial(_read, folder, structure, config.window)
        name = f"{folder.name} {structure}"
        samples.append(Sample(name, folder.name, tuple(files), read))
    return samples


def _sequences(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return [p for p in (path, *folders_in(path)) if sam_octa2.matches(p)]


def _read(folder: Path, structure: str, window: tuple[float, float]) -> Scene:
    volume = sam_octa2.read(folder)
    mask = volume.labels[structure].data > 0
    objects = volume.labels.get("objects")
    return Scene(
        images=scaled(folder, volume.data, window),
        instances=components(mask) if objects is None else objects.data,
        classes={structure: mask},
    )
