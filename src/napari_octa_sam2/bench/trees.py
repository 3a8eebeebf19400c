"""A label volume of vessel trees, and a prediction that errs in known ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from napari_octa_sam2.volume.geometry import ScanGeometry

FIELD_MM = (2.0, 6.0, 6.0)
SHAPE = (640, 400, 400)  # OCTA-500 at 6 mm
OBJECTS = 10
BRANCHES = 4
HOLES = 60
CLASSES = {i: "artery" if i % 2 else "vein" for i in range(1, OBJECTS + 2)}
BAND_MM, BELOW_MM = (0.4, 1.2), 1.6  # depths of the trees, and of the false object
TRUNK_MM, BRANCH_MM, HOLE_MM = (0.07, 0.045), (0.045, 0.025), 0.05  # radii
TURN = 0.8  # radian that a vessel turns on a millimetre


class Scan(NamedTuple):
    """Labels to be judged beside the true ones, uint8 ``(depth, slow, fast)``."""

    truth: np.ndarray
    prediction: np.ndarray
    geometry: ScanGeometry


class Tube(NamedTuple):
    """A vessel as balls: centres ``(n, 3)`` and radii ``(n,)``, both in mm."""

    centres: np.ndarray
    radii: np.ndarray


def make_scan(slices: int, seed: int) -> Scan:
    """Return `OBJECTS` trees in a field of 2 x 6 x 6 mm, and their prediction.

    The prediction is the truth moved by a voxel along the fast axis, with `HOLES`
    holes, and with one object more, far from all others.

    Parameters
    ----------
    slices : int
        Depth; rows and columns are in the proportion of `SHAPE`.
    seed : int
        Of courses and holes.
    """
    rng = np.random.default_rng(seed)
    side = round(slices * SHAPE[1] / SHAPE[0])
    geometry = ScanGeometry.from_field_of_view((slices, side, side), FIELD_MM)
    spacing = np.array(geometry.spacing)
    truth = np.zeros((slices, side, side), np.uint8)
    centres = []
    for number in range(1, OBJECTS + 1):
        for tube in _tree(rng, 2 * np.pi * number / OBJECTS, spacing[1]):
            _draw(truth, tube, number, spacing)
            centres.append(tube.centres)
    prediction = np.zeros_like(truth)
    prediction[..., 1:] = truth[..., :-1]
    holes = rng.choice(np.concatenate(centres), HOLES)
    _draw(prediction, Tube(holes, np.full(HOLES, HOLE_MM)), 0, spacing)
    start = np.array([BELOW_MM, 3.0, 0.5])
    false = _tube(rng, start, np.pi / 2, 4.0, TRUNK_MM, spacing[1])
    false.centres[:, 0] = BELOW_MM
    _draw(prediction, false, OBJECTS + 1, spacing)
    return Scan(truth, prediction, geometry)


def _tree(rng: np.random.Generator, angle: float, step: float) -> Iterator[Tube]:
    """Yield a trunk from the border towards the middle, and its branches."""
    middle = np.array(FIELD_MM[1:]) / 2
    outwards = np.array([np.cos(angle), np.sin(angle)])
    border = middle * (1 + 0.98 * outwards / abs(outwards).max())
    start = np.array([rng.uniform(*BAND_MM), *border])
    trunk = _tube(rng, start, angle + np.pi, 3.5, TRUNK_MM, step)
    yield trunk
    for place in rng.uniform(0.1, 0.9, BRANCHES):
        fork = trunk.centres[int(place * len(trunk.centres))]
        turned = angle + np.pi + rng.choice([-1, 1]) * rng.uniform(0.5, 1.1)
        yield _tube(rng, fork, turned, rng.uniform(1.2, 2.2), BRANCH_MM, step)


def _tube(
    rng: np.random.Generator,
    start: np.ndarray,
    heading: float,
    length: float,
    radii: tuple[float, float],
    step: float,
) -> Tube:
    """Return a smooth random walk that ends where it would leave the field."""
    count = max(2, round(length / step))
    turns = rng.normal(0, TURN * np.sqrt(step), (2, count)).cumsum(1)
    dips, headings = turns[0] / 4, heading + turns[1]
    steps = np.stack([np.sin(dips), np.cos(headings), np.sin(headings)], 1)
    centres = start + step * (steps.cumsum(0) - steps[0])
    centres[:, 0] = centres[:, 0].clip(*BAND_MM)
    inside = ((centres[:, 1:] >= 0) & (centres[:, 1:] < FIELD_MM[1:])).all(1)
    kept = count if inside.all() else max(1, int(inside.argmin()))
    return Tube(centres[:kept], np.linspace(*radii, count)[:kept])


def _draw(labels: np.ndarray, tube: Tube, value: int, spacing: np.ndarray) -> None:
    """Set the balls of a tube, none thinner than the grid can hold together."""
    shape = np.array(labels.shape)
    radii = tube.radii.clip(spacing.max())
    for centre, radius in zip(tube.centres, radii, strict=True):
        low = np.ceil((centre - radius) / spacing).clip(0).astype(int)
        high = np.minimum(np.floor((centre + radius) / spacing).astype(int) + 1, shape)
        z, y, x = (
            (np.arange(*ends) * size - middle) ** 2
            for *ends, size, middle in zip(low, high, spacing, centre, strict=True)
        )
        ball = z[:, None, None] + y[:, None] + x <= radius**2
        labels[tuple(map(slice, low, high))][ball] = value
