"""The one record that every reader returns and every other room works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.volume.geometry import AXES, ScanGeometry


@dataclass(frozen=True, eq=False)
class LabelSet:
    """Labels on the grid of a volume.

    Parameters
    ----------
    data : numpy.ndarray
        Unsigned integers, shape ``(depth, slow, fast)``; a value is an object's id.
    names : mapping of int to str
        Name of each id.
    classes : mapping of int to str
        Class of each id: ``"RV"``, ``"artery"``, ``"vein"``, ``"capillary"``,
        ``"FAZ"`` or ``"other"``.
    """

    data: np.ndarray
    names: Mapping[int, str] = field(default_factory=dict)
    classes: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class OctaVolume:
    """An OCTA scan: flow signal on a regular grid, and what came with it.

    Parameters
    ----------
    data : numpy.ndarray
        Flow signal, shape ``(depth, slow, fast)``, unsigned integers or floats.
    geometry : ScanGeometry
        Spacing and unit of the three axes.
    name : str
        Short name for layers and tables.
    source : Path, optional
        File or folder the data came from.
    channels : mapping of str to numpy.ndarray
        Further images on the same grid, for instance ``"OCT"`` (structure).
    labels : mapping of str to LabelSet
        Labels on the same grid that came with the data.
    slice_names : tuple of str
        Name of each slice where they are no plain depth indices (``("FULL",
        "ILM_OPL", "OPL_BM")``); empty otherwise.
    first_slice : int
        Depth index, in the full scan, of slice 0.
    provenance : mapping
        How the data was understood: reader, orientation check, notes.

    Raises
    ------
    VolumeError
        If `data` is not a three-dimensional real array, holds no finite value, or
        a channel or label does not share its shape.
    """

    data: np.ndarray
    geometry: ScanGeometry = field(default_factory=ScanGeometry)
    name: str = "volume"
    source: Path | None = None
    channels: Mapping[str, np.ndarray] = field(default_factory=dict)
    labels: Mapping[str, LabelSet] = field(default_factory=dict)
    slice_names: tuple[str, ...] = ()
    first_slice: int = 0
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_volume_array(self.data, self.name)
        on_grid = dict(self.channels) | {k: v.data for k, v in self.labels.items()}
        for key, array in on_grid.items():
            if array.shape != self.data.shape:
                raise VolumeError(
                    f"{self.name}: expected {key!r} of shape {self.data.shape}, "
                    f"found {array.shape}"
                )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of slices, rows and columns."""
        depth, slow, fast = self.data.shape
        return depth, slow, fast

    def describe(self) -> dict[str, Any]:
        """Return what was understood of the input, ready for JSON."""
        return {
            "name": self.name,
            "source": str(self.source) if self.source else None,
            "axes": list(AXES),
            "shape": list(self.shape),
            "dtype": str(self.data.dtype),
            "range": [float(np.nanmin(self.data)), float(np.nanmax(self.data))],
            "spacing": list(self.geometry.spacing),
            "unit": self.geometry.unit,
            "first_slice": self.first_slice,
            "slice_names": list(self.slice_names),
            "channels": sorted(self.channels),
            "labels": {
                key: [int(i) for i in np.unique(value.data) if i]
                for key, value in self.labels.items()
            },
            "provenance": dict(self.provenance),
        }


def check_volume_array(data: np.ndarray, name: str) -> None:
    """Raise `VolumeError` unless `data` can be segmented slice by slice."""
    if data.ndim != 3:
        hint = {
            2: "a single image is a volume of one slice: use data[None]",
            4: "pick one channel or time point first",
        }.get(data.ndim, "reduce it to three axes first")
        raise VolumeError(
            f"{name}: expected a 3-D array (depth, slow, fast), found shape "
            f"{data.shape}; {hint}"
        )
    if min(data.shape) == 0:
        raise VolumeError(f"{name}: the array is empty, shape {data.shape}")
    if data.dtype.kind not in "uifb":
        raise VolumeError(
            f"{name}: expected real numbers, found {data.dtype}; convert it first"
        )
    if data.dtype.kind == "f" and not np.isfinite(data).any():
        raise VolumeError(f"{name}: no finite value in the array")
