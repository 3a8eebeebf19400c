"""Figures, rows, and tables of them."""

from __future__ import annotations

import json

import pytest

from napari_octa_sam2.metrics.results import Figure, Results, Row, joined, pretty_unit

NO = "expected a mask, found it empty"
MISSING = Figure(float("nan"), "um", NO)


@pytest.fixture
def results() -> Results:
    rows = (
        Row("object", {"object": 1, "name": "vein"}, {"dice": Figure(0.5)}),
        Row("object", {"object": 2}, {"dice": Figure(0.25), "hd95": MISSING}),
        Row("all", {}, {"dice": Figure(0.4), "volume": Figure(2.0, "mm^3")}),
    )
    return Results(rows, {"unit": "mm"}, ("one note",))


def test_a_figure_is_told_with_four_digits_or_as_not_available():
    assert Figure(1 / 3).text() == "0.3333"
    assert Figure(123456.0, "um").text() == "1.235e+05"
    assert Figure(0.0).available
    assert not MISSING.available
    assert MISSING.text() == "n/a"


def test_rows_are_found_by_level_and_labels(results):
    assert [row["dice"] for row in results.at("object")] == [0.5, 0.25]
    assert results.at("object", name="artery") == ()
    assert results.only("object", object=2)["dice"] == 0.25
    with pytest.raises(KeyError, match=r"one row object \{\}, found 2"):
        results.only("object")
    with pytest.raises(KeyError, match="found 0"):
        results.only("slice")


def test_columns_come_in_the_order_of_the_rows(results):
    assert results.levels() == ["object", "all"]
    assert results.label_names() == ["object", "name"]
    assert results.keys("object") == ["dice", "hd95"]
    assert results.keys("slice") == []
    assert results.units() == {"dice": "", "hd95": "um", "volume": "mm^3"}


def test_units_that_differ_are_both_told():
    rows = [Row("all", {}, {"length": Figure(1.0, unit)}) for unit in ("mm", "pixel")]
    assert Results(tuple(rows)).units() == {"length": "mm or pixel"}


def test_further_labels_stand_in_front(results):
    labelled = results.with_labels(subject="10301")
    assert labelled.label_names() == ["subject", "object", "name"]
    assert all(row.labels["subject"] == "10301" for row in labelled.rows)
    assert labelled.notes == results.notes
    assert labelled.settings == results.settings
    assert "subject" not in results.rows[0].labels


def test_long_rows_are_one_a_figure(results):
    rows = list(results.long_rows())
    assert len(rows) == 5
    assert rows[2] == {
        "level": "object",
        "object": 2,
        "name": "",
        "figure": "hd95",
        "value": None,
        "unit": "um",
        "why_not": NO,
    }


def test_json_is_strict_and_says_what_is_missing(results):
    told = json.loads(json.dumps(results.to_json(), allow_nan=False))
    assert list(told) == ["settings", "notes", "units", "rows", "missing"]
    assert told["rows"]["object"][1] == {"object": 2, "dice": 0.25, "hd95": None}
    assert told["missing"] == [
        {"level": "object", "object": 2, "figure": "hd95", "unit": "um", "why_not": NO}
    ]
    assert told["notes"] == ["one note"]


def test_results_are_joined_with_each_note_once(results):
    other = Results((Row("all", {}, {}),), {"unit": "pixel"}, ("one note", "another"))
    whole = joined([results, other])
    assert whole.rows == results.rows + other.rows
    assert whole.settings == {"unit": "mm"}
    assert whole.notes == ("one note", "another")
    assert joined([]) == Results(())


@pytest.mark.parametrize(
    ("unit", "pretty"),
    [("mm^-1", "mm⁻¹"), ("um", "µm"), ("mm^3", "mm³"), ("pixel", "pixel"), ("", "")],
)
def test_units_are_written_as_people_do(unit, pretty):
    assert pretty_unit(unit) == pretty
