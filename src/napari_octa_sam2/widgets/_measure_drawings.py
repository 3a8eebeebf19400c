"""What plots, overlays and reports show of an answer; no window."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_octa_sam2.metrics.results import Results, Row
from napari_octa_sam2.palette import LIGHT, Look
from napari_octa_sam2.volume import ScanGeometry
from napari_octa_sam2.widgets._measure_request import (
    AGREE,
    COMPARE,
    MEASURE,
    Answer,
    label_sizes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from napari_octa_sam2.metrics.biomarkers.faz import FazShape
    from napari_octa_sam2.metrics.biomarkers.network import Network
    from napari_octa_sam2.metrics.biomarkers.regions import Region
    from napari_octa_sam2.metrics.report.pictures import Picture

BY_SLICE, DIAMETERS, FAZ_SHAPE = "Dice by slice", "Diameters", "FAZ"
REGIONS, LIMITS, MATRIX = "Regions", "Bland-Altman", "Dice matrix"
PLOTS = (BY_SLICE, DIAMETERS, FAZ_SHAPE, REGIONS, LIMITS, MATRIX)
NEEDED = {BY_SLICE: COMPARE, LIMITS: AGREE, MATRIX: AGREE}  # the others: MEASURE
ASKED = {
    MEASURE: "Press Measure first.",
    COMPARE: "Choose a reference, and press Compare.",
    AGREE: "Tick other graders, and press Agreement.",
}
EVERYTHING = "all objects"
DENSITY = "vad"  # that the regions are coloured by


class Draw(Protocol):
    """Draws a plot on axes."""

    def __call__(self, axes: Axes, *, look: Look) -> None:
        """Draw it in the colours of `look`."""


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


def planes(answer: Answer) -> tuple[Plane, ...]:
    """Return what is drawn of an answer to `MeasureRequest`, a plane a view."""
    from napari_octa_sam2.metrics.biomarkers.faz import faz_shape
    from napari_octa_sam2.metrics.biomarkers.network import vessel_network
    from napari_octa_sam2.metrics.biomarkers.regions import (
        make_regions,
        sector_outlines,
    )
    from napari_octa_sam2.metrics.biomarkers.views import (
        VESSEL,
        completed,
        enface_views,
    )

    subject, told = answer.subject, answer.results.settings
    assert subject is not None
    geometry = ScanGeometry(tuple(told["spacing"]), told["unit"])
    where = {"centre": tuple(told["centre"]), "laterality": laterality_of(told)}
    flat = bool(subject.slice_names) or subject.shape[0] == 1
    found = []
    for index, view in enumerate(enface_views(subject, completed(subject.masks()))):
        vessels = view.masks.get(VESSEL, next(iter(view.vessels.values()), None))
        names, faz = told["regions"], view.faz
        if faz is not None and not faz.any():
            faz = None
        found.append(
            Plane(
                view.plexus,
                index if flat else None,
                _seen(subject.image, index if flat else None, subject.shape[1:]),
                geometry,
                None
                if vessels is None
                else vessel_network(vessels, geometry.spacing[1:]),
                None if faz is None else faz_shape(faz, geometry),
                make_regions(names, subject.shape[1:], geometry, faz=faz, **where),
                sector_outlines(names, geometry, **where),
            )
        )
    return tuple(found)


def plot_of(
    name: str, answers: Mapping[str, Answer], plane: Plane | None
) -> Draw | str:
    """Return what draws a plot, or a sentence on what it needs.

    Parameters
    ----------
    name : str
        Of `PLOTS`.
    answers : mapping of str to Answer
        By their kind.
    plane : Plane, optional
        That is on screen; None before it was computed.
    """
    kind = NEEDED.get(name, MEASURE)
    answer = answers.get(kind)
    if answer is None:
        return ASKED[kind]
    if name == BY_SLICE:
        return _by_slice(answer.results)
    if name == MATRIX:
        return _matrix(answer)
    if name == LIMITS:
        return _limits(answer)
    if plane is None:
        return "Drawing …"
    return {DIAMETERS: _diameters, FAZ_SHAPE: _faz, REGIONS: _regions}[name](
        plane, answer.results
    )


def pictures(answer: Answer, drawn: Sequence[Plane]) -> list[Picture]:
    """Return everything that a report of an answer can show."""
    from napari_octa_sam2.metrics.report.pictures import Picture

    found: list[Picture] = []
    for name in PLOTS:
        if NEEDED.get(name, MEASURE) != answer.kind:
            continue
        for plane in drawn or (None,):
            draw = plot_of(name, {answer.kind: answer}, plane)
            if not isinstance(draw, str):
                more = f", {plane.name}" if plane and len(drawn) > 1 else ""
                found.append(Picture(name + more, partial(draw, look=LIGHT)))
    return found


def slice_dice(results: Results) -> tuple[list[int], dict[str, list[float]]]:
    """Return slices, and by the name of each object its Dice on each."""
    table: dict[str, dict[int, float]] = {}
    for row in results.at("slice"):
        if "dice" in row.figures:
            table.setdefault(EVERYTHING, {})[int(row.labels["slice"])] = row["dice"]
    for row in results.at("object slice"):
        name = str(row.labels.get("name", row.labels.get("object", "")))
        table.setdefault(name, {})[int(row.labels["slice"])] = row["dice"]
    slices = sorted({index for values in table.values() for index in values})
    if slices:
        slices = list(range(slices[0], slices[-1] + 1))
    nothing = float("nan")
    return slices, {
        name: [values.get(index, nothing) for index in slices]
        for name, values in table.items()
    }


def laterality_of(settings: Mapping[str, object]) -> str:
    """Return the laterality that results were measured with."""
    told = str(settings["laterality"])
    return told if told in ("OD", "OS") else ""


def _by_slice(results: Results) -> Draw | str:
    from napari_octa_sam2.metrics.report.pictures import draw_slice_dice

    slices, dice = slice_dice(results)
    if not slices:
        return "No slice holds labels."
    return partial(draw_slice_dice, slices=slices, dice=dice)


def _diameters(plane: Plane, results: Results) -> Draw | str:
    from napari_octa_sam2.metrics.report.pictures import draw_diameters

    network = plane.network
    if network is None:
        return "Label vessels to see their diameters."
    return partial(
        draw_diameters,
        diameters=network.diameters,
        lengths=network.lengths,
        unit=plane.geometry.unit,
    )


def _faz(plane: Plane, results: Results) -> Draw | str:
    from napari_octa_sam2.metrics.report.pictures import draw_faz

    shape = plane.faz
    if shape is None:
        return "Label a FAZ, and give it the class FAZ, to see its shape."
    return partial(draw_faz, image=plane.image, shape=shape, geometry=plane.geometry)


def _regions(plane: Plane, results: Results) -> Draw | str:
    from napari_octa_sam2.metrics.definitions import DEFINITIONS
    from napari_octa_sam2.metrics.report.pictures import draw_regions

    rows = {
        str(row.labels["region"]): row.figures[DENSITY]
        for row in _of_vessels(results.at("region", plexus=plane.name))
        if DENSITY in row.figures
    }
    shown = [r for r in _apart(plane.regions) if r.name in rows and not r.why_not]
    if not shown:
        return (
            "Tick ETDRS sectors or rings under Regions; they need a spacing in mm and "
            "lie in the scan."
        )
    figures = {region.name: rows[region.name] for region in shown}
    return partial(
        draw_regions,
        image=plane.image,
        regions=shown,
        figures=figures,
        geometry=plane.geometry,
        symbol=DEFINITIONS[DENSITY].symbol,
    )


def _matrix(answer: Answer) -> Draw | str:
    from napari_octa_sam2.metrics.agreement.overlap import dice_matrix
    from napari_octa_sam2.metrics.report.pictures import draw_dice_matrix

    names, dice = dice_matrix({n: g.data for n, g in answer.graders.items()})
    return partial(draw_dice_matrix, names=names, dice=dice)


def _limits(answer: Answer) -> Draw | str:
    from napari_octa_sam2.metrics.agreement.bland_altman import bland_altman
    from napari_octa_sam2.metrics.report.pictures import draw_bland_altman

    first, second = list(answer.graders.values())[:2]
    one, other = (label_sizes(labels.data) for labels in (first, second))
    both = sorted(one.keys() & other.keys())
    assert answer.geometry is not None
    name, size, unit = _size(answer.geometry, len(first.data))
    found = bland_altman(*(np.array([s[i] for i in both]) * size for s in (one, other)))
    if found.why_not:
        return f"{found.why_not[0].upper()}{found.why_not[1:]}."
    return partial(draw_bland_altman, agreement=found, name=name, unit=unit)


def _size(geometry: ScanGeometry, depth: int) -> tuple[str, float, str]:
    """Return what the size of an object is called, that of a voxel, and its unit."""
    if depth == 1:
        return "area", math.prod(geometry.spacing[1:]), f"{geometry.unit}^2"
    return "volume", math.prod(geometry.spacing), f"{geometry.unit}^3"


def _of_vessels(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of all vessels, or of the first class where there are none."""
    classes = [row.labels["class"] for row in rows]
    chosen = "vessel" if "vessel" in classes else next(iter(classes), "")
    return [row for row in rows if row.labels["class"] == chosen]


def _apart(regions: Sequence[Region]) -> list[Region]:
    """Return regions that do not overlap, the smallest first."""
    taken: np.ndarray | None = None
    found = []
    for region in sorted(regions, key=lambda r: float(r.weights.sum())):
        inside = region.weights >= 0.5
        if not inside.any() or (taken is not None and (taken & inside).any()):
            continue
        taken = inside if taken is None else taken | inside
        found.append(region)
    return found


def _seen(
    image: np.ndarray | None, index: int | None, shape: tuple[int, ...]
) -> np.ndarray:
    """Return an image seen en face; black where there is none."""
    if image is None:
        return np.zeros(shape, np.uint8)
    return np.asarray(image[index] if index is not None else image.max(0))
