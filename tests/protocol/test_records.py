from __future__ import annotations

import math

import numpy as np
import pytest

from napari_octa_sam2.protocol.records import Figure, Sample, Target, TaskReport

VALUES = (0.9, 0.5, 0.8, 0.95)


def report(**changes):
    samples = tuple(
        Sample(name, {"dice": value}, {0: value, 3: value / 2})
        for name, value in zip("abcd", VALUES, strict=True)
    )
    arguments = {
        "name": "task",
        "split": "val",
        "title": "a task",
        "prompts": "clicks",
        "judged": ("dice",),
        "targets": {"dice": Target(0.78)},
        "available": 4,
        "measured": 4,
        "samples": samples,
    }
    return TaskReport(**arguments | changes)


def test_a_figure_describes_its_values():
    figure = Figure("dice", tuple("abcd"), VALUES)
    assert figure.mean == pytest.approx(np.mean(VALUES))
    assert figure.sd == pytest.approx(np.std(VALUES, ddof=1))
    assert figure.median == pytest.approx(0.85)
    assert figure.extreme(lowest=True) == (0.5, "b")
    assert figure.extreme(lowest=False) == (0.95, "d")


def test_values_that_are_not_there_do_not_count():
    figure = Figure("area", ("a", "b"), (math.nan, 4.0))
    assert figure.to_json() == {
        "figure": "area",
        "n": 1,
        "mean": 4.0,
        "sd": None,
        "median": 4.0,
        "min": 4.0,
        "min_sample": "b",
        "max": 4.0,
        "max_sample": "b",
    }
    empty = Figure("area", ("a",), (math.nan,)).to_json()
    assert (empty["n"], empty["mean"], empty["min"]) == (0, None, None)


def test_slices_are_pooled_as_well():
    by_object, by_slice = report().figures()
    assert by_object.mean == pytest.approx(0.7875)
    assert by_slice.mean == pytest.approx(0.75 * 0.7875)
    assert by_slice.extreme(lowest=True) == (0.25, "b slice 3")


def test_a_target_is_of_the_mean_of_all_samples():
    def met(value, at_most=False, **changes):
        target = Target(value, at_most)
        task = report(targets={"dice": target}, **changes)
        return task.met(task.figure("dice"))

    assert met(0.7875) is True
    assert met(0.79) is False
    assert met(0.79, at_most=True) is True
    assert met(0.7, at_most=True) is False
    assert met(0.5, available=5) is None
    assert report().met(Figure("dice", (), ())) is None
    assert Target(0.5).met(math.nan) is False
    assert (str(Target(0.9)), str(Target(60, at_most=True))) == (">= 0.9", "<= 60")
