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
) -> Mesh:
    """Return a capillary mesh with loops about `spacing` mm wide.

    The loops are the edges of the Voronoi diagram of jittered points. At distances
    ``d1 <= d2`` from the two nearest points, which are ``d12`` apart, the edge
    between them lies ``(d2**2 - d1**2) / (2 * d12)`` away. The mesh ends in an arcade
    `retreat` mm outside the FAZ.
    """
    side = float(axis[-1])
    bend = 0.4 * spacing
    y = axis[:, None] + bend * SmoothField(rng, side, 1.1 * spacing).on_grid(axis)
    x = axis[None] + bend * SmoothField(rng, side, 1.1 * spacing).on_grid(axis)
    first, second, gap, pair = _two_nearest(rng, y / spacing, x / spacing)
    distance = spacing * (second - first) / (2 * np.maximum(gap, 1e-3))
    luck = _hash(pair)
    distance[luck < 0.12] = np.inf
    beyond = rim.beyond(axis[:, None], axis[None]) - retreat
    ring = np.abs(beyond - 0.012)
    gain = np.where(ring < distance, 0.6, 0.3 + 0.7 * luck)
    distance = np.where(beyond > 0, np.minimum(distance, ring), np.inf)
    return Mesh(distance.astype(np.float32), gain.astype(np.float32))


def _two_nearest(
    rng: np.random.Generator, y: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find the two nearest points, where each unit cell holds one.

    Returns their squared distances, how far they are apart, and a number that names
    the pair.
    """
    row, col = np.floor(y).astype(int), np.floor(x).astype(int)
    row0, col0 = int(row.min()) - 1, int(col.min()) - 1
    shape = (int(row.max()) - row0 + 2, int(col.max()) - col0 + 2)
    jitter = rng.uniform(0.08, 0.92, (2, *shape)).astype(np.float32)
    sites = (jitter + np.indices(shape)).reshape(2, -1)
    y, x = (y - row0).astype(np.float32), (x - col0).astype(np.float32)
    home = (row - row0) * shape[1] + (col - col0)
    first = np.full(y.shape, np.inf, np.float32)
    second, near, next_ = first.copy(), home.copy(), home.copy()
    for dr in (-1, 0, 1):
        for dc in (-1, 0, 1):
            site = home + (dr * shape[1] + dc)
            d = (y - sites[0][site]) ** 2 + (x - sites[1][site]) ** 2
            closer = d < first
            between = ~closer & (d < second)
            second = np.where(closer, first, np.where(between, d, second))
            next_ = np.where(closer, near, np.where(between, site, next_))
            first, near = np.where(closer, d, first), np.where(closer, site, near)
    gap = np.hypot(*(sites[:, near] - sites[:, next_]))
    pair = np.minimum(near, next_) * 1009 + np.maximum(near, next_)
    return first, second, gap, pair


def _hash(number: np.ndarray) -> np.ndarray:
    """Return a number from 0 to 1 that depends on `number` alone."""
    return np.asarray((np.sin(number * 12.9898) * 43758.5453) % 1.0)
