"""Results as text, CSV, XLSX and JSON, read back from what was written."""

from __future__ import annotations

import csv
import json
import math

import pytest
from openpyxl import load_workbook

from napari_octa_sam2.errors import WriteError
from napari_octa_sam2.metrics.report.levels import level_tables
from napari_octa_sam2.metrics.report.sheets import SUFFIXES, as_text, write_results
from napari_octa_sam2.metrics.results import Figure, Results, Row

EMPTY = "expected a mask, found it empty"


@pytest.fixture
def written(tmp_path, results, definitions):
    def write(suffix, **changed):
        given = {"results": results, "definitions": definitions} | changed
        return write_results(tmp_path / f"new folder/out{suffix}", **given)

    return write


def test_text_has_a_table_a_level(results, definitions):
    objects, slices, region, notes = as_text(results, definitions=definitions).split(
        "\n\n"
    )
    lines = objects.splitlines()
    assert lines[0] == "Objects (4)"
    assert lines[1].split() == ["object", "name", "Dice", "HD95", "[µm]"]
    assert lines[2].split() == ["1", "artère", "supérieure", "0.6000", "12.50"]
    assert lines[3].split()[-2:] == ["0.7000", "n/a"]
    assert lines[-1] == f"n/a: HD95: {EMPTY}"
    assert len({line.rindex(".") for line in (lines[2], lines[4])}) == 1
    assert len(slices.splitlines()) == 82
    assert "VLD [mm⁻¹]" in region
    assert notes == "note: the spacing was assumed"


def test_long_tables_are_cut_and_say_so(results, definitions):
    text = as_text(results, most=3, definitions=definitions)
    assert "… 77 more rows in a CSV or XLSX file" in text
    assert "0.0250" in text
    assert "0.0375" not in text


def test_many_reasons_are_cut_and_say_so(definitions):
    rows = tuple(
        Row("slice", {"slice": k}, {"dice": Figure(math.nan, "", f"why {k}")})
        for k in range(15)
    )
    text = as_text(Results(rows), definitions=definitions)
    assert "why 11" in text
    assert "why 12" not in text
    assert text.endswith("… 3 more reasons in a CSV or XLSX file")


def test_csv_has_one_line_a_figure(written, results):
    with written(".csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 2 + 80 + 1
    first, missing = rows[1], rows[3]
    assert first["name"] == "artère supérieure"
    assert first["figure"] == "hd95"
    assert float(first["value"]) == 12.5
    assert first["unit"] == "um"
    assert first["title"] == "Hausdorff distance"
    assert missing["name"] == "=SUM(A1:A9)"
    assert missing["value"] == ""
    assert missing["why_not"] == EMPTY
    assert rows[-1]["unit"] == "mm^-1"
    assert rows[-1]["object"] == ""
    assert {row["level"] for row in rows} == set(results.levels())


def test_workbook_has_a_sheet_a_level(written):
    book = load_workbook(written(".xlsx"))
    assert book.sheetnames == [
        "object",
        "slice",
        "region",
        "Definitions",
        "Settings",
        "Not available",
    ]
    sheet = book["object"]
    assert [c.value for c in sheet[1]] == ["object", "name", "Dice", "HD95 [µm]"]
    assert sheet.freeze_panes == "C2"
    assert sheet["C2"].value == 0.6
    assert sheet["C2"].number_format == "0.0000"
    assert sheet["D2"].number_format == "0.00"
    assert sheet["D3"].value == "n/a"
    assert sheet["B3"].value == "=SUM(A1:A9)"
    assert sheet["B3"].data_type == "s"
    assert book["slice"].max_row == 81


def test_workbook_tells_definitions_settings_and_reasons(written):
    book = load_workbook(written(".xlsx"))
    told = {row[6]: row for row in book["Definitions"].values}
    assert told["hd95"][:3] == ("HD95", "Hausdorff distance", "µm")
    assert told["dice"][2] == "1"
    assert "area" not in told
    settings = dict(book["Settings"].values)
    assert settings["spacing"] == "0.003125, 0.01"
    assert settings["correction axial length"] == "not given"
    assert "correction why not" not in settings
    assert settings["note"] == "the spacing was assumed"
    assert "numpy" in settings["software"]
    _, reason = book["Not available"].values
    assert reason == ("object", "2, =SUM(A1:A9)", "HD95", EMPTY)


def test_json_is_complete_and_valid(written, results):
    content = json.loads(
        written(".json").read_text("utf-8"), parse_constant=pytest.fail
    )
    assert {k: len(v) for k, v in content["rows"].items()} == {
        "object": 4,
        "slice": 80,
        "region": 1,
    }
    assert content["rows"]["object"][1]["hd95"] is None
    assert content["missing"][0]["why_not"] == EMPTY
    assert content["definitions"]["dice"]["formula"] == "2 TP / n"
    assert content["provenance"]["inputs"] == []
    assert content["settings"] == results.settings


def test_json_holds_what_python_alone_knows(written, tmp_path):
    settings = {"limit": math.inf, "folder": tmp_path, "ids": (1, 2)}
    path = written(".json", results=Results((), settings))
    found = json.loads(path.read_text("utf-8"))["settings"]
    assert found == {"limit": None, "folder": str(tmp_path), "ids": [1, 2]}


def test_empty_results_can_be_told(written):
    assert as_text(Results(())) == ""
    with written(".csv", results=Results(())).open(encoding="utf-8") as file:
        assert file.read().split(",")[0] == "level"
    book = load_workbook(written(".xlsx", results=Results(())))
    assert book.sheetnames == ["Definitions", "Settings"]
    content = json.loads(written(".json", results=Results(())).read_text("utf-8"))
    assert content["rows"] == {}


def test_figures_in_two_units_have_two_columns(definitions):
    vld = definitions["vld"]
    rows = tuple(
        Row("subject", {"subject": unit}, {"vld": vld.figure(2.0, unit)})
        for unit in ("mm", "pixel")
    )
    (table,) = level_tables(Results(rows), definitions)
    assert [c.header for c in table.columns] == ["VLD [mm⁻¹]", "VLD [pixel⁻¹]"]
    assert table.records() == [
        {"subject": "mm", "vld [mm^-1]": 2.0, "vld [pixel^-1]": None},
        {"subject": "pixel", "vld [mm^-1]": None, "vld [pixel^-1]": 2.0},
    ]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ((3, 120), ("3", "120")),
        ((0.5, 0.25), ("0.5000", "0.2500")),
        ((120.25, 0.012), ("120.250", "0.012")),
        ((1e-9, 0.5), ("0.000000", "0.500000")),
        ((math.inf, 1.5), ("inf", "1.500")),
    ],
)
def test_values_of_a_column_line_up(values, texts, definitions):
    rows = tuple(
        Row("object", {"object": k}, {"dice": Figure(v)}) for k, v in enumerate(values)
    )
    (table,) = level_tables(Results(rows), definitions)
    assert table.columns[0].texts == texts


def test_a_key_without_a_definition_is_an_error(results):
    with pytest.raises(KeyError):
        as_text(results, definitions={})


def test_control_characters_do_not_spoil_a_workbook(written, definitions):
    row = Row("a/b:c" + 40 * "x", {"name": "bell\x07"}, {"dice": Figure(1.0)})
    book = load_workbook(written(".xlsx", results=Results((row,))))
    assert book.sheetnames[0] == "a b c" + 26 * "x"
    assert book.worksheets[0]["A2"].value == "bell"


def test_unknown_suffix_is_refused(tmp_path, results):
    with pytest.raises(WriteError, match=r"\.csv, \.xlsx, \.json, found 'out\.txt'"):
        write_results(tmp_path / "out.txt", results)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_target_that_is_a_folder_is_told(tmp_path, results, definitions, suffix):
    folder = tmp_path / f"out{suffix}"
    folder.mkdir()
    with pytest.raises(WriteError, match="choose a folder that you may write to"):
        write_results(folder, results, definitions=definitions)
    assert list(tmp_path.iterdir()) == [folder]
