"""En-face projections of slabs, between fixed depths or between surfaces."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.volume.octa_volume import OctaVolume, check_volume_array
from napari_octa_sam2.volume.readers.enface import DEPTH_NOTE
from napari_octa_sam2.volume.surfaces import LAYERS, Depth, check_depth

How = Literal["mean", "max"]
HOW: tuple[How, ...] = ("mean", "max")

_WHITE_PERCENTILE = 99.0


@dataclass(frozen=True, eq=False)
class Slab:
    """A part of the retina, projected to one image.

    Parameters
    ----------
    name : str
    first, last : float or numpy.ndarray
        Depths or surfaces ``(slow, fast)``, in slices; both included.
    how : {"mean", "max"}
    """

    name: str
    first: Depth
    last: Depth
    how: How = "mean"

    def project(self, data: np.ndarray) -> np.ndarray:
        """Return the projection of a volume; see `project`."""
        return project(data, self.first, self.last, self.how)

    def depths_at(self, row: int, col: int) -> range:
        """Return the slices of the slab under a pixel; empty where there is none."""
        first, last = (
            float(edge[row, col] if np.ndim(edge) else edge)
            for edge in map(np.asarray, (self.first, self.last))
        )
        if not (math.isfinite(first) and math.isfinite(last)):
            return range(0)
        return range(max(0, math.ceil(first)), math.floor(last) + 1)


def project(
    data: np.ndarray, first: Depth, last: Depth, how: How = "mean"
) -> np.ndarray:
    """Return the en-face projection of a slab.

    Slice ``k`` belongs to the slab where ``first <= k <= last``: depths are compared
    with the middle of slices and never rounded. The volume is read slice by slice and
    not copied.

    Parameters
    ----------
    data : numpy.ndarray
        Shape ``(depth, slow, fast)``.
    first, last : float or numpy.ndarray
        Depths or surfaces ``(slow, fast)``, in slices; NaN where unknown.
    how : {"mean", "max"}
        Voxels that are not finite are left out of either.

    Returns
    -------
    numpy.ndarray
        float32, shape ``(slow, fast)``; NaN where the slab holds no finite voxel,
        because a missing value is not a dark one.

    Raises
    ------
    VolumeError
        If `data` is no volume, a surface has another shape or leaves it, or `first`
        lies behind `last` anywhere.
    """
    check_volume_array(data, "projection")
    if how not in HOW:
        raise VolumeError(f"projection: expected how of {HOW}, found {how!r}")
    first, last = _edges(first, last, data.shape)
    count = np.zeros(data.shape[1:], np.int32)
    start = 0.0 if how == "mean" else -np.inf
    result = np.full(data.shape[1:], start)
    gather = np.add if how == "mean" else np.maximum
    lowest, highest = math.ceil(np.nanmin(first)), math.floor(np.nanmax(last))
    for k in range(max(0, lowest), min(highest, len(data) - 1) + 1):
        plane = np.asarray(data[k])
        inside = (first <= k) & (k <= last) & np.isfinite(plane)
        gather(result, plane, out=result, where=inside)
        count += inside
    if how == "mean":
        result /= np.maximum(count, 1)
    return np.where(count > 0, result, np.nan).astype(np.float32)


def slabs_from_surfaces(
    surfaces: Mapping[str, Depth] | np.ndarray | None, depth: int
) -> tuple[Slab, ...]:
    """Return the slabs of OCTA-500's projection maps.

    ``FULL`` is the mean of all slices, ``ILM_OPL`` and ``OPL_BM`` the maximum between
    these surfaces. A slice that lies exactly on the OPL is in both.

    Parameters
    ----------
    surfaces : mapping or numpy.ndarray, optional
        Depths of ``"ILM"``, ``"OPL"`` and ``"BM"``, or the six surfaces of OCTA-500
        (ILM, IPL, OPL, ISOS, RPE, BM), shape ``(6, slow, fast)``, in slices. Without
        surfaces, only ``FULL`` is returned.
    depth : int
        Number of slices of the volume.

    Raises
    ------
    VolumeError
        If a surface is missing.
    """
    full = Slab("FULL", 0, depth - 1, "mean")
    if surfaces is None:
        return (full,)
    if isinstance(surfaces, np.ndarray):
        if surfaces.shape[:1] != (len(LAYERS),):
            raise VolumeError(
                f"expected the {len(LAYERS)} surfaces {', '.join(LAYERS)}, found an "
                f"array of shape {surfaces.shape}; name them in a mapping"
            )
        surfaces = dict(zip(LAYERS, surfaces, strict=True))
    if missing := [name for name in ("ILM", "OPL", "BM") if name not in surfaces]:
        raise VolumeError(
            f"expected the surfaces ILM, OPL and BM, found {', '.join(surfaces)}; "
            f"add {', '.join(missing)}"
        )
    return (
        full,
        Slab("ILM_OPL", surfaces["ILM"], surfaces["OPL"], "max"),
        Slab("OPL_BM", surfaces["OPL"], surfaces["BM"], "max"),
    )


def three_slabs(
    volume: OctaVolume, surfaces: Mapping[str, Depth] | np.ndarray
) -> OctaVolume:
    """Return FULL, ILM_OPL and OPL_BM as three slices, to be segmented as a sequence.

    As OCTA-500's maps are, each is 8-bit on a scale of its own, its brightest 1 %
    white; pixels without a value are black. The grey value that became white is in
    the provenance.

    Parameters
    ----------
    volume : OctaVolume
    surfaces : mapping or numpy.ndarray
        As in `slabs_from_surfaces`.

    Raises
    ------
    VolumeError
        If surfaces are missing or do not fit.
    """
    slabs = slabs_from_surfaces(surfaces, len(volume.data))
    images, whites = zip(
        *(_to_uint8(slab.project(volume.data)) for slab in slabs), strict=True
    )
    provenance = {
        "projected": volume.name,
        "white": {s.name: w for s, w in zip(slabs, whites, strict=True)},
    }
    if volume.geometry.known:
        provenance["depth_spacing"] = DEPTH_NOTE
    return OctaVolume(
        np.stack(images),
        geometry=volume.geometry,
        name=f"{volume.name} slabs",
        source=volume.source,
        slice_names=tuple(slab.name for slab in slabs),
        provenance=provenance,
    )


def _edges(
    first: Depth, last: Depth, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    first = check_depth(first, shape, "first depth")
    last = check_depth(last, shape, "last depth")
    crossing = np.broadcast_to(first > last, shape[1:])
    if crossing.any():
        row, col = np.argwhere(crossing)[0]
        raise VolumeError(
            f"expected the first depth in front of the last, found it behind in "
            f"{crossing.sum()} of {crossing.size} columns (the first at row {row}, "
            f"column {col}); exchange them or clip one to the other"
        )
    return first, last


def _to_uint8(image: np.ndarray) -> tuple[np.ndarray, float]:
    image = np.nan_to_num(image, nan=0.0)
    white = float(np.percentile(image, _WHITE_PERCENTILE))
    if white <= 0:
        white = max(float(image.max()), 1.0)
    scaled = np.clip(image / white, 0, 1) * 255 + 0.5
    return scaled.astype(np.uint8), white
