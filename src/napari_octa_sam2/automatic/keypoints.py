"""Where vessels end, fork and cross, and the middle of each stretch between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.biomarkers.tracing import Traces, trace


@dataclass(frozen=True, eq=False)
class KeyPoints:
    """Pixels of the centre lines, each shape ``(n, 2)`` as (row, col), in row order.

    Parameters
    ----------
    ends : numpy.ndarray of int
        Where a vessel ends; one that the edge of the image cuts ends there, too.
    bifurcations : numpy.ndarray of int
        Where three branches meet.
    intersections : numpy.ndarray of int
        Where four or more branches meet: vessels cross.
    midpoints : numpy.ndarray of int
        Half-way along each branch, loops included.
    """

    ends: np.ndarray
    bifurcations: np.ndarray
    intersections: np.ndarray
    midpoints: np.ndarray

    @property
    def all(self) -> np.ndarray:
        """Ends, bifurcations and intersections."""
        return np.concatenate([self.ends, self.bifurcations, self.intersections])


def key_points(mask: np.ndarray) -> KeyPoints:
    """Return the key points of a mask's centre lines.

    Spurs are pruned, and junctions nearer to each other than the vessel is wide are
    one, at the pixel of the centre line next to their mean: a skeleton forks twice
    where vessels cross. So two forks that are as near are one crossing.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Shape ``(slow, fast)``.

    Raises
    ------
    VolumeError
        If the mask has another number of axes.
    """
    from skimage.morphology import thin

    mask = np.asarray(mask, bool)
    if mask.ndim != 2:
        raise VolumeError(
            f"expected a mask of shape (slow, fast), found {mask.shape}; take one slice"
        )
    # Zhang's and Suen's skeleton shrinks diagonal vessels of even width to a point
    traces = trace(thin(mask), mask, np.ones(2))
    junctions, meeting = _junctions(traces)
    return KeyPoints(
        ends=_in_order(traces.voxels[traces.degrees == 1]),
        bifurcations=_in_order(junctions[meeting == 3]),
        intersections=_in_order(junctions[meeting > 3]),
        midpoints=_in_order(traces.voxels[_half_way(traces)]),
    )


def _junctions(traces: Traces) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixel of each junction, and how many branches meet there."""
    from scipy.spatial import KDTree

    count = int(traces.junctions.max(initial=-1)) + 1
    if not count:
        return np.empty((0, 2), int), np.empty(0, int)
    touched = traces.junctions[np.concatenate([traces.first, traces.last])]
    meeting = np.bincount(touched[touched >= 0], minlength=count)
    within = np.flatnonzero(traces.junctions >= 0)
    hub = traces.junctions[within]
    sums = [np.bincount(hub, axis, count) for axis in traces.voxels[within].T]
    centres = np.stack(sums, axis=1) / np.bincount(hub, minlength=count)[:, None]
    _, nearest = KDTree(traces.voxels).query(centres)
    return traces.voxels[nearest], meeting


def _half_way(traces: Traces) -> np.ndarray:
    """Return the row of `traces.voxels` in the middle of each branch."""
    middles = []
    for start, stop in zip(traces.starts[:-1], traces.starts[1:], strict=True):
        chain = traces.chains[start:stop]
        steps = np.linalg.norm(np.diff(traces.voxels[chain], axis=0), axis=1)
        along = np.concatenate([[0.0], np.cumsum(steps)])
        middles.append(chain[np.abs(along - along[-1] / 2).argmin()])
    return np.array(middles, int)


def _in_order(pixels: np.ndarray) -> np.ndarray:
    ordered: np.ndarray = np.unique(pixels.astype(int), axis=0)
    return ordered
