from __future__ import annotations

import pytest

from napari_octa_sam2.metrics.definitions import Definition
from napari_octa_sam2.metrics.definitions.definition import by_key
from napari_octa_sam2.metrics.results import Results, Row

NAMES = ("artère supérieure", "=SUM(A1:A9)", "_$x$ vein", "Gefäß " + 12 * "lang ")
EMPTY = "expected a mask, found it empty"


@pytest.fixture(scope="session")
def definitions() -> dict[str, Definition]:
    return by_key(
        Definition("dice", "Dice", "Dice coefficient", "2 TP / n", "Dice 1945", "size"),
        Definition("hd95", "HD95", "Hausdorff distance", "max", "1993", "", 1, True),
        Definition("vld", "VLD", "Vessel length density", "L / A", "Chu", "ends", -1),
        Definition("area", "A", "Area | of *it*", "n", "n", "none", 2),
    )


@pytest.fixture(scope="session")
def results(definitions) -> Results:
    """Objects with names that are hard to write, slices, and a missing figure."""
    missing = definitions["hd95"].missing(EMPTY, "mm")
    rows = [
        Row(
            "object",
            {"object": number, "name": name},
            {
                "dice": definitions["dice"].figure(0.5 + 0.1 * number, "mm"),
                "hd95": missing
                if number == 2
                else definitions["hd95"].figure(0.0125 * number, "mm"),
            },
        )
        for number, name in enumerate(NAMES, 1)
    ]
    rows += [
        Row("slice", {"slice": k}, {"dice": definitions["dice"].figure(k / 80, "mm")})
        for k in range(80)
    ]
    rows.append(
        Row(
            "region",
            {"region": "whole"},
            {"vld": definitions["vld"].figure(18.5, "mm")},
        )
    )
    settings = {
        "spacing": [0.003125, 0.01],
        "correction": {"axial_length": None, "why_not": ""},
    }
    return Results(tuple(rows), settings, ("the spacing was assumed",))
