"""What a shape of napari means as a prompt: its type tells the kind.

A rectangle is a box, a path or a line is a scribble, a polygon or an ellipse is the
outline of the object.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_octa_sam2.prompts import Prompt, Scribble

RECTANGLE, PATH, POLYGON = "rectangle", "path", "polygon"
OUTLINES = (POLYGON, "ellipse")
LINES = (PATH, "line")
# What a drawing mode makes. Until it is finished, an outline is a path as well.
MADE_BY = {
    "add_rectangle": RECTANGLE,
    "add_ellipse": "ellipse",
    "add_line": "line",
    "add_path": PATH,
    "add_polyline": PATH,
    "add_polygon": POLYGON,
    "add_polygon_lasso": POLYGON,
}
ELLIPSE_VERTICES = 48

Vertex = tuple[float, float]
Box = tuple[float, float, float, float]


def corners(box: Box) -> tuple[Vertex, ...]:
    """Return the corners of a box, as a rectangle has them."""
    row0, col0, row1, col1 = box
    return (row0, col0), (row0, col1), (row1, col1), (row1, col0)


def drawn_shapes(prompt: Prompt) -> list[tuple[str, Sequence[Vertex], int]]:
    """Return shape type, vertices and label (1, 0) of each shape of a prompt."""
    found: list[tuple[str, Sequence[Vertex], int]] = []
    if prompt.box is not None:
        found.append((RECTANGLE, corners(prompt.box), 1))
    found += [(PATH, s.path, s.label) for s in prompt.scribbles]
    if prompt.polygon is not None:
        found.append((POLYGON, prompt.polygon, 1))
    return found


def as_box(vertices: np.ndarray) -> Box | None:
    """Return the box around vertices ``(n, 2)``, if it has an extent."""
    row0, col0 = _exact(vertices.min(0))
    row1, col1 = _exact(vertices.max(0))
    return (row0, col0, row1, col1) if row0 < row1 and col0 < col1 else None


def as_scribble(
    vertices: np.ndarray, label: int, size: tuple[int, int]
) -> Scribble | None:
    """Return the scribble along vertices ``(n, 2)``, if it is a line.

    A line that leaves the image of `size` pixels is brought back to its border; one
    that never was inside stays where it is, to be refused.
    """
    low, high = np.array([-0.5, -0.5]), np.array(size) - 0.5
    if ((low <= vertices) & (vertices <= high)).all(1).any():
        vertices = vertices.clip(low, high)
    path = tuple(_exact(vertex) for vertex in vertices)
    return Scribble(path, label) if len(set(path)) > 1 else None


def as_polygon(vertices: np.ndarray, shape_type: str) -> tuple[Vertex, ...] | None:
    """Return the outline with vertices ``(n, 2)``, if it encloses an area."""
    if shape_type == "ellipse":
        vertices = _ellipse(vertices)
    rows, cols = (vertices - vertices.mean(0)).T
    area = rows @ np.roll(cols, 1) - cols @ np.roll(rows, 1)
    if np.isclose(area, 0):
        return None
    return tuple(_exact(vertex) for vertex in vertices)


def _ellipse(box: np.ndarray) -> np.ndarray:
    """Return vertices on the ellipse in a rectangle of corners ``(4, 2)``."""
    first, second = (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    angles = np.linspace(0, 2 * np.pi, ELLIPSE_VERTICES, endpoint=False)[:, None]
    outline: np.ndarray = (
        box.mean(0) + np.cos(angles) * first + np.sin(angles) * second
    ).astype(box.dtype)
    return outline


def _exact(vertex: np.ndarray) -> Vertex:
    # napari holds shapes as float32; the shortest decimals are those of the file
    row, col = (float(str(np.float32(c))) for c in vertex)
    return row, col
