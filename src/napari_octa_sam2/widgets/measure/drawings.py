"""Which plots the Measure dock offers, and which button each of them needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari_octa_sam2.metrics.report import drawings, gallery
from napari_octa_sam2.metrics.report.drawings import Draw
from napari_octa_sam2.metrics.report.pictures import Picture
from napari_octa_sam2.metrics.report.planes import Plane
from napari_octa_sam2.widgets.measure.request import (
    AGREE,
    COMPARE,
    MEASURE,
    Answer,
)

BY_SLICE, DIAMETERS, FAZ_SHAPE = "Dice by slice", "Diameters", "FAZ"
REGIONS, LIMITS, MATRIX = "Regions", "Bland-Altman", "Dice matrix"
PLOTS = (BY_SLICE, DIAMETERS, FAZ_SHAPE, REGIONS, LIMITS, MATRIX)
NEEDED = {BY_SLICE: COMPARE, LIMITS: AGREE, MATRIX: AGREE}  # the others: MEASURE
ASKED = {
    MEASURE: "Press Measure first.",
    COMPARE: "Choose a reference, and press Compare.",
    AGREE: "Tick other graders, and press Agreement.",
}


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
        return drawings.draw_dice_of_slices(answer.results)
    if name == MATRIX:
        return drawings.draw_dice_of_graders(answer.results)
    if name == LIMITS:
        return _limits(answer)
    if plane is None:
        return "Drawing …"
    if name == DIAMETERS:
        return drawings.draw_diameters_of(plane)
    if name == FAZ_SHAPE:
        return drawings.draw_faz_of(plane)
    return drawings.draw_regions_of(plane, answer.results)


def pictures_of(answer: Answer, planes: Sequence[Plane]) -> list[Picture]:
    """Return the pictures of a report of an answer."""
    if answer.kind == MEASURE:
        return gallery.pictures_of_scan(planes, answer.results)
    if answer.kind == COMPARE:
        return gallery.pictures_of_comparison(answer.results)
    limits = _limits(answer)
    more = [] if isinstance(limits, str) else [Picture("Sizes of objects", limits)]
    return gallery.pictures_of_graders(answer.results, {}) + more


def _limits(answer: Answer) -> Draw | str:
    one, other = list(answer.graders.values())[:2]
    assert answer.geometry is not None
    return drawings.draw_limits_of_objects(one.data, other.data, answer.geometry)
