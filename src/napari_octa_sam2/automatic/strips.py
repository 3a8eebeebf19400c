"""What was found, as the panels that SAM-OCTA2 keeps of a layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_octa_sam2.engine.frames import intensity_window, windowed
from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.volume.layer_strips import write_layer_strip, write_objects
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume


def write_strips(
    folder: Path, volume: OctaVolume, index: int, regions: LabelSet, vessels: LabelSet
) -> Path:
    """Write a layer as ``RV_LayerSequence`` holds it; return the file.

    Parameters
    ----------
    folder : Path
        Of the subject; the layer is named by its depth, ``first_slice`` included.
    volume : OctaVolume
        With square slices; other types than uint8 are scaled as the engine sees them.
    index : int
        The slice.
    regions, vessels : LabelSet
        Vessel regions, and the vessels in them, shape of the volume. Several objects
        of `vessels` are written one by one as well.

    Raises
    ------
    VolumeError
        If slices are not square.
    WriteError
        If a file cannot be written.
    """
    rows, columns = volume.shape[1:]
    if rows != columns:
        raise VolumeError(
            f"SAM-OCTA2's panels are square: expected slices as high as wide, found "
            f"{rows} x {columns}; write labels of another form"
        )
    data = volume.data[index]
    if data.dtype != np.uint8:
        grey = windowed(data, intensity_window(volume.data))[0, 0].numpy()
        data = np.rint(255 * grey).astype(np.uint8)
    name = str(volume.first_slice + index)
    found = vessels.data[index]
    file = folder / f"{name}.png"
    write_layer_strip(file, data, regions.data[index] > 0, found > 0)
    if len(vessels.names) > 1:
        write_objects(folder / name, found)
    return file
