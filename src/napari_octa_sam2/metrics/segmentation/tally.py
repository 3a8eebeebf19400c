"""Agreement with the truth while the prediction is being edited."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.definitions.segmentation import SEGMENTATION
from napari_octa_sam2.metrics.results import Figure, Results, Row
from napari_octa_sam2.metrics.segmentation.comparison import OVERLAP
from napari_octa_sam2.metrics.segmentation.joint import (
    JointCounts,
    added,
    count_jointly,
)
from napari_octa_sam2.metrics.segmentation.labels import (
    as_ids,
    false_objects_note,
    object_labels,
    require_labels,
    require_same_shape,
)
from napari_octa_sam2.metrics.segmentation.overlap import Confusion


class SliceTally:
    """Counts of voxels by slice, of which only those that changed are counted again.

    Its figures are those of `evaluate`; see `update`.

    Parameters
    ----------
    truth : numpy.ndarray
        Labels, non-negative integers or bool, shape ``(depth, slow, fast)``; may not
        change.
    names, classes : mapping of int to str, optional
        Of its objects.

    Raises
    ------
    VolumeError
        If the truth is no label volume.
    """

    def __init__(
        self,
        truth: np.ndarray,
        names: Mapping[int, str] | None = None,
        classes: Mapping[int, str] | None = None,
    ) -> None:
        require_labels(truth, truth)
        self._truth = as_ids(truth)
        self._names, self._classes = names or {}, classes or {}
        self._digests: dict[int, int] = {}
        self._counts: dict[int, JointCounts] = {}
        self._slices: dict[int, Row] = {}  # kept: hundreds, of which one changes

    def update(
        self, prediction: np.ndarray, slices: Iterable[int] | None = None
    ) -> list[int]:
        """Count the slices that changed since the last time, and return them.

        Parameters
        ----------
        prediction : numpy.ndarray
            Labels of the shape of the truth.
        slices : iterable of int, optional
            Those that may have changed; by default all. Slices that were never looked
            at are looked at in any case.

        Raises
        ------
        VolumeError
            If the prediction is of another shape, or a slice that changed holds no
            labels.
        """
        require_same_shape(prediction, self._truth)
        depth = range(len(self._truth))
        asked = depth if slices is None else {int(index) for index in slices}
        if outside := sorted(set(asked) - set(depth)):
            raise VolumeError(
                f"expected slices from 0 to {depth[-1]}, found {outside[0]}; give "
                "indices into the truth"
            )
        changed = []
        for index in sorted({*asked, *(depth - self._digests.keys())}):
            plane = np.ascontiguousarray(prediction[index])
            digest = zlib.crc32(plane.data)
            if self._digests.get(index) != digest:
                self._count(index, plane)
                self._digests[index] = digest
                changed.append(index)
        return changed

    def results(self) -> Results:
        """Return the overlap of objects, of all, and the Dice of each slice.

        Raises
        ------
        VolumeError
            If there was no `update` before.
        """
        if not self._counts:
            raise VolumeError("expected a prediction, found none; call update first")
        counts = added(self._counts.values())
        true, predicted = counts.sizes()
        rows = [
            Row(
                "object",
                object_labels(i, self._names, self._classes),
                _overlap(counts.confusion([i])),
            )
            for i in true
        ]
        rows.append(Row("all", {}, _overlap(counts.confusion())))
        rows += [row for _, row in sorted(self._slices.items())]
        false = {i: voxels for i, voxels in predicted.items() if i not in true}
        return Results(tuple(rows), {}, tuple(false_objects_note(false)))

    def _count(self, index: int, plane: np.ndarray) -> None:
        real = self._truth[index]
        require_labels(plane[None], real[None])
        counts = count_jointly(as_ids(plane), real)
        self._counts[index], pooled = counts, counts.confusion()
        if pooled.true_positive + pooled.errors:
            dice = {"dice": Figure(pooled.dice)}
            self._slices[index] = Row("slice", {"slice": index}, dice)
        else:
            self._slices.pop(index, None)


def _overlap(counts: Confusion) -> dict[str, Figure]:
    return {key: SEGMENTATION[key].figure(getattr(counts, key), "") for key in OVERLAP}
