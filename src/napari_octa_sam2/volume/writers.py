"""Labels and images out; the format follows the suffix.

Everything is written beside its place and then moved there in one step, so that a
failure leaves what was there before.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from napari_octa_sam2.errors import OctaError, ReadError, VolumeError, WriteError
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import (
    LabelSet,
    OctaVolume,
    check_volume_array,
)
from napari_octa_sam2.volume.readers import nifti, npy, ome_zarr, tiff
from napari_octa_sam2.volume.readers.label_values import as_label_array
from napari_octa_sam2.volume.readers.record import (
    KEY,
    is_record,
    make_record,
    plain_name,
)

if TYPE_CHECKING:
    import zarr

_Writer = Callable[[Path, np.ndarray, Mapping[str, Any]], None]


def write_labels(
    path: str | Path,
    labels: np.ndarray,
    geometry: ScanGeometry,
    *,
    names: Mapping[int, str] | None = None,
    classes: Mapping[int, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write labels with their spacing, names and classes.

    Parameters
    ----------
    path : path
        Ends in ``.ome.zarr`` (NGFF 0.5), ``.nii.gz``, ``.nii``, ``.tif``, ``.tiff``
        (ImageJ) or ``.npy`` (with a note ``.npy.json`` beside it). Missing folders
        are made; an existing file is replaced.
    labels : numpy.ndarray
        Object ids of shape ``(depth, slow, fast)``. uint8 and uint16 are kept, other
        integers and booleans become the smaller of the two that holds them.
    geometry : ScanGeometry
        Spacing of the three axes.
    names, classes : mapping of int to str, optional
        Name and class of each id.
    metadata : mapping, optional
        Anything that JSON can hold; kept in the file.

    Returns
    -------
    Path
        Where the labels are.

    Raises
    ------
    WriteError
        If the suffix is unknown, the array holds no labels, the place cannot be
        written, or an existing folder was not written by this package.
    """
    path = Path(path)
    try:
        array = as_label_array(np.asarray(labels))
        check_volume_array(array, path.name)
    except VolumeError as error:
        raise WriteError(f"{path}: {error}") from error
    record = _labels_record(LabelSet(array, names or {}, classes or {}), geometry)
    _write(path, array, record | {"metadata": dict(metadata or {})})
    return path


def write_image(
    path: str | Path,
    volume: OctaVolume,
    *,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write the data of a volume with its spacing and slice names.

    Formats as for `write_labels`. OME-Zarr takes the labels of the volume along;
    further channels are not written. NIfTI and TIFF hold booleans as uint8 and half
    floats as float32; TIFF holds every float as float32.

    Returns
    -------
    Path
        Where the image is.

    Raises
    ------
    WriteError
        As `write_labels`, or if the format cannot hold the type of the data.
    """
    path = Path(path)
    record = make_record(
        volume.geometry,
        kind="image",
        first_slice=volume.first_slice,
        slice_names=list(volume.slice_names),
        metadata=dict(metadata or {}),
    )
    _write(path, volume.data, record, volume.labels)
    return path


def read_labels(path: str | Path) -> tuple[LabelSet, ScanGeometry]:
    """Read what `write_labels` wrote, or any label image of one of its formats.

    Returns
    -------
    (LabelSet, ScanGeometry)
        Values ``(depth, slow, fast)`` as uint8 or uint16, names and classes where the
        file has them, and the spacing.

    Raises
    ------
    ReadError
        If the file is missing, damaged, of another format, or holds no labels.
    """
    path = Path(path)
    if not path.exists():
        raise ReadError(f"{path}: expected labels, found nothing there; check the path")
    if ome_zarr.matches(path):
        _, geometry, _ = ome_zarr.load_array(path)
        return ome_zarr.read_label(path), geometry
    module = next((m for m in (nifti, tiff, npy) if m.matches(path)), None)
    if module is None:
        raise ReadError(
            f"{path}: expected labels in one of {', '.join(_WRITERS)}, found another "
            "format; convert them first"
        )
    array, geometry, record = module.load_array(path)
    try:
        labels = as_label_array(array)
        check_volume_array(labels, path.name)
    except VolumeError as error:
        raise ReadError(f"{path}: {error}") from error
    names, classes = (_by_id(record.get(key)) for key in ("names", "classes"))
    return LabelSet(labels, names, classes), geometry


def _by_id(entries: object) -> dict[int, str]:
    if not isinstance(entries, Mapping):
        return {}
    return {int(k): str(v) for k, v in entries.items() if str(k).isdecimal()}


def _labels_record(label: LabelSet, geometry: ScanGeometry) -> dict[str, Any]:
    return make_record(
        geometry,
        kind="labels",
        names={str(i): name for i, name in label.names.items()},
        classes={str(i): cls for i, cls in label.classes.items()},
    )


def _write(
    path: Path,
    array: np.ndarray,
    record: Mapping[str, Any],
    labels: Mapping[str, LabelSet] | None = None,
) -> None:
    """Write beside `path`, then move into place."""
    write = _writer(path)
    part = path.with_name(f".{uuid4().hex[:8]}.part.{path.name}")
    try:
        json.dumps(record, allow_nan=False)
        _require_replaceable(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part, np.ascontiguousarray(array), record)
        if labels and write is _write_ome_zarr:
            _add_labels(part, labels, record)
        _move(part, path)
    except OctaError:
        raise
    except Exception as error:
        # Encoders raise anything; whatever it was, nothing was replaced.
        raise WriteError(
            f"{path}: could not be written ({type(error).__name__}: {error}); what was "
            "there before is kept; check the folder, the free space and the metadata"
        ) from error
    finally:
        _discard(part)
        _discard(npy.note_path(part))


def _writer(path: Path) -> _Writer:
    name = path.name.lower()
    for suffix, write in _WRITERS.items():
        if name.endswith(suffix) and len(name) > len(suffix):
            return write
    raise WriteError(
        f"{path}: expected a file name that ends in {', '.join(_WRITERS)}, found "
        f"{path.name!r}; pick one of these formats"
    )


def _require_replaceable(path: Path) -> None:
    """Raise `WriteError` if `path` is a folder that this module did not write."""
    if not path.is_dir():
        return
    try:
        attributes = json.loads((path / "zarr.json").read_text("utf-8"))["attributes"]
        record = attributes[KEY]
        ours = is_record(record) and record.get("kind") in ("labels", "image")
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise WriteError(
            f"{path}: expected a free name or an earlier result, found a folder with "
            "other content; pick another name or move the folder away"
        )


def _move(part: Path, path: Path) -> None:
    if part.is_dir() and path.exists():
        old = path.with_name(f".{uuid4().hex[:8]}.old.{path.name}")
        path.rename(old)
        try:
            part.rename(path)
        except OSError:
            old.rename(path)
            raise
        _discard(old)
        return
    if npy.note_path(part).exists():
        os.replace(npy.note_path(part), npy.note_path(path))
    os.replace(part, path)


def _discard(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _write_npy(path: Path, array: np.ndarray, record: Mapping[str, Any]) -> None:
    np.save(path, array, allow_pickle=False)
    text = json.dumps(record, indent=1) + "\n"
    npy.note_path(path).write_text(text, "utf-8")


def _write_nifti(path: Path, array: np.ndarray, record: Mapping[str, Any]) -> None:
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


def _write_tiff(path: Path, array: np.ndarray, record: Mapping[str, Any]) -> None:
    import tifffile

    array = _plain(array)
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
    if array.dtype not in (np.uint8, np.uint16, np.float32):
        raise WriteError(
            f"{path.name.partition('.part.')[2]}: TIFF for ImageJ holds uint8, uint16 "
            f"and float32, found {array.dtype}; write .ome.zarr, .nii.gz or .npy"
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


def _write_ome_zarr(path: Path, array: np.ndarray, record: Mapping[str, Any]) -> None:
    import zarr

    name = plain_name(Path(path.name.partition(".part.")[2]))
    group = zarr.open_group(path, mode="w", zarr_format=3)
    _fill_group(group, array, record, name)


def _add_labels(
    path: Path, labels: Mapping[str, LabelSet], record: Mapping[str, Any]
) -> None:
    """Write label sets into the ``labels`` group of an OME-Zarr image."""
    import zarr

    geometry = ScanGeometry(record["spacing"], record["unit"])
    group = zarr.open_group(path, mode="a").create_group("labels")
    group.attrs["ome"] = {"version": "0.5", "labels": list(labels)}
    for name, label in labels.items():
        note = _labels_record(label, geometry)
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


_WRITERS: dict[str, _Writer] = {
    ".ome.zarr": _write_ome_zarr,
    ".nii.gz": _write_nifti,
    ".nii": _write_nifti,
    ".tif": _write_tiff,
    ".tiff": _write_tiff,
    ".npy": _write_npy,
}
