"""Where the samples are in a folder of real data.

Every subject, split and sequence of the layout is found, whatever its name; splits
that are for training (``train``, ``train_manual`` …) are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume
from napari_octa_sam2.volume.readers import images, octa500_layout, read_volume
from napari_octa_sam2.volume.readers.enface import LABEL_FOLDERS, repeated

MAPS = "sam-octa-extend/datasets/*/*/Projection*Maps/OCTA(ILM_OPL)/*"
SEQUENCES = "sam-octa2/datasets/*/{kind}/*/"


@dataclass(frozen=True)
class Source:
    """An image or a sequence, and where its truth is.

    Parameters
    ----------
    name : str
    path : Path
    label : Path or str
        File of the mask, or which labels of the volume.
    """

    name: str
    path: Path
    label: Path | str

    def read(self) -> tuple[np.ndarray, LabelSet]:
        """Return the data ``(depth, slow, fast)`` and the truth on its grid.

        Raises
        ------
        ReadError
            If a file is damaged, or the truth does not fit.
        """
        volume, truth = self.open()
        return volume.data, truth

    def open(self) -> tuple[OctaVolume, LabelSet]:
        """Return the volume and the truth on its grid.

        Raises
        ------
        ReadError
            As `read` does.
        """
        volume = read_volume(self.path)
        if isinstance(self.label, str):
            return volume, volume.labels[self.label]
        rows, columns = volume.shape[1:]
        mask = images.read_mask(self.label, (rows, columns))
        return volume, repeated(mask, volume.shape[0], "truth", "other")


def require_samples(folder: Path) -> None:
    """Raise `ReadError` if there is no folder of samples."""
    if not folder.is_dir():
        raise ReadError(
            f"{folder}: expected the folder of the real samples, found none; see "
            "docs/evaluation.md for its layout"
        )


def find_maps(label: str, folder: Path) -> dict[str, list[Source]]:
    """Return the ILM_OPL maps of the subjects that have a kind of labels."""
    kind = LABEL_FOLDERS[label][0]
    sources = [
        Source(path.stem, path, label)
        for path in _in_order(folder.glob(MAPS))
        if images.is_image(path)
        and octa500_layout.find_label(path.parent, kind, path.stem)
    ]
    return {"": sources} if sources else {}


def find_pairs(below: str, folder: Path) -> dict[str, list[Source]]:
    """Return, by split, ``<split>/image/<n>`` with ``<split>/label/<n>``."""
    splits = {}
    for split in sorted((folder / below).glob("*/")):
        pictures, masks = (_by_stem(split / kind) for kind in ("image", "label"))
        sources = [
            Source(stem, pictures[stem], masks[stem])
            for stem in pictures
            if stem in masks
        ]
        if sources and not split.name.startswith("train"):
            splits[split.name] = sources
    return splits


def find_sequences(kind: str, label: str, folder: Path) -> dict[str, list[Source]]:
    """Return the layer sequences; of vessels, those with single objects."""
    sources = [
        Source(path.name, path, label)
        for path in _in_order(folder.glob(SEQUENCES.format(kind=kind)))
        if label != "objects" or any(p.name.isdecimal() for p in path.glob("*/"))
    ]
    return {"": sources} if sources else {}


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    found = _in_order(path for path in folder.iterdir() if images.is_image(path))
    return {path.stem: path for path in found}


def _in_order(paths: Iterable[Path]) -> list[Path]:
    """Sort by name, numbers by value."""
    return sorted(paths, key=lambda path: (len(path.stem), path.stem, path))
