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
    Scribble,
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
        ({"scribbles": [{"path": [[1, 2]], "label": 1}]}, "two or more different"),
        ({"scribbles": [{"path": [[1, 2]] * 3, "label": 1}]}, "click instead"),
        ({"scribbles": [{"path": [[1, 2], [3, 4]], "label": 2}]}, "label 0 or 1"),
        ({"scribbles": [{"path": [[1, 2], [3, 1e999]], "label": 1}]}, "finite"),
        ({"scribbles": [{"path": [[1, 2], [3, 4]]}]}, "malformed prompt.*label"),
        ({"scribbles": [{"path": [], "label": 1, "w": 3}]}, r"unknown keys \['w'\]"),
        ({"scribbles": 3}, "malformed prompt"),
        ({"polygon": [[1, 2], [3, 4]]}, "three or more different vertices"),
        ({"polygon": [[1, 2], [3, 4], [1, 2]]}, "three or more different vertices"),
        ({"polygon": [[1, 2], [3, 4], [5]]}, "malformed prompt"),
        ({"polygon": [[1, 2], [3, 4], [5, float("inf")]]}, "finite coordinates"),
        ({"polygon": [[1, 2], [3, 9], [5, 6]], "absent": True}, "found several"),
        ({"polygon": [[1, 2], [3, 9], [5, 6]], "whole": "RV"}, "found several"),
        ({"absent": True, "confidence": 1.5}, "confidence from 0 to 1"),
        ({"absent": True, "confidence": float("nan")}, "confidence from 0 to 1"),
        ({"absent": True, "confidence": "much"}, "malformed prompt"),
        ({"whole": "RV", "confidence": 0.5}, "with a mask or absent"),
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
        ('{"version": 1, "objects": [{"id": 1, "locked": 1}]}', "true or false"),
        ('{"version": 1, "suppress": "no"}', "true or false, found 'no'"),
        ('{"version": 1, "locks": [[1]]}', "malformed prompt file"),
        ('{"version": 1, "locks": [[1, 2.5]]}', "expected an integer"),
        ('{"version": 1, "locks": [[1, 2]]}', "lock of object 1 on slice 2"),
        ('{"version": 1, "locks": 7}', "malformed prompt file"),
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


LINE = Scribble(((3.0, 4.0), (3.0, 20.0)))


def test_every_kind_and_what_is_locked_survive_the_file(tmp_path):
    given = PromptSet(
        (PromptObject(1, locked=True), PromptObject(2, cls="vein")),
        (
            Prompt(1, 3, ((2.0, 5.0),), (0,), scribbles=(LINE,)),
            Prompt(1, 3, scribbles=(Scribble(((1.25, 2.5), (9.0, 9.0)), 0), LINE)),
            Prompt(2, 3, polygon=((0.5, 0.5), (0.5, 9.25), (9.0, 0.5))),
            Prompt(2, 4, box=(0, 0, 9, 9), whole="FAZ", scribbles=(LINE,)),
        ),
        locks=frozenset({(2, 3), (1, 7), (1, 3)}),
        suppress=True,
    )
    given.write(tmp_path / "prompts.json")
    content = json.loads((tmp_path / "prompts.json").read_text())
    assert PromptSet.read(tmp_path / "prompts.json") == given
    assert content["locks"] == [[1, 3], [1, 7], [2, 3]]
    assert content["suppress"] is True
    assert [o.get("locked") for o in content["objects"]] == [True, None]
    assert content["prompts"][0]["scribbles"] == [
        {"path": [[3.0, 4.0], [3.0, 20.0]], "label": 1}
    ]
    assert content["prompts"][2]["polygon"] == [[0.5, 0.5], [0.5, 9.25], [9.0, 0.5]]


def test_how_sure_a_mask_is_survives_the_file(tmp_path):
    mask = np.eye(4, dtype=bool)
    given = PromptSet(
        prompts=(
            Prompt(1, 3, mask=mask, confidence=0.25),
            Prompt(1, 4, absent=True, confidence=0.0),
            Prompt(1, 5, mask=mask),
        )
    )
    given.write(tmp_path / "prompts.json")
    content = json.loads((tmp_path / "prompts.json").read_text())
    assert [p.get("confidence") for p in content["prompts"]] == [0.25, 0.0, None]
    assert PromptSet.read(tmp_path / "prompts.json") == given
    assert Prompt(1, 3, mask=mask, confidence=0.25) != Prompt(1, 3, mask=mask)


def test_scribbles_and_polygons_tell_prompts_apart():
    triangle = ((0.0, 0.0), (0.0, 9.0), (9.0, 0.0))
    kinds = {
        Prompt(1, 0, scribbles=(LINE,)),
        Prompt(1, 0, scribbles=(Scribble(LINE.path, 0),)),
        Prompt(1, 0, polygon=triangle),
        Prompt(1, 0, polygon=triangle[::-1]),
        Prompt(1, 0, polygon=triangle),
    }
    assert len(kinds) == 4


def test_a_scribble_is_positive_as_its_label_says():
    negative = Scribble(LINE.path, 0)
    assert Prompt(1, 0, scribbles=(negative, LINE)).positive
    assert not Prompt(1, 0, scribbles=(negative,)).positive
    assert Prompt(1, 0, polygon=((0, 0), (0, 9), (9, 0))).positive


def test_clicks_are_points_and_then_those_of_scribbles():
    prompt = Prompt(1, 0, ((9.0, 9.0),), (0,), scribbles=(LINE,))
    along = ((3.0, 4.0, 1), (3.0, 12.0, 1), (3.0, 20.0, 1))
    assert prompt.clicks == ((9.0, 9.0, 0), *along)
    assert Prompt(1, 0, absent=True).clicks == ()


def test_a_polygon_gives_the_pixels_whose_centres_lie_inside():
    square = ((4.5, 9.5), (4.5, 19.5), (14.5, 19.5), (14.5, 9.5))
    expected = np.zeros((30, 40), bool)
    expected[5:15, 10:20] = True
    prompt = Prompt(1, 0, polygon=square)
    np.testing.assert_array_equal(prompt.given((30, 40)), expected)
    # its long side lies between the diagonals rows + cols = 39 and 40
    triangle = ((-0.5, -0.5), (-0.5, 39.75), (39.75, -0.5))
    mask = Prompt(1, 0, polygon=triangle).given((60, 60))
    rows, cols = np.indices((60, 60))
    np.testing.assert_array_equal(mask, rows + cols < 39.25)
    assert mask.sum() == 40 * 41 / 2


def test_a_mask_is_given_and_clicks_are_not():
    mask = np.eye(5, dtype=bool)
    assert Prompt(1, 0, mask=mask).given((5, 5)) is mask
    assert Prompt(1, 0, ((1, 1),), (1,)).given((5, 5)) is None
    assert Prompt(1, 0, absent=True).given((5, 5)) is None


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (
            Prompt(1, 0, polygon=((1.1, 1.1), (1.1, 1.9), (1.9, 1.5))),
            "around one pixel centre at least .* draw it larger",
        ),
        (
            Prompt(1, 0, polygon=((50, 50), (50, 60), (60, 60))),
            "found none inside",
        ),
        (
            Prompt(1, 0, scribbles=(Scribble(((1, 1), (1, 99))),)),
            r"the scribble at \(row 1, col 99\) lies outside",
        ),
    ],
)
def test_what_is_drawn_must_lie_on_the_slice(prompt, message):
    with pytest.raises(PromptError, match=message):
        prompt.check_inside((3, 20, 20))


def test_an_outline_may_run_over_the_border():
    Prompt(1, 0, polygon=((-9, -9), (-9, 15), (15, -9))).check_inside((3, 20, 20))


def test_locks_are_of_objects_and_slices_that_are_there():
    prompts = (Prompt(2, 0, scribbles=(LINE,)),)
    assert PromptSet((), prompts, frozenset({(2, 5)})).locks == {(2, 5)}
    with pytest.raises(PromptError, match=r"lock of object 1 on slice 0.*\[2\]"):
        PromptSet((), prompts, frozenset({(1, 0)}))
    locked = PromptSet((), prompts, frozenset({(2, 5)}))
    locked.require_usable((6, 30, 30))
    with pytest.raises(PromptError, match="slice 5: expected a slice from 0 to 4"):
        locked.require_usable((5, 30, 30))
    with pytest.raises(PromptError, match="lock of object 2 on slice -1"):
        PromptSet((), prompts, frozenset({(2, -1)}))
