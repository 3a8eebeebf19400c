"""Agreement of centrelines: clDice and its two parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.metrics.segmentation.overlap import ratio, require_masks
from napari_octa_sam2.metrics.segmentation.skeleton import skeletonize


@dataclass(frozen=True)
class CentrelineCounts:
    """Voxels of two skeletons, and how many lie inside the other mask.

    Parameters
    ----------
    predicted, real : int
        Voxels of the skeletons of the prediction and of the truth.
    predicted_inside, real_inside : int
        Those inside the truth, and inside the prediction.
    """

    predicted: int
    predicted_inside: int
    real: int
    real_inside: int

    @property
    def topology_precision(self) -> float:
        """Fraction of the predicted skeleton inside the truth."""
        return ratio(self.predicted_inside, self.predicted, self.real)

    @property
    def topology_sensitivity(self) -> float:
        """Fraction of the true skeleton inside the prediction."""
        return ratio(self.real_inside, self.real, self.predicted)

    @property
    def cldice(self) -> float:
        """The harmonic mean of the two."""
        one, other = self.topology_precision, self.topology_sensitivity
        return 2 * one * other / (one + other) if one + other else 0.0


def cldice(
    prediction: np.ndarray, truth: np.ndarray, *, slicewise: bool = False
) -> float:
    """Return the centreline Dice of two masks.

    clDice is the harmonic mean of topology precision, the fraction of the predicted
    skeleton inside the truth, and topology sensitivity, the fraction of the true
    skeleton inside the prediction (Shit et al., clDice, CVPR 2021).

    Parameters
    ----------
    prediction, truth : numpy.ndarray of bool
        Masks of equal shape, ``(rows, cols)`` or ``(depth, slow, fast)``.
    slicewise : bool
        Whether each slice gets a 2-D skeleton, with voxels counted over all slices,
        rather than the volume a 3-D one. Slice-wise suits en-face vessels that were
        labelled slice by slice: it scores the slices as they are seen, whatever the
        spacing in depth. The 3-D skeleton suits whole vascular trees: it counts a
        vessel that dives through the slices once, along its length.

    Returns
    -------
    float
        1 if both masks are empty, 0 if only one is.

    Raises
    ------
    VolumeError
        If the masks do not match or have neither two nor three dimensions.
    """
    require_masks(prediction, truth)
    skeletons = [skeletonize(m, slicewise=slicewise) for m in (prediction, truth)]
    return count_centrelines(prediction, truth, *skeletons).cldice


def count_centrelines(
    prediction: np.ndarray,
    truth: np.ndarray,
    predicted_skeleton: np.ndarray,
    true_skeleton: np.ndarray,
) -> CentrelineCounts:
    """Count the voxels of the skeletons of two masks; all of one shape, boolean."""
    predicted_inside = predicted_skeleton & truth
    real_inside = true_skeleton & prediction
    return CentrelineCounts(
        predicted=int(np.count_nonzero(predicted_skeleton)),
        predicted_inside=int(np.count_nonzero(predicted_inside)),
        real=int(np.count_nonzero(true_skeleton)),
        real_inside=int(np.count_nonzero(real_inside)),
    )
