"""OME-Zarr images of NGFF 0.4 (zarr v2) and 0.5 (zarr v3), with their labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.errors import ReadError, VolumeError
from napari_octa_sam2.prompts import CLASSES
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume
from napari_octa_sam2.volume.readers.label_values import as_label_array
from napari_octa_sam2.volume.readers.record import (
    KEY,
    is_record,
    settle_geometry,
    volume_from,
)

if TYPE_CHECKING:
    import zarr

_MILLIMETRES = {"millimeter": 1.0, "micrometer": 1e-3, "nanometer": 1e-6, "meter": 1e3}


def matches(path: Path) -> bool:
    """Return whether `path` is the folder of a zarr group."""
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs"))


def read(path: Path) -> OctaVolume:
    """Read the highest resolution of an image, and its labels as label sets.

    Labels on another grid than the image's are left out; the provenance names them.

    Raises
    ------
    ReadError
        If the group is no image, is damaged, or has channels or time points.
    """
    group = _open(path)
    array, geometry, record = _load_group(path, group)
    labels: dict[str, LabelSet] = {}
    left_out: list[str] = []
    for name in _label_names(group):
        label = read_label(path / "labels" / name)
        if label.data.shape == array.shape:
            labels[name] = label
        else:
            left_out.append(name)
    notes = {"labels_left_out": left_out} if left_out else {}
    volume = volume_from(path, array, geometry, record, reader="ome_zarr", **notes)
    return dataclasses.replace(volume, labels=labels)


def load_array(path: Path) -> tuple[np.ndarray, ScanGeometry, dict[str, Any]]:
    """Return the array as ``(depth, slow, fast)``, its geometry and its note.

    The names and classes in the note are those of the ``image-label`` metadata.
    """
    group = _open(path)
    array, geometry, record = _load_group(path, group)
    names, classes = label_properties(_metadata(group))
    return array, geometry, record | {"names": names, "classes": classes}


def read_label(path: Path) -> LabelSet:
    """Read a label image with the names and classes of its ``image-label`` metadata.

    Raises
    ------
    ReadError
        If the group is no image of unsigned integers.
    """
    group = _open(path)
    array, _, _ = _load_group(path, group)
    try:
        values = as_label_array(array)
    except VolumeError as error:
        raise ReadError(f"{path}: {error}") from error
    return LabelSet(values, *label_properties(_metadata(group)))


def label_properties(
    metadata: Mapping[str, Any],
) -> tuple[dict[int, str], dict[int, str]]:
    """Return names and classes by label value from NGFF metadata."""
    names: dict[int, str] = {}
    classes: dict[int, str] = {}
    for entry in (metadata.get("image-label") or {}).get("properties") or ():
        value = entry.get("label-value")
        if not isinstance(value, int):
            continue
        if "name" in entry:
            names[value] = str(entry["name"])
        if "class" in entry:
            known = entry["class"] in CLASSES
            classes[value] = str(entry["class"]) if known else "other"
    return names, classes


def _open(path: Path) -> zarr.Group:
    import zarr

    try:
        return zarr.open_group(path, mode="r")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReadError(
            f"{path}: expected an OME-Zarr group, found metadata that cannot be read "
            f"({error}); copy or export it again"
        ) from error


def _metadata(group: zarr.Group) -> dict[str, Any]:
    """Return the NGFF metadata: under ``ome`` since 0.5, at the top before."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome")
    return dict(ome) if isinstance(ome, Mapping) else attributes


def _label_names(group: zarr.Group) -> list[str]:
    if "labels" not in group:
        return []
    labels: Any = group["labels"]
    listed = _metadata(labels).get("labels", ())
    return [str(name) for name in listed if str(name) in labels]


def _load_group(
    path: Path, group: zarr.Group
) -> tuple[np.ndarray, ScanGeometry, dict[str, Any]]:
    metadata = _metadata(group)
    multiscales = metadata.get("multiscales")
    if not multiscales:
        raise ReadError(
            f"{path}: expected an OME-Zarr image ('multiscales'), found a group with "
            f"{sorted(metadata) or 'no metadata'}; give the group of one image"
        )
    try:
        image = multiscales[0]
        axes = [a if isinstance(a, Mapping) else {"name": a} for a in image["axes"]]
        level = image["datasets"][0]
        stored: Any = group[level["path"]]
        scale = _scale(level, len(axes)) * _scale(image, len(axes))
        pixels = np.asarray(stored[...])
        array, order = _spatial(path, pixels, [str(a["name"]) for a in axes])
        geometry = _geometry(axes, scale, order)
    except (KeyError, IndexError, TypeError, AttributeError, RuntimeError) as error:
        raise _malformed(path, error) from error
    except (OSError, ValueError) as error:
        if isinstance(error, ReadError):
            raise
        raise _malformed(path, error) from error
    record = dict(group.attrs).get(KEY)
    noted = dict(record) if isinstance(record, Mapping) and is_record(record) else {}
    return array, settle_geometry(geometry, noted), noted


def _malformed(path: Path, error: Exception) -> ReadError:
    return ReadError(
        f"{path}: expected an image of OME-Zarr 0.4 or 0.5 with axes z, y, x, found "
        f"data or metadata that cannot be used ({type(error).__name__}: {error}); "
        "export it again"
    )


def _scale(holder: Mapping[str, Any], ndim: int) -> np.ndarray:
    """Return the product of the scale transformations of an image or a level."""
    scale = np.ones(ndim)
    for transformation in holder.get("coordinateTransformations") or ():
        if transformation.get("type") == "scale":
            scale = scale * np.asarray(transformation["scale"], float)
    return scale


def _spatial(
    path: Path, pixels: np.ndarray, names: list[str]
) -> tuple[np.ndarray, list[int]]:
    """Return the array with axes z, y, x and the positions these had (-1: none)."""
    if len(names) != pixels.ndim:
        raise ValueError(f"{len(names)} axes for an array of shape {pixels.shape}")
    for name, size in zip(names, pixels.shape, strict=True):
        if name not in "zyx" and size > 1:
            raise ReadError(
                f"{path}: expected one channel and one time point, found {size} along "
                f"axis {name!r}; export one of them"
            )
    order = [names.index(name) if name in names else -1 for name in "zyx"]
    if -1 in order[1:]:
        raise ValueError(f"axes {names} without y or x")
    kept = [i for i in order if i >= 0]
    others = [i for i in range(pixels.ndim) if i not in kept]
    array = pixels.transpose(*others, *kept)
    array = array.reshape((1, *array.shape[-2:]) if order[0] < 0 else array.shape[-3:])
    return np.ascontiguousarray(array), order


def _geometry(axes: list[Any], scale: np.ndarray, order: list[int]) -> ScanGeometry:
    """Return the spacing; an image without z gets the row spacing as a nominal one."""
    positions = [order[1] if i < 0 else i for i in order]
    factors = [_MILLIMETRES.get(str(axes[i].get("unit"))) for i in positions]
    sizes = [float(scale[i]) for i in positions]
    known = [f for f in factors if f is not None]
    try:
        if len(known) < 3:
            return ScanGeometry((sizes[0], sizes[1], sizes[2]), "pixel")
        depth, slow, fast = (s * f for s, f in zip(sizes, known, strict=True))
        return ScanGeometry((depth, slow, fast), "mm")
    except VolumeError:
        return ScanGeometry()
