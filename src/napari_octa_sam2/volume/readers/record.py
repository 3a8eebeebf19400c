"""The note that this package adds to the arrays it writes.

One JSON object, kept where each format has room for it: an attribute of OME-Zarr, a
comment extension of NIfTI, the ``Info`` of ImageJ's TIFF, a file beside ``.npy``. It
holds what the format itself does not: names, classes, exact spacing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.volume.geometry import AXES, ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume

KEY = "napari-octa-sam2"
VERSION = 1


def make_record(geometry: ScanGeometry, **content: Any) -> dict[str, Any]:
    """Return the note for an array of axes ``(depth, slow, fast)``."""
    return {
        "format": KEY,
        "version": VERSION,
        "axes": list(AXES),
        "spacing": list(geometry.spacing),
        "unit": geometry.unit,
        **content,
    }


def labels_record(label: LabelSet, geometry: ScanGeometry) -> dict[str, Any]:
    """Return the note for labels, with their names and classes."""
    return make_record(
        geometry,
        kind="labels",
        names={str(i): name for i, name in label.names.items()},
        classes={str(i): cls for i, cls in label.classes.items()},
    )


def parse_record(text: str | bytes) -> dict[str, Any]:
    """Return the note in `text`, or an empty one if `text` is none of ours."""
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return content if is_record(content) else {}


def is_record(content: object) -> bool:
    """Return whether decoded JSON is a note of a version this code knows."""
    return (
        isinstance(content, Mapping)
        and content.get("format") == KEY
        and content.get("version") == VERSION
    )


def recorded_geometry(record: Mapping[str, Any]) -> ScanGeometry:
    """Return the geometry of a note; unit ``"pixel"`` if it holds none."""
    try:
        depth, slow, fast = record["spacing"]
        return ScanGeometry((depth, slow, fast), str(record["unit"]))
    except (KeyError, TypeError, ValueError):
        return ScanGeometry()


def settle_geometry(found: ScanGeometry, record: Mapping[str, Any]) -> ScanGeometry:
    """Return the noted geometry if the one in the file's header is a rounding of it.

    Headers store float32 or fractions. Where they differ by more than rounding,
    another program has changed the header, and the header counts.
    """
    noted = recorded_geometry(record)
    if noted.unit == found.unit and all(
        math.isclose(a, b, rel_tol=1e-5)
        for a, b in zip(noted.spacing, found.spacing, strict=True)
    ):
        return noted
    return found


def volume_from(
    path: Path,
    array: np.ndarray,
    geometry: ScanGeometry,
    record: Mapping[str, Any],
    **provenance: Any,
) -> OctaVolume:
    """Return the volume of an array and the note that came with it.

    The provenance's ``"kind"`` tells labels of this package (``"labels"``), whose
    values are ids and not intensities, from images.
    """
    if "kind" in record:
        provenance["kind"] = record["kind"]
    names = record.get("slice_names", ())
    first = record.get("first_slice", 0)
    if not isinstance(names, list | tuple) or len(names) not in (0, len(array)):
        raise VolumeError(f"expected one name a slice in its note, found {names!r}")
    if not isinstance(first, int):
        raise VolumeError(f"expected an integer first_slice in its note, found {first}")
    return OctaVolume(
        array,
        geometry=geometry,
        name=plain_name(path),
        source=path,
        slice_names=tuple(str(name) for name in names),
        first_slice=first,
        provenance=provenance,
    )


def plain_name(path: Path) -> str:
    """Return the file name without its (double) suffix."""
    for suffix in (".ome.zarr", ".nii.gz", ".ome.tif", ".ome.tiff"):
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem
