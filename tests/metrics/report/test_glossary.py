from __future__ import annotations

import re

from napari_octa_sam2.metrics.definitions import GROUPS
from napari_octa_sam2.metrics.report.glossary import definitions_markdown


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_every_definition_has_a_row():
    text = definitions_markdown()
    assert re.findall(r"^## (.+)$", text, re.M) == list(GROUPS)
    keys = re.findall(r"`(\w+)` \|$", text, re.M)
    assert keys == [key for group in GROUPS.values() for key in group]


def test_rows_tell_all_and_hide_no_sign(definitions):
    lines = definitions_markdown({"Some": definitions}).splitlines()
    header, rule, dice, hd95, vld, area = (cells(line) for line in lines[2:])
    assert header == [
        "Symbol",
        "Title",
        "Unit",
        "Formula",
        "Source",
        "Known bias",
        "Key",
    ]
    assert rule == ["---"] * 7
    assert dice == [
        "Dice",
        "Dice coefficient",
        "1",
        "2 TP / n",
        "Dice 1945",
        "size",
        "`dice`",
    ]
    assert [row[2] for row in (hd95, vld, area)] == ["µm", "mm⁻¹", "mm²"]
    assert area[1] == r"Area \| of \*it\*"
