"""npe2 reader: any OCTA input to napari layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_octa_sam2.layers import LayerData, labels_layer, volume_layers
from napari_octa_sam2.volume.readers import find_reader

Paths = str | list[str]


def get_reader(path: Paths) -> Callable[[Paths], list[LayerData]] | None:
    """Return a reader for `path`, or None if it is no OCTA data that we know."""
    if isinstance(path, list):
        path = path[0]
    return None if find_reader(Path(path)) is None else read_layers


def read_layers(path: Paths) -> list[LayerData]:
    """Read one or several inputs, each to its layers."""
    from napari.utils.notifications import show_warning

    from napari_octa_sam2.volume.readers import read_labels, read_volume

    layers: list[LayerData] = []
    for one in [path] if isinstance(path, str) else path:
        volume = read_volume(one)
        for checked in ("orientation", "faz"):
            found = volume.provenance.get(checked)
            if isinstance(found, dict) and found.get("warning"):
                show_warning(f"{volume.name}: {found['warning']}")
        if volume.provenance.get("kind") == "labels":
            layers.append(labels_layer(*read_labels(one), volume.name))
        else:
            layers += volume_layers(volume)
    return layers
