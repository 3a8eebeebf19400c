"""Centre lines of vessels: where they run, how long they are, where they branch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.biomarkers.diameter import local_diameters
from napari_octa_sam2.metrics.biomarkers.smoothing import (
    WAVELENGTH,
    curvature,
    smoothed,
)
from napari_octa_sam2.metrics.biomarkers.tips import with_tips
from napari_octa_sam2.metrics.biomarkers.tracing import Traces, chain_lengths, trace


@dataclass(frozen=True, eq=False)
class Branches:
    """Centre lines between ends and junctions, one entry a branch.

    Parameters
    ----------
    length, chord : numpy.ndarray
        Along the smoothed centre line, and straight between its ends, in the unit of
        the spacing.
    points : numpy.ndarray of int
        Number of voxels, with both ends.
    turning : numpy.ndarray
        Sum of the angles by which the centre line turns, in radians.
    is_loop, has_end : numpy.ndarray of bool
        Whether it returns to where it began; whether it ends freely.
    """

    length: np.ndarray
    chord: np.ndarray
    points: np.ndarray
    turning: np.ndarray
    is_loop: np.ndarray
    has_end: np.ndarray


@dataclass(frozen=True, eq=False)
class Network:
    """The centre lines of a mask.

    Parameters
    ----------
    shape : tuple of int
        Of the mask.
    spacing : tuple of float
        Size of a voxel along each axis.
    points : numpy.ndarray
        Shape ``(n, ndim)``, in voxels: midpoints of the steps of all centre lines.
    lengths, diameters : numpy.ndarray
        Shape ``(n,)``: of each step, and of the vessel around it, in the unit of the
        spacing.
    branch : numpy.ndarray of int
        Shape ``(n,)``: index of the step's branch.
    branches : Branches
    junctions, ends : numpy.ndarray
        Shape ``(number, ndim)``, in voxels.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    points: np.ndarray
    lengths: np.ndarray
    diameters: np.ndarray
    branch: np.ndarray
    branches: Branches
    junctions: np.ndarray
    ends: np.ndarray

    @property
    def length(self) -> float:
        """Length of all centre lines."""
        return float(self.lengths.sum())


def vessel_network(
    mask: np.ndarray, spacing: Sequence[float], *, skeleton: np.ndarray | None = None
) -> Network:
    """Return the centre lines of a mask as a network of branches.

    The skeleton's spurs are pruned, its junctions merged, and the chain of voxels of
    each branch is smoothed over 12 voxels of the coarsest axis before it is measured:
    the chain itself is up to 8 % too long in oblique directions. Free ends, which
    thinning shortens, are carried on to the wall.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Shape ``(rows, cols)`` or ``(depth, slow, fast)``.
    spacing : sequence of float
        Size of a voxel along each axis; may differ between axes.
    skeleton : numpy.ndarray of bool, optional
        Centre line of the mask, one voxel wide, where it is at hand.

    Raises
    ------
    VolumeError
        If the mask has neither two nor three dimensions, the spacing is not positive
        for each axis, or the skeleton is of another shape.
    """
    mask = np.asarray(mask, bool)
    size = _require_spacing(mask, spacing)
    lines = _centre_line(mask) if skeleton is None else np.asarray(skeleton, bool)
    if lines.shape != mask.shape:
        raise VolumeError(
            f"expected a skeleton of the mask's shape {mask.shape}, found {lines.shape}"
        )
    traces = trace(lines, mask, size)
    junctions = _centres(traces)
    curve, starts = _curve(traces, junctions, mask, size)
    branch = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    within = branch[1:] == branch[:-1]
    steps = np.diff(curve, axis=0)[within]
    points = ((curve[1:] + curve[:-1]) / 2)[within] / size
    lengths = np.linalg.norm(steps, axis=1)
    real = lengths > 0
    # in the middle of diagonal steps the interpolated mask is always at its thinnest
    beside = points[real] + 0.25 * steps[real] / size
    return Network(
        shape=mask.shape,
        spacing=tuple(size.tolist()),
        points=points[real],
        lengths=lengths[real],
        diameters=local_diameters(mask, beside, steps[real], size),
        branch=branch[1:][within][real],
        branches=_branches(traces, curve, starts),
        junctions=junctions,
        ends=traces.voxels[traces.degrees == 1].astype(float),
    )


def _require_spacing(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    if mask.ndim not in (2, 3):
        raise VolumeError(f"expected a 2-D or 3-D mask, found shape {mask.shape}")
    size = np.asarray(spacing, float)
    valid = size.shape == (mask.ndim,) and bool(np.isfinite(size).all())
    if not valid or size.min() <= 0:
        raise VolumeError(
            f"expected {mask.ndim} positive spacings, one an axis, found {spacing}"
        )
    return size


def _centre_line(mask: np.ndarray) -> np.ndarray:
    """Thin a mask; in the plane by a method that keeps oblique vessels' ends."""
    from skimage.morphology import thin

    from napari_octa_sam2.metrics.segmentation.skeleton import skeletonize

    # that of Zhang and Suen shrinks diagonal vessels of even width to a point
    lines: np.ndarray = thin(mask) if mask.ndim == 2 else skeletonize(mask)
    return lines


def _centres(traces: Traces) -> np.ndarray:
    """Return the mean of the voxels of each junction."""
    here = np.flatnonzero(traces.junctions >= 0)
    labels = traces.junctions[here]
    counts = np.bincount(labels)
    axes = [np.bincount(labels, axis) / counts for axis in traces.voxels[here].T]
    return np.stack(axes, axis=1)


def _curve(
    traces: Traces, junctions: np.ndarray, mask: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the smoothed chains, from junction to junction or to the wall."""
    chain = traces.voxels[traces.chains].astype(float)
    at_junction = traces.junctions[traces.chains]
    moved = at_junction >= 0
    chain[moved] = junctions[at_junction[moved]]
    curve = smoothed(chain * size, traces.starts, WAVELENGTH * float(size.max()))
    free = traces.degrees[traces.first] == 1, traces.degrees[traces.last] == 1
    return with_tips(curve, traces.starts, *free, mask, size)


def _branches(traces: Traces, curve: np.ndarray, starts: np.ndarray) -> Branches:
    hubs = traces.junctions[traces.first], traces.junctions[traces.last]
    is_loop = (traces.first == traces.last) | ((hubs[0] == hubs[1]) & (hubs[0] >= 0))
    length = chain_lengths(curve, starts)
    has_end = (traces.degrees[traces.first] == 1) | (traces.degrees[traces.last] == 1)
    return Branches(
        length=length,
        chord=np.linalg.norm(curve[starts[1:] - 1] - curve[starts[:-1]], axis=1),
        points=np.diff(traces.starts),
        turning=length * curvature(curve, starts),
        is_loop=is_loop,
        has_end=has_end,
    )
