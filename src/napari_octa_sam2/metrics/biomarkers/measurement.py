"""Everything that the labels of a scan measure, by plexus, class and region."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.biomarkers.density import FIGURES, vessel_figures
from napari_octa_sam2.metrics.biomarkers.eye import Eye, magnified
from napari_octa_sam2.metrics.biomarkers.faz import faz_figures, faz_notes
from napari_octa_sam2.metrics.biomarkers.network import Network, vessel_network
from napari_octa_sam2.metrics.biomarkers.regions import Region, make_regions
from napari_octa_sam2.metrics.biomarkers.trees import volume_figures
from napari_octa_sam2.metrics.biomarkers.views import (
    FAZ,
    LARGE,
    PLEXUSES,
    VESSEL,
    View,
    completed,
    enface_views,
    flattened,
)
from napari_octa_sam2.metrics.definitions.vessels import VESSELS
from napari_octa_sam2.metrics.definitions.volumes import VOLUMES
from napari_octa_sam2.metrics.results import Label, Results, Row
from napari_octa_sam2.metrics.subjects import Subject, ids_by_class
from napari_octa_sam2.volume.geometry import ScanGeometry

PAIR = ("artery", "vein")
DEFAULT_REGIONS = ("whole", "without faz", "parafovea", "etdrs")

Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True)
class MeasureSettings:
    """What is measured.

    Parameters
    ----------
    regions : tuple of str
        As `make_regions` knows them.
    objects : bool
        Whether volumes are measured object by object as well.
    """

    regions: tuple[str, ...] = DEFAULT_REGIONS
    objects: bool = True


def measure(
    subject: Subject,
    *,
    eye: Eye | None = None,
    settings: MeasureSettings | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Results:
    """Measure vessels and the FAZ of a scan.

    Parameters
    ----------
    subject : Subject
    eye : Eye, optional
        Laterality, axial length and place of the fovea, where they are known.
    settings : MeasureSettings, optional
    progress : callable, optional
        Called with steps done, steps in all and what comes next.
    cancelled : callable, optional
        Asked before each step; what is done by then is returned, with a note.

    Returns
    -------
    Results
        Level ``"region"`` (columns plexus, class, region), ``"artery to vein"``
        (plexus), ``"faz"`` (plexus), and of volumes ``"volume"`` (class) and
        ``"object"`` (object, name, class).

    Raises
    ------
    VolumeError
        If nothing is labelled, or what is said of the eye cannot be.
    """
    eye, settings = eye or Eye(), settings or MeasureSettings()
    masks = completed(subject.masks())
    if not masks:
        raise VolumeError(
            f"{subject.name}: expected labels of vessels or a FAZ, found no voxel of "
            "either; label some, or set the classes of the labels"
        )
    geometry, magnification = magnified(subject.geometry, eye)
    centre, how = _centre(eye, masks.get(FAZ), subject.shape[1:])
    steps = list(_steps(subject, masks, geometry, eye, settings, centre))
    rows: list[Row] = []
    notes = [magnification.sentence(), how, *_class_notes(subject)]
    if FAZ in masks:
        notes += faz_notes(flattened(masks[FAZ]))
    for done, (name, work) in enumerate(steps):
        if cancelled():
            notes.append(f"cancelled: {done} of {len(steps)} parts were measured")
            break
        if progress is not None:
            progress(done, len(steps), name)
        rows += work()
    if progress is not None:
        progress(len(steps), len(steps), "")
    used = {
        "subject": subject.name,
        "shape": list(subject.shape),
        "unit": geometry.unit,
        "spacing_nominal": list(subject.geometry.spacing),
        "spacing": list(geometry.spacing),
        "magnification": magnification.to_json(),
        "laterality": eye.laterality or "unknown",
        "centre": [round(float(c), 2) for c in centre],
        "centre_from": how,
        "regions": list(settings.regions),
        "plexuses": {k: list(v) for k, v in PLEXUSES.items() if subject.surfaces},
    }
    return Results(tuple(rows), used, tuple(dict.fromkeys(notes)))


Step = tuple[str, Callable[[], list[Row]]]
NetworkOf = Callable[[str], Network]  # of a class, in one plane


def _steps(
    subject: Subject,
    masks: Mapping[str, np.ndarray],
    geometry: ScanGeometry,
    eye: Eye,
    settings: MeasureSettings,
    centre: tuple[float, float],
) -> Iterator[Step]:
    """Yield what is to be measured, as names and functions that return rows."""
    has_all = "capillary" in masks or masks.keys().isdisjoint(LARGE)
    for view in enface_views(subject, masks):
        regions = make_regions(
            settings.regions,
            subject.shape[1:],
            geometry,
            centre=centre,
            laterality=eye.laterality,
            faz=view.faz,
        )
        network = cache(partial(_network, view, geometry))
        for cls in view.vessels:
            work = partial(_plane, view, cls, network, regions, geometry)
            yield f"{view.plexus}, {cls}", work
        if view.masks.keys() >= set(PAIR):
            work = partial(_artery_to_vein, view, network, geometry)
            yield "artery to vein", work
        if view.faz is not None:
            vessels = view.masks.get(VESSEL) if has_all else None
            yield "FAZ", partial(_faz, view.plexus, view.faz, vessels, geometry)
    is_volume = subject.shape[0] > 1 and not subject.slice_names
    if not is_volume:
        return
    for cls, mask in masks.items():
        row = {"class": cls}
        yield cls, partial(_volume, "volume", mask, mask.size, geometry, row)
    if settings.objects:
        yield from _object_steps(subject, geometry)


def _network(view: View, geometry: ScanGeometry, cls: str) -> Network:
    return vessel_network(view.masks[cls], geometry.spacing[1:])


def _plane(
    view: View,
    cls: str,
    network: NetworkOf,
    regions: tuple[Region, ...],
    geometry: ScanGeometry,
) -> list[Row]:
    spacing, unit, mask = geometry.spacing[1:], geometry.unit, view.masks[cls]
    rows = []
    for region in regions:
        labels = {"plexus": view.plexus, "class": cls, "region": region.name}
        if region.why_not:
            figures = {
                key: VESSELS[key].missing(region.why_not, unit) for key in FIGURES
            }
        else:
            weights = None if region.name == "whole" else region.weights
            figures = vessel_figures(
                mask, network(cls), weights=weights, spacing=spacing, unit=unit
            )
        figures["coverage"] = (
            VESSELS["coverage"].figure(region.coverage, unit)
            if region.coverage
            else VESSELS["coverage"].missing(region.why_not, unit)
        )
        ordered = {key: figures[key] for key in VESSELS if key in figures}
        rows.append(Row("region", labels, ordered))
    return rows


def _artery_to_vein(
    view: View, network: NetworkOf, geometry: ScanGeometry
) -> list[Row]:
    """Return the ratio of the mean diameters of arteries and veins."""
    definition, unit = VESSELS["avr"], geometry.unit
    figure = definition.missing("expected arteries and veins, found none", unit)
    areas = [np.count_nonzero(view.masks[cls]) for cls in PAIR]
    lengths = [network(cls).length for cls in PAIR]
    if all(areas) and all(lengths):
        artery, vein = (a / n for a, n in zip(areas, lengths, strict=True))
        figure = definition.figure(artery / vein, unit)
    return [Row("artery to vein", {"plexus": view.plexus}, {"avr": figure})]


def _faz(
    plexus: str,
    mask: np.ndarray,
    vessels: np.ndarray | None,
    geometry: ScanGeometry,
) -> list[Row]:
    figures = faz_figures(mask, geometry=geometry, vessels=vessels)
    return [Row("faz", {"plexus": plexus}, figures)]


def _volume(
    level: str,
    mask: np.ndarray,
    voxels: int,
    geometry: ScanGeometry,
    labels: Mapping[str, Label],
) -> list[Row]:
    """Return the figures of a mask in a scan of so many voxels; a FAZ has no length."""
    if labels["class"] == FAZ:
        count, voxel = np.count_nonzero(mask), math.prod(geometry.spacing)
        figures = {
            "volume": VOLUMES["volume"].figure(count * voxel, geometry.unit),
            "volume_fraction": VOLUMES["volume_fraction"].figure(
                count / voxels, geometry.unit
            ),
        }
    else:
        network = vessel_network(mask, geometry.spacing)
        figures = volume_figures(mask, network, geometry=geometry, voxels=voxels)
    return [Row(level, labels, figures)]


def _object_steps(subject: Subject, geometry: ScanGeometry) -> Iterator[Step]:
    from scipy.ndimage import find_objects

    for labels in subject.labels.values():
        data = labels.data.view(np.uint8) if labels.data.dtype == bool else labels.data
        boxes = find_objects(data)
        class_of = {i: c for c, ids in ids_by_class(labels).items() for i in ids}
        for label, cls in sorted(class_of.items()):
            name = labels.names.get(label, f"object {label}")
            row: dict[str, Label] = {"object": label, "name": name, "class": cls}
            yield name, partial(_object, data, label, boxes[label - 1], geometry, row)


def _object(
    data: np.ndarray,
    label: int,
    box: tuple[slice, ...],
    geometry: ScanGeometry,
    labels: Mapping[str, Label],
) -> list[Row]:
    return _volume("object", data[box] == label, data.size, geometry, labels)


def _centre(
    eye: Eye, faz: np.ndarray | None, shape: tuple[int, ...]
) -> tuple[tuple[float, float], str]:
    """Return the centre of the regions in pixels, and a sentence on where from."""
    if eye.fovea is not None:
        return eye.fovea, "regions are centred on the fovea that was given"
    if faz is not None and faz.any():
        rows, cols = np.nonzero(faz.any(0))
        centre = float(rows.mean()), float(cols.mean())
        return centre, "regions are centred on the centroid of the FAZ"
    middle = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    return middle, "regions are centred on the middle of the scan: no fovea is known"


def _class_notes(subject: Subject) -> list[str]:
    notes = []
    for name, labels in subject.labels.items():
        classes = {labels.classes.get(int(i), "") for i in np.unique(labels.data) if i}
        if classes and classes <= {"", "other"}:
            notes.append(f"{name}: no label has a class; all are measured as vessels")
        elif classes & {"", "other"}:
            notes.append(f"{name}: labels without a class were left out")
    return notes
