"""Capillary plexuses: closed meshes of Voronoi edges, bent by smooth noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.volume.phantom.retina import Rim, SmoothField


@dataclass(frozen=True, eq=False)
class Mesh:
    """A plexus in the plane.

    Parameters
    ----------
    distance : numpy.ndarray
        Distance of each pixel to the nearest capillary, in mm, before bending;
        infinite where there is none.
    gain : numpy.ndarray
        Relative flow of that capillary, 0 to 1.
    """

    distance: np.ndarray
    gain: np.ndarray


def draw_mesh(
    rng: np.random.Generator,
    axis: np.ndarray,
    spacing: float,
    rim: Rim,
    retreat: float = 0.0,
    widen: float = 0.0,
) -> Mesh:
    """Return a capillary mesh with loops about `spacing` mm wide.

    The loops are the edges of the Voronoi diagram of jittered points. At distances
    ``d1 <= d2`` from the two nearest points, which are ``d12`` apart, the edge
    between them lies ``(d2**2 - d1**2) / (2 * d12)`` away. The mesh ends in an arcade
    `retreat` mm outside the FAZ, where loops are wider by the factor ``1 + widen``.
    """
    side = float(axis[-1])
    y, x = axis[:, None] - rim.centre[0], axis[None] - rim.centre[1]
    reach = rim.radius + 0.15
    zoom = 1 - widen / (1 + widen) * np.exp(-(y**2 + x**2) / (2 * reach**2))
    y, x = y * zoom, x * zoom
    # The wide waves stretch loops here and there, the narrow ones bend their sides.
    for scale, bend in ((5.0, 1.3), (1.1, 0.4)):
        dy, dx = (SmoothField(rng, side, scale * spacing).on_grid(axis) for _ in "yx")
        y, x = y + bend * spacing * dy, x + bend * spacing * dx
    first, second, gap, pair = _two_nearest(rng, y / spacing, x / spacing)
    distance = spacing * (second - first) / (2 * np.maximum(gap, 1e-3))
    luck = _hash(pair)
    distance[luck < 0.16] = np.inf
    beyond = rim.beyond(axis[:, None], axis[None]) - retreat
    ring = np.abs(beyond - 0.012)
    arcade = 0.4 + 0.25 * SmoothField(rng, side, 0.15).on_grid(axis)
    gain = np.where(ring < distance, np.clip(arcade, 0, 0.9), 0.3 + 0.7 * luck)
    distance = np.where(beyond > 0, np.minimum(distance, ring), np.inf)
    return Mesh(distance.astype(np.float32), gain.astype(np.float32))


def _two_nearest(
    rng: np.random.Generator, y: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find the two nearest points, where each unit cell holds one.

    Returns their squared distances, how far they are apart, and a number that names
    the pair.
    """
    y, x = y.astype(np.float32), x.astype(np.float32)
    y, x = y - (np.floor(y.min()) - 1), x - (np.floor(x.min()) - 1)
    row, col = y.astype(np.int32), x.astype(np.int32)
    shape = (int(row.max()) + 2, int(col.max()) + 2)
    jitter = rng.uniform(0.08, 0.92, (2, *shape)).astype(np.float32)
    rows, cols = (jitter + np.indices(shape, np.float32)).reshape(2, -1)
    home = row * np.int32(shape[1]) + col
    first = np.full(y.shape, np.inf, np.float32)
    second, near, next_ = first.copy(), home.copy(), home.copy()
    for down in (0, -1, 1):
        for right in (0, -1, 1):
            site = home + np.int32(down * shape[1] + right)
            d = (y - rows.take(site)) ** 2 + (x - cols.take(site)) ** 2
            closer, between = d < first, d < second
            np.copyto(second, d, where=between)
            np.copyto(next_, site, where=between)
            np.copyto(second, first, where=closer)
            np.copyto(next_, near, where=closer)
            np.copyto(first, d, where=closer)
            np.copyto(near, site, where=closer)
    gap = np.hypot(
        rows.take(near) - rows.take(next_), cols.take(near) - cols.take(next_)
    )
    low, high = np.minimum(near, next_), np.maximum(near, next_)
    return first, second, gap, low.astype(np.int64) * 1009 + high


def _hash(number: np.ndarray) -> np.ndarray:
    """Return a number from 0 to 1 that depends on `number` alone."""
    return np.asarray((np.sin(number * 12.9898) * 43758.5453) % 1.0)
