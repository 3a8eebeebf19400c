"""Agreement of graders, or of repeats."""

from __future__ import annotations

from napari_octa_sam2.metrics.definitions.definition import Definition, by_key

_SHROUT = "Shrout & Fleiss, Psychol Bull 1979;86:420; McGraw & Wong, Psychol Methods "
_SHROUT += "1996;1:30"
_KOO = "below 0.5 poor, to 0.75 moderate, to 0.9 good, above excellent (Koo & Li, J "
_KOO += "Chiropr Med 2016;15:155)"
_BLAND = "Bland & Altman, Lancet 1986;327:307"
_UNIT = "In the unit of the biomarker."

AGREEMENT: dict[str, Definition] = by_key(
    Definition(
        "kappa",
        "Cohen's kappa",
        "Agreement on the class of voxels beyond chance",
        "(p_o - p_e) / (1 - p_e); p_o: voxels of the same class; p_e: by chance",
        "Cohen, Educ Psychol Meas 1960;20:37",
        "Exact. Where a class is rare it is close to its Dice: background that both "
        "leave out adds hardly anything. Not available where both give all voxels the "
        "same class.",
    ),
    Definition(
        "subjects",
        "n",
        "Subjects that were compared",
        "subjects measured by all of the graders compared",
        "count",
        "Subjects without a value of a grader are left out.",
    ),
    Definition(
        "icc21",
        "ICC(2,1)",
        "Absolute agreement of single measurements",
        "(MSR - MSE) / (MSR + (k - 1) MSE + k (MSC - MSE) / n)",
        _SHROUT,
        f"Exact; {_KOO}, by the interval. Grows with the spread of the subjects.",
    ),
    Definition(
        "icc21_low",
        "ICC(2,1) low",
        "Lower end of the 95 % interval of ICC(2,1)",
        "F distribution with Satterthwaite's degrees of freedom",
        _SHROUT,
        "Approximate: assumes normal values and few graders out of many.",
    ),
    Definition(
        "icc21_high",
        "ICC(2,1) high",
        "Upper end of the 95 % interval of ICC(2,1)",
        "F distribution with Satterthwaite's degrees of freedom",
        _SHROUT,
        "Approximate: assumes normal values and few graders out of many.",
    ),
    Definition(
        "icc31",
        "ICC(3,1)",
        "Consistency of single measurements",
        "(MSR - MSE) / (MSR + (k - 1) MSE)",
        _SHROUT,
        f"Exact; blind to a constant offset of a grader; {_KOO}, by the interval.",
    ),
    Definition(
        "icc31_low",
        "ICC(3,1) low",
        "Lower end of the 95 % interval of ICC(3,1)",
        "(F / F_0.975 - 1) / (F / F_0.975 + k - 1); F = MSR / MSE",
        _SHROUT,
        "Assumes normal values.",
    ),
    Definition(
        "icc31_high",
        "ICC(3,1) high",
        "Upper end of the 95 % interval of ICC(3,1)",
        "(F * F_0.975 - 1) / (F * F_0.975 + k - 1); F = MSR / MSE",
        _SHROUT,
        "Assumes normal values.",
    ),
    Definition(
        "bias",
        "bias",
        "Mean difference, grader less other",
        "mean of the differences",
        _BLAND,
        f"Exact. {_UNIT}",
    ),
    Definition(
        "loa_low",
        "lower limit",
        "Lower 95 % limit of agreement",
        "bias - 1.96 * standard deviation of the differences",
        _BLAND,
        "Assumes normal differences that do not grow with the mean; from few subjects "
        f"it is uncertain by about 3.4 sd / sqrt(n). {_UNIT}",
    ),
    Definition(
        "loa_high",
        "upper limit",
        "Upper 95 % limit of agreement",
        "bias + 1.96 * standard deviation of the differences",
        _BLAND,
        "Assumes normal differences that do not grow with the mean; from few subjects "
        f"it is uncertain by about 3.4 sd / sqrt(n). {_UNIT}",
    ),
)
