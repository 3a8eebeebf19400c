"""NIfTI volumes that a ``dataset.json`` lists, as NeuroSAM2D and the MSD have them.

``{"training": [{"image": …, "seg" or "label": …}], "validation": […]}``; ``labels``
may name the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.errors import ReadError, VolumeError
from napari_octa_sam2.prompts import SEGMENTABLE
from napari_octa_sam2.training.config import DataConfig
from napari_octa_sam2.training.data.formats.building import (
    components_by_value,
    load_json,
    located,
    require_shape,
    scaled,
    unlabelled,
)
from napari_octa_sam2.training.data.scenes import Sample, Scene
from napari_octa_sam2.volume.readers import nifti
from napari_octa_sam2.volume.readers.label_values import as_label_array
from napari_octa_sam2.volume.readers.record import plain_name

INDEX = "dataset.json"
LISTS = ("training", "validation")
_FEW_VALUES = 16  # more of them are objects, not tissues


def matches(path: Path) -> bool:
    """Return whether it is such an index, or a folder with one."""
    content = load_json(_index(path))
    return isinstance(content, Mapping) and any(
        isinstance(content.get(key), list) for key in LISTS
    )


def find(path: Path, config: DataConfig) -> list[Sample]:
    """Return a sample for each entry, named ``training/…`` or ``validation/…``.

    Raises
    ------
    ReadError
        If an entry names no image.
    """
    index = _index(path)
    content = load_json(index)
    values = _class_values(content.get("labels"))
    entries = [(key, entry) for key in LISTS for entry in content.get(key) or ()]
    files = [_files(index, entry) for _, entry in entries]
    stems = [_stem(image) for image, _ in files]
    if len(set(stems)) < len({image for image, _ in files}):  # a folder a subject
        stems = [f"{image.parent.name}/{_stem(image)}" for image, _ in files]
    samples = []
    for (key, _), (image, label), stem in zip(entries, files, stems, strict=True):
        read = partial(_read, image, label, values, config.window)
        used = (image,) if label is None else (image, label)
        samples.append(Sample(f"{key}/{stem}", stem, used, read))
    return samples


def _files(index: Path, entry: Any) -> tuple[Path, Path | None]:
    """Return the image and the labels of an entry of the index."""
    if not isinstance(entry, Mapping) or not entry.get("image"):
        raise ReadError(
            f"{index}: expected entries {{'image': …, 'label' or 'seg': …}}, found "
            f"{entry!r}; correct the index"
        )
    truth = entry.get("seg") or entry.get("label")
    label = located(str(truth), index.parent) if truth else None
    return located(str(entry["image"]), index.parent), label


def _stem(path: Path) -> str:
    return plain_name(path).removesuffix(".nii")


def _index(path: Path) -> Path:
    return path if path.suffix.lower() == ".json" else path / INDEX


def _class_values(labels: Any) -> dict[int, str] | None:
    """Return the class of each value; None where the index does not name values.

    Names come by value (``{"1": "artery"}``) or values by name (``{"artery": 1}``).
    """
    if not isinstance(labels, Mapping):
        return None
    known = {name.lower(): name for name in SEGMENTABLE}
    found = {}
    for key, value in labels.items():
        name, number = (value, key) if str(key).isdecimal() else (key, value)
        if str(number).isdecimal() and str(name).lower() in known:
            found[int(number)] = known[str(name).lower()]
    return found


def _read(
    image: Path,
    label: Path | None,
    values: dict[int, str] | None,
    window: tuple[float, float],
) -> Scene:
    stored, _, _ = nifti.load_array(image)
    pictures = scaled(image, stored, window)
    if label is None:
        return unlabelled(pictures)
    labels = _labels(label)
    require_shape(label, labels, pictures.shape)
    is_semantic = values is not None or len(np.unique(labels)) <= _FEW_VALUES + 1
    names = sorted(set((values or {}).values()))
    return Scene(
        images=pictures,
        instances=components_by_value(labels) if is_semantic else labels,
        classes={
            name: np.isin(labels, [v for v, n in (values or {}).items() if n == name])
            for name in names
        },
    )


def _labels(path: Path) -> np.ndarray:
    """Return labels as integers, which programs often store as floats."""
    array, _, _ = nifti.load_array(path)
    if array.dtype.kind == "f" and (array == np.rint(array)).all():
        array = array.astype(np.int64)
    try:
        return as_label_array(array)
    except VolumeError as error:
        raise ReadError(f"{path}: {error}") from error
