"""The eye that was scanned, and the true size of what the scan shows.

Scanners state their field of view for an eye of one axial length. In a longer eye the
same angle spans more retina: Bennett's correction of magnification scales the spacing
en face, and with it every length, area and density. Depth is measured by interference
and needs none.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.volume.geometry import ScanGeometry

LATERALITIES = ("OD", "OS", "")
REFERENCE_LENGTHS = {"Cirrus": 24.46, "Optovue": 23.82, "Topcon": 24.39}  # mm
CORRECTS_ITSELF = "Heidelberg"
PLAUSIBLE = (18.0, 36.0)  # mm
PRINCIPAL_POINT = 1.82  # mm, cornea to the second principal point


@dataclass(frozen=True)
class Eye:
    """What is known about a scanned eye.

    Parameters
    ----------
    laterality : {"OD", "OS", ""}
        Right eye, left eye, or unknown.
    axial_length : float, optional
        In millimetres.
    device : str, optional
        Maker or model of the scanner, such as ``"Zeiss Cirrus 6000"``.
    reference_length : float, optional
        Axial length in millimetres for which the scanner states its field of view;
        by default that of `device`.
    fovea : tuple of float, optional
        Its ``(row, col)`` en face, in pixels.

    Raises
    ------
    VolumeError
        If the laterality is unknown or a length lies outside 18 to 36 mm.
    """

    laterality: str = ""
    axial_length: float | None = None
    device: str | None = None
    reference_length: float | None = None
    fovea: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.laterality not in LATERALITIES:
            raise VolumeError(
                "expected laterality 'OD' (right), 'OS' (left) or '' (unknown), found "
                f"{self.laterality!r}"
            )
        _require_plausible("an axial length", self.axial_length)
        _require_plausible("a reference length", self.reference_length)


@dataclass(frozen=True)
class Magnification:
    """How the spacing en face was corrected for the length of the eye.

    Parameters
    ----------
    factor : float
        By which lengths en face were multiplied; 1 if uncorrected.
    axial_length, reference_length : float, optional
        In millimetres.
    source : str
        Where the reference length comes from: a device, or ``"given"``.
    why_not : str
        Why it is uncorrected; empty if corrected.
    """

    factor: float = 1.0
    axial_length: float | None = None
    reference_length: float | None = None
    source: str = ""
    why_not: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the record for the settings of results."""
        state = "uncorrected" if self.why_not else "corrected"
        return {"state": state, **asdict(self)}

    def sentence(self) -> str:
        """Return one sentence for people."""
        if self.why_not:
            return f"Magnification is uncorrected: {self.why_not}."
        return (
            f"Lengths en face are multiplied by {self.factor:.4f} (Bennett) for an "
            f"axial length of {self.axial_length:g} mm; the scanner assumes "
            f"{self.reference_length:g} mm ({self.source})."
        )


def magnified(geometry: ScanGeometry, eye: Eye) -> tuple[ScanGeometry, Magnification]:
    """Return the geometry on the retina of this eye, and how it was corrected.

    The spacing along the slow and the fast axis is multiplied by
    ``(AL - 1.82) / (AL_ref - 1.82)``; nothing is resampled.

    Parameters
    ----------
    geometry : ScanGeometry
        As the scanner states it.
    eye : Eye

    Raises
    ------
    VolumeError
        If there is an axial length but no length that the scanner assumes, or the
        scanner corrects by itself.

    Notes
    -----
    Bennett, Rudnicka & Edgar, Graefes Arch Clin Exp Ophthalmol 1994;232:361;
    Littmann, Klin Monatsbl Augenheilkd 1982;180:286. The constant of the instrument
    cancels in the ratio.
    """
    length = eye.axial_length
    if length is None:
        return geometry, Magnification(why_not="the axial length is not known")
    reference, source = _reference(eye)
    if not geometry.known:
        why = "the spacing is not known, so there is nothing to scale"
        return geometry, Magnification(1.0, length, reference, source, why)
    factor = (length - PRINCIPAL_POINT) / (reference - PRINCIPAL_POINT)
    depth, slow, fast = geometry.spacing
    scaled = ScanGeometry((depth, slow * factor, fast * factor), geometry.unit)
    return scaled, Magnification(factor, length, reference, source)


def _reference(eye: Eye) -> tuple[float, str]:
    """Return the axial length that the scanner assumes, and where it comes from."""
    device = (eye.device or "").lower()
    if CORRECTS_ITSELF.lower() in device or "spectralis" in device:
        raise VolumeError(
            "expected a scanner that states its field for a reference eye, found "
            f"{eye.device!r}, which scales its scans to the eye by itself; leave the "
            "axial length out"
        )
    if eye.reference_length is not None:
        return eye.reference_length, "given"
    for name, length in REFERENCE_LENGTHS.items():
        if name.lower() in device:
            return length, name
    found = f"device {eye.device!r}" if eye.device else "neither"
    raise VolumeError(
        "expected a device or a reference length beside the axial length, found "
        f"{found}; name one of {', '.join(REFERENCE_LENGTHS)}, or give the axial "
        "length (mm) for which the scanner states its field of view"
    )


def _require_plausible(what: str, length: float | None) -> None:
    low, high = PLAUSIBLE
    if length is not None and not (math.isfinite(length) and low <= length <= high):
        raise VolumeError(
            f"expected {what} from {low:g} to {high:g} mm, found {length}; "
            "check the number and its unit"
        )
