"""At which depths the flow lies that a pixel of a projection shows."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_octa_sam2.errors import PromptError, VolumeError
from napari_octa_sam2.volume.octa_volume import check_volume_array

_REACH = 1  # columns around the pixel
_SMOOTHING = 0.7  # slices


def depths_of_flow(
    data: np.ndarray,
    row: int,
    col: int,
    depths: range | None = None,
    most: int = 3,
) -> list[int]:
    """Return the slices in which flow lies under a pixel, the strongest first.

    The profile is the mean of the 3 x 3 columns around the pixel, smoothed by a
    Gaussian of 0.7 slices. Its median over the whole column is the background ``b``;
    with ``m`` the maximum within `depths`, flow is every run above ``(b + m) / 2``.
    A run lies at its centre, weighted by the profile above ``b``, and is as strong as
    its maximum.

    Tails and echoes of vessels are flow as well: a slab from the ILM to the OPL keeps
    the echoes at the pigment epithelium out.

    Parameters
    ----------
    data : numpy.ndarray
        Shape ``(depth, slow, fast)``; voxels that are not finite are left out.
    row, col : int
        The pixel.
    depths : range, optional
        Consecutive slices that are looked at; by default all. For a slab,
        `Slab.depths_at` tells them.
    most : int
        How many depths to return at most.

    Raises
    ------
    PromptError
        If the pixel lies outside, or nothing there is above the background.
    VolumeError
        If `data` is no volume, or `depths` has no slice in it.
    """
    check_volume_array(data, "flow")
    depth, slow, fast = data.shape
    if not (0 <= row < slow and 0 <= col < fast):
        raise PromptError(
            f"expected a pixel within {slow} x {fast}, found row {row}, column {col}; "
            "click inside the scan"
        )
    depths = range(depth) if depths is None else depths
    if not depths or depths.step != 1 or depths[0] < 0 or depths[-1] >= depth:
        raise VolumeError(
            f"expected consecutive slices of 0 to {depth - 1}, found {depths}; the "
            "slab is empty here or leaves the volume"
        )
    profile = _profile(data, row, col)
    flow = (profile - np.median(profile))[depths[0] : depths[-1] + 1]
    peak = float(flow.max())
    if peak <= 0:
        raise PromptError(
            f"no flow under row {row}, column {col} in slices {depths[0]} to "
            f"{depths[-1]}; click on a vessel or choose a thicker slab"
        )
    runs, count = ndimage.label(flow > peak / 2)
    index = np.arange(1, count + 1)
    maxima = ndimage.maximum(flow, runs, index)
    centres = ndimage.sum_labels(flow * np.arange(len(flow)), runs, index)
    centres = centres / ndimage.sum_labels(flow, runs, index)
    order = np.argsort(-np.asarray(maxima), kind="stable")[:most]
    return [depths[0] + int(np.floor(centres[i] + 0.5)) for i in order]


def _profile(data: np.ndarray, row: int, col: int) -> np.ndarray:
    """Return the smoothed mean of the columns around a pixel, float64."""
    rows = slice(max(0, row - _REACH), row + _REACH + 1)
    cols = slice(max(0, col - _REACH), col + _REACH + 1)
    columns = np.asarray(data[:, rows, cols], float).reshape(len(data), -1)
    known = np.isfinite(columns)
    total = np.where(known, columns, 0).sum(1)
    weight = known.sum(1)
    if not weight.any():
        raise PromptError(
            f"no finite value under row {row}, column {col}; click elsewhere"
        )
    total, weight = (
        ndimage.gaussian_filter1d(part.astype(float), _SMOOTHING, mode="nearest")
        for part in (total, weight)
    )
    floor = (total[weight > 0] / weight[weight > 0]).min()
    profile = np.full(len(data), floor)
    np.divide(total, weight, out=profile, where=weight > 0)
    return profile
