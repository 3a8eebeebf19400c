from __future__ import annotations

import re
from pathlib import Path

from napari_octa_sam2.metrics.definitions import GROUPS
from napari_octa_sam2.metrics.report.glossary import definitions_markdown


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_every_definition_has_a_row():
    text = definitions_markdown()
    assert re.findall(r"^### (.+)$", text, re.M) == list(GROUPS)
    keys = re.findall(r"^\| \*\*.+?; `(\w+)` \|", text, re.M)
    assert keys == [key for group in GROUPS.values() for key in group]


def test_rows_tell_all_and_hide_no_sign(definitions):
    lines = definitions_markdown({"Some": definitions}).splitlines()
    header, rule, dice, *others = (cells(line) for line in lines[2:])
    assert header == ["Figure", "Formula", "Known bias", "Source"]
    assert rule == ["---"] * 4
    assert dice == [
        "**Dice** Dice coefficient; no unit; `dice`",
        "2 TP / n",
        "size",
        "Dice 1945",
    ]
    units = [row[0].split("; ")[1] for row in others]
    assert units == ["µm", "mm⁻¹", "mm²"]
    assert r"Area \| of \*it\*" in others[-1][0]


def test_the_page_of_the_documentation_is_up_to_date():
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text("utf-8")
    assert page.partition("## Definitions\n")[2].strip() == (
        definitions_markdown().strip()
    ), "run python docs/metrics.py"
