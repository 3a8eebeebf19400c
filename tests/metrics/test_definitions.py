"""Definitions: complete, distinct, and one for every figure that is told."""

from __future__ import annotations

import re

import numpy as np
import pytest

from napari_octa_sam2 import evaluate, make_phantom
from napari_octa_sam2.metrics.agreement.graders import agree
from napari_octa_sam2.metrics.biomarkers.measurement import measure
from napari_octa_sam2.metrics.definitions import DEFINITIONS, GROUPS
from napari_octa_sam2.metrics.definitions.definition import Definition
from napari_octa_sam2.metrics.subjects import Subject
from napari_octa_sam2.volume.octa_volume import LabelSet
from napari_octa_sam2.volume.phantom.records import PhantomConfig

LENGTH = Definition("d", "d", "Diameter", "2 r", "Euclid", "none", 1, True)
UNIT = re.compile(r"(mm|um|pixel)(\^(2|3|-[123]))?|")


@pytest.fixture(scope="module")
def told() -> dict[str, set[tuple[str, str]]]:
    """Keys and units of all figures of a phantom, measured, compared, agreed on."""
    phantom = make_phantom(PhantomConfig(depth=12, size=64, field_mm=6.0))
    volume = phantom.volume
    labels = volume.labels["objects"]
    subject = Subject("eye", volume.labels, volume.geometry)
    other = LabelSet(np.roll(labels.data, 1, 1), labels.names, labels.classes)
    moved = Subject("eye", {"objects": other}, volume.geometry)
    measured = {
        grader: measure(eye).with_labels(subject="eye")
        for grader, eye in (("ann", subject), ("bob", moved))
    }
    graders = {"ann": {"eye": labels}, "bob": {"eye": other}}
    results = {
        "measure": measured["ann"],
        "evaluate": evaluate(
            other.data,
            labels.data,
            geometry=volume.geometry,
            scores=volume.data / 255,
            classes=labels.classes,
        ),
        "agree": agree(
            graders,
            {grader: {"eye": volume.geometry} for grader in graders},
            biomarkers=measured,
        ),
    }
    return {
        name: {(k, f.unit) for row in found.rows for k, f in row.figures.items()}
        for name, found in results.items()
    }


def test_keys_are_distinct_over_all_groups():
    assert sum(map(len, GROUPS.values())) == len(DEFINITIONS)
    assert all(key == d.key for group in GROUPS.values() for key, d in group.items())
    assert all(re.fullmatch("[a-z][a-z0-9_]*", key) for key in DEFINITIONS)


def test_titles_are_distinct_within_a_group():
    for group in GROUPS.values():
        assert len({d.title for d in group.values()}) == len(group)


@pytest.mark.parametrize("key", DEFINITIONS)
def test_a_definition_says_everything(key):
    definition = DEFINITIONS[key]
    for name in ("symbol", "title", "formula", "source", "bias"):
        text = getattr(definition, name)
        assert text, name
        assert text == text.strip(), name
        assert "  " not in text, name
    assert UNIT.fullmatch(definition.unit("mm"))
    assert definition.unit("pixel").partition("^")[0] in ("", "pixel")
    if definition.fine:
        assert definition.length


def test_what_is_fine_is_told_in_micrometres():
    assert (LENGTH.figure(0.02, "mm").value, LENGTH.unit("mm")) == (20, "um")
    assert (LENGTH.figure(3, "pixel").value, LENGTH.unit("pixel")) == (3, "pixel")
    missing = LENGTH.missing("no vessel", "mm")
    assert (missing.unit, missing.why_not) == ("um", "no vessel")
    assert not missing.available


@pytest.mark.parametrize(
    ("length", "unit"), [(0, ""), (1, "mm"), (2, "mm^2"), (-1, "mm^-1")]
)
def test_the_unit_follows_the_power_of_length(length, unit):
    definition = Definition("k", "K", "T", "f", "s", "b", length)
    assert definition.unit("mm") == unit
    assert definition.figure(0.5, "mm").value == 0.5


@pytest.mark.parametrize("name", ["measure", "evaluate", "agree"])
def test_every_figure_that_is_told_has_a_definition(told, name):
    assert told[name]
    assert {key for key, _ in told[name]} <= DEFINITIONS.keys()


@pytest.mark.parametrize("name", ["measure", "evaluate"])
def test_figures_have_the_unit_of_their_definition(told, name):
    for key, unit in told[name]:
        assert unit == DEFINITIONS[key].unit("mm"), key


def test_every_definition_is_of_a_figure_that_is_told(told):
    keys = {key for found in told.values() for key, _ in found}
    assert DEFINITIONS.keys() - keys == {"noc"}  # of a simulated user
