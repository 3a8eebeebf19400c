"""Which pictures a report of what shows, and what is in them."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from napari_octa_sam2.metrics.agreement.graders import agree
from napari_octa_sam2.metrics.biomarkers.eye import Eye
from napari_octa_sam2.metrics.biomarkers.measurement import MeasureSettings, measure
from napari_octa_sam2.metrics.biomarkers.several import measure_several
from napari_octa_sam2.metrics.report.gallery import (
    pictures_of_comparison,
    pictures_of_graders,
    pictures_of_scan,
    pictures_of_scans,
)
from napari_octa_sam2.metrics.report.planes import planes
from napari_octa_sam2.metrics.report.writing import write
from napari_octa_sam2.metrics.results import joined
from napari_octa_sam2.metrics.segmentation.cohort import Case, evaluate_cohort
from napari_octa_sam2.metrics.segmentation.evaluation import evaluate
from napari_octa_sam2.metrics.subjects import Subject
from napari_octa_sam2.volume import LabelSet, ScanGeometry

SIDE = 90
GEOMETRY = ScanGeometry((0.01, 3.6 / SIDE, 3.6 / SIDE), "mm")
EYE = Eye(laterality="OD")
VESSEL, FAZ = 1, 2
CLASSES = {VESSEL: "vessel", FAZ: "FAZ"}


def labels_of(radius: float, slices: int = 1) -> np.ndarray:
    """A lattice of vessels around a round FAZ in the middle."""
    row, col = np.ogrid[:SIDE, :SIDE]
    distance = np.hypot(row - SIDE / 2, col - SIDE / 2)
    plane = np.where((row % 10 < 3) | (col % 10 < 3), VESSEL, 0)
    plane[distance < radius + 3] = 0
    plane[distance < radius] = FAZ
    return np.stack([plane.astype(np.uint8)] * slices)


def scan(name: str, radius: float) -> Subject:
    labels = {"labels": LabelSet(labels_of(radius), {}, CLASSES)}
    return Subject(name, labels, GEOMETRY)


def drawn(picture):
    """Return the axes of a picture; nothing may warn."""
    figure = Canvas(layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    picture.draw(axes)
    figure.draw_without_rendering()
    return axes


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def captions(pictures) -> list[str]:
    return [picture.caption for picture in pictures]


def test_a_scan_is_seen_with_vessels_sectors_and_faz():
    subject = scan("one", 9)
    results = measure(subject, eye=EYE)
    found = pictures_of_scan(planes(subject, results), results)
    assert captions(found) == [
        "Vessels by diameter",
        "Diameters",
        "Vessel area density",
        "FAZ",
    ]
    axes = [drawn(picture) for picture in found]
    figures = [
        results.only("region", region=name, **{"class": "vessel"}).figures["vad"]
        for name in ("C", "S1", "N1", "I1", "T1")
    ]
    assert {figure.text() for figure in figures} <= set(texts(axes[2]))


def test_what_cannot_be_had_is_left_out():
    subject = scan("one", 0)
    results = measure(subject, settings=MeasureSettings(regions=("whole",)))
    found = pictures_of_scan(planes(subject, results), results)
    assert captions(found) == ["Vessels by diameter", "Diameters"]


def test_scans_are_compared_by_dots(tmp_path):
    radii = {"a": 8, "b": 12, "c": 0}
    paths = [tmp_path / name for name in radii]
    results = measure_several(
        paths,
        lambda path: scan(path.name, radii[path.name]),
        settings=MeasureSettings(regions=("whole",)),
    )
    found = pictures_of_scans(results)
    assert captions(found) == [
        "VAD of all vessels, whole scan",
        "VLD of all vessels, whole scan",
        "FAZ area",
    ]
    axes = drawn(found[2])
    values = [results.only("faz", subject=name)["faz_area"] for name in "ab"]
    assert axes.lines[0].get_xdata().tolist()[:2] == values
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert texts(axes) == [f" mean {np.mean(values):.3g} mm²", "n/a"]
    assert drawn(found[0]).get_xlim()[1] <= 1


def test_a_volume_is_compared_by_slice_and_by_object():
    truth = labels_of(9, slices=4)
    prediction = truth.copy()
    prediction[2] = 0
    results = evaluate(prediction, truth, geometry=GEOMETRY)
    found = pictures_of_comparison(results)
    assert captions(found)[0] == "Dice by slice"
    dice = drawn(found[0]).lines[0].get_ydata()
    np.testing.assert_allclose(dice, [1, 1, 0, 1])
    assert captions(found)[1:3] == ["Dice, F1 by object", "clDice by object"]
    values = [row["dice"] for row in results.at("object")]
    assert drawn(found[1]).lines[0].get_xdata().tolist() == values


def test_a_cohort_is_compared_by_subject():
    truth = labels_of(9)
    shifted = {name: np.roll(truth, k, 1) for k, name in enumerate("abc", 1)}
    results = evaluate_cohort(
        Case(name, mask, truth, GEOMETRY) for name, mask in shifted.items()
    )
    found = pictures_of_comparison(results)
    assert captions(found) == [
        "Dice, F1 by subject",
        "clDice by subject",
        "HD95 by subject",
    ]
    values = [results.only("all", subject=name)["dice"] for name in "abc"]
    assert drawn(found[0]).lines[0].get_xdata().tolist() == values
    one = evaluate(shifted["a"] > 0, truth > 0, geometry=GEOMETRY)
    assert pictures_of_comparison(one) == []


@pytest.fixture(scope="module")
def graders():
    """Scans of two graders; one draws the FAZ wider."""
    return {
        grader: {str(r): scan(str(r), r + more) for r in (8, 9, 11)}
        for grader, more in (("first", 0), ("second", 1))
    }


def test_graders_are_compared_by_dice_and_limits(graders):
    results = agree(
        {g: {s: x.one() for s, x in own.items()} for g, own in graders.items()},
        {g: {s: x.geometry for s, x in own.items()} for g, own in graders.items()},
    )
    settings = MeasureSettings(regions=("whole",))
    measured = {
        grader: joined(
            [measure(x, settings=settings).with_labels(subject=s) for s, x in o.items()]
        )
        for grader, o in graders.items()
    }
    found = pictures_of_graders(results, measured)
    assert captions(found) == [
        "Dice of all labels",
        "FAZ area, first less second",
        "VAD, first less second",
    ]
    pooled = results.only("graders", subject="all subjects", **{"class": "all"})
    assert texts(drawn(found[0])) == ["1.00", *[f"{pooled['dice']:.2f}"] * 2, "1.00"]
    points = drawn(found[1]).lines[1].get_xydata()
    areas = [
        [row["faz_area"] for row in measured[grader].at("faz")] for grader in graders
    ]
    np.testing.assert_allclose(points[:, 1], np.subtract(*areas))
    # two subjects have no limits
    few = {grader: joined([own]) for grader, own in measured.items()}
    few = {g: own.of_levels(["region"]) for g, own in few.items()}
    assert captions(pictures_of_graders(results, few)) == [
        "Dice of all labels",
        "VAD, first less second",
    ]
    assert captions(pictures_of_graders(results, {})) == ["Dice of all labels"]


def test_pictures_are_drawn_for_pages_only(tmp_path):
    subject = scan("one", 9)
    results = measure(subject, settings=MeasureSettings(regions=("whole",)))
    asked = []

    def pictures():
        asked.append(True)
        return pictures_of_scan(planes(subject, results), results)

    write(tmp_path / "t.csv", results, title="T", pictures=pictures)
    assert not asked
    page = write(tmp_path / "t.html", results, title="T", pictures=pictures)
    assert page.read_text("utf-8").count("<img") == 3
