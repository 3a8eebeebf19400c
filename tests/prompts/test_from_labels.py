from __future__ import annotations

import numpy as np
import pytest

from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.prompts import Prompt, centre_line_prompt, mask_prompts

ROWS, COLS = np.indices((120, 140))


def tube(angle, width, length=100):
    """Return a straight tube and the distance of pixels from its axis."""
    across = (ROWS - 60) * np.cos(angle) - (COLS - 70) * np.sin(angle)
    along = (ROWS - 60) * np.sin(angle) + (COLS - 70) * np.cos(angle)
    return (abs(across) <= width / 2) & (abs(along) <= length / 2), across, along


@pytest.mark.parametrize("width", [1.5, 3, 5, 9])
@pytest.mark.parametrize("angle", [0, 0.3, 0.8, 1.2])
def test_points_lie_on_the_axis_of_a_tube(angle, width):
    mask, across, along = tube(angle, width)
    prompt = centre_line_prompt(mask, 3, 7)
    assert (prompt.object, prompt.slice) == (3, 7)
    assert prompt.labels == (1,) * len(prompt.points)
    at = tuple(np.array(prompt.points, int).T)
    assert abs(across[at]).max() <= 1
    positions = np.sort(along[at])
    assert positions[0] < -49 + width
    assert positions[-1] > 49 - width
    gaps = np.diff(positions)
    assert gaps.min() > 0
    assert gaps.max() < 15
    assert 8 <= len(at[0]) <= 16
    assert centre_line_prompt(mask, 3, 7) == prompt


def test_every_branch_of_a_vessel_is_reached():
    mask = tube(0, 4)[0] | tube(np.pi / 2, 4)[0]
    points = np.array(centre_line_prompt(mask, 1, 0).points)
    for end in ((60, 22), (60, 118), (12, 70), (108, 70)):
        assert np.hypot(*(points - end).T).min() < 5


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 3), (3, 3), (7, 7)])
def test_a_small_blob_has_one_point_inside(shape):
    mask = np.zeros((20, 20), bool)
    mask[5 : 5 + shape[0], 5 : 5 + shape[1]] = True
    ((row, col),) = centre_line_prompt(mask, 1, 0).points
    assert mask[int(row), int(col)]


def test_nothing_has_no_centre_line():
    with pytest.raises(PromptError, match=r"object 4, slice 2: the mask is empty"):
        centre_line_prompt(np.zeros((9, 9), bool), 4, 2)
    with pytest.raises(PromptError, match=r"shape \(slow, fast\), found \(2, 9, 9\)"):
        centre_line_prompt(np.ones((2, 9, 9), bool), 4, 2)


@pytest.fixture
def labels():
    labels = np.zeros((4, 6, 8), np.uint16)
    labels[0, :2] = 5
    labels[2, 3:] = 5
    labels[2, 0] = 900
    return labels


def test_masks_of_labels(labels):
    assert mask_prompts(labels) == (
        Prompt(5, 0, mask=labels[0] == 5),
        Prompt(5, 2, mask=labels[2] == 5),
        Prompt(900, 2, mask=labels[2] == 900),
    )


def test_masks_of_some_objects_and_slices(labels):
    found = mask_prompts(labels, ids=[900, 4])
    assert [(p.object, p.slice) for p in found] == [(900, 2)]
    found = mask_prompts(labels, slices=[3, 2])
    assert [(p.object, p.slice) for p in found] == [(5, 2), (900, 2)]


def test_masks_of_what_is_no_volume(labels):
    with pytest.raises(PromptError, match=r"found \(6, 8\)"):
        mask_prompts(labels[0])
    with pytest.raises(PromptError, match=r"slices from 0 to 3 .* found 4"):
        mask_prompts(labels, slices=[4])
