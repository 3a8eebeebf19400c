"""npe2 sample data: a procedural volume, made when it is asked for."""

from __future__ import annotations

from napari_octa_sam2.layers import LayerData, volume_layers


def phantom() -> list[LayerData]:
    """Return the layers of a 3 mm phantom with its true labels (hidden)."""
    from napari_octa_sam2.volume.phantom import PhantomConfig, make_phantom

    return volume_layers(make_phantom(PhantomConfig(seed=1)).volume)
