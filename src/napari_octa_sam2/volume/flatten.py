"""Flattening: columns shifted so that a surface lies on one slice, and back."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.volume.octa_volume import check_volume_array
from napari_octa_sam2.volume.surfaces import check_depth

_VERSION = 1


@dataclass(frozen=True, eq=False)
class Flattening:
    """How the columns of a volume were shifted.

    Parameters
    ----------
    shifts : numpy.ndarray
        Slices by which each column was moved to larger depths, int16, shape
        ``(slow, fast)``; negative ones were moved to smaller depths.
    depth : int
        Number of slices of the volume.
    at : int
        Slice that the surface now lies on.
    """

    shifts: np.ndarray
    depth: int
    at: int

    def apply(self, data: np.ndarray) -> np.ndarray:
        """Return data of the scan, flattened; 0 where nothing was scanned."""
        return _moved(self._checked(data), self.shifts)

    def undo(self, data: np.ndarray) -> np.ndarray:
        """Return flattened data on the grid of the scan.

        0 where a voxel of the scan had left the flattened volume. What was drawn
        where nothing was scanned is dropped.
        """
        return _moved(self._checked(data), -self.shifts)

    def to_json(self) -> dict[str, Any]:
        """Return the record for the metadata of a layer, the shifts compressed."""
        packed = zlib.compress(self.shifts.astype("<i2").tobytes(), 9)
        return {
            "version": _VERSION,
            "depth": self.depth,
            "at": self.at,
            "shape": list(self.shifts.shape),
            "shifts": base64.b64encode(packed).decode("ascii"),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Flattening:
        """Return the flattening of `to_json`.

        Raises
        ------
        VolumeError
            If the record is of another version or damaged.
        """
        try:
            if record["version"] != _VERSION:
                raise ValueError(f"version {record['version']!r}")
            packed = base64.b64decode(record["shifts"], validate=True)
            shifts = np.frombuffer(zlib.decompress(packed), "<i2")
            rows, cols = record["shape"]
            shifts = shifts.reshape(rows, cols).astype(np.int16)
            return cls(shifts, int(record["depth"]), int(record["at"]))
        except (KeyError, TypeError, ValueError, binascii.Error, zlib.error) as error:
            raise VolumeError(
                f"expected the record of a flattening of version {_VERSION}, found "
                f"another ({type(error).__name__}: {error}); flatten the scan again"
            ) from error

    def _checked(self, data: np.ndarray) -> np.ndarray:
        expected = (self.depth, *self.shifts.shape)
        if data.shape != expected:
            raise VolumeError(
                f"expected an array of shape {expected} like the volume that was "
                f"flattened, found {data.shape}; choose one on its grid"
            )
        return data


def flatten(
    data: np.ndarray, surface: np.ndarray, at: int | None = None
) -> tuple[np.ndarray, Flattening]:
    """Return a volume whose columns are shifted so that `surface` lies on one slice.

    Columns move by whole slices, the surface being rounded to the nearest one, so
    that no voxel is interpolated and `unflatten` is exact.

    Parameters
    ----------
    data : numpy.ndarray
        Shape ``(depth, slow, fast)``.
    surface : numpy.ndarray
        Depth in slices, shape ``(slow, fast)``, finite everywhere.
    at : int, optional
        Slice for the surface. By default its smallest depth: then only voxels in
        front of the surface leave the volume.

    Returns
    -------
    flattened : numpy.ndarray
        Of the shape and type of `data`; 0 where nothing was scanned.
    flattening : Flattening
        What `unflatten` needs.

    Raises
    ------
    VolumeError
        If `data` is no volume, or the surface does not fit, is unknown somewhere or
        lies outside.
    """
    check_volume_array(data, "flatten")
    surface = check_depth(surface, data.shape, "surface")
    if not np.isfinite(surface).all():
        raise VolumeError(
            f"surface: expected a depth in every column, found none in "
            f"{(~np.isfinite(surface)).sum()}; fill them in first"
        )
    nearest = np.floor(np.broadcast_to(surface, data.shape[1:]) + 0.5).astype(int)
    nearest = np.clip(nearest, 0, len(data) - 1)
    at = int(nearest.min()) if at is None else at
    if not 0 <= at < len(data):
        raise VolumeError(
            f"expected a slice of 0 to {len(data) - 1} for the surface, found {at}"
        )
    flattening = Flattening((at - nearest).astype(np.int16), len(data), at)
    return flattening.apply(data), flattening


def unflatten(data: np.ndarray, flattening: Flattening) -> np.ndarray:
    """Return flattened data, for instance labels, on the grid of the scan.

    Raises
    ------
    VolumeError
        If the shape is not that of the flattened volume.
    """
    return flattening.undo(data)


def _moved(data: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    rows, cols = np.ogrid[: data.shape[1], : data.shape[2]]
    last = len(data) - 1
    moved = np.empty_like(data)
    # slice by slice: an index of the whole volume would be 8 times its size
    for k in range(len(data)):
        source = k - shifts.astype(np.intp)
        inside = (source >= 0) & (source <= last)
        moved[k] = np.where(inside, data[np.clip(source, 0, last), rows, cols], 0)
    return moved
