"""Compare a segmentation with the truth, object by object and pooled."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.overlap import confusion
from napari_octa_sam2.metrics.scores import Evaluation, Scores
from napari_octa_sam2.metrics.surface import hausdorff95
from napari_octa_sam2.metrics.topology import cldice
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import check_volume_array

__all__ = ["Evaluation", "Scores", "evaluate"]

MAX_ID = 65535

Box = tuple[slice, slice, slice]


def evaluate(
    prediction: np.ndarray,
    truth: np.ndarray,
    *,
    geometry: ScanGeometry,
    names: Mapping[int, str] | None = None,
    slices: slice | None = None,
    slicewise: bool = True,
) -> Evaluation:
    """Compare predicted labels with the truth.

    An id of the truth is compared with the same id of the prediction. Ids that only
    the prediction has are false objects: they are listed, and count as false
    positives in the pooled scores.

    Parameters
    ----------
    prediction, truth : numpy.ndarray
        Labels, non-negative integers or bool, shape ``(depth, slow, fast)``.
    geometry : ScanGeometry
        Spacing, which sets the unit of HD95 and of the volumes.
    names : mapping of int to str, optional
        Names of the objects.
    slices : slice, optional
        Contiguous slices to compare; all by default.
    slicewise : bool
        Passed on to `cldice`.

    Raises
    ------
    VolumeError
        If the arrays are no labels, differ in shape, or `slices` selects none.
    """
    _require_labels(prediction, truth)
    span = _span(slices, truth.shape[0])
    prediction = _as_integers(prediction[span.start : span.stop])
    truth = _as_integers(truth[span.start : span.stop])
    boxes, predicted_boxes = _boxes(truth), _boxes(prediction)

    def score(label: int | None, name: str, box: Box) -> Scores:
        masks = [
            labels[box] > 0 if label is None else labels[box] == label
            for labels in (prediction, truth)
        ]
        first = span.start + box[0].start
        return _score(label, name, masks[0], masks[1], geometry, first, slicewise)

    names = names or {}
    return Evaluation(
        objects=tuple(
            score(i, names.get(i, f"object {i}"), _union([box, predicted_boxes.get(i)]))
            for i, box in sorted(boxes.items())
        ),
        pooled=score(None, "all", _union([*boxes.values(), *predicted_boxes.values()])),
        unit=geometry.unit,
        slices=(span.start, span.stop),
        slicewise=slicewise,
        false_objects={
            i: int(np.count_nonzero(prediction[box] == i))
            for i, box in sorted(predicted_boxes.items())
            if i not in boxes
        },
    )


def _score(
    label: int | None,
    name: str,
    predicted: np.ndarray,
    real: np.ndarray,
    geometry: ScanGeometry,
    first_slice: int,
    slicewise: bool,
) -> Scores:
    counts = confusion(predicted, real)
    voxel = math.prod(geometry.spacing)
    return Scores(
        object=label,
        name=name,
        dice=counts.dice,
        iou=counts.iou,
        precision=counts.precision,
        recall=counts.recall,
        cldice=cldice(predicted, real, slicewise=slicewise),
        hd95=hausdorff95(predicted, real, geometry.spacing),
        volume_truth=np.count_nonzero(real) * voxel,
        volume_prediction=np.count_nonzero(predicted) * voxel,
        slice_dice={
            first_slice + index: confusion(*masks).dice
            for index, masks in enumerate(zip(predicted, real, strict=True))
            if masks[0].any() or masks[1].any()
        },
    )


def _require_labels(prediction: np.ndarray, truth: np.ndarray) -> None:
    for name, labels in (("prediction", prediction), ("truth", truth)):
        check_volume_array(labels, name)
        low, high = labels.min(), labels.max()
        if labels.dtype.kind == "f" or low < 0 or high > MAX_ID:
            raise VolumeError(
                f"{name}: expected labels as integers from 0 to {MAX_ID}, found "
                f"{labels.dtype} from {low} to {high}; convert them to object ids first"
            )
    if prediction.shape != truth.shape:
        raise VolumeError(
            f"expected a prediction of the shape of the truth, {truth.shape}, found "
            f"{prediction.shape}; compare labels of the same scan and slices"
        )


def _span(slices: slice | None, depth: int) -> range:
    span = range(depth)[slices or slice(None)]
    if not span or span.step != 1:
        raise VolumeError(
            f"expected contiguous slices within 0 to {depth}, found {slices}"
        )
    return span


def _as_integers(labels: np.ndarray) -> np.ndarray:
    return labels.view(np.uint8) if labels.dtype == np.bool_ else labels


def _boxes(labels: np.ndarray) -> dict[int, Box]:
    """Return the bounding box of each id."""
    from scipy.ndimage import find_objects

    found = enumerate(find_objects(labels), start=1)
    return {label: box for label, box in found if box is not None}


def _union(boxes: list[Box | None]) -> Box:
    """Return the box around all boxes; one voxel where there are none."""
    present = [box for box in boxes if box is not None] or [(slice(0, 1),) * 3]
    depth, slow, fast = (
        slice(min(s.start for s in axis), max(s.stop for s in axis))
        for axis in zip(*present, strict=True)
    )
    return depth, slow, fast
