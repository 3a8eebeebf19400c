"""Which plot shows which results; a sentence where there is nothing to show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_octa_sam2.metrics.agreement.bland_altman import bland_altman
from napari_octa_sam2.metrics.definitions import DEFINITIONS
from napari_octa_sam2.metrics.report import pictures
from napari_octa_sam2.metrics.report.planes import Plane
from napari_octa_sam2.metrics.results import Results, Row
from napari_octa_sam2.palette import LIGHT, Look
from napari_octa_sam2.volume.geometry import ScanGeometry

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from napari_octa_sam2.metrics.biomarkers.regions import Region

VESSEL = "vessel"
DENSITY = "vad"  # that the regions are coloured by
UNDIVIDED = ("whole", "without faz")  # regions that are no parts of the retina
EVERYTHING = "all objects"
EDGE = 0.02  # of a region, whose pixels are its neighbour's as well


class Draw(Protocol):
    """Draws a plot on axes."""

    def __call__(self, axes: Axes, *, look: Look = LIGHT) -> None:
        """Draw it in the colours of `look`."""


def draw_dice_of_slices(results: Results) -> Draw | str:
    """Return the plot of the Dice of each slice, as `evaluate` found it."""
    slices, dice = slice_dice(results)
    if not slices:
        return "No slice holds labels."
    return partial(pictures.draw_slice_dice, slices=slices, dice=dice)


def draw_centre_line_of(plane: Plane) -> Draw | str:
    """Return the plot of the vessels in the colour of their diameter."""
    network = plane.network
    if network is None:
        return "Label vessels to see their centre lines."
    return partial(
        pictures.draw_centre_line,
        image=plane.image,
        points=network.points,
        diameters=network.diameters,
        geometry=plane.geometry,
    )


def draw_diameters_of(plane: Plane) -> Draw | str:
    """Return the plot of the diameters along the centre line."""
    network = plane.network
    if network is None:
        return "Label vessels to see their diameters."
    return partial(
        pictures.draw_diameters,
        diameters=network.diameters,
        lengths=network.lengths,
        unit=plane.geometry.unit,
    )


def draw_faz_of(plane: Plane) -> Draw | str:
    """Return the plot of the outline of the FAZ."""
    if plane.faz is None:
        return "Label a FAZ, and give it the class FAZ, to see its shape."
    return partial(
        pictures.draw_faz, image=plane.image, shape=plane.faz, geometry=plane.geometry
    )


def draw_regions_of(plane: Plane, results: Results) -> Draw | str:
    """Return the plot of the vessel area density of rings and sectors.

    Parameters
    ----------
    plane : Plane
    results : Results
        Of `measure`.
    """
    figures = {
        str(row.labels["region"]): row.figures[DENSITY]
        for row in of_vessels(results.at("region", plexus=plane.name))
        if DENSITY in row.figures
    }
    parts = [r for r in plane.regions if r.name not in UNDIVIDED]
    shown = [r for r in _apart(parts) if r.name in figures and not r.why_not]
    if not shown:
        return (
            "Tick ETDRS sectors or rings under Regions; they need a spacing in mm and "
            "lie in the scan."
        )
    return partial(
        pictures.draw_regions,
        image=plane.image,
        regions=shown,
        figures={region.name: figures[region.name] for region in shown},
        geometry=plane.geometry,
        symbol=DEFINITIONS[DENSITY].symbol,
    )


def draw_dice_of_graders(results: Results) -> Draw:
    """Return the plot of the Dice of each grader with each other, as `agree` found it.

    Of several subjects, their voxels are pooled.
    """
    names = tuple(results.settings["graders"])
    dice = np.full((len(names), len(names)), np.nan)
    np.fill_diagonal(dice, 1.0)
    for row in results.at("graders", **{"class": "all"}):  # those of all come last
        at = names.index(row.labels["grader"]), names.index(row.labels["other"])
        dice[at] = dice[at[::-1]] = row["dice"]
    return partial(pictures.draw_dice_matrix, names=names, dice=dice)


def draw_limits_of_objects(
    one: np.ndarray, other: np.ndarray, geometry: ScanGeometry
) -> Draw | str:
    """Return the plot of the sizes of objects that two graders labelled.

    Parameters
    ----------
    one, other : numpy.ndarray of int
        Labels, shape ``(depth, slow, fast)``.
    geometry : ScanGeometry
    """
    sizes = [label_sizes(labels) for labels in (one, other)]
    both = sorted(sizes[0].keys() & sizes[1].keys())
    if len(one) == 1:
        name, size, unit = "area", math.prod(geometry.spacing[1:]), geometry.unit + "^2"
    else:
        name, size, unit = "volume", math.prod(geometry.spacing), geometry.unit + "^3"
    values = [np.array([own[label] for label in both]) * size for own in sizes]
    return _limits(values, name, unit)


def draw_limits_of_scans(one: Results, other: Results, key: str) -> Draw | str:
    """Return the plot of a figure of the whole scan that two graders measured.

    Parameters
    ----------
    one, other : Results
        Of `measure`, with the label ``"subject"``.
    key : str
        Of the figure: of the FAZ or of vessels.
    """
    values, units = zip(*(_by_scan(found, key) for found in (one, other)), strict=True)
    both = [scan for scan in values[0] if scan in values[1]]
    unit = set().union(*units)
    if len(unit) > 1:
        return f"Expected one unit, found {' and '.join(sorted(unit))}."
    return _limits(
        [np.array([own[scan] for scan in both]) for own in values],
        DEFINITIONS[key].symbol,
        next(iter(unit), ""),
    )


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


def label_sizes(data: np.ndarray) -> dict[int, int]:
    """Return the number of voxels of each label."""
    sizes: dict[int, int] = {}
    for plane in data:
        counts = np.bincount(plane.ravel())
        for label in np.flatnonzero(counts).tolist():
            sizes[label] = sizes.get(label, 0) + int(counts[label])
    sizes.pop(0, None)
    return sizes


def of_vessels(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of all vessels, or of the first class where there are none."""
    classes = [row.labels["class"] for row in rows]
    chosen = VESSEL if VESSEL in classes else next(iter(classes), "")
    return [row for row in rows if row.labels["class"] == chosen]


def _limits(values: Sequence[np.ndarray], name: str, unit: str) -> Draw | str:
    found = bland_altman(*values)
    if found.why_not:
        return f"{found.why_not[0].upper()}{found.why_not[1:]}."
    return partial(pictures.draw_bland_altman, agreement=found, name=name, unit=unit)


def _by_scan(
    results: Results, key: str
) -> tuple[Mapping[tuple[str, str], float], set[str]]:
    """Return the values of a figure by subject and plexus, and their units."""
    rows = of_vessels(results.at("region", region="whole"))
    known = [
        (row, row.figures[key])
        for row in (*results.at("faz"), *rows)
        if key in row.figures and row.figures[key].available
    ]
    values = {
        (str(row.labels["subject"]), str(row.labels["plexus"])): figure.value
        for row, figure in known
    }
    return values, {figure.unit for _, figure in known}


def _apart(regions: Sequence[Region]) -> list[Region]:
    """Return regions that do not overlap, the smallest first."""
    taken: np.ndarray | None = None
    found = []
    for region in sorted(regions, key=lambda r: float(r.weights.sum())):
        inside = region.weights >= 0.5
        common = 0 if taken is None else int((taken & inside).sum())
        if common > EDGE * inside.sum() or not inside.any():
            continue
        taken = inside if taken is None else taken | inside
        found.append(region)
    return found
