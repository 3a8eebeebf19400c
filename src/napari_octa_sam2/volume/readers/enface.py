"""En-face images: OCTA-500 projection maps with their labels, and any gray image.

``GT_Capillary`` of OCTA-500 holds all vessels, the large ones included, and is named
so here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume
from napari_octa_sam2.volume.readers import images, octa500_layout

LABEL_FOLDERS = {
    "RV": ("GT_LargeVessel", "RV"),
    "artery": ("GT_Artery", "artery"),
    "vein": ("GT_Vein", "vein"),
    "FAZ": ("GT_FAZ", "FAZ"),
    "all vessels": ("GT_Capillary", "vessel"),
}
DEPTH_NOTE = "nominal, that of the scan: a projection has no depth of its own"


def matches(path: Path) -> bool:
    """Return whether `path` is the file of a single image other than TIFF."""
    suffix = path.suffix.lower()
    known = images.is_image(path) and suffix not in images.TIFF_SUFFIXES
    return known and path.is_file()


def read(path: Path) -> OctaVolume:
    """Read one image as a volume of one slice.

    A projection map of OCTA-500 gets its field of view and the labels found beside
    it; of any other image the spacing is unknown.

    Raises
    ------
    ReadError
        If the image cannot be decoded or is coloured, or a label does not fit.
    """
    image = images.read_gray(path)
    if octa500_layout.is_map(path):
        signal, slab = octa500_layout.map_name(path.absolute().parent.name)
        return _projections(path, path.stem, {slab: image}, signal)
    return OctaVolume(
        image[None], name=path.stem, source=path, provenance={"reader": "enface"}
    )


def read_projections(root: str | Path, subject_id: str | int) -> OctaVolume:
    """Read the projection maps of an OCTA-500 subject as three slices.

    Parameters
    ----------
    root : path
        Folder that holds ``Projection Maps``, for instance ``OCTA_3mm``.
    subject_id : str or int
        For instance ``10301``.

    Returns
    -------
    OctaVolume
        Slices ``("FULL", "ILM_OPL", "OPL_BM")``; every en-face label found is
        repeated on each of them.

    Raises
    ------
    ReadError
        If a map is missing, unreadable or unlike the others, or a label does not fit.
    """
    start, subject = Path(root) / "maps", str(subject_id)
    paths = [
        octa500_layout.find_map(start, "OCTA", slab, subject)
        for slab in octa500_layout.SLABS
    ]
    found = [path for path in paths if path is not None]
    if len(found) < len(paths):
        missing = [
            s for s, p in zip(octa500_layout.SLABS, paths, strict=True) if p is None
        ]
        raise ReadError(
            f"{root}: expected projection maps {', '.join(octa500_layout.SLABS)} of "
            f"subject {subject}, missing {', '.join(missing)}; give the folder that "
            "holds 'Projection Maps', and an id that is in it"
        )
    stack = dict(zip(octa500_layout.SLABS, images.read_stack(found), strict=True))
    return _projections(found[0], subject, stack, "OCTA")


def repeated(mask: np.ndarray, slices: int, name: str, cls: str) -> LabelSet:
    """Return a mask ``(rows, columns)`` as object 1 on every one of `slices`."""
    data = np.repeat(mask[None].astype(np.uint8), slices, axis=0)
    return LabelSet(data, names={1: name}, classes={1: cls})


def _projections(
    path: Path, subject: str, maps: dict[str, np.ndarray], signal: str
) -> OctaVolume:
    data = np.stack(list(maps.values()))
    slices, rows, columns = data.shape
    labels: dict[str, LabelSet] = {}
    for key, (folder, cls) in LABEL_FOLDERS.items():
        if label := octa500_layout.find_label(path.parent, folder, subject):
            mask = images.read_mask(label, (rows, columns))
            labels[key] = repeated(mask, slices, key, cls)
    field = octa500_layout.field_of_view(path, subject, columns)
    provenance: dict[str, Any] = {"reader": "enface", "signal": signal}
    if field is not None:
        provenance["depth_spacing"] = DEPTH_NOTE
    return OctaVolume(
        data,
        geometry=octa500_layout.resampled_geometry(field, rows, columns),
        name=subject if slices > 1 else f"{subject} {next(iter(maps))}",
        source=path,
        labels=labels,
        slice_names=tuple(maps),
        provenance=provenance,
    )
