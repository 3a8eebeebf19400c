"""What users made: projects of this package, and OME-Zarr images with labels."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.project.about import About, read_about
from napari_octa_sam2.project.reading import read_document
from napari_octa_sam2.project.store import JOURNAL, SUFFIX
from napari_octa_sam2.training.config import DataConfig
from napari_octa_sam2.training.data.formats.annotated import sparse_scene
from napari_octa_sam2.training.data.formats.building import folders_in, scaled
from napari_octa_sam2.training.data.scenes import Sample, Scene
from napari_octa_sam2.volume.identity import fingerprint
from napari_octa_sam2.volume.octa_volume import OctaVolume
from napari_octa_sam2.volume.readers import ome_zarr, read_volume
from napari_octa_sam2.volume.readers.record import plain_name


def matches(path: Path) -> bool:
    """Return whether it is a project, a folder of them, or an OME-Zarr image."""
    return bool(_projects(path)) or ome_zarr.matches(path)


def find(path: Path, config: DataConfig) -> list[Sample]:
    """Return a sample for each project, or for each label set of an image.

    Raises
    ------
    ReadError
        If a project cannot be read.
    """
    projects = _projects(path)
    if not projects:
        return _of_image(path, config)
    samples = []
    for folder in projects:
        about = read_about(folder)
        files = (*_source_files(about), folder / JOURNAL)
        read = partial(_read_project, folder, config.window)
        name = folder.name.removesuffix(SUFFIX)
        samples.append(Sample(name, about.name, files, read))
    return samples


def _projects(path: Path) -> list[Path]:
    if (path / JOURNAL).is_file():
        return [path]
    return [p for p in folders_in(path) if (p / JOURNAL).is_file()]


def _source_files(about: About) -> list[Path]:
    source = Path(about.source or "")
    if not about.source or not source.is_dir():
        return [source] if about.source else []
    return sorted(p for p in source.rglob("*") if p.is_file())


def _read_project(path: Path, window: tuple[float, float]) -> Scene:
    about, document = read_document(path)
    volume = _volume(path, about)
    classes = {o.id: o.cls for o in document.prompts.objects}
    pictures = scaled(Path(str(about.source)), volume.data, window)
    labels, slices = document.volume(), document.labelled_slices()
    return sparse_scene(pictures, labels, classes, slices)


def _volume(path: Path, about: About) -> OctaVolume:
    """Return the volume that a project is of."""
    if about.source is None:
        raise ReadError(
            f"{path}: expected a project of a volume that was read from a file, found "
            "one of an array; export its labelled slices to learn from them"
        )
    volume = read_volume(about.source)
    if volume.shape != about.shape or fingerprint(volume.data) != about.fingerprint:
        raise ReadError(
            f"{path}: expected the volume that was worked on in {about.source}, found "
            "another one; put the original file back"
        )
    return volume


def _of_image(path: Path, config: DataConfig) -> list[Sample]:
    name = plain_name(path)
    files = tuple(sorted(p for p in path.rglob("*") if p.is_file()))
    samples = []
    for key in ome_zarr.read(path).labels:
        read = partial(_read_image, path, key, config.window)
        samples.append(Sample(f"{name} {key}", name, files, read))
    return samples


def _read_image(path: Path, key: str, window: tuple[float, float]) -> Scene:
    volume = ome_zarr.read(path)
    label = volume.labels[key]
    slices = np.flatnonzero(label.data.any(axis=(1, 2)))
    pictures = scaled(path, volume.data, window)
    return sparse_scene(pictures, label.data, label.classes, slices.tolist())
