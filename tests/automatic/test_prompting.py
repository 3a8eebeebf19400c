from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_cdt

from napari_octa_sam2.automatic.prompting import KINDS, prompts_of
from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.prompts import Prompt

SHAPE = (90, 120)


def bars(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Return boxes (row, col, rows, cols) as one mask."""
    mask = np.zeros(SHAPE, bool)
    for row, col, rows, cols in boxes:
        mask[row : row + rows, col : col + cols] = True
    return mask


@pytest.fixture
def labels() -> np.ndarray:
    """A cross of vessels (3), a straight one (7) and a blob in two parts (9)."""
    found = np.zeros(SHAPE, np.uint8)
    found[bars((40, 5, 5, 60), (10, 30, 70, 5))] = 3
    found[bars((5, 80, 80, 5))] = 7
    found[bars((10, 100, 15, 15), (60, 100, 11, 11))] = 9
    return found


def points(prompt: Prompt) -> list[tuple[float, float]]:
    return list(prompt.points)


def assert_near(found: Prompt, truth: list[tuple[float, float]]) -> None:
    assert len(found.points) == len(truth)
    for point in truth:
        gaps = np.hypot(*(np.array(found.points) - point).T)
        assert gaps.min() <= 3.5, (point, found.points)


@pytest.mark.parametrize("kind", KINDS)
def test_one_prompt_an_object(labels: np.ndarray, kind: str) -> None:
    prompts = prompts_of(labels, 17, kind=kind)
    assert [prompt.object for prompt in prompts] == [3, 7, 9]
    for prompt in prompts:
        prompt.check_inside((18, *SHAPE))
        assert prompt.slice == 17
        assert prompt.positive
        for row, col in prompt.points:
            assert labels[int(row), int(col)] == prompt.object
    assert prompts == prompts_of(labels, 17, kind=kind)


CROSS_ENDS = [(42.0, 5.0), (42.0, 64.0), (10.0, 32.0), (79.0, 32.0)]


def test_points_of_each_kind(labels: np.ndarray) -> None:
    def of(kind: str, object_id: int) -> Prompt:
        found = prompts_of(labels, 0, kind=kind)
        return next(p for p in found if p.object == object_id)

    assert_near(of("bifurcations", 3), [(42, 32)])
    assert_near(of("ends", 3), CROSS_ENDS)
    assert_near(of("key points", 3), [(42, 32), *CROSS_ENDS])
    middles = [(42, 18), (42, 48), (25, 32), (62, 32)]
    assert_near(of("midpoints", 3), middles)
    assert_near(of("bifurcations", 7), [(45, 82)])  # it has none: its middle
    assert points(of("centres", 9)) == [(17.0, 107.0), (65.0, 105.0)]
    assert of("box", 7).box == (5.0, 80.0, 84.0, 84.0)
    mask = of("mask", 9).mask
    assert mask is not None
    np.testing.assert_array_equal(mask, labels == 9)


@pytest.mark.parametrize("kind", ["midpoints", "bifurcations", "ends", "key points"])
def test_what_has_no_centre_line_has_its_deepest_pixel(kind: str) -> None:
    labels = np.zeros(SHAPE, np.int32)
    labels[50, 60] = 700
    labels[bars((10, 10, 9, 9))] = 2
    blob, dot = prompts_of(labels, 4, kind=kind)
    assert points(dot) == [(50.0, 60.0)]
    assert blob.points
    assert dot.object == 700


def test_the_points_that_are_kept_are_spread() -> None:
    comb = bars((40, 5, 5, 110), *((10, col, 30, 4) for col in range(22, 100, 12)))
    every = prompts_of(comb, 0, kind="ends", most=100)[0].points
    few = prompts_of(comb, 0, kind="ends", most=3)[0].points
    assert len(every) == 9
    assert set(few) < set(every)
    assert every[:3] == few
    apart = np.linalg.norm(np.diff(few, axis=0), axis=1)
    assert apart.min() > 45


def test_negative_points_lie_in_a_ring_on_no_object(labels: np.ndarray) -> None:
    labels[:, 88:92] = 4
    for prompt in prompts_of(labels, 0, kind="midpoints", negatives=6):
        assert prompt.labels.count(0) == 6
        away = distance_transform_cdt(labels != prompt.object, "chessboard")
        negative = [
            (int(row), int(col))
            for (row, col), sign in zip(prompt.points, prompt.labels, strict=True)
            if not sign
        ]
        assert len(set(negative)) == 6
        for at in negative:
            assert labels[at] == 0
            assert 3 < away[at] <= 9


def test_negative_points_around_a_box(labels: np.ndarray) -> None:
    prompt = prompts_of(labels, 0, kind="box", negatives=2)[1]
    assert prompt.box is not None
    assert prompt.labels == (0, 0)


def test_no_negative_point_where_there_is_no_room() -> None:
    full = np.ones((20, 20), np.uint8)
    (prompt,) = prompts_of(full, 0, kind="centres", negatives=3)
    assert prompt.labels == (1,)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((7, 3, 1, 5), (6.5, 3.0, 7.5, 7.0)),
        ((7, 3, 4, 1), (7.0, 2.5, 10.0, 3.5)),
        ((0, 0, 1, 1), (-0.5, -0.5, 0.5, 0.5)),
    ],
)
def test_box_of_one_row_or_column(
    box: tuple[int, int, int, int], expected: tuple[float, ...]
) -> None:
    (prompt,) = prompts_of(bars(box), 0, kind="box")
    assert prompt.box == expected
    prompt.check_inside((1, *SHAPE))


def test_no_objects_no_prompts() -> None:
    assert prompts_of(np.zeros(SHAPE, np.uint16), 0, kind="midpoints") == ()


def test_what_cannot_be() -> None:
    labels = np.ones(SHAPE, np.uint8)
    with pytest.raises(PromptError, match=r"found uint8 of shape \(1, 90, 120\)"):
        prompts_of(labels[None], 0, kind="box")
    with pytest.raises(PromptError, match="found float64"):
        prompts_of(labels.astype(float), 0, kind="box")
    with pytest.raises(PromptError, match="found 'corners'"):
        prompts_of(labels, 0, kind="corners")
    with pytest.raises(PromptError, match="found 0 and 0"):
        prompts_of(labels, 0, kind="ends", most=0)
    with pytest.raises(PromptError, match="found 8 and -1"):
        prompts_of(labels, 0, kind="ends", negatives=-1)
    with pytest.raises(PromptError, match="no negative points beside a mask"):
        prompts_of(labels, 0, kind="mask", negatives=1)
