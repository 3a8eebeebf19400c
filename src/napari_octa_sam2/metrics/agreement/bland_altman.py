"""Differences of two graders against their means.

Bland & Altman, Lancet 1986;327:307, and Stat Methods Med Res 1999;8:135 for the
intervals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.agreement.estimate import TAIL, UNKNOWN, Estimate

LEAST_SUBJECTS = 3
NORMAL = 1.96  # standard deviations that hold 95 % of differences


@dataclass(frozen=True, eq=False)
class BlandAltman:
    """Bias of one grader against another, and limits of agreement.

    Parameters
    ----------
    mean : float
        Of all values of both.
    bias : Estimate
        Mean difference, first less second.
    sd : float
        Standard deviation of the differences.
    lower, upper : Estimate
        Limits of agreement, ``bias -+ 1.96 sd``.
    n : int
        Number of subjects.
    left_out : int
        Subjects without both values.
    points : numpy.ndarray
        Mean and difference of each subject, shape ``(n, 2)``.
    why_not : str
        Why there is no estimate; empty if there is.
    """

    mean: float = math.nan
    bias: Estimate = UNKNOWN
    sd: float = math.nan
    lower: Estimate = UNKNOWN
    upper: Estimate = UNKNOWN
    n: int = 0
    left_out: int = 0
    points: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    why_not: str = ""


def bland_altman(a: np.ndarray, b: np.ndarray) -> BlandAltman:
    """Compare two graders subject by subject.

    Parameters
    ----------
    a, b : numpy.ndarray of float
        Values of the same subjects in the same order, shape ``(subjects,)``; a pair
        with a nan is left out.

    Raises
    ------
    VolumeError
        If the arrays differ in length or are not one-dimensional.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape or a.ndim != 1:
        raise VolumeError(
            "expected two values of each subject, found arrays of shape "
            f"{a.shape} and {b.shape}; put the same subjects in the same order"
        )
    both = np.isfinite(a) & np.isfinite(b)
    points = np.stack([(a + b) / 2, a - b], 1)[both]
    n, left_out = len(points), len(a) - len(points)
    if n < LEAST_SUBJECTS:
        why = f"expected at least {LEAST_SUBJECTS} subjects measured by both, found {n}"
        return BlandAltman(n=n, left_out=left_out, points=points, why_not=why)
    mean, bias = (float(value) for value in points.mean(0))
    sd = float(points[:, 1].std(ddof=1))
    quantile = _t(n - 1)
    margin = quantile * sd * math.sqrt(1 / n)
    limit_margin = quantile * sd * math.sqrt(1 / n + NORMAL**2 / (2 * (n - 1)))
    return BlandAltman(
        mean=mean,
        bias=_around(bias, margin),
        sd=sd,
        lower=_around(bias - NORMAL * sd, limit_margin),
        upper=_around(bias + NORMAL * sd, limit_margin),
        n=n,
        left_out=left_out,
        points=points,
    )


def _around(value: float, margin: float) -> Estimate:
    return Estimate(value, value - margin, value + margin)


def _t(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, TAIL))
