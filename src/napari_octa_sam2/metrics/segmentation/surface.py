"""Distances between the surfaces of two masks.

The surface of a mask is its voxels that have a face neighbour outside it; beyond the
edge of the array is outside. Axes of length one are left out, so that one slice is
measured in its plane.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.segmentation.overlap import ratio, require_masks

SLACK = 1e-6  # of a tolerance: one pixel may be a rounding error more than one pixel


class SurfaceDistances(NamedTuple):
    """Distance of each surface voxel to the nearest voxel of the other surface.

    Parameters
    ----------
    to_truth, to_prediction : numpy.ndarray of float
        From the voxels of the predicted surface, and of the true one; infinite where
        the other mask is empty.
    """

    to_truth: np.ndarray
    to_prediction: np.ndarray

    @property
    def available(self) -> bool:
        """Whether both masks have a surface."""
        return bool(self.to_truth.size and self.to_prediction.size)

    @property
    def hd(self) -> float:
        """Hausdorff distance: the largest of all; nan if a mask is empty."""
        return self._hausdorff(100)

    @property
    def hd95(self) -> float:
        """The larger of the two directed 95th percentiles; nan if a mask is empty."""
        return self._hausdorff(95)

    @property
    def assd(self) -> float:
        """Average symmetric surface distance: the mean of all; nan if one is empty."""
        return float(np.concatenate(self).mean()) if self.available else float("nan")

    def nsd(self, tolerance: float) -> float:
        """Return what fraction of all is within `tolerance` (surface Dice)."""
        largest = tolerance * (1 + SLACK)
        within = sum(int(np.count_nonzero(d <= largest)) for d in self)
        return ratio(within, self.to_truth.size + self.to_prediction.size, 0)

    def _hausdorff(self, percent: float) -> float:
        if not self.available:
            return float("nan")
        return max(float(np.percentile(distances, percent)) for distances in self)


def surface_distances(
    prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float]
) -> SurfaceDistances:
    """Return the distances that all figures of surfaces are made of.

    Parameters
    ----------
    prediction, truth : numpy.ndarray of bool
        Masks of equal shape, any number of dimensions.
    spacing : sequence of float
        Size of a voxel along each axis; the distances are in its unit.

    Raises
    ------
    VolumeError
        If the masks do not match, or the spacing is not positive for each axis.
    """
    require_masks(prediction, truth)
    size = _require_spacing(spacing, truth.ndim)
    predicted, real = _surface(prediction), _surface(truth)
    voxels = np.argwhere(predicted), np.argwhere(real)
    return SurfaceDistances(
        _distances(voxels[0], ~real[predicted], voxels[1], size),
        _distances(voxels[1], ~predicted[real], voxels[0], size),
    )


def hausdorff95(
    prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float]
) -> float:
    """Return the 95th percentile Hausdorff distance (HD95).

    The maximum of the two directed 95th percentiles of `surface_distances`, whose
    parameters and errors these are; nan if a mask is empty.
    """
    return surface_distances(prediction, truth, spacing).hd95


def hausdorff(
    prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float]
) -> float:
    """Return the largest distance of a surface voxel to the other surface.

    Parameters, unit and empty masks as for `hausdorff95`.
    """
    return surface_distances(prediction, truth, spacing).hd


def assd(prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float]) -> float:
    """Return the average symmetric surface distance: the mean over both surfaces.

    Parameters, unit and empty masks as for `hausdorff95`.
    """
    return surface_distances(prediction, truth, spacing).assd


def nsd(
    prediction: np.ndarray,
    truth: np.ndarray,
    spacing: Sequence[float],
    tolerance: float,
) -> float:
    """Return the normalized surface distance, or surface Dice.

    The fraction of the voxels of both surfaces that lie within `tolerance` of the
    other one (Nikolov et al., Clinically applicable segmentation of head and neck
    anatomy, J Med Internet Res 2021;23:e26151); surfaces are voxels, not areas.

    Parameters
    ----------
    prediction, truth, spacing
        As for `surface_distances`.
    tolerance : float
        In the unit of the spacing; a distance equal to it is within.

    Returns
    -------
    float
        1 if both masks are empty, 0 if only one is.

    Raises
    ------
    VolumeError
        As by `surface_distances`, or if the tolerance is negative or not finite.
    """
    require_tolerance(tolerance)
    return surface_distances(prediction, truth, spacing).nsd(tolerance)


def require_tolerance(tolerance: float) -> float:
    """Return a tolerance, or raise `VolumeError` if it is negative or not finite."""
    if not 0 <= tolerance < float("inf"):
        raise VolumeError(
            f"expected a tolerance of 0 or more, found {tolerance}; give it in the "
            "unit of the spacing"
        )
    return float(tolerance)


def _distances(
    here: np.ndarray, apart: np.ndarray, there: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Return the distance of each voxel to the nearest of others, 0 if not `apart`."""
    from scipy.spatial import cKDTree

    if not len(there):
        return np.full(len(here), np.inf)
    distances = np.zeros(len(here))
    if apart.any():
        # Vessels fill little of their bounding box: a tree over the surface voxels is
        # exact, and several times faster and smaller than distance maps of the box.
        tree = cKDTree(there * size, balanced_tree=False)
        _, nearest = tree.query(here[apart] * size)
        # From whole voxels, so that the place in the array changes no digit.
        steps = (here[apart] - there[nearest]) * size
        distances[apart] = np.sqrt((steps**2).sum(axis=1))
    return distances


def _surface(mask: np.ndarray) -> np.ndarray:
    """Return the voxels of a mask that have a face neighbour outside it."""
    inner = mask.copy()
    for axis in (axis for axis, length in enumerate(mask.shape) if length > 1):
        given, kept = np.moveaxis(mask, axis, 0), np.moveaxis(inner, axis, 0)
        kept[1:] &= given[:-1]
        kept[:-1] &= given[1:]
        kept[0] = kept[-1] = False
    return mask & ~inner if mask.size > 1 else mask


def _require_spacing(spacing: Sequence[float], dimensions: int) -> np.ndarray:
    size = np.asarray(spacing, float)
    valid = size.shape == (dimensions,) and bool(np.isfinite(size).all())
    if not valid or size.min() <= 0:
        raise VolumeError(
            f"expected {dimensions} positive spacings, one an axis, found {spacing}"
        )
    return size
