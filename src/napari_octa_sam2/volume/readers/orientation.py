"""Check that a volume lies as its en-face images do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# (transpose, reverse rows, reverse columns), applied in this order.
ORIENTATIONS: Mapping[str, tuple[bool, bool, bool]] = {
    "identity": (False, False, False),
    "rows reversed": (False, True, False),
    "columns reversed": (False, False, True),
    "rotated by 180 degrees": (False, True, True),
    "transposed": (True, False, False),
    "rotated by 90 degrees clockwise": (True, False, True),
    "rotated by 90 degrees anticlockwise": (True, True, False),
    "transposed, both reversed": (True, True, True),
}
_RECOGNISED = 0.3
_MARGIN = 0.2


@dataclass(frozen=True)
class OrientationCheck:
    """How well each of the eight orientations matches a reference image.

    Parameters
    ----------
    correlations : mapping of str to float
        Pearson correlation for each orientation whose shape fits.
    """

    correlations: Mapping[str, float]

    @property
    def best(self) -> str:
        """The orientation that correlates best."""
        return max(self.correlations, key=lambda name: self.correlations[name])

    @property
    def applied(self) -> str:
        """The orientation to apply: `best` if it wins decisively, else identity.

        Decisive is a correlation of at least 0.3 and 0.2 above that of identity. On
        OCTA-500 the right orientation reaches 0.55 to 0.6, a wrong one at most 0.23.
        """
        score = self.correlations[self.best]
        identity = self.correlations.get("identity", -1.0)
        decisive = score >= _RECOGNISED and score - identity >= _MARGIN
        return self.best if decisive else "identity"

    @property
    def warning(self) -> str:
        """What the user should know; empty where identity wins."""
        if self.best == "identity":
            return ""
        identity = self.correlations.get("identity", float("nan"))
        found = (
            f"the projection map matches the volume {self.best} best (correlation "
            f"{self.correlations[self.best]:.2f}, as stored {identity:.2f})"
        )
        if self.applied == "identity":
            return f"{found}, but not decisively: kept as stored, check it by eye"
        return f"{found}: the volume was turned to match"


def oriented(array: np.ndarray, name: str) -> np.ndarray:
    """Return `array` with its last two axes brought into an orientation."""
    transpose, rows, columns = ORIENTATIONS[name]
    turned = array.swapaxes(-1, -2) if transpose else array
    turned = np.flip(turned, -2) if rows else turned
    turned = np.flip(turned, -1) if columns else turned
    return np.ascontiguousarray(turned)


def check_orientation(
    volume: np.ndarray, reference: np.ndarray
) -> OrientationCheck | None:
    """Correlate the projections of a volume with an en-face image.

    Parameters
    ----------
    volume : numpy.ndarray
        Shape ``(depth, slow, fast)``.
    reference : numpy.ndarray
        Shape ``(rows, columns)``.

    Returns
    -------
    OrientationCheck or None
        For each orientation the better one of maximum and mean projection; None
        where no orientation has the shape of the reference, or one is uniform.
    """
    projections = (volume.max(axis=0), volume.mean(axis=0))
    correlations: dict[str, float] = {}
    for name in ORIENTATIONS:
        turned = [oriented(p, name) for p in projections]
        if turned[0].shape == reference.shape:
            correlations[name] = max(_correlation(t, reference) for t in turned)
    if not correlations or not np.isfinite(max(correlations.values())):
        return None
    return OrientationCheck(correlations)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    x = a.astype(float).ravel() - a.mean()
    y = b.astype(float).ravel() - b.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm else float("-inf")
