"""Graders over subjects: their labels, and what those measure."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.agreement.bland_altman import bland_altman
from napari_octa_sam2.metrics.agreement.graders import POOLED, agree
from napari_octa_sam2.metrics.agreement.icc import icc
from napari_octa_sam2.metrics.definitions.agreement import AGREEMENT
from napari_octa_sam2.metrics.results import Figure, Results, Row
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet

SCAN = ScanGeometry((0.01, 0.01, 0.01), "mm")
CLASSES = {1: "artery", 2: "vein", 3: "artery"}


def drawn(artery: int, vein: int, classes=CLASSES) -> LabelSet:
    """Labels of so many voxels in a row each."""
    data = np.zeros((2, 10, 10), np.uint8)
    data[0, 0, :artery] = 1
    data[0, 1, :vein] = 2
    data[1, 0, :artery] = 3
    return LabelSet(data, {}, classes)


def everywhere(graders, geometry=SCAN):
    return {g: dict.fromkeys(subjects, geometry) for g, subjects in graders.items()}


def compared(graders, **options) -> Results:
    return agree(graders, everywhere(graders), **options)


def test_dice_and_kappa_of_each_class_and_of_all():
    results = compared({"ann": {"s1": drawn(10, 4)}, "bob": {"s1": drawn(5, 4)}})
    pair = {"subject": "s1", "grader": "ann", "other": "bob"}
    classes = [row.labels["class"] for row in results.at("graders", **pair)]
    assert classes == ["all", "artery", "vein"]
    assert results.only("graders", **pair, **{"class": "all"})["dice"] == 2 * 14 / 38
    artery = results.only("graders", **pair, **{"class": "artery"})
    assert artery["dice"] == 2 * 10 / 30
    by_chance = (20 * 10 + 180 * 190) / 200**2
    expected = (190 / 200 - by_chance) / (1 - by_chance)
    assert artery["kappa"] == pytest.approx(expected)
    vein = results.only("graders", **pair, **{"class": "vein"})
    assert vein["dice"] == vein["kappa"] == 1
    assert results.notes == ()
    json.dumps(results.to_json())


def test_kappa_of_all_tells_classes_apart_where_dice_does_not():
    swapped = {1: "vein", 2: "artery", 3: "vein"}
    graders = {"ann": {"s": drawn(6, 6)}, "bob": {"s": drawn(6, 6, swapped)}}
    row = compared(graders).only("graders", **{"class": "all"})
    assert row["dice"] == 1
    assert row["kappa"] < 0.5


def test_voxels_of_all_subjects_are_pooled():
    graders = {
        "ann": {"s1": drawn(10, 0), "s2": drawn(2, 10)},
        "bob": {"s1": drawn(5, 0), "s2": drawn(2, 5)},
    }
    results = compared(graders)
    pooled = results.only("graders", subject=POOLED, **{"class": "artery"})
    assert pooled["dice"] == 2 * 14 / (24 + 14)
    vein = results.only("graders", subject=POOLED, **{"class": "vein"})
    assert vein["dice"] == 2 * 5 / 15
    assert not results.at("graders", subject="s1", **{"class": "vein"})


def test_three_graders_make_three_pairs_and_gaps_are_told():
    graders = {
        "ann": {"s1": drawn(5, 5), "s2": drawn(5, 5)},
        "bob": {"s1": drawn(5, 5)},
        "cy": {"s1": drawn(4, 5), "s2": drawn(4, 5)},
    }
    results = compared(graders)
    pairs = {(r.labels["grader"], r.labels["other"]) for r in results.rows}
    assert pairs == {("ann", "bob"), ("ann", "cy"), ("bob", "cy")}
    assert results.at("graders", subject="s2", grader="ann", other="cy")
    assert not results.at("graders", subject="s2", grader="ann", other="bob")
    assert results.notes == ("bob has no labels of s2: compared without",)


def test_nothing_labelled_by_either_agrees_without_a_kappa():
    graders = {"ann": {"s": drawn(0, 0)}, "bob": {"s": drawn(0, 0)}}
    (row,) = compared(graders).rows
    assert row["dice"] == 1
    assert "found the same one in all voxels" in row.figures["kappa"].why_not


def test_labels_without_a_class():
    some, none = {1: "artery"}, {}
    classes = {
        row.labels["class"]
        for row in compared(
            {"ann": {"s": drawn(3, 3, some)}, "bob": {"s": drawn(3, 3, none)}}
        ).rows
    }
    assert classes == {"all", "artery", "other", "vessel"}
    masks = {g: {"s": LabelSet(drawn(3, 3).data > 0)} for g in ("ann", "bob")}
    assert compared(masks).only("graders", **{"class": "vessel"})["dice"] == 1


def measured(values, grader_key="faz_area", unit="mm^2") -> Results:
    rows = [
        Row(
            "faz",
            {"subject": subject, "plexus": "SVC"},
            {grader_key: Figure(value, unit, "" if value == value else "no FAZ")},
        )
        for subject, value in values.items()
    ]
    slices = Row("slice", {"subject": "s1", "slice": 3}, {"dice": Figure(0.5)})
    return Results((*rows, slices))


AREAS = {
    "ann": {"s1": 0.30, "s2": 0.25, "s3": 0.41, "s4": 0.35},
    "bob": {"s1": 0.32, "s2": 0.24, "s3": 0.40, "s4": 0.38},
    "cy": {"s1": 0.29, "s2": 0.30, "s3": 0.45, "s4": float("nan")},
}


def with_biomarkers(names, **changes) -> Results:
    graders = {name: {"s1": drawn(3, 3)} for name in names}
    results = {name: measured(AREAS[name]) for name in names} | changes
    return compared(graders, biomarkers=results)


def test_biomarkers_are_compared_over_subjects():
    results = with_biomarkers(["ann", "bob"])
    (row,) = results.at("biomarker")
    assert row.labels == {
        "biomarker": "faz_area",
        "measured": "faz",
        "plexus": "SVC",
        "grader": "ann",
        "other": "bob",
    }
    ann, bob = (np.array(list(AREAS[name].values())) for name in ("ann", "bob"))
    expected, limits = icc(np.stack([ann, bob], 1)), bland_altman(ann, bob)
    assert row["icc21"] == expected.icc21.value
    assert (row["icc31_low"], row["icc31_high"]) == (
        expected.icc31.low,
        expected.icc31.high,
    )
    assert row["bias"] == pytest.approx(-0.0075)
    assert (row["loa_low"], row["loa_high"]) == (limits.lower.value, limits.upper.value)
    assert row["subjects"] == 4
    units = {key: figure.unit for key, figure in row.figures.items()}
    assert {units[key] for key in ("bias", "loa_low", "loa_high")} == {"mm^2"}
    assert {units[key] for key in units if key.startswith("icc")} == {""}
    assert set(row.figures) | {"kappa"} == set(AGREEMENT)
    records = list(results.long_rows())
    assert {r["biomarker"] for r in records if r["figure"] == "bias"} == {"faz_area"}


def test_more_than_two_graders_have_an_icc_of_all():
    results = with_biomarkers(["ann", "bob", "cy"])
    assert len(results.at("biomarker")) == 4
    row = results.only("biomarker", grader="all", other="all")
    table = np.array([list(AREAS[name].values()) for name in ("ann", "bob", "cy")]).T
    assert row["icc21"] == icc(table).icc21.value
    assert row["subjects"] == 3
    assert "bias" not in row.figures


def test_figures_of_few_subjects_and_of_mixed_units_say_why():
    few = measured({"s1": 0.3, "s9": 0.5})
    (row,) = with_biomarkers(["ann", "bob"], bob=few).at("biomarker")
    assert row.figures["icc21"].why_not.endswith("measured by all, found 1")
    assert row.figures["bias"].why_not.endswith("measured by both, found 1")
    pixels = measured(AREAS["bob"], unit="pixel^2")
    (row,) = with_biomarkers(["ann", "bob"], bob=pixels).at("biomarker")
    assert row.figures["bias"].why_not == "expected one unit, found mm^2 and pixel^2"
    assert not row.figures["icc31"].available


def test_a_figure_that_nobody_has_is_left_out():
    nothing = measured(dict.fromkeys(AREAS["ann"], float("nan")))
    results = with_biomarkers(["ann", "bob"], ann=nothing, bob=nothing)
    assert not results.at("biomarker")


def test_what_cannot_be_compared_is_refused():
    one = {"ann": {"s": drawn(3, 3)}}
    with pytest.raises(VolumeError, match="at least two graders, found ann"):
        compared(one)
    with pytest.raises(VolumeError, match="found none in common among ann, bob"):
        compared(one | {"bob": {"t": drawn(3, 3)}})
    with pytest.raises(VolumeError, match=r"s: .*\(2, 10, 10\) \(ann\), \(1, 10, 10\)"):
        compared(one | {"bob": {"s": LabelSet(drawn(3, 3).data[:1])}})
    with pytest.raises(VolumeError, match="labels as integers"):
        compared(one | {"bob": {"s": LabelSet(drawn(3, 3).data / 2)}})
    two = one | {"bob": {"s": drawn(3, 3)}}
    with pytest.raises(
        VolumeError, match="biomarkers of each grader, found none of bob"
    ):
        compared(two, biomarkers={"ann": measured(AREAS["ann"])})


def test_spacings_that_differ_are_refused_and_unknown_ones_are_not():
    graders = {"ann": {"s": drawn(3, 3)}, "bob": {"s": drawn(3, 3)}}
    known = everywhere(graders)
    other = ScanGeometry((0.01, 0.02, 0.01), "mm")
    with pytest.raises(VolumeError, match=r"one spacing, found .* mm; bring them"):
        agree(graders, known | {"bob": {"s": other}})
    unknown = known | {"bob": {"s": ScanGeometry()}}
    assert agree(graders, unknown).rows
