from __future__ import annotations

import numpy as np

from napari_octa_sam2.prompts import Prompt, PromptSet, Scribble


def click(object_id, index, *points, label=1):
    return Prompt(object_id, index, points, (label,) * len(points))


def given(*prompts, suppress=True):
    return PromptSet(prompts=prompts, suppress=suppress).by_slice()


def test_objects_are_kept_from_the_clicks_of_others():
    first, second = click(1, 4, (5, 5), (6, 6)), click(2, 4, (20, 20))
    line = Prompt(3, 4, scribbles=(Scribble(((30, 10), (30, 26))),))
    groups = given(first, second, line)
    along = (30, 18), (30, 10), (30, 26)
    assert groups[1, 4] == [
        first,
        click(1, 4, (20, 20), along[1], along[0], along[2], label=0),
    ]
    assert groups[2, 4] == [
        second,
        click(2, 4, along[0], along[2], along[1], (6, 6), (5, 5), label=0),
    ]
    assert groups[3, 4][1].labels == (0, 0, 0)


def test_without_it_nothing_is_added():
    prompts = click(1, 4, (5, 5)), click(2, 4, (20, 20))
    assert given(*prompts, suppress=False) == {
        (1, 4): [prompts[0]],
        (2, 4): [prompts[1]],
    }


def test_other_slices_and_negative_clicks_are_no_objection():
    prompts = (
        click(1, 4, (5, 5)),
        click(2, 5, (20, 20)),
        click(3, 4, (9, 9), label=0),
        Prompt(4, 4, box=(1, 1, 9, 9)),
    )
    groups = given(*prompts)
    assert groups[1, 4] == [prompts[0]]
    assert groups[2, 5] == [prompts[1]]
    assert groups[3, 4] == [prompts[2], click(3, 4, (5, 5), label=0)]
    assert groups[4, 4] == [prompts[3], click(4, 4, (5, 5), label=0)]


def test_what_is_clicked_for_both_is_kept():
    shared = given(click(1, 0, (5, 5)), click(2, 0, (5.4, 5.4), (9, 9)))
    assert shared[1, 0][1:] == [click(1, 0, (9, 9), label=0)]
    assert shared[2, 0][1:] == []


def test_given_masks_absence_and_whole_classes_stand():
    other = click(2, 0, (20, 20))
    first = click(1, 0, (5, 5))
    for last in (
        Prompt(1, 0, absent=True),
        Prompt(1, 0, mask=np.eye(9, dtype=bool)),
        Prompt(1, 0, polygon=((0, 0), (0, 9), (9, 0))),
    ):
        assert given(last, other)[1, 0] == [last]
        assert given(first, last, other)[1, 0] == [first, last]
        refined = given(last, first, other)[1, 0]
        assert refined == [last, first, click(1, 0, (20, 20), label=0)]
    whole = Prompt(1, 0, whole="RV")
    assert given(whole, other)[1, 0] == [whole]


def test_the_nearest_sixteen_in_one_order():
    others = [click(2 + i % 3, 0, (5, 10.0 + 2 * i)) for i in range(40)]
    own = click(1, 0, (5, 5))
    added = given(own, *others)[1, 0][1]
    assert added.points == tuple((5, 10.0 + 2 * i) for i in range(16))
    assert given(own, *others[::-1])[1, 0][1] == added
