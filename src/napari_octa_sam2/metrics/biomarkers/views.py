"""The planes in which the vessels of a scan are measured, one a plexus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.metrics.subjects import Subject

FAZ = "FAZ"
VESSEL = "vessel"
LARGE = ("RV", "artery", "vein")
# Campbell et al., Scientific Reports 7 (2017) 42201
PLEXUSES = {"SVC": ("ILM", "IPL"), "DVC": ("IPL", "OPL"), "avascular": ("OPL", "BM")}


@dataclass(frozen=True, eq=False)
class View:
    """Masks in one plane.

    Parameters
    ----------
    plexus : str
        Such as ``"SVC"``, the name of a projection, or ``"all slices"``.
    masks : mapping of str to numpy.ndarray
        Mask of each class, ``(slow, fast)``.
    """

    plexus: str
    masks: Mapping[str, np.ndarray]

    @property
    def faz(self) -> np.ndarray | None:
        """The foveal avascular zone, where it is labelled."""
        return self.masks.get(FAZ)

    @property
    def vessels(self) -> dict[str, np.ndarray]:
        """The masks of vessels, those of all together first."""
        return {cls: mask for cls, mask in self.masks.items() if cls != FAZ}


def completed(masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return masks with the classes that follow from those that are labelled.

    All vessels ("vessel") are the union of their classes where they are not labelled
    themselves; capillaries are all vessels but the large ones.
    """
    found = {cls: mask for cls, mask in masks.items() if cls != VESSEL}
    parts = [mask for cls, mask in found.items() if cls != FAZ]
    large = [found[cls] for cls in LARGE if cls in found]
    whole = masks.get(VESSEL)
    if whole is not None and large and "capillary" not in found:
        found["capillary"] = whole & ~np.logical_or.reduce(large)
    if whole is None and len(parts) > 1:
        whole = np.logical_or.reduce(parts)
    return found if whole is None else {VESSEL: whole, **found}


def enface_views(subject: Subject, masks: Mapping[str, np.ndarray]) -> list[View]:
    """Return the planes of a scan.

    Slices that are projections are planes of their own. A volume is one plane in which
    a pixel is a vessel if any voxel under it is; where the surfaces of the retina are
    known, each plexus between them is one more.
    """
    depth = subject.shape[0]
    if subject.slice_names or depth == 1:
        names = subject.slice_names or ("en face",)
        return [
            View(name, {cls: mask[k] for cls, mask in masks.items()})
            for k, name in enumerate(names)
        ]
    views = [View("all slices", {c: flattened(mask) for c, mask in masks.items()})]
    for plexus, (first, last) in PLEXUSES.items():
        if first in subject.surfaces and last in subject.surfaces:
            top, bottom = subject.surfaces[first], subject.surfaces[last]
            between = {c: _between(mask, top, bottom) for c, mask in masks.items()}
            views.append(View(plexus, between))
    return views


def flattened(mask: np.ndarray) -> np.ndarray:
    """Return the pixels under which any voxel of the mask lies, ``(slow, fast)``."""
    return np.asarray(mask.any(axis=0))


def _between(mask: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Return where a voxel of the mask lies from `top` on and in front of `bottom`."""
    found = np.zeros(mask.shape[1:], bool)
    for k in np.flatnonzero(mask.any((1, 2))):
        found |= mask[k] & (top <= k) & (k < bottom)
    return found
