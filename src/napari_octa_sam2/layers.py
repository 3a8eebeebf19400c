"""napari layers on one side, the records of this package on the other."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.errors import PromptError, VolumeError
from napari_octa_sam2.palette import OBJECTS
from napari_octa_sam2.volume import AXES, LabelSet, OctaVolume, ScanGeometry
from napari_octa_sam2.volume.octa_volume import check_volume_array

if TYPE_CHECKING:
    from napari.layers import Image, Layer, Points

LayerData = tuple[Any, dict[str, Any], str]


def geometry_arguments(geometry: ScanGeometry, ndim: int = 3) -> dict[str, Any]:
    """Return the ``scale``, ``units`` and ``axis_labels`` of a layer."""
    return {
        "scale": geometry.spacing[-ndim:],
        "units": (geometry.unit,) * ndim,
        "axis_labels": AXES[-ndim:],
    }


def grid_arguments(image: Image) -> dict[str, Any]:
    """Return the arguments of a layer that lies on the grid of `image`."""
    return {
        "scale": image.scale,
        "translate": image.translate,
        "rotate": image.rotate,
        "shear": image.shear,
        "units": image.units,
        "axis_labels": image.axis_labels,
    }


def layer_geometry(layer: Layer) -> ScanGeometry:
    """Return the geometry of a two- or three-dimensional layer, in mm where known."""
    from pint import DimensionalityError

    spacing = []
    for scale, unit in zip(layer.scale, layer.units, strict=True):
        try:
            spacing.append(abs(float((scale * unit).to("mm").magnitude)))
        except (DimensionalityError, AttributeError):
            spacing = [abs(float(s)) for s in layer.scale]
            return ScanGeometry(_three(spacing), "pixel")
    return ScanGeometry(_three(spacing), "mm")


def object_colormap() -> Any:
    """Return the colours of objects, the same seven in turn."""
    from napari.utils.colormaps import CyclicLabelColormap

    return CyclicLabelColormap(colors=["transparent", *OBJECTS])


def object_colours(hidden: Collection[int]) -> Any:
    """Return `object_colormap` with the `hidden` objects transparent."""
    if not hidden:
        return object_colormap()
    from napari.utils.colormaps import DirectLabelColormap

    shown = object_colormap()
    last = max(hidden) + len(OBJECTS)
    colours: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
    for number in range(1, last + 1):
        colours[number] = "transparent" if number in hidden else shown.map(number)
    return DirectLabelColormap(color_dict=colours)


def volume_layers(volume: OctaVolume) -> list[LayerData]:
    """Return the layers of a volume: flow, other channels, labels."""
    common = geometry_arguments(volume.geometry)
    metadata = {
        "source": str(volume.source) if volume.source else None,
        "first_slice": volume.first_slice,
        "slice_names": volume.slice_names,
        "provenance": dict(volume.provenance),
    }
    layers: list[LayerData] = [
        (volume.data, {**common, "name": volume.name, "metadata": metadata}, "image")
    ]
    for key, channel in volume.channels.items():
        name = f"{volume.name} {key}"
        layers.append((channel, {**common, "name": name, "visible": False}, "image"))
    for key, labels in volume.labels.items():
        data, arguments, kind = labels_layer(
            labels, volume.geometry, f"{volume.name} {key}"
        )
        layers.append((data, {**arguments, "visible": False}, kind))
    return layers


def labels_layer(labels: LabelSet, geometry: ScanGeometry, name: str) -> LayerData:
    """Return the layer of labels, with names and classes in its metadata."""
    arguments = {
        **geometry_arguments(geometry),
        "name": name,
        "colormap": object_colormap(),
        "metadata": {"names": dict(labels.names), "classes": dict(labels.classes)},
    }
    return labels.data, arguments, "labels"


def image_slices(layer: Image) -> np.ndarray:
    """Return the data of an image layer as ``(depth, slow, fast)``, without a copy.

    A two-dimensional image is a volume of one slice.

    Raises
    ------
    VolumeError
        If the layer is RGB, multiscale, has more than three axes, or holds no number.
    """
    if layer.rgb:
        raise VolumeError(
            f"{layer.name}: expected a grey image, found RGB; "
            "choose a layer with one channel (right-click > Split RGB)"
        )
    if layer.multiscale:
        raise VolumeError(
            f"{layer.name}: expected one resolution, found a multiscale image; "
            "open the level you want to segment as a layer of its own"
        )
    if layer.ndim not in (2, 3):
        raise VolumeError(
            f"{layer.name}: expected a 3-D volume (depth, slow, fast) or a 2-D image, "
            f"found {layer.ndim} axes; choose one channel or time point "
            "(right-click > Split Stack)"
        )
    data = as_slices(np.asarray(layer.data))
    check_volume_array(data, layer.name)
    return data


def as_slices(data: np.ndarray) -> np.ndarray:
    """Return a view ``(depth, slow, fast)`` of a two- or three-dimensional array."""
    return data[None] if data.ndim == 2 else data


def foreign_points(layer: Points, image: Image) -> np.ndarray:
    """Return the points of any layer in pixels of `image`, ``(n, image.ndim)``.

    Raises
    ------
    PromptError
        If the layer has fewer axes than the image.
    """
    if layer.ndim < image.ndim:
        raise PromptError(
            f"{layer.name}: expected points with {image.ndim} axes as {image.name} "
            f"has, found {layer.ndim}"
        )
    world = [layer.data_to_world(p)[-image.ndim :] for p in layer.data]
    found = [image.world_to_data(p) for p in world]
    return np.array(found, float).reshape(-1, image.ndim)


def _three(values: Any, fill: float = 1.0) -> tuple[float, float, float]:
    """Return the last three values, filled up in front."""
    depth, row, col = ([fill] * 3 + [float(v) for v in values])[-3:]
    return depth, row, col
