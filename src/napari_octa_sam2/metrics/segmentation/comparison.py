"""All figures of two masks, with everything that they share computed once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from napari_octa_sam2.metrics.definitions.segmentation import SEGMENTATION
from napari_octa_sam2.metrics.results import Figure
from napari_octa_sam2.metrics.segmentation.betti import betti_numbers
from napari_octa_sam2.metrics.segmentation.boxes import bounding_box, union
from napari_octa_sam2.metrics.segmentation.cal import connectivity_area_length
from napari_octa_sam2.metrics.segmentation.overlap import Confusion, confusion
from napari_octa_sam2.metrics.segmentation.skeleton import skeletonize
from napari_octa_sam2.metrics.segmentation.surface import (
    SurfaceDistances,
    require_tolerance,
    surface_distances,
)
from napari_octa_sam2.metrics.segmentation.topology import (
    CentrelineCounts,
    count_centrelines,
)

OVERLAP = ("dice", "iou", "precision", "recall", "specificity", "accuracy")
DISTANCES = ("hd", "hd95", "assd")
CENTRELINES = ("cldice", "topology_precision", "topology_sensitivity")

Pair = tuple[np.ndarray, np.ndarray]


class Comparison:
    """A predicted mask beside the true one.

    Parameters
    ----------
    prediction, truth : numpy.ndarray of bool
        Masks of equal shape, ``(rows, cols)`` or ``(depth, slow, fast)``.
    spacing : sequence of float
        Size of a voxel along each axis.
    unit : {"mm", "pixel"}
        Of the spacing.
    tolerance : float, optional
        Of the normalized surface distance, in `unit`; by default `pixel_of` spacing.
    slicewise : bool
        Whether the skeletons of a volume are those of its slices; see `cldice`.
    grid : tuple of int, optional
        Shape of the whole arrays, where the masks were cut out of them; all outside
        counts as true negative.
    skeletons : tuple of numpy.ndarray of bool, optional
        Of prediction and truth, where they are known already.

    Raises
    ------
    VolumeError
        If the masks, the spacing or the tolerance do not fit; some only with the
        figure that needs them.
    """

    def __init__(
        self,
        prediction: np.ndarray,
        truth: np.ndarray,
        spacing: Sequence[float],
        unit: str = "pixel",
        tolerance: float | None = None,
        *,
        slicewise: bool = False,
        grid: tuple[int, ...] | None = None,
        skeletons: Pair | None = None,
    ) -> None:
        self.masks = prediction, truth
        self.spacing = tuple(spacing)
        self.unit = unit
        within = pixel_of(self.spacing) if tolerance is None else tolerance
        self.tolerance = require_tolerance(within)
        self.slicewise = slicewise
        self.grid = grid or truth.shape
        self._skeletons = skeletons

    @cached_property
    def confusion(self) -> Confusion:
        """Counts of voxels on the whole grid."""
        inside = confusion(*self.masks)
        return inside + Confusion(0, 0, 0, math.prod(self.grid) - self.masks[1].size)

    @cached_property
    def distances(self) -> SurfaceDistances:
        """Distances between the surfaces."""
        return surface_distances(*self.masks, self.spacing)

    @cached_property
    def skeletons(self) -> Pair:
        """Skeletons of prediction and truth."""
        if self._skeletons is not None:
            return self._skeletons
        prediction, truth = self.masks
        return (
            skeletonize(prediction, slicewise=self.slicewise),
            skeletonize(truth, slicewise=self.slicewise),
        )

    @cached_property
    def centrelines(self) -> CentrelineCounts:
        """Counts of the skeletons."""
        return count_centrelines(*self.masks, *self.skeletons)

    @cached_property
    def betti(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Betti numbers of prediction and truth."""
        prediction, truth = (betti_numbers(mask) for mask in self.masks)
        return prediction, truth

    def figures(self) -> dict[str, Figure]:
        """Return every figure by its key: CAL of planes, volumes of volumes."""
        values = {key: getattr(self.confusion, key) for key in OVERLAP}
        values["nsd"] = self.distances.nsd(self.tolerance)
        values |= {key: getattr(self.centrelines, key) for key in CENTRELINES}
        values |= self._topology()
        if len(self.grid) == 2:
            values["cal"] = connectivity_area_length(
                *self.masks,
                skeletons=self.skeletons,
                parts=(self.betti[0][0], self.betti[1][0]),
            ).cal
        else:
            values |= self._volumes()
        figures = {k: SEGMENTATION[k].figure(v, self.unit) for k, v in values.items()}
        return in_order(figures | self._distances())

    def planes(self) -> Iterator[tuple[int, Comparison]]:
        """Yield the slices of the masks on which either is not empty, as planes."""
        for index, masks in enumerate(zip(*self.masks, strict=True)):
            found = [bounding_box(mask) for mask in masks]
            if not any(found):
                continue
            box = union(found, masks[0].shape)
            prediction, truth = (mask[box] for mask in masks)
            known = None
            if self.slicewise:
                known = self.skeletons[0][index][box], self.skeletons[1][index][box]
            plane = Comparison(
                prediction,
                truth,
                self.spacing[1:],
                self.unit,
                self.tolerance,
                grid=self.grid[1:],
                skeletons=known,
            )
            yield index, plane

    def _distances(self) -> dict[str, Figure]:
        if self.distances.available:
            return {
                key: SEGMENTATION[key].figure(getattr(self.distances, key), self.unit)
                for key in DISTANCES
            }
        names = ("prediction", "truth")
        empty = [n for n, m in zip(names, self.masks, strict=True) if not m.any()]
        why_not = f"expected two masks with voxels, found none in {' and '.join(empty)}"
        return {k: SEGMENTATION[k].missing(why_not, self.unit) for k in DISTANCES}

    def _topology(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for k, (predicted, real) in enumerate(zip(*self.betti, strict=True)):
            values |= {
                f"betti{k}": predicted,
                f"betti{k}_reference": real,
                f"betti{k}_error": abs(predicted - real),
            }
        predicted, real = (
            sum((-1) ** k * number for k, number in enumerate(numbers))
            for numbers in self.betti
        )
        return values | {"euler_error": abs(predicted - real)}

    def _volumes(self) -> dict[str, float]:
        voxel = math.prod(self.spacing)
        prediction, truth = (int(np.count_nonzero(mask)) for mask in self.masks)
        return {
            "volume_prediction": prediction * voxel,
            "volume_reference": truth * voxel,
        }


def pixel_of(spacing: Sequence[float]) -> float:
    """Return the size of a pixel of the plane: the larger of the last two spacings."""
    return max(float(size) for size in spacing[-2:])


def in_order(figures: dict[str, Figure]) -> dict[str, Figure]:
    """Return figures in the order of their definitions."""
    return {key: figures[key] for key in SEGMENTATION if key in figures}
