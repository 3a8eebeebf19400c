"""The planes of a measured scan, with everything that is drawn of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_octa_sam2.metrics.biomarkers.faz import FazShape, faz_shape
from napari_octa_sam2.metrics.biomarkers.network import Network, vessel_network
from napari_octa_sam2.metrics.biomarkers.regions import (
    Region,
    make_regions,
    sector_outlines,
)
from napari_octa_sam2.metrics.biomarkers.views import (
    VESSEL,
    View,
    completed,
    enface_views,
)
from napari_octa_sam2.metrics.results import Results
from napari_octa_sam2.metrics.subjects import Subject
from napari_octa_sam2.volume.geometry import ScanGeometry


@dataclass(frozen=True, eq=False)
class Plane:
    """What was measured in a plane, to be drawn; places in pixels.

    Parameters
    ----------
    name : str
        Of the plexus, projection or "all slices".
    index : int or None
        Of the slice; None of what many slices show together.
    image : numpy.ndarray
        Seen en face, ``(rows, cols)``.
    geometry : ScanGeometry
        On the retina of this eye.
    network : Network, optional
    faz : FazShape, optional
    regions : tuple of Region
    outlines : mapping of str to list of numpy.ndarray
        Of the regions, ``(row, col)``.
    """

    name: str
    index: int | None
    image: np.ndarray
    geometry: ScanGeometry
    network: Network | None = None
    faz: FazShape | None = None
    regions: tuple[Region, ...] = ()
    outlines: Mapping[str, list[np.ndarray]] = field(default_factory=dict)


def planes(subject: Subject, results: Results) -> tuple[Plane, ...]:
    """Return what is drawn of a scan, one plane a view.

    Parameters
    ----------
    subject : Subject
    results : Results
        As `measure` returned them; their settings are followed.
    """
    told = results.settings
    geometry = ScanGeometry(tuple(told["spacing"]), told["unit"])
    is_flat = bool(subject.slice_names) or subject.shape[0] == 1
    where: dict[str, Any] = {
        "centre": tuple(told["centre"]),
        "laterality": laterality_of(told),
    }
    names = told["regions"]
    found = []
    for number, view in enumerate(enface_views(subject, completed(subject.masks()))):
        index = number if is_flat else None
        vessels, faz = _vessels(view), _labelled(view.faz)
        spacing = geometry.spacing[1:]
        found.append(
            Plane(
                view.plexus,
                index,
                _seen(subject, index, vessels),
                geometry,
                None if vessels is None else vessel_network(vessels, spacing),
                None if faz is None else faz_shape(faz, geometry),
                make_regions(names, subject.shape[1:], geometry, faz=faz, **where),
                sector_outlines(names, geometry, **where),
            )
        )
    return tuple(found)


def laterality_of(settings: Mapping[str, object]) -> str:
    """Return the laterality that results were measured with."""
    told = str(settings["laterality"])
    return told if told in ("OD", "OS") else ""


def _vessels(view: View) -> np.ndarray | None:
    """Return all vessels, or those of the first class."""
    return view.masks.get(VESSEL, next(iter(view.vessels.values()), None))


def _labelled(mask: np.ndarray | None) -> np.ndarray | None:
    return mask if mask is not None and mask.any() else None


def _seen(subject: Subject, index: int | None, mask: np.ndarray | None) -> np.ndarray:
    """Return the scan seen en face; the vessels where there is no image, or black."""
    if subject.image is not None:
        image = subject.image
        return np.asarray(image[index] if index is not None else image.max(0))
    return np.asarray(np.zeros(subject.shape[1:]) if mask is None else mask, np.uint8)
