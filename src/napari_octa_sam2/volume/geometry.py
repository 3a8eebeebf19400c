"""Physical geometry of a scan."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_octa_sam2.errors import VolumeError

AXES = ("depth", "slow", "fast")
ROUNDING = 1e-3  # relative difference that files may leave


@dataclass(frozen=True)
class ScanGeometry:
    """Voxel spacing of an array with axes ``(depth, slow, fast)``.

    Parameters
    ----------
    spacing : tuple of float
        Size of a voxel along ``(depth, slow, fast)``, in `unit`.
    unit : {"mm", "pixel"}
        ``"pixel"`` says that the spacing is unknown; it is never guessed.

    Raises
    ------
    VolumeError
        If the spacing is not three positive finite numbers or the unit is unknown.
    """

    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    unit: str = "pixel"

    def __post_init__(self) -> None:
        spacing = tuple(float(s) for s in self.spacing)
        if len(spacing) != 3 or not all(0 < s < float("inf") for s in spacing):
            raise VolumeError(
                "expected three positive spacings (depth, slow, fast), "
                f"found {self.spacing}"
            )
        if self.unit not in ("mm", "pixel"):
            raise VolumeError(f"expected unit 'mm' or 'pixel', found {self.unit!r}")
        object.__setattr__(self, "spacing", spacing)

    @property
    def known(self) -> bool:
        """Whether the physical size of a voxel is known."""
        return self.unit == "mm"

    def same_as(self, other: ScanGeometry, *, in_plane: bool = False) -> bool:
        """Return whether the spacing is another's, but for rounding.

        Parameters
        ----------
        other : ScanGeometry
        in_plane : bool
            Whether to leave out the depth, which a single slice has none of.
        """
        pairs = list(zip(self.spacing, other.spacing, strict=True))[in_plane:]
        return self.unit == other.unit and all(
            math.isclose(a, b, rel_tol=ROUNDING) for a, b in pairs
        )

    @classmethod
    def from_field_of_view(
        cls,
        shape: tuple[int, int, int],
        field_mm: tuple[float, float, float],
    ) -> ScanGeometry:
        """Return the geometry of a volume of `shape` that spans `field_mm`.

        Both are ordered ``(depth, slow, fast)``.
        """
        depth, slow, fast = (f / n for f, n in zip(field_mm, shape, strict=True))
        return cls((depth, slow, fast), "mm")
