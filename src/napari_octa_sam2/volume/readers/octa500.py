"""OCTA-500: a subject's folder of B-scans.

``OCTA/<id>/<k>.bmp`` holds B-scan ``k`` of ``1 .. N``, depth along its rows. En-face
row ``r`` of the projection maps and labels is file ``N - r``, so the B-scans are
stacked in reverse order.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume
from napari_octa_sam2.volume.readers import images, octa500_layout
from napari_octa_sam2.volume.readers.faz3d import read_faz
from napari_octa_sam2.volume.readers.orientation import check_orientation, oriented

_SIGNAL_FOLDER = re.compile(r"(|.*[_ -])(OCTA?)", re.I)
_B_SCAN_SHAPES = ((640, 304), (640, 400))


def matches(path: Path) -> bool:
    """Return whether `path` is a folder of numbered B-scans."""
    path = path.absolute()
    if not path.is_dir():
        return False
    first = next((p for p in path.iterdir() if _is_b_scan(p)), None)
    if first is None:
        return False
    in_subject = path.name.isdecimal() and _SIGNAL_FOLDER.fullmatch(path.parent.name)
    return bool(in_subject) or images.size(first) in _B_SCAN_SHAPES


def read(path: Path) -> OctaVolume:
    """Read a subject: flow as data, structure as channel ``"OCT"``, 3-D FAZ as label.

    Either folder of the pair ``OCTA/<id>`` and ``OCT/<id>`` stands for the subject;
    where only the structure exists, it is the data and the provenance says so. If
    the projection map of the subject is found, the volume is compared with it and,
    should another orientation win decisively, turned to match.

    Raises
    ------
    ReadError
        If a B-scan is missing, repeated, unreadable or unlike the others, or if the
        structure or a label does not fit the flow.
    """
    path = path.absolute()
    main, structure = _subject(path)
    signal = _signal(main)
    data = read_b_scans(main)
    channels = {} if structure is None else {"OCT": _structure(structure, data)}
    check, turn = _orientation(main, data, signal)
    if turn != "identity":
        data = oriented(data, turn)
        channels = {key: oriented(value, turn) for key, value in channels.items()}
    provenance: dict[str, Any] = {
        "reader": "octa500",
        "signal": signal,
        "b_scans": "stacked in reverse order of their numbers",
        "orientation": check,
    }
    field = octa500_layout.field_of_view(main / "1", main.name, data.shape[2])
    labels: dict[str, LabelSet] = {}
    if found := read_faz(main, main.name, field, data.shape):
        labels["FAZ"], provenance["faz"] = found
    if surfaces := octa500_layout.find_label(main, "GT_Layers", main.name):
        provenance["surfaces"] = str(surfaces)
    return OctaVolume(
        data,
        geometry=octa500_layout.native_geometry(field),
        name=main.name,
        source=path,
        channels=channels,
        labels=labels,
        provenance=provenance,
    )


def read_b_scans(folder: Path) -> np.ndarray:
    """Read the B-scans of a folder in en-face orientation.

    Returns
    -------
    numpy.ndarray
        Shape ``(depth, slow, fast)``, contiguous; row ``r`` is file ``N - r``.

    Raises
    ------
    ReadError
        If the numbers are not 1 to N, N being the number of columns of a B-scan, or
        the images cannot be read or are not alike.
    """
    found = images.numbered_images(folder, prefix="")
    columns = images.read_gray(next(iter(found.values()))).shape[1]
    images.require_numbers(folder, found, range(1, columns + 1), "B-scans")
    stack = images.read_stack(found[number] for number in sorted(found, reverse=True))
    return np.ascontiguousarray(stack.transpose(1, 0, 2))


def _is_b_scan(path: Path) -> bool:
    return images.is_image(path) and path.stem.isdecimal()


def _signal(folder: Path) -> str:
    match = _SIGNAL_FOLDER.fullmatch(folder.parent.name)
    return match[2].upper() if match else "OCTA"


def _subject(path: Path) -> tuple[Path, Path | None]:
    """Return the folder to read as data and that of the structure beside it."""
    match = _SIGNAL_FOLDER.fullmatch(path.parent.name)
    if match is None:
        return path, None
    prefix, kind = match[1], match[2]
    sister = kind[:3] if len(kind) == 4 else kind + ("A" if kind.isupper() else "a")
    other = path.parent.with_name(prefix + sister) / path.name
    if not other.is_dir() or not any(_is_b_scan(p) for p in other.iterdir()):
        return path, None
    return (path, other) if len(kind) == 4 else (other, path)


def _structure(folder: Path, flow: np.ndarray) -> np.ndarray:
    structure = read_b_scans(folder)
    if structure.shape != flow.shape:
        raise ReadError(
            f"{folder}: expected structure of shape {flow.shape} (depth, slow, fast) "
            f"like the flow, found {structure.shape}; move it away to read the flow"
        )
    return structure


def _orientation(
    folder: Path, data: np.ndarray, signal: str
) -> tuple[dict[str, Any], str]:
    """Return the record of the check and the orientation to apply."""
    for slab in ("FULL", "ILM_OPL"):
        reference = octa500_layout.find_map(folder, signal, slab, folder.name)
        if reference is not None:
            break
    else:
        return {"checked": False, "reason": "no projection map found"}, "identity"
    check = check_orientation(data, images.read_gray(reference))
    if check is None:
        reason = "the projection map is uniform or of another size"
        return {"checked": False, "reference": str(reference), "reason": reason}, (
            "identity"
        )
    record = {
        "checked": True,
        "reference": str(reference),
        "correlations": {k: round(v, 4) for k, v in check.correlations.items()},
        "best": check.best,
        "applied": check.applied,
    }
    return record | ({"warning": check.warning} if check.warning else {}), check.applied
