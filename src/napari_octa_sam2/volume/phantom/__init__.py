"""Synthetic OCTA of the macula with exact truth.

`make_phantom` draws a volume, `make_enface` a single projection, fast enough to
train on. Both are deterministic by seed.
"""

from napari_octa_sam2.volume.phantom.drawn import as_drawn
from napari_octa_sam2.volume.phantom.enface import make_enface
from napari_octa_sam2.volume.phantom.records import Centreline, Phantom, PhantomConfig
from napari_octa_sam2.volume.phantom.scan import make_phantom

__all__ = [
    "Centreline",
    "Phantom",
    "PhantomConfig",
    "as_drawn",
    "make_enface",
    "make_phantom",
]
