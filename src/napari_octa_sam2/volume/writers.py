"""Labels and images out; the format follows the suffix.

Everything is written beside its place and then moved there in one step, so that a
failure leaves what was there before.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from napari_octa_sam2.errors import OctaError, VolumeError, WriteError
from napari_octa_sam2.volume.encoders import (
    add_labels,
    encode_ome_zarr,
    find_encoder,
)
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import (
    LabelSet,
    OctaVolume,
    check_volume_array,
)
from napari_octa_sam2.volume.readers import npy
from napari_octa_sam2.volume.readers.label_values import as_label_array
from napari_octa_sam2.volume.readers.record import (
    KEY,
    is_record,
    labels_record,
    make_record,
)


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
    record = labels_record(LabelSet(array, names or {}, classes or {}), geometry)
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
    _write(path, volume.data, record, volume)
    return path


def check_target(path: str | Path) -> None:
    """Check before the work that its result could go to `path`.

    Raises
    ------
    WriteError
        If the suffix is unknown, or `path` is a folder that this package did not write.
    """
    path = Path(path)
    find_encoder(path)
    if path.is_dir() and not _is_result(path):
        raise WriteError(
            f"{path}: expected a free name or an earlier result, found a folder with "
            "other content; pick another name or move the folder away"
        )


def _is_result(folder: Path) -> bool:
    try:
        attributes = json.loads((folder / "zarr.json").read_text("utf-8"))["attributes"]
        record = attributes[KEY]
        return is_record(record) and record.get("kind") in ("labels", "image")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write(
    path: Path,
    array: np.ndarray,
    record: Mapping[str, Any],
    volume: OctaVolume | None = None,
) -> None:
    """Write into a folder beside `path`, then move into place."""
    staging = path.with_name(f".{uuid4().hex[:8]}.part")
    part = staging / path.name
    try:
        check_target(path)
        json.dumps(record, allow_nan=False)
        staging.mkdir(parents=True)
        encode = find_encoder(path)
        encode(part, np.ascontiguousarray(array), record)
        if volume is not None and volume.labels and encode is encode_ome_zarr:
            add_labels(part, volume.labels, volume.geometry)
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
        _discard(staging)


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
