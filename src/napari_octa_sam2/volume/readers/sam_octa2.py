"""The image strips of SAM-OCTA2: several panels side by side in one PNG.

========================  ===========================================================
folder                    panels of a file, left to right
========================  ===========================================================
``FAZ_LayerSequence``     preview, layer, mask
``RV_LayerSequence``      region mask, region overlay, mask overlay, layer
``ProjectionSamples``     FULL, ILM_OPL, OPL_BM, vessel mask, FAZ mask
``RV_Annotation``         layer, vessel region drawn by hand
========================  ===========================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume
from napari_octa_sam2.volume.readers import enface, images, octa500_layout

_SEQUENCES = ("FAZ_LayerSequence", "RV_LayerSequence")
_STRIPS = ("ProjectionSamples", "RV_Annotation")


def matches(path: Path) -> bool:
    """Return whether `path` is a layer sequence, a layer of one, or a strip."""
    path = path.absolute()
    if path.is_dir():
        return path.parent.name in _SEQUENCES
    if not images.is_image(path):
        return False
    return path.parent.name in _STRIPS or path.parent.parent.name in _SEQUENCES


def read(path: Path) -> OctaVolume:
    """Read a layer sequence, one layer of it, or a strip of squares.

    The layers are kept at their stored size (OCTA-500 resampled to 512 x 512), so the
    spacing is the field of view over that size.

    Raises
    ------
    ReadError
        If a layer or object is missing or unreadable, or the panels are not as many
        as the folder's name says.
    """
    path = path.absolute()
    if path.is_dir():
        return _read_sequence(path, images.numbered_images(path, prefix=""))
    if path.parent.name == "ProjectionSamples":
        return _read_projections(path)
    if path.parent.name == "RV_Annotation":
        return _read_annotation(path)
    if path.stem.isdecimal():
        return _read_sequence(path.parent, {int(path.stem): path})
    raise ReadError(
        f"{path}: expected a layer named by its depth index, such as 237.png; "
        "open the folder of the sequence instead"
    )


def _read_sequence(folder: Path, layers: dict[int, Path]) -> OctaVolume:
    kind = folder.parent.name
    if not layers:
        raise ReadError(
            f"{folder}: expected layers named by their depth index, such as 237.png, "
            "found none; give the folder of one subject"
        )
    depths = range(min(layers), max(layers) + 1)
    images.require_numbers(folder, layers, depths, "layers")
    read_layer = _faz_layer if kind == "FAZ_LayerSequence" else _rv_layer
    pairs = [read_layer(layers[z]) for z in depths]
    _require_alike([image for image, _ in pairs], [layers[z] for z in depths])
    data = np.stack([image for image, _ in pairs])
    mask = np.stack([mask for _, mask in pairs]).astype(np.uint8)
    cls = kind.partition("_")[0]
    labels = {cls: LabelSet(mask, names={1: cls}, classes={1: cls})}
    if cls == "RV":
        labels |= _objects(folder, depths, data.shape)
    source = folder if len(layers) > 1 else layers[depths[0]]
    return _volume(source, folder.name, data, labels, first_slice=depths[0])


def _faz_layer(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return image and mask of a FAZ layer."""
    _, image, mask = _panels(path, 3)
    return image[..., 0].copy(), mask[..., 0] > 127


def _rv_layer(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return image and mask of an RV layer; the mask is where the overlay is green."""
    _, _, overlay, image = _panels(path, 4)
    return image[..., 0].copy(), overlay[..., 1] != overlay[..., 2]


def _read_projections(path: Path) -> OctaVolume:
    full, ilm_opl, opl_bm, vessels, faz = (panel[..., 0] for panel in _panels(path, 5))
    labels = {
        name: enface.repeated(mask > 127, 3, name, name)
        for name, mask in (("RV", vessels), ("FAZ", faz))
    }
    data = np.stack([full, ilm_opl, opl_bm])
    return _volume(path, path.stem, data, labels, slice_names=octa500_layout.SLABS)


def _read_annotation(path: Path) -> OctaVolume:
    layer, region = (panel[..., 0] for panel in _panels(path, 2))
    subject, _, depth = path.stem.partition("_")
    name = "vessel region"
    labels = {name: enface.repeated(region > 127, 1, name, "other")}
    first = int(depth) if depth.isdecimal() else 0
    return _volume(path, subject, layer[None], labels, first_slice=first)


def _panels(path: Path, count: int) -> list[np.ndarray]:
    """Return the square panels of a strip, each ``(rows, columns, 3)``."""
    strip = images.read_pixels(path)
    if strip.ndim == 2:
        strip = np.repeat(strip[..., None], 3, axis=2)
    rows, columns, channels = strip.shape
    if columns != count * rows or channels < 3 or strip.dtype != np.uint8:
        raise ReadError(
            f"{path}: expected {count} square panels side by side in 8 bits "
            f"({rows} x {count * rows} pixels), found {rows} x {columns} pixels with "
            f"{channels} channels of {strip.dtype}; the folder {path.parent.name!r} "
            "may hold files of another kind"
        )
    return np.split(strip[..., :3], count, axis=1)


def _require_alike(layers: Sequence[np.ndarray], paths: Sequence[Path]) -> None:
    size = len(layers[0])
    for layer, path in zip(layers, paths, strict=True):
        if len(layer) != size:
            raise ReadError(
                f"{path}: expected panels of {size} x {size} pixels like "
                f"{paths[0].name}, found {len(layer)} x {len(layer)}; keep one size a "
                "folder"
            )


def _objects(
    folder: Path, depths: range, shape: tuple[int, ...]
) -> dict[str, LabelSet]:
    """Return the vessel objects ``<z>/<NN>.png``; object NN has label NN + 1."""
    masks: dict[tuple[int, int], np.ndarray] = {}
    for index, depth in enumerate(depths):
        layer = folder / str(depth)
        if not layer.is_dir():
            continue
        files = images.numbered_images(layer, prefix="")
        _require_listed(layer, list(files))
        for number, path in files.items():
            masks[index, number + 1] = images.read_mask(path, (shape[1], shape[2]))
    if not masks:
        return {}
    ids = sorted({label for _, label in masks})
    data = np.zeros(shape, np.uint8 if ids[-1] <= 255 else np.uint16)
    for (index, label), mask in masks.items():
        data[index][mask] = label
    names = {label: f"vessel {label - 1:02d}" for label in ids}
    return {"objects": LabelSet(data, names, classes=dict.fromkeys(ids, "RV"))}


def _require_listed(layer: Path, numbers: list[int]) -> None:
    """Raise `ReadError` unless ``objects.npy`` lists the objects there are."""
    from napari_octa_sam2.volume.readers import npy

    path = layer / "objects.npy"
    if path.exists():
        listed = sorted(int(n) for n in npy.load(path).ravel())
        if listed != numbers:
            raise ReadError(
                f"{layer}: expected the objects {listed} of objects.npy, found masks "
                f"of {numbers}; copy the folder again from its source"
            )


def _volume(
    path: Path,
    subject: str,
    data: np.ndarray,
    labels: dict[str, LabelSet],
    *,
    first_slice: int = 0,
    slice_names: tuple[str, ...] = (),
) -> OctaVolume:
    _, rows, columns = data.shape
    field = octa500_layout.field_of_view(path, subject, columns)
    provenance = {"reader": "sam_octa2"}
    if slice_names and field is not None:
        provenance["depth_spacing"] = enface.DEPTH_NOTE
    return OctaVolume(
        data,
        geometry=octa500_layout.resampled_geometry(field, rows, columns),
        name=path.stem if subject in path.stem else f"{subject} {path.stem}",
        source=path,
        labels=labels,
        slice_names=slice_names,
        first_slice=first_slice,
        provenance=provenance,
    )
