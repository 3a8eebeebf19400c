"""Figures of the vessels in the volume."""

from __future__ import annotations

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.biomarkers.density import as_figures, spread, tortuosity
from napari_octa_sam2.metrics.biomarkers.network import Network
from napari_octa_sam2.metrics.definitions.volumes import VOLUMES
from napari_octa_sam2.metrics.results import Figure
from napari_octa_sam2.metrics.segmentation.betti import betti_numbers
from napari_octa_sam2.metrics.segmentation.boxes import bounding_box
from napari_octa_sam2.volume.geometry import ScanGeometry

NO_LINE = "expected vessels longer than a voxel, found none"
NO_BRANCH = "expected a branch of at least 10 voxels that is no loop, found none"


def volume_figures(
    mask: np.ndarray,
    network: Network,
    *,
    geometry: ScanGeometry,
    voxels: int | None = None,
) -> dict[str, Figure]:
    """Return the figures of vessels in the volume, as `VOLUMES` defines them.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Shape ``(depth, slow, fast)``.
    network : Network
        Its centre lines.
    geometry : ScanGeometry
    voxels : int, optional
        Number of voxels that the fractions and densities are of, such as those
        between two retinal surfaces; by default those of the array.

    Raises
    ------
    VolumeError
        If mask and network are not of one shape and spacing in three dimensions.
    """
    if mask.ndim != 3 or mask.shape != network.shape:
        raise VolumeError(
            "expected mask and network of one shape (depth, slow, fast), found "
            f"{mask.shape} and {network.shape}"
        )
    if not np.allclose(network.spacing, geometry.spacing):
        raise VolumeError(
            f"expected a network with the spacing {geometry.spacing} of the "
            f"geometry, found {network.spacing}"
        )
    values = _amounts(mask, network, voxels or mask.size) | _topology(mask)
    names = ("diameter_mean_3d", "diameter_median_3d", "diameter_sd_3d")
    calibres = spread(network.diameters, network.lengths)
    values |= dict(zip(names, calibres or (NO_LINE,) * 3, strict=True))
    bent = tortuosity(network, network.branches.length)
    values["tortuosity_3d"] = NO_BRANCH if bent is None else bent
    return as_figures(values, VOLUMES, geometry.unit)


def _amounts(mask: np.ndarray, network: Network, voxels: int) -> dict[str, float | str]:
    voxel = float(np.prod(network.spacing))
    filled, junctions = int(np.count_nonzero(mask)), len(network.junctions)
    length, whole = network.length, voxels * voxel
    return {
        "volume": filled * voxel,
        "volume_fraction": filled / voxels,
        "length_3d": length,
        "length_density_3d": length / whole,
        "junctions": float(junctions),
        "junctions_per_length_3d": junctions / length if length else NO_LINE,
        "junction_density_3d": junctions / whole,
    }


def _topology(mask: np.ndarray) -> dict[str, float | str]:
    box = bounding_box(mask)
    parts, loops = betti_numbers(mask[box])[:2] if box else (0, 0)
    return {"parts": float(parts), "loops": float(loops)}
