"""What is measured: the labels of a scan, and what is known of the scan."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_octa_sam2.errors import ReadError, VolumeError
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet
from napari_octa_sam2.volume.readers import (
    octa500,
    octa500_layout,
    ome_zarr,
    read_labels,
    read_volume,
    sam_octa2,
)
from napari_octa_sam2.volume.readers.labels import is_label_file
from napari_octa_sam2.volume.readers.record import plain_name
from napari_octa_sam2.volume.readers.surface_file import read_surfaces

UNCLASSED = ("", "other")


@dataclass(frozen=True, eq=False)
class Subject:
    """Labels of one scan.

    Parameters
    ----------
    name : str
    labels : mapping of str to LabelSet
        Label sets on one grid; those of different sets may overlap.
    geometry : ScanGeometry
    slice_names : tuple of str
        Of slices that are projections, such as ``("FULL", "ILM_OPL", "OPL_BM")``.
    image : numpy.ndarray, optional
        Flow on the same grid, for pictures.
    surfaces : mapping of str to numpy.ndarray
        Depths of the surfaces of the retina, ``(slow, fast)``, in slices.
    source : Path, optional
    """

    name: str
    labels: Mapping[str, LabelSet]
    geometry: ScanGeometry = field(default_factory=ScanGeometry)
    slice_names: tuple[str, ...] = ()
    image: np.ndarray | None = None
    surfaces: Mapping[str, np.ndarray] = field(default_factory=dict)
    source: Path | None = None

    def one(self) -> LabelSet:
        """Return the only label set.

        Raises
        ------
        ReadError
            If there are several.
        """
        if len(self.labels) > 1:
            raise ReadError(
                f"{self.source}: expected one kind of labels, found "
                f"{', '.join(sorted(self.labels))}; choose with --labels NAME"
            )
        return next(iter(self.labels.values()))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of slices, rows and columns."""
        depth, slow, fast = next(iter(self.labels.values())).data.shape
        return depth, slow, fast

    def with_classes(self, classes: Mapping[int, str]) -> Subject:
        """Return the same labels with the classes of some ids set."""
        changed = {
            key: replace(labels, classes={**labels.classes, **classes})
            for key, labels in self.labels.items()
        }
        return replace(self, labels=changed)

    def masks(self) -> dict[str, np.ndarray]:
        """Return the mask of each class, ``(depth, slow, fast)``, True on its voxels.

        What has no class, or the class ``"other"``, is taken for vessels ("vessel") if
        its label set knows no class at all, and left out otherwise.
        """
        masks: dict[str, np.ndarray] = {}
        for labels in self.labels.values():
            for cls, ids in ids_by_class(labels).items():
                mask = np.isin(labels.data, ids)
                masks[cls] = masks[cls] | mask if cls in masks else mask
        return masks


def ids_by_class(labels: LabelSet) -> dict[str, list[int]]:
    """Return the ids of each class that is measured; see `Subject.masks`.

    Raises
    ------
    VolumeError
        If the labels are no integers from 0, or bool.
    """
    values = np.unique(labels.data)
    if labels.data.dtype.kind not in "uib" or values[0] < 0:
        raise VolumeError(
            f"expected labels as integers from 0, found {labels.data.dtype} from "
            f"{values[0]}; convert them to object ids first"
        )
    present = [int(i) for i in values if i]
    classed = {i: labels.classes.get(i, "") for i in present}
    if all(cls in UNCLASSED for cls in classed.values()):
        return {"vessel": present} if present else {}
    found: dict[str, list[int]] = {}
    for label, cls in classed.items():
        if cls not in UNCLASSED:
            found.setdefault(cls, []).append(label)
    return found


def find_subjects(paths: Iterable[str | Path]) -> list[Path]:
    """Return what holds the labels of one scan each, among files and folders.

    A folder that is no scan itself stands for what is in it. Each path comes once.

    Raises
    ------
    ReadError
        If a path does not exist, or a folder holds nothing that has labels.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise ReadError(
                f"{path}: expected labels or a folder of them, found nothing there; "
                "check the path"
            )
        inside = [path] if is_scan(path) else _inside(path)
        if not inside:
            raise ReadError(
                f"{path}: expected labels (.ome.zarr, .nii.gz, .tif, .npy, .png, "
                ".bmp), projects or volumes that come with labels, found none"
            )
        found += inside
    return list({os.path.abspath(path): path for path in found}.values())


def distinct_names(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Return the names of paths; if they are not distinct, folders and file instead.

    Raises
    ------
    ReadError
        If a path comes twice.
    """
    told = list(names)
    places = [Path(os.path.abspath(path)).parts for path in paths]
    for up in range(2, max(map(len, places), default=0) + 1):
        if len(set(told)) < len(told):
            told = ["/".join(parts[-up:]) for parts in places]
    if len(set(told)) < len(told):
        twice = next(name for name in told if told.count(name) > 1)
        raise ReadError(f"expected each path once, found {twice} again; leave one out")
    return told


def read_subject(
    path: str | Path,
    *,
    labels: str | None = None,
    spacing: Sequence[float] | None = None,
    surfaces: str | Path | None = None,
) -> Subject:
    """Read the labels of a scan from a label file, a project or a volume.

    Parameters
    ----------
    path : path
    labels : str, optional
        Which labels of a volume; by default all.
    spacing : sequence of float, optional
        Millimetres of a voxel along ``(depth, slow, fast)``, or ``(slow, fast)`` of a
        single image; used where the file does not know it.
    surfaces : path, optional
        By default those of OCTA-500 that are found beside a volume.

    Raises
    ------
    ReadError
        If there are no labels, or they cannot be read.
    """
    path = Path(path)
    if is_project(path):
        subject = _of_project(path)
    else:
        subject = _of_volume(path, labels) or _of_file(path)
    if spacing is not None and not subject.geometry.known:
        subject = replace(subject, geometry=_geometry(subject, spacing))
    if surfaces is not None:
        depths = read_surfaces(surfaces, subject.shape)
        subject = replace(subject, surfaces=depths)
    return subject


def _geometry(subject: Subject, spacing: Sequence[float]) -> ScanGeometry:
    if len(spacing) == 3:
        depth, row, col = spacing
        return ScanGeometry((depth, row, col), "mm")
    row, col = spacing
    if subject.shape[0] > 1:
        raise ReadError(
            f"{subject.source}: expected the spacing of a volume as depth, row and "
            f"column (mm), found {row:g}, {col:g}; add that of the depth"
        )
    return ScanGeometry((1.0, row, col), "mm")


def is_project(path: Path) -> bool:
    """Return whether it is a project of this package."""
    from napari_octa_sam2.project.store import JOURNAL

    return (path / JOURNAL).is_file()


def is_scan(path: Path) -> bool:
    """Return whether a path is one scan, not a folder of them."""
    if path.is_file():
        return True
    families = (ome_zarr, octa500, sam_octa2)
    return is_project(path) or any(family.matches(path) for family in families)


def _inside(folder: Path) -> list[Path]:
    entries = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    return [p for p in entries if is_label_file(p) or (p.is_dir() and is_scan(p))]


def _of_file(path: Path) -> Subject:
    labels, geometry = read_labels(path)
    return Subject(plain_name(path), {"labels": labels}, geometry, source=path)


def _of_project(path: Path) -> Subject:
    from napari_octa_sam2.project.reading import read_document
    from napari_octa_sam2.project.store import SUFFIX

    about, document = read_document(path, _refuse_damage)
    objects = document.prompts.objects
    labels = LabelSet(
        document.volume(),
        {o.id: o.name for o in objects},
        {o.id: o.cls for o in objects},
    )
    name = path.name.removesuffix(SUFFIX)
    return Subject(name, {"project": labels}, about.geometry, source=path)


def _refuse_damage(trouble: str) -> None:
    raise ReadError(
        f"expected a project whose changes are all there, found {trouble}; open it "
        "once, and look at what is left of it"
    )


def _of_volume(path: Path, name: str | None) -> Subject | None:
    """Return the labels that came with a volume; None of what is no such volume."""
    comes_with_labels = octa500_layout.is_map(path) or any(
        family.matches(path) for family in (sam_octa2, octa500, ome_zarr)
    )
    if not comes_with_labels and name is None:
        return None
    volume = read_volume(path)
    if not volume.labels and name is None and ome_zarr.matches(path):
        return None
    chosen = {k: v for k, v in volume.labels.items() if name in (None, k)}
    if not chosen:
        raise ReadError(
            f"{path}: expected labels{f' called {name!r}' if name else ''}, found "
            f"{', '.join(sorted(volume.labels)) or 'none'}; give a file of labels"
        )
    surfaces: Mapping[str, np.ndarray] = {}
    if known := volume.provenance.get("surfaces"):
        surfaces = read_surfaces(known, volume.shape)
    return Subject(
        volume.name,
        chosen,
        volume.geometry,
        volume.slice_names,
        volume.data,
        surfaces,
        volume.source,
    )
