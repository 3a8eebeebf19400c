"""What a phantom is asked to be, and what it is."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.volume.octa_volume import OctaVolume

CODES = {"artery": 1, "vein": 2, "capillary": 3, "FAZ": 4}
CLASSES = {
    **{name: (code,) for name, code in CODES.items()},
    "RV": (CODES["artery"], CODES["vein"]),
    "vessel": (CODES["artery"], CODES["vein"], CODES["capillary"]),
}


@dataclass(frozen=True)
class PhantomConfig:
    """What a phantom looks like.

    Parameters
    ----------
    seed : int
        Equal seeds give equal phantoms.
    depth, size : int
        Number of slices, and of rows and columns.
    field_mm : float
        Side of the en-face field, in mm.
    depth_mm : float, optional
        Axial extent. If given, the scan begins at the inner retina, which is tilted
        and curved as it comes; what else lies in it depends on the extent.
        By default ``0.40 + 0.06 * field_mm``, which holds the retina from the ILM to
        Bruch's membrane, flattened if need be: 64 slices of a 3 mm field are then
        9.1 um apart. Slices as those of OCTA-500, 3.1 um apart, come with
        ``depth=160, depth_mm=0.5``.
    pairs : int
        Pairs of an artery and a vein that leave the optic disc.
    vessel_radius_mm : float
        Radius of an artery that supplies 15 mm2, in mm, the size of an arcade.
    faz_diameter_mm : float
        Mean diameter of the foveal avascular zone.
    quality : float
        From 0 (much noise and motion) to 1.

    Raises
    ------
    VolumeError
        If a number makes no sense.
    """

    seed: int = 0
    depth: int = 64
    size: int = 304
    field_mm: float = 3.0
    depth_mm: float | None = None
    pairs: int = 4
    vessel_radius_mm: float = 0.048
    faz_diameter_mm: float = 0.5
    quality: float = 0.8

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "seed": (0, 2**63 - 1),
            "depth": (8, 1024),
            "size": (32, 2048),
            "field_mm": (1, 12),
            "pairs": (1, 8),
            "vessel_radius_mm": (0.02, 0.15),
            "faz_diameter_mm": (0.1, 1.2),
            "quality": (0, 1),
        }
        if self.depth_mm is not None:
            limits["depth_mm"] = (0.2, 3)
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not isinstance(value, Real) or not low <= float(value) <= high:
                raise VolumeError(
                    f"phantom: expected {name} from {low:g} to {high:g}, "
                    f"found {value!r}"
                )
        for name in ("seed", "depth", "size", "pairs"):
            if int(getattr(self, name)) != getattr(self, name):
                raise VolumeError(
                    f"phantom: expected a whole number for {name}, "
                    f"found {getattr(self, name)!r}"
                )

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel spacing ``(depth, slow, fast)`` in mm."""
        extent = 0.40 + 0.06 * self.field_mm if self.depth_mm is None else self.depth_mm
        return extent / self.depth, self.field_mm / self.size, self.field_mm / self.size

    @property
    def depths(self) -> np.ndarray:
        """Depth of each slice in mm, shape ``(depth, 1, 1)``."""
        return np.arange(self.depth)[:, None, None] * self.spacing[0]


@dataclass(frozen=True, eq=False)
class Centreline:
    """An unbranched vessel segment.

    Parameters
    ----------
    points : numpy.ndarray
        Shape ``(n, 3)``, (depth, slow, fast) in mm; voxel ``i`` lies at
        ``i * spacing``. Points beyond the field are kept.
    radius : numpy.ndarray
        Shape ``(n,)``, in mm, linear between points.
    object : int
        Id of the vessel it belongs to.
    """

    points: np.ndarray
    radius: np.ndarray
    object: int


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic OCTA scan with its truth.

    Parameters
    ----------
    volume : OctaVolume
        uint8 image; ``labels["objects"]`` holds each large vessel and, as the last
        id, the FAZ.
    centrelines : tuple of Centreline
    surfaces : numpy.ndarray
        Depth index of ILM, IPL, OPL, ISOS, RPE and BM, shape ``(6, slow, fast)``.
    classes : numpy.ndarray
        What each voxel is, uint8, shape ``(depth, slow, fast)``: a value of `CODES`
        or 0. "capillary" are all vessels too thin to be objects.
    projections : dict of str to numpy.ndarray
        uint8 ``(slow, fast)``: "FULL" (mean), "ILM_OPL" and "OPL_BM" (maximum).
    masks : dict of str to numpy.ndarray
        En-face truth, bool ``(slow, fast)``: "RV", "artery", "vein", "FAZ",
        "capillary" (visible between ILM and OPL, without large vessels) and
        "vessel" (all of them, as in OCTA-500's ``GT_Capillary``).
    """

    volume: OctaVolume
    centrelines: tuple[Centreline, ...]
    surfaces: np.ndarray
    classes: np.ndarray
    projections: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]

    def class_mask(self, name: str, slices: int | slice = slice(None)) -> np.ndarray:
        """Return where a class is.

        Parameters
        ----------
        name : str
            "RV", "artery", "vein", "capillary", "vessel" (all vessels) or "FAZ".
        slices : int or slice
            Depth slices wanted.

        Raises
        ------
        VolumeError
            If there is no such class.
        """
        if name not in CLASSES:
            raise VolumeError(
                f"phantom: expected a class of {', '.join(CLASSES)}, found {name!r}"
            )
        codes = CLASSES[name]
        part = self.classes[slices]
        return np.asarray((part >= min(codes)) & (part <= max(codes)))

    @property
    def vessels(self) -> np.ndarray:
        """Large vessels, bool ``(depth, slow, fast)``."""
        return self.class_mask("RV")

    @property
    def capillaries(self) -> np.ndarray:
        """Capillaries and twigs, bool ``(depth, slow, fast)``."""
        return self.class_mask("capillary")

    @property
    def faz(self) -> np.ndarray:
        """The FAZ from the ILM to the OPL, bool ``(depth, slow, fast)``."""
        return self.class_mask("FAZ")
