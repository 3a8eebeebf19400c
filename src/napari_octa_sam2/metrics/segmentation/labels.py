"""Label volumes that can be compared, and how their objects are told."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.results import Label
from napari_octa_sam2.volume.octa_volume import check_volume_array

MAX_ID = 65535


def require_labels(prediction: np.ndarray, truth: np.ndarray) -> None:
    """Raise `VolumeError` unless both arrays are labels of one shape."""
    for name, labels in (("prediction", prediction), ("truth", truth)):
        check_volume_array(labels, name)
        low, high = labels.min(), labels.max()
        if labels.dtype.kind == "f" or low < 0 or high > MAX_ID:
            raise VolumeError(
                f"{name}: expected labels as integers from 0 to {MAX_ID}, found "
                f"{labels.dtype} from {low} to {high}; convert them to object ids first"
            )
    require_same_shape(prediction, truth)


def require_same_shape(prediction: np.ndarray, truth: np.ndarray) -> None:
    """Raise `VolumeError` unless prediction and truth have one shape."""
    if prediction.shape != truth.shape:
        raise VolumeError(
            f"expected a prediction of the shape of the truth, {truth.shape}, found "
            f"{prediction.shape}; compare labels of the same scan and slices"
        )


def as_ids(labels: np.ndarray) -> np.ndarray:
    """Return labels that were checked as uint8 or uint16."""
    if labels.dtype == np.bool_:
        return labels.view(np.uint8)
    small = labels.dtype in (np.uint8, np.uint16)
    return labels if small else labels.astype(np.uint16)


def contiguous(slices: slice | None, depth: int) -> range:
    """Return the chosen ones of so many slices.

    Raises
    ------
    VolumeError
        If there are none, or some between them are left out.
    """
    span = range(depth)[slices or slice(None)]
    if not span or span.step != 1:
        raise VolumeError(
            f"expected contiguous slices within 0 to {depth}, found {slices}"
        )
    return span


def object_labels(
    label: int, names: Mapping[int, str], classes: Mapping[int, str]
) -> dict[str, Label]:
    """Return what tells an object in a table: id, name, and class where it is known."""
    told: dict[str, Label] = {
        "object": label,
        "name": names.get(label, f"object {label}"),
    }
    return told | ({"class": classes[label]} if label in classes else {})


def false_objects_note(voxels: Mapping[int, int]) -> list[str]:
    """Return a note on objects that only the prediction has, none if there are none."""
    if not voxels:
        return []
    found = ", ".join(f"{label} ({count} voxels)" for label, count in voxels.items())
    return [
        f"only in the prediction: {found}; they have no row of their own, and count as "
        "false positives of all"
    ]
