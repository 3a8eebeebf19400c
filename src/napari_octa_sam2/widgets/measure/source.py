"""What layers of labels tell: classes, geometry, the image below, places, checksums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.layers import as_slices, layer_geometry
from napari_octa_sam2.metrics.subjects import UNCLASSED, Subject
from napari_octa_sam2.volume import LabelSet, ScanGeometry

if TYPE_CHECKING:
    from napari.layers import Labels, Layer

Place = tuple[int, float, float]  # slice, row, column


@dataclass(frozen=True, eq=False)
class Source:
    """Labels of a layer, which the user goes on painting.

    Parameters
    ----------
    name : str
    data : array
        As it is in the layer, with two or three axes.
    geometry : ScanGeometry
    names, classes : mapping of int to str
    unclassed : str
        Class of the labels that have none; empty for what `ids_by_class` makes of them.
    slice_names : tuple of str
    image : array, optional
        On the same grid.
    surfaces : str, optional
        File of the surfaces of the retina.
    """

    name: str
    data: Any
    geometry: ScanGeometry
    names: Mapping[int, str] = field(default_factory=dict)
    classes: Mapping[int, str] = field(default_factory=dict)
    unclassed: str = ""
    slice_names: tuple[str, ...] = ()
    image: Any = None
    surfaces: str | None = None

    @classmethod
    def of(
        cls, layer: Labels, layers: Iterable[Layer] = (), unclassed: str = ""
    ) -> Source:
        """Return the labels of a layer, with what the image below them tells.

        Raises
        ------
        VolumeError
            If the layer is multiscale, or has neither two nor three axes.
        """
        if layer.multiscale:
            raise VolumeError(
                f"{layer.name}: expected labels of one resolution, found several; "
                "open the finest one as a layer of its own"
            )
        if layer.ndim not in (2, 3):
            raise VolumeError(
                f"{layer.name}: expected labels with two or three axes, found "
                f"{layer.ndim}; choose one time point (right-click > Split Stack)"
            )
        image = image_below(layer, layers)
        told = {} if image is None else image.metadata
        told = {**told, **layer.metadata}
        return cls(
            layer.name,
            layer.data,
            layer_geometry(layer),
            dict(layer.metadata.get("names", {})),
            dict(layer.metadata.get("classes", {})),
            unclassed,
            tuple(told.get("slice_names", ())),
            None if image is None else image.data,
            told.get("provenance", {}).get("surfaces"),
        )

    def read(self) -> tuple[LabelSet, dict[int, Place]]:
        """Return a copy of the labels, with their classes, and where each is."""
        data = as_slices(np.array(self.data))
        places = label_places(data)
        classes = dict(self.classes)
        if self.unclassed:
            classes |= {
                i: self.unclassed for i in places if classes.get(i, "") in UNCLASSED
            }
        return LabelSet(data, self.names, classes), places

    def subject(self, labels: LabelSet) -> Subject:
        """Return what is measured."""
        from napari_octa_sam2.volume.readers.surface_file import read_surfaces

        image = None if self.image is None else as_slices(np.asarray(self.image))
        found = {}
        if self.surfaces is not None:
            found = read_surfaces(self.surfaces, labels.data.shape)
        return Subject(
            self.name,
            {"labels": labels},
            self.geometry,
            self.slice_names,
            image,
            found,
        )


def image_below(labels: Layer, layers: Iterable[Layer]) -> Layer | None:
    """Return the image on the grid of labels, the uppermost if there are several."""
    from napari.layers import Image

    geometry = layer_geometry(labels)
    found = [
        layer
        for layer in layers
        if isinstance(layer, Image)
        and not (layer.rgb or layer.multiscale)
        and layer.data.shape == labels.data.shape
        and layer_geometry(layer).same_as(geometry)
    ]
    return found[-1] if found else None


def common_geometry(one: Source, other: Source) -> ScanGeometry:
    """Return the geometry of labels that are compared.

    Raises
    ------
    VolumeError
        If they differ in shape or spacing.
    """
    shapes = [_three(source.data.shape) for source in (one, other)]
    if shapes[0] != shapes[1]:
        found = " and ".join(
            f"{source.name} {' x '.join(map(str, shape))}"
            for source, shape in zip((one, other), shapes, strict=True)
        )
        raise VolumeError(
            f"expected labels of one shape, found {found}; choose labels of the same "
            "scan and slices"
        )
    if not (one.geometry.known and other.geometry.known):
        return one.geometry if one.geometry.known else other.geometry
    is_plane = shapes[0][0] == 1
    if not one.geometry.same_as(other.geometry, in_plane=is_plane):
        found = " and ".join(
            f"{source.name} {' x '.join(f'{s:.4g}' for s in source.geometry.spacing)}"
            for source in (one, other)
        )
        raise VolumeError(
            f"expected labels of one spacing, found {found} mm; correct the scale of "
            "one of the layers"
        )
    return one.geometry


def label_places(data: np.ndarray) -> dict[int, Place]:
    """Return the slice on which each label is largest, and its centre there."""
    best: dict[int, tuple[int, int]] = {}  # voxels, slice
    for index, plane in enumerate(data):
        counts = np.bincount(plane.ravel())
        for label in np.flatnonzero(counts).tolist():
            if label and counts[label] > best.get(label, (0, 0))[0]:
                best[label] = (int(counts[label]), index)
    places = {}
    for label, (_, index) in best.items():
        rows, cols = np.nonzero(data[index] == label)
        places[label] = (index, float(rows.mean()), float(cols.mean()))
    return places


def slice_checksum(plane: np.ndarray) -> int:
    """Return a number that changes with the labels of a slice."""
    from zlib import crc32

    return crc32(np.ascontiguousarray(plane))


def slice_checksums(data: np.ndarray) -> np.ndarray:
    """Return the checksum of each slice."""
    return np.array([slice_checksum(plane) for plane in data], np.uint32)


def _three(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1, *shape) if len(shape) == 2 else tuple(shape)
