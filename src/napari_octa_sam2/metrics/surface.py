"""Distances between the surfaces of two masks.

The surface of a mask is its voxels that have a face neighbour outside it; beyond the
edge of the array is outside. Axes of length one are left out, so that one slice is
measured in its plane. Where a mask is empty there is no surface to measure from or
to, and every distance is nan, also if both are empty: report such cases by count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.overlap import require_masks


def hausdorff95(
    prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float]
) -> float:
    """Return the 95th percentile Hausdorff distance (HD95).

    The maximum of the two directed 95th percentiles of surface distances.

    Parameters
    ----------
    prediction, truth : numpy.ndarray of bool
        Masks of equal shape, any number of dimensions.
    spacing : sequence of float
        Size of a voxel along each axis; the result is in its unit.

    Returns
    -------
    float
        nan if a mask is empty.

    Raises
    ------
    VolumeError
        If the masks do not match, or the spacing is not positive for each axis.
    """
    directed = surface_distances(prediction, truth, spacing)
    return max(_percentile(distances, 95) for distances in directed)


def hausdorff(
    prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float]
) -> float:
    """Return the largest distance of a surface voxel to the other surface.

    Parameters, unit and empty masks as for `hausdorff95`.
    """
    directed = surface_distances(prediction, truth, spacing)
    return max(_percentile(distances, 100) for distances in directed)


def assd(prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float]) -> float:
    """Return the average symmetric surface distance: the mean over both surfaces.

    Parameters, unit and empty masks as for `hausdorff95`.
    """
    distances = np.concatenate(surface_distances(prediction, truth, spacing))
    return float(distances.mean()) if distances.size else float("nan")


def surface_distances(
    prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance of each surface voxel to the nearest of the other surface.

    Parameters as for `hausdorff95`.

    Returns
    -------
    to_truth, to_prediction : numpy.ndarray of float
        From the voxels of the predicted surface, and of the true one; both of
        length zero if a mask is empty.
    """
    from scipy.spatial import cKDTree

    require_masks(prediction, truth)
    size = _require_spacing(spacing, truth.ndim)
    if not (prediction.any() and truth.any()):
        return np.empty(0), np.empty(0)
    # Vessels fill little of their bounding box: a tree over the surface voxels is
    # exact, and several times faster and smaller than distance maps of the box.
    predicted = _surface_points(prediction) * size
    real = _surface_points(truth) * size
    to_truth, _ = cKDTree(real, balanced_tree=False).query(predicted)
    to_prediction, _ = cKDTree(predicted, balanced_tree=False).query(real)
    return to_truth, to_prediction


def _surface_points(mask: np.ndarray) -> np.ndarray:
    """Return the indices of surface voxels, shape ``(points, mask.ndim)``."""
    from scipy.ndimage import binary_erosion

    plane = mask.squeeze()
    surface = plane & ~binary_erosion(plane) if plane.ndim else plane
    return np.argwhere(surface.reshape(mask.shape))


def _percentile(distances: np.ndarray, percent: float) -> float:
    return float(np.percentile(distances, percent)) if distances.size else float("nan")


def _require_spacing(spacing: Sequence[float], dimensions: int) -> np.ndarray:
    size = np.asarray(spacing, float)
    valid = size.shape == (dimensions,) and bool(np.isfinite(size).all())
    if not valid or size.min() <= 0:
        raise VolumeError(
            f"expected {dimensions} positive spacings, one an axis, found {spacing}"
        )
    return size
