"""Where OCTA-500 keeps its files: folder names, ids and physical sizes.

Releases and mirrors differ (``OCTA_3mm``, ``OCTA_3M``, ``3M``; ``Projection Maps``,
``ProjectionMaps``; labels beside the maps, in ``GroundTruth`` or in ``Label``), so
files are looked up by pattern in the nearest folders above the one given.

Source: Li et al., Medical Image Analysis 93 (2024) 103092.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from napari_octa_sam2.volume.geometry import ScanGeometry

DEPTH_SPACING = 2 / 640
SLABS = ("FULL", "ILM_OPL", "OPL_BM")

_COLUMNS = {304: 3, 400: 6}
_FIELD_FOLDER = re.compile(
    r"(?:OCTA[_ -]?)?([36]) ?mm?(?:[_ -](?:OCTA?|part\d+))?", re.I
)
_MAPS_FOLDER = re.compile(r"Projection ?Maps", re.I)
_LABEL_FOLDER = re.compile(r"Labels?|GroundTruth|Ground[_ ]truth", re.I)
_LEVELS_UP = 4


def field_of_view(path: Path, subject: str, columns: int) -> int | None:
    """Return the en-face field in mm (3 or 6), or None where nothing tells.

    Folder names speak first, then the range of the subject's id, then the number of
    A-scans.
    """
    for parent in list(path.absolute().parents)[:_LEVELS_UP]:
        if match := _FIELD_FOLDER.fullmatch(parent.name):
            return int(match[1])
    number = int(subject) if subject.isdecimal() else 0
    if 10001 <= number <= 10300:
        return 6
    if 10301 <= number <= 10500:
        return 3
    return _COLUMNS.get(columns)


def native_geometry(field_mm: int | None) -> ScanGeometry:
    """Return the spacing of a volume as scanned over `field_mm`."""
    columns = {field: n for n, field in _COLUMNS.items()}
    n = 1 if field_mm is None else columns[field_mm]
    return resampled_geometry(field_mm, n, n)


def resampled_geometry(field_mm: int | None, rows: int, columns: int) -> ScanGeometry:
    """Return the spacing of images of `rows` x `columns` that span `field_mm`.

    The depth spacing is that of the scan; unit ``"pixel"`` where the field is unknown.
    """
    if field_mm is None:
        return ScanGeometry()
    return ScanGeometry((DEPTH_SPACING, field_mm / rows, field_mm / columns), "mm")


def is_map(path: Path) -> bool:
    """Return whether the path is that of a file of a projection map folder."""
    return bool(_MAPS_FOLDER.fullmatch(path.absolute().parent.parent.name))


def map_name(folder: str) -> tuple[str, str]:
    """Return signal and slab of a map folder: ``OCTA(FULL)`` or plain ``FULL``."""
    match = re.fullmatch(r"(OCTA?)\((.+)\)", folder, re.I)
    return (match[1].upper(), match[2].upper()) if match else ("OCTA", folder)


def find_map(start: Path, signal: str, slab: str, subject: str) -> Path | None:
    """Return the projection map of a subject, looked for above `start`."""
    for root in _roots(start):
        for maps in _children(root, _MAPS_FOLDER):
            for folder in sorted(maps.iterdir()):
                wanted = map_name(folder.name) == (signal, slab)
                if wanted and (found := _file(folder, subject)):
                    return found
    return None


def find_label(start: Path, kind: str, subject: str) -> Path | None:
    """Return a label file such as ``GT_FAZ/10301.bmp``, looked for above `start`."""
    for root in _roots(start):
        for folder in (root, *_children(root, _LABEL_FOLDER)):
            if found := _file(folder / kind, subject):
                return found
    return None


def _roots(start: Path) -> Iterator[Path]:
    """Yield the folders above `start`, each with the fields of view in it."""
    for parent in list(start.absolute().parents)[:_LEVELS_UP]:
        yield parent
        yield from _children(parent, _FIELD_FOLDER)


def _children(folder: Path, name: re.Pattern[str]) -> list[Path]:
    try:
        return sorted(
            p for p in folder.iterdir() if name.fullmatch(p.name) and p.is_dir()
        )
    except OSError:
        return []


def _file(folder: Path, subject: str) -> Path | None:
    """Return the one file of a subject in a folder, whatever its suffix."""
    try:
        return next((p for p in sorted(folder.iterdir()) if p.stem == subject), None)
    except OSError:
        return None
