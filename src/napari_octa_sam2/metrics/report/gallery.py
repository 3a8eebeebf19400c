"""The pictures of a report: of scans, of comparisons, of graders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations

from napari_octa_sam2.metrics.definitions import DEFINITIONS
from napari_octa_sam2.metrics.report import drawings
from napari_octa_sam2.metrics.report.drawings import DENSITY, VESSEL, Draw, of_vessels
from napari_octa_sam2.metrics.report.pictures import Picture, draw_dots
from napari_octa_sam2.metrics.report.planes import Plane
from napari_octa_sam2.metrics.results import Results, Row

OF_VESSELS = (DENSITY, "vld")  # by which scans are compared
OF_FAZ = "faz_area"
OF_OVERLAP = ("dice", "cldice", "hd95")  # by which cases are compared
OF_ONE = ("dice", "cldice", DENSITY)  # at most 1
MOST_PAIRS = 2  # of graders whose limits of agreement are shown


def pictures_of_scan(planes: Sequence[Plane], results: Results) -> list[Picture]:
    """Return the pictures of a measured scan, plane by plane.

    Parameters
    ----------
    planes : sequence of Plane
    results : Results
        Of `measure`.
    """
    found = []
    for plane in planes:
        more = f", {plane.name}" if len(planes) > 1 else ""
        found += _drawn(
            {
                f"Vessels by diameter{more}": drawings.draw_centre_line_of(plane),
                f"Diameters{more}": drawings.draw_diameters_of(plane),
                f"Vessel area density{more}": drawings.draw_regions_of(plane, results),
                f"FAZ{more}": drawings.draw_faz_of(plane),
            }
        )
    return found


def pictures_of_scans(results: Results) -> list[Picture]:
    """Return pictures that compare measured scans, a dot a scan.

    Parameters
    ----------
    results : Results
        Of `measure_several`.
    """
    scans = list(results.settings["scans"])
    rows = of_vessels(results.at("region", region="whole"))
    cls = str(rows[0].labels["class"]) if rows else ""
    whose = "all vessels" if cls == VESSEL else f"class {cls}"
    found = []
    for key in OF_VESSELS:
        caption = f"{DEFINITIONS[key].symbol} of {whose}, whole scan"
        found += _dotted(caption, rows, key, scans, "subject", "plexus")
    faz = results.at("faz")
    return found + _dotted("FAZ area", faz, OF_FAZ, scans, "subject", "plexus")


def pictures_of_comparison(results: Results) -> list[Picture]:
    """Return the pictures of labels compared with their truth.

    Parameters
    ----------
    results : Results
        Of `evaluate`: by slice and by object; or of `evaluate_cohort`: by subject.
    """
    rows, label, found = results.at("all"), "subject", list[Picture]()
    if not all(label in row.labels for row in rows):
        rows, label = results.at("object"), "name"
        if len({row.labels["name"] for row in rows}) < len(rows):
            label = "object"
        if len(results.at("slice")) > 1:
            found += _drawn({"Dice by slice": drawings.draw_dice_of_slices(results)})
    names = list(dict.fromkeys(str(row.labels.get(label, "")) for row in rows))
    of = {"name": "object"}.get(label, label)
    for key in OF_OVERLAP if len(names) > 1 else ():
        caption = f"{DEFINITIONS[key].symbol} by {of}"
        found += _dotted(caption, rows, key, names, label)
    return found


def pictures_of_graders(
    results: Results, measured: Mapping[str, Results]
) -> list[Picture]:
    """Return the pictures of graders compared with each other.

    Parameters
    ----------
    results : Results
        Of `agree`.
    measured : mapping of str to Results
        By grader, what the labels measure, with the label ``"subject"``; may be empty.
    """
    matrix = {"Dice of all labels": drawings.draw_dice_of_graders(results)}
    limits = {
        f"{DEFINITIONS[key].symbol}, {one} less {other}": drawings.draw_limits_of_scans(
            measured[one], measured[other], key
        )
        for one, other in list(combinations(measured, 2))[:MOST_PAIRS]
        for key in (OF_FAZ, DENSITY)
    }
    return _drawn({**matrix, **limits})


def _drawn(plots: Mapping[str, Draw | str]) -> list[Picture]:
    """Return what can be drawn, by its caption."""
    return [Picture(c, plot) for c, plot in plots.items() if not isinstance(plot, str)]


def _dotted(
    caption: str,
    rows: Sequence[Row],
    key: str,
    names: Sequence[str],
    label: str,
    series: str = "",
) -> list[Picture]:
    """Return a picture of a figure by name, one a unit."""
    found: dict[str, dict[str, list[float]]] = {}  # by unit and series
    for row in rows:
        if (figure := row.figures.get(key)) is not None and figure.available:
            own = found.setdefault(figure.unit, {})
            line = str(row.labels.get(series, ""))
            values = own.setdefault(line, [math.nan] * len(names))
            values[names.index(str(row.labels[label]))] = figure.value
    name, most = DEFINITIONS[key].symbol, 1.0 if key in OF_ONE else math.inf
    return [
        Picture(
            caption,
            partial(
                draw_dots, names=names, values=values, name=name, unit=unit, most=most
            ),
        )
        for unit, values in found.items()
    ]
