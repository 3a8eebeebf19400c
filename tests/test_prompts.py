from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.prompts import (
    Prompt,
    PromptObject,
    PromptSet,
    decode_mask,
    encode_mask,
)

DESIGN_EXAMPLE = {
    "version": 1,
    "axes": ["depth", "slow", "fast"],
    "objects": [{"id": 1, "name": "artery 1", "class": "artery"}],
    "prompts": [
        {"object": 1, "slice": 240, "points": [[120, 88], [40, 41]], "labels": [1, 0]},
        {"object": 1, "slice": 246, "box": [10, 12, 80, 90]},
        {"object": 1, "slice": 250, "absent": True},
    ],
}


def test_the_documented_file_reads_and_writes_back(tmp_path):
    file = tmp_path / "prompts.json"
    file.write_text(json.dumps(DESIGN_EXAMPLE))
    prompts = PromptSet.read(file)
    assert prompts.objects == (PromptObject(1, "artery 1", "artery"),)
    assert prompts.prompts[0].points == ((120.0, 88.0), (40.0, 41.0))
    assert prompts.prompts[1].box == (10, 12, 80, 90)
    assert prompts.prompts[2].absent
    prompts.write(file)
    assert json.loads(file.read_text()) == DESIGN_EXAMPLE
    assert PromptSet.read(file) == prompts


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_masks_survive_the_file(mask):
    prompt = Prompt(3, 7, mask=mask)
    again = Prompt.from_json(json.loads(json.dumps(prompt.to_json())))
    assert again == prompt
    np.testing.assert_array_equal(decode_mask(encode_mask(mask)), mask)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 400), st.floats(0, 400), st.integers(0, 1), st.integers(1, 4)
        ),
        min_size=1,
        max_size=6,
    )
)
def test_points_survive_the_file(points):
    prompts = PromptSet(
        prompts=tuple(
            Prompt(o, 2, ((row, col),), (label,)) for row, col, label, o in points
        )
    )
    assert PromptSet.from_json(json.loads(json.dumps(prompts.to_json()))) == prompts


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": [[1, 2]], "labels": []}, "one label a point"),
        ({"points": [[1, 2]], "labels": [2]}, "labels 0 or 1"),
        ({"points": [[1]], "labels": [1]}, "malformed prompt"),
        ({"points": [[1, float("nan")]], "labels": [1]}, "finite coordinates"),
        ({"box": [10, 10, 5, 20]}, "row0 < row1"),
        ({"box": [10, 10, 50]}, "malformed prompt"),
        ({}, "found none of them"),
        ({"absent": True, "box": [0, 0, 5, 5]}, "found several"),
        ({"absent": True, "colour": "red"}, "unknown keys"),
        ({"absent": True, "slice": 1.5}, "expected an integer"),
        ({"absent": True, "object": None}, "malformed prompt"),
        ({"absent": True, "object": 0}, "object id from 1"),
        ({"mask": {"size": [2, 2], "counts": [3]}}, "add up to 2 x 2"),
    ],
)
def test_malformed_prompts_say_what_was_expected(change, message):
    record = {"object": 1, "slice": 0} | change
    with pytest.raises(PromptError, match=message):
        PromptSet.from_json({"version": 1, "prompts": [record]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("{", "not valid JSON at line 1"),
        ("[]", "expected a JSON object"),
        ('{"prompts": []}', "expected a prompt file of version 1"),
        ('{"version": 1, "axes": ["x", "y", "z"]}', "expected axes"),
        ('{"version": 1, "objects": [{"name": "a"}]}', "malformed prompt file"),
        ('{"version": 1, "objects": [{"id": 1}, {"id": 1}]}', "more than once"),
        ('{"version": 1, "objects": [{"id": 1, "class": "nerve"}]}', "a class of RV"),
    ],
)
def test_malformed_files_name_the_file(tmp_path, text, message):
    file = tmp_path / "p.json"
    file.write_text(text)
    with pytest.raises(PromptError, match=message) as error:
        PromptSet.read(file)
    assert str(file) in str(error.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(PromptError, match="cannot read the prompt file"):
        PromptSet.read(tmp_path / "none.json")


def test_usable_prompts_need_a_positive_one_for_every_object():
    objects = (PromptObject(1), PromptObject(2, "vein"))
    seen = Prompt(1, 0, ((1.0, 1.0),), (1,))
    with pytest.raises(PromptError, match="no prompt"):
        PromptSet(objects).require_usable((3, 9, 9))
    with pytest.raises(PromptError, match=r"object 2 \(vein\) has no positive prompt"):
        PromptSet(objects, (seen, Prompt(2, 1, absent=True))).require_usable((3, 9, 9))
    negative = Prompt(2, 1, ((1.0, 1.0),), (0,))
    with pytest.raises(PromptError, match="has no positive prompt"):
        PromptSet(objects, (seen, negative)).require_usable((3, 9, 9))
    PromptSet(objects[:1], (seen,)).require_usable((3, 9, 9))


def test_a_whole_class_is_a_prompt_of_its_own(tmp_path):
    given = PromptSet(
        (PromptObject(1, cls="RV"),),
        (
            Prompt(1, 3, whole="RV"),
            Prompt(1, 3, ((2.0, 5.0),), (0,)),
            Prompt(1, 4, box=(0, 0, 9, 9), whole="FAZ"),
        ),
    )
    given.write(tmp_path / "prompts.json")
    assert PromptSet.read(tmp_path / "prompts.json") == given
    assert given.prompts[0].positive
    assert Prompt(1, 3, whole="RV") != Prompt(1, 3, whole="vein")
    with pytest.raises(PromptError, match="expected a class of RV, artery"):
        Prompt(1, 3, whole="other")
    with pytest.raises(PromptError, match="found several"):
        Prompt(1, 3, whole="RV", absent=True)
