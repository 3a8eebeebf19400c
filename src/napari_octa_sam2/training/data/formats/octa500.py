"""OCTA-500: projection maps with the en-face labels drawn on them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.training.config import DataConfig
from napari_octa_sam2.training.data.formats.building import (
    components,
    folders_in,
    scaled,
    unlabelled,
)
from napari_octa_sam2.training.data.scenes import Sample, Scene
from napari_octa_sam2.volume.readers import images, octa500_layout
from napari_octa_sam2.volume.readers.enface import LABEL_FOLDERS


def matches(path: Path) -> bool:
    """Return whether projection maps are in the folder, or one folder below."""
    return bool(_places(path))


def find(path: Path, config: DataConfig) -> list[Sample]:
    """Return a sample for each subject that has all of `config.projections`.

    Raises
    ------
    TrainingError
        If the projections cannot be the three channels of a slice.
    """
    slabs = config.projections
    if not slabs or (config.as_channels and len(slabs) != 3):
        raise TrainingError(
            f"expected {'three projections as channels' if slabs else 'projections'}, "
            f"found {', '.join(slabs) or 'none'}; set projections, for instance to "
            "FULL, ILM_OPL, OPL_BM"
        )
    return [
        sample
        for place in _places(path)
        for subject in _subjects(place, slabs[0])
        if (sample := _sample(place, subject, config)) is not None
    ]


def _places(path: Path) -> list[Path]:
    """Return the folders at `path` that hold a folder of projection maps."""
    if _is_maps(path):
        return [path.parent]
    children = folders_in(path)
    if any(map(_is_maps, children)):
        return [path]
    return [c for c in children if any(map(_is_maps, folders_in(c)))]


def _is_maps(folder: Path) -> bool:
    return octa500_layout.is_map(folder / "slab" / "file")


def _subjects(place: Path, slab: str) -> list[str]:
    wanted = octa500_layout.map_name(slab)
    return sorted(
        {
            file.stem
            for maps in filter(_is_maps, folders_in(place))
            for folder in folders_in(maps)
            if octa500_layout.map_name(folder.name) == wanted
            for file in folder.iterdir()
            if images.is_image(file)
        }
    )


def _sample(place: Path, subject: str, config: DataConfig) -> Sample | None:
    start = place / "maps"
    names = map(octa500_layout.map_name, config.projections)
    found = [octa500_layout.find_map(start, *name, subject) for name in names]
    maps = tuple(file for file in found if file is not None)
    if len(maps) < len(found):
        return None
    if config.field_of_view:
        _, columns = images.size(maps[0]) or (0, 0)
        field = octa500_layout.field_of_view(maps[0], subject, columns)
        if f"{field}M" != config.field_of_view:
            return None
    labels = {}
    for key, (folder, _) in LABEL_FOLDERS.items():
        if file := octa500_layout.find_label(start, folder, subject):
            labels["vessel" if key == "all vessels" else key] = file
    read = partial(_read, maps, labels, config.as_channels, config.window)
    return Sample(subject, subject, (*maps, *labels.values()), read)


def _read(
    maps: tuple[Path, ...],
    labels: dict[str, Path],
    as_channels: bool,
    window: tuple[float, float],
) -> Scene:
    pictures = scaled(maps[0], images.read_stack(maps), window)
    slices, rows, columns = pictures.shape
    if as_channels:
        pictures, slices = pictures[None], 1
    alike = slices > 1
    if not labels:
        return unlabelled(pictures, alike=alike)
    masks = {
        name: images.read_mask(file, (rows, columns)) for name, file in labels.items()
    }
    if {"vessel", "RV"} <= masks.keys():
        masks["capillary"] = masks["vessel"] & ~masks["RV"]
    vessels = components(masks.get("RV", np.zeros((rows, columns), bool)))
    return Scene(
        images=pictures,
        instances=np.repeat(vessels[None], slices, axis=0),
        classes={n: np.repeat(m[None], slices, axis=0) for n, m in masks.items()},
        alike=alike,
    )
