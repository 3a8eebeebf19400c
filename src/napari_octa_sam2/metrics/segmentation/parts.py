"""What of a label volume is compared as one mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.metrics.results import Label
from napari_octa_sam2.metrics.segmentation.boxes import Box, union
from napari_octa_sam2.metrics.segmentation.labels import object_labels


@dataclass(frozen=True)
class Part:
    """The voxels with some ids, or with any.

    Parameters
    ----------
    level : str
        ``"object"``, ``"class"`` or ``"all"``.
    labels : mapping
        Of its row.
    ids : tuple of int
        Empty for any.
    box : tuple of slice
        Holds the part in prediction and truth.
    """

    level: str
    labels: Mapping[str, Label]
    ids: tuple[int, ...]
    box: Box

    @property
    def depth(self) -> int:
        """Number of slices of the box."""
        return int(self.box[0].stop - self.box[0].start)

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.labels.get("name", self.labels.get("class", "all")))

    def mask(self, labels: np.ndarray) -> np.ndarray:
        """Return the mask of the part in its box."""
        inside: np.ndarray = labels[self.box]
        if not self.ids:
            return inside > 0
        return np.isin(inside, self.ids) if self.ids[1:] else inside == self.ids[0]


def split(
    predicted: Mapping[int, Box],
    true: Mapping[int, Box],
    shape: tuple[int, ...],
    names: Mapping[int, str],
    classes: Mapping[int, str],
) -> list[Part]:
    """Return all as one part, the objects of the truth, and the classes.

    Parameters
    ----------
    predicted, true : mapping of int to box
        Bounding box of each id.
    shape : tuple of int
        Of the volume.
    names, classes : mapping of int to str
        Of ids; a class is a part if any id of either side is in it.
    """

    def around(*ids: int) -> Box:
        return union([boxes.get(i) for boxes in (predicted, true) for i in ids], shape)

    known = sorted({*predicted, *true})
    members: dict[str, list[int]] = {}
    for i in known:
        if i in classes:
            members.setdefault(classes[i], []).append(i)
    return [
        Part("all", {}, (), around(*known)),
        *(
            Part("object", object_labels(i, names, classes), (i,), around(i))
            for i in sorted(true)
        ),
        *(
            Part("class", {"class": name}, tuple(ids), around(*ids))
            for name, ids in members.items()
        ),
    ]
