from __future__ import annotations

import numpy as np
import pytest

from napari_octa_sam2.prompts import Scribble, resample


def gaps(points):
    return np.hypot(*np.diff(np.array(points), axis=0).T)


@pytest.mark.parametrize(
    ("length", "count"), [(0.5, 2), (8, 2), (8.5, 3), (80, 11), (120, 16), (900, 16)]
)
def test_points_of_a_straight_line(length, count):
    direction = np.array([3, 4]) / 5
    points = resample([(2, 3), tuple((2, 3) + length * direction)])
    along = np.linspace(0, length, count)[:, None]
    np.testing.assert_allclose(points, (2, 3) + along * direction)


def test_vertices_close_together_change_nothing():
    path = [(5.0, col) for col in (1.0, 1.5, 1.5, 2.0, 30.0, 41.0)]
    np.testing.assert_allclose(resample(path), resample([(5, 1), (5, 41)]))


def test_points_of_a_circle_are_a_spacing_of_arc_apart():
    radius, turn = 12.0, 1.5 * np.pi
    angles = np.linspace(0, turn, 400)
    path = [(30 + radius * np.cos(a), 40 + radius * np.sin(a)) for a in angles]
    points = resample(path, spacing=4)
    count = int(np.ceil(radius * turn / 4)) + 1
    assert len(points) == count == 16
    chord = 2 * radius * np.sin(turn / (count - 1) / 2)
    np.testing.assert_allclose(gaps(points), chord, rtol=1e-3)
    np.testing.assert_allclose([points[0], points[-1]], [path[0], path[-1]])


def test_spacing_and_number_are_bounds():
    line = [(0, 0), (0, 100)]
    np.testing.assert_allclose(gaps(resample(line, spacing=10)), 10)
    np.testing.assert_allclose(gaps(resample(line, spacing=30)), 25)
    np.testing.assert_allclose(gaps(resample(line, spacing=10, most=5)), 25)


def test_a_corner_is_walked_around():
    points = resample([(0, 0), (0, 12), (12, 12)])
    np.testing.assert_allclose(points, [(0, 0), (0, 8), (4, 12), (12, 12)])


def test_clicks_have_the_label_of_the_line():
    assert Scribble(((1, 1), (1, 4)), 0).clicks == ((1, 1, 0), (1, 4, 0))
