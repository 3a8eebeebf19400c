"""One encoder for each format that arrays are written in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.errors import WriteError
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet
from napari_octa_sam2.volume.readers import npy
from napari_octa_sam2.volume.readers.label_values import as_label_array
from napari_octa_sam2.volume.readers.record import KEY, labels_record, plain_name

if TYPE_CHECKING:
    import zarr

Encoder = Callable[[Path, np.ndarray, Mapping[str, Any]], None]
"""Writes an array ``(depth, slow, fast)`` and its note to a path that is free."""


def find_encoder(path: Path) -> Encoder:
    """Return the encoder for the suffix of `path`.

    Raises
    ------
    WriteError
        If there is none.
    """
    name = path.name.lower()
    for suffix, encode in ENCODERS.items():
        if name.endswith(suffix) and len(name) > len(suffix):
            return encode
    raise WriteError(
        f"{path}: expected a file name that ends in {', '.join(ENCODERS)}, found "
        f"{path.name!r}; pick one of these formats"
    )


def encode_npy(path: Path, array: np.ndarray, record: Mapping[str, Any]) -> None:
    """Write a NumPy file, and the note beside it."""
    np.save(path, array, allow_pickle=False)
    text = json.dumps(record, indent=1) + "\n"
    npy.note_path(path).write_text(text, "utf-8")


def encode_nifti(path: Path, array: np.ndarray, record: Mapping[str, Any]) -> None:
    """Write NIfTI-1 with axes (fast, slow, depth); the note is a comment extension."""
    import nibabel as nib

    nifti1: Any = nib.nifti1
    array = _plain(array)
    depth, slow, fast = record["spacing"]
    affine = np.diag([fast, slow, depth, 1.0])
    image = nifti1.Nifti1Image(array.T, affine, dtype=array.dtype)
    image.header.set_xyzt_units("mm" if record["unit"] == "mm" else "unknown")
    note = nifti1.Nifti1Extension("comment", json.dumps(record).encode())
    image.header.extensions.append(note)
    nib.save(image, path)


def encode_tiff(path: Path, array: np.ndarray, record: Mapping[str, Any]) -> None:
    """Write a TIFF stack for ImageJ; the note is its ``Info``.

    Raises
    ------
    WriteError
        If ImageJ knows no such type.
    """
    import tifffile

    array = _plain(array)
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
    if array.dtype not in (np.uint8, np.uint16, np.float32):
        raise WriteError(
            f"{path.name}: TIFF for ImageJ holds uint8, uint16 and float32, found "
            f"{array.dtype}; write .ome.zarr, .nii.gz or .npy"
        )
    depth, slow, fast = record["spacing"]
    tifffile.imwrite(
        path,
        array,
        imagej=True,
        compression="zlib" if record["kind"] == "labels" else None,
        resolution=(1 / fast, 1 / slow),
        metadata={
            "axes": "ZYX",
            "spacing": depth,
            "unit": record["unit"],
            "Info": json.dumps(record),
        },
    )


def encode_ome_zarr(path: Path, array: np.ndarray, record: Mapping[str, Any]) -> None:
    """Write an OME-Zarr image of NGFF 0.5; the note is an attribute."""
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=3)
    _fill_group(group, array, record, plain_name(path))


def add_labels(
    path: Path, labels: Mapping[str, LabelSet], geometry: ScanGeometry
) -> None:
    """Write label sets into the ``labels`` group of an OME-Zarr image."""
    import zarr

    group = zarr.open_group(path, mode="a").create_group("labels")
    group.attrs["ome"] = {"version": "0.5", "labels": list(labels)}
    for name, label in labels.items():
        note = labels_record(label, geometry)
        _fill_group(group.create_group(name), as_label_array(label.data), note, name)


def _fill_group(
    group: zarr.Group, array: np.ndarray, record: Mapping[str, Any], name: str
) -> None:
    """Write one resolution level and the NGFF 0.5 metadata."""
    depth, slow, fast = array.shape
    chunks = (min(depth, 16), slow, fast)
    group.create_array("0", data=array, chunks=chunks, dimension_names=list("zyx"))
    unit = {"unit": "millimeter"} if record["unit"] == "mm" else {}
    scale = [{"type": "scale", "scale": list(record["spacing"])}]
    image = {
        "name": name,
        "axes": [{"name": axis, "type": "space", **unit} for axis in "zyx"],
        "datasets": [{"path": "0", "coordinateTransformations": scale}],
    }
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [image]}
    if record["kind"] == "labels":
        ome["image-label"] = {"properties": _properties(record)}
    group.attrs.update({"ome": ome, KEY: dict(record)})


def _properties(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    names, classes = record["names"], record["classes"]
    entries: list[dict[str, Any]] = []
    for value in sorted({*names, *classes}, key=int):
        entry: dict[str, Any] = {"label-value": int(value)}
        if value in names:
            entry["name"] = names[value]
        if value in classes:
            entry["class"] = classes[value]
        entries.append(entry)
    return entries


def _plain(array: np.ndarray) -> np.ndarray:
    """Return booleans as uint8 and half floats as float32."""
    plain = {np.dtype(bool): np.uint8, np.dtype(np.float16): np.float32}
    return array.astype(plain.get(array.dtype, array.dtype), copy=False)


ENCODERS: dict[str, Encoder] = {
    ".ome.zarr": encode_ome_zarr,
    ".nii.gz": encode_nifti,
    ".nii": encode_nifti,
    ".tif": encode_tiff,
    ".tiff": encode_tiff,
    ".npy": encode_npy,
}
