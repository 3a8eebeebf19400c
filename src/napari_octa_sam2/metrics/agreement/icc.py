"""Intraclass correlation of graders who all measured the same subjects.

McGraw & Wong, Psychol Methods 1996;1:30, call the two coefficients ICC(A,1) and
ICC(C,1); Shrout & Fleiss, Psychol Bull 1979;86:420, ICC(2,1) and ICC(3,1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.errors import VolumeError
from napari_octa_sam2.metrics.agreement.estimate import TAIL, UNKNOWN, Estimate

LEAST_GRADERS = 2
LEAST_SUBJECTS = 3
BANDS = ((0.5, "poor"), (0.75, "moderate"), (0.9, "good"), (math.inf, "excellent"))
ROUNDING = 1e-12  # relative size of differences that are taken for none


@dataclass(frozen=True)
class Icc:
    """Intraclass correlations of single measurements.

    Parameters
    ----------
    icc21 : Estimate
        Absolute agreement: graders are a sample of all that might measure.
    icc31 : Estimate
        Consistency: these graders alone, whose constant offsets do not count.
    subjects, graders : int
        Number that were compared.
    left_out : int
        Subjects without the values of all graders.
    why_not : str
        Why there is no estimate; empty if there is.
    """

    icc21: Estimate = UNKNOWN
    icc31: Estimate = UNKNOWN
    subjects: int = 0
    graders: int = 0
    left_out: int = 0
    why_not: str = ""


@dataclass(frozen=True)
class MeanSquares:
    """Two-way analysis of variance, one value a cell.

    Parameters
    ----------
    subjects, graders, rest : float
        Mean squares between subjects, between graders, and of what remains.
    n, k : int
        Number of subjects and of graders.
    """

    subjects: float
    graders: float
    rest: float
    n: int
    k: int


def icc(values: np.ndarray) -> Icc:
    """Return ICC(2,1) and ICC(3,1) with their 95 % confidence intervals.

    Parameters
    ----------
    values : numpy.ndarray of float
        Shape ``(subjects, graders)``; rows that hold a nan are left out.

    Raises
    ------
    VolumeError
        If the array has another number of dimensions.
    """
    values = np.asarray(values, float)
    if values.ndim != 2:
        raise VolumeError(
            "expected values of shape (subjects, graders), found shape "
            f"{values.shape}; give one row a subject"
        )
    complete = values[np.isfinite(values).all(1)]
    (n, k), left_out = complete.shape, len(values) - len(complete)
    squares = None
    if k < LEAST_GRADERS:
        why_not = f"expected at least {LEAST_GRADERS} graders, found {k}"
    elif n < LEAST_SUBJECTS:
        why_not = (
            f"expected at least {LEAST_SUBJECTS} subjects measured by all, found {n}"
        )
    else:
        squares = mean_squares(complete)
        why_not = "expected subjects that differ, found the same mean for all"
    if squares is None or not squares.subjects:
        return Icc(subjects=n, graders=k, left_out=left_out, why_not=why_not)
    return Icc(_absolute(squares), _consistent(squares), n, k, left_out)


def band(estimate: Estimate) -> str:
    """Return in words how reliable it is, by the ends of the interval.

    Notes
    -----
    Koo & Li, J Chiropr Med 2016;15:155: below 0.5 poor, up to 0.75 moderate, up to
    0.9 good, above excellent.
    """
    if math.isnan(estimate.value):
        return ""
    words = [
        next(word for limit, word in BANDS if end <= limit)
        for end in (estimate.low, estimate.high)
    ]
    return " to ".join(dict.fromkeys(words))


def mean_squares(values: np.ndarray) -> MeanSquares:
    """Return the mean squares of values of shape ``(subjects, graders)``."""
    n, k = values.shape
    centred = values - values.mean()
    by_subject, by_grader = centred.mean(1), centred.mean(0)
    rest = centred - by_subject[:, None] - by_grader
    between = (
        k * float((by_subject**2).sum()) / (n - 1),
        n * float((by_grader**2).sum()) / (k - 1),
        float((rest**2).sum()) / ((n - 1) * (k - 1)),
    )
    none = (ROUNDING * float(abs(values).max())) ** 2
    subjects, graders, remaining = (m if m > none else 0.0 for m in between)
    return MeanSquares(subjects, graders, remaining, n, k)


def _consistent(squares: MeanSquares) -> Estimate:
    n, k = squares.n, squares.k
    if not squares.rest:
        return Estimate(1.0, 1.0, 1.0)
    ratio = squares.subjects / squares.rest
    df, df_rest = n - 1, (n - 1) * (k - 1)
    ratios = (ratio, ratio / _f(df, df_rest), ratio * _f(df_rest, df))
    return Estimate(*((f - 1) / (f + k - 1) for f in ratios))


def _absolute(squares: MeanSquares) -> Estimate:
    rows, cols, rest, n, k = (
        squares.subjects,
        squares.graders,
        squares.rest,
        squares.n,
        squares.k,
    )
    if not (cols or rest):
        return Estimate(1.0, 1.0, 1.0)
    value = (rows - rest) / (rows + (k - 1) * rest + k * (cols - rest) / n)
    df = _freedom(squares)
    # Below one degree of freedom the quantile may fall short of the estimate itself.
    below, above = _f(n - 1, df), max(1.0, _f(df, n - 1))
    noise = k * cols + (k * n - k - n) * rest
    low = n * (rows / below - rest) / (noise + n * rows / below)
    high = n * (above * rows - rest) / (noise + n * above * rows)
    return Estimate(value, low, high)


def _freedom(squares: MeanSquares) -> float:
    """Return the degrees of freedom (Satterthwaite) of the noise in ICC(2,1)."""
    n, k = squares.n, squares.k
    between = squares.subjects - squares.rest
    share = between / (squares.graders + (n - 1) * squares.rest)
    graders = share * squares.graders
    rest = (1 + share * (n - 1)) * squares.rest
    noise = graders**2 / (k - 1) + rest**2 / ((n - 1) * (k - 1))
    return (graders + rest) ** 2 / noise


def _f(numerator: float, denominator: float) -> float:
    """Return the 97.5 % quantile of the F distribution."""
    from scipy.special import fdtri

    return float(fdtri(numerator, denominator, TAIL))
