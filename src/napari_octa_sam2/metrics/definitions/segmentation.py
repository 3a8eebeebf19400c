"""Figures of a segmentation against a reference."""

from __future__ import annotations

from napari_octa_sam2.metrics.definitions.definition import Definition, by_key

_PITFALLS = "Reinke et al., Nat Methods 2024;21:182"
_EMPTY = "two empty masks give 1, an empty and a non-empty one 0"
_BETTI = "Hu et al., NeurIPS 2019; computed as of a cubical complex"

_OVERLAP = (
    Definition(
        "dice",
        "Dice, F1",
        "Dice coefficient",
        "2 TP / (2 TP + FP + FN)",
        "Dice, Ecology 1945;26:297; Zijdenbos et al., IEEE TMI 1994;13:716",
        "Falls with width, not with length: a vessel of 3 pixels drawn one pixel wider "
        f"on either side has 0.75. Blind to single gaps; {_EMPTY}.",
    ),
    Definition(
        "iou",
        "IoU",
        "Intersection over union (Jaccard index)",
        "TP / (TP + FP + FN)",
        "Jaccard, New Phytol 1912;11:37",
        "Dice / (2 - Dice): orders segmentations as Dice does, with lower numbers.",
    ),
    Definition(
        "precision",
        "precision",
        "Precision (positive predictive value, PPV)",
        "TP / (TP + FP)",
        _PITFALLS,
        f"Says nothing of what was missed; {_EMPTY}.",
    ),
    Definition(
        "recall",
        "recall",
        "Recall (sensitivity)",
        "TP / (TP + FN)",
        _PITFALLS,
        f"Says nothing of what was added; {_EMPTY}.",
    ),
    Definition(
        "specificity",
        "specificity",
        "Specificity",
        "TN / (TN + FP)",
        _PITFALLS,
        "Near 1 wherever most voxels are background, and higher the more empty slices "
        "are compared.",
    ),
    Definition(
        "accuracy",
        "accuracy",
        "Accuracy",
        "(TP + TN) / (TP + FP + FN + TN)",
        _PITFALLS,
        "Near 1 wherever most voxels are background: an empty prediction of vessels "
        "that fill 3 % of the volume has 0.97.",
    ),
)
_SURFACES = (
    Definition(
        "hd",
        "HD",
        "Hausdorff distance",
        "largest distance of a surface voxel to the nearest voxel of the other surface",
        "Huttenlocher et al., IEEE TPAMI 1993;15:850",
        "Set by a single voxel. Not available where a mask is empty.",
        length=1,
    ),
    Definition(
        "hd95",
        "HD95",
        "95th percentile Hausdorff distance",
        "larger of the two directed 95th percentiles of the surface distances",
        "Huttenlocher et al., IEEE TPAMI 1993;15:850; as in MONAI",
        "Surfaces are centres of voxels: quantised to the spacing. Other tools take "
        "the percentile of both directions together. Not available where a mask is "
        "empty.",
        length=1,
    ),
    Definition(
        "assd",
        "ASSD",
        "Average symmetric surface distance",
        "mean of the distances of all voxels of both surfaces to the other one",
        "Heimann et al., IEEE TMI 2009;28:1251",
        "The larger surface weighs more. Not available where a mask is empty.",
        length=1,
    ),
    Definition(
        "nsd",
        "NSD",
        "Normalized surface distance (surface Dice)",
        "surface voxels of both masks within the tolerance of the other surface / all "
        "surface voxels",
        "Nikolov et al., J Med Internet Res 2021;23:e26151; as in MONAI without "
        "subvoxels",
        "Depends on the tolerance, which the settings tell (by default one pixel of "
        "the en-face plane). Voxels are counted, so that with anisotropic spacing "
        f"every surface voxel weighs the same; {_EMPTY}.",
    ),
)
_CENTRELINES = (
    Definition(
        "cldice",
        "clDice",
        "Centreline Dice",
        "2 Tprec Tsens / (Tprec + Tsens)",
        "Shit et al., CVPR 2021",
        "Hardly sees width: vessels of 3 pixels drawn one pixel wider keep more than "
        "0.95. Depends on the skeleton; the settings tell whether it is of slices or "
        f"of the volume; {_EMPTY}.",
    ),
    Definition(
        "topology_precision",
        "Tprec",
        "Topology precision",
        "voxels of the predicted skeleton inside the reference / all its voxels",
        "Shit et al., CVPR 2021",
        f"Spurs of a rough outline count as centrelines; {_EMPTY}.",
    ),
    Definition(
        "topology_sensitivity",
        "Tsens",
        "Topology sensitivity",
        "voxels of the reference skeleton inside the prediction / all its voxels",
        "Shit et al., CVPR 2021",
        f"Spurs of a rough outline count as centrelines; {_EMPTY}.",
    ),
    Definition(
        "cal",
        "CAL",
        "Connectivity, area, length",
        "C A L, with C = 1 - min(1, |difference of the numbers of parts| / pixels of "
        "the reference), A and L = pixels of the union of both masks, or skeletons, "
        "that lie within 2 pixels of both / all pixels of the union",
        "Gegundez-Arias et al., IEEE TMI 2012;31:231 (alpha = beta = 2 pixels)",
        "Tolerances are pixels, not lengths: scans of other pitch cannot be compared. "
        f"Only of planes; {_EMPTY}.",
    ),
)


def _betti(order: int, parts: str, plane: str) -> tuple[Definition, ...]:
    note = f"{plane} Not corrected for noise: a single stray voxel counts as one."
    return (
        Definition(
            f"betti{order}",
            f"b{order}",
            f"{parts} of the prediction",
            f"number of {parts.lower()}; 26-connected (8 in a plane), background "
            "6-connected (4)",
            _BETTI,
            note,
        ),
        Definition(
            f"betti{order}_reference",
            f"b{order} ref",
            f"{parts} of the reference",
            f"as b{order}",
            _BETTI,
            note,
        ),
        Definition(
            f"betti{order}_error",
            f"b{order} error",
            f"Error in the number of {parts.lower()}",
            f"|b{order} of the prediction - b{order} of the reference|",
            "Hu et al., NeurIPS 2019",
            "Numbers, not places: a part added here and one missed there give 0.",
        ),
    )


_TOPOLOGY = (
    *_betti(0, "Connected parts", "Where slices are cut, so are parts."),
    *_betti(1, "Loops", "Holes in a plane, tunnels in a volume."),
    *_betti(2, "Cavities", "Of volumes only."),
    Definition(
        "euler_error",
        "Euler error",
        "Error of the Euler characteristic",
        "|X of the prediction - X of the reference|, X = b0 - b1 + b2 (b0 - b1 in a "
        "plane)",
        "Ohser, Nagel and Schladitz, Morphology of Condensed Matter 2002;275",
        "Errors of parts and of loops can cancel each other: read it beside the errors "
        "of b0, b1 and b2.",
    ),
)
_VOLUMES = (
    Definition(
        "volume_prediction",
        "V",
        "Volume of the prediction",
        "number of voxels x volume of a voxel",
        "count of voxels",
        "A border one voxel wider adds a whole layer: a tube of radius 5 voxels gains "
        "44 %.",
        length=3,
    ),
    Definition(
        "volume_reference",
        "V ref",
        "Volume of the reference",
        "number of voxels x volume of a voxel",
        "count of voxels",
        "As V.",
        length=3,
    ),
)
_OBJECTS = "Caicedo et al., Nat Methods 2019;16:1247"
_NO_SCORES = (
    "Objects without scores have no ranking: this is not the area under a curve as in "
    "COCO. Objects are ids, matched by overlap whatever their id; a long vessel cut in "
    "two is missed."
)
_RANKING = (
    Definition(
        "ap50",
        "AP50",
        "Average precision of objects at IoU 0.5",
        "TP / (TP + FP + FN) of objects, matched one to one with an IoU of 0.5 or more",
        _OBJECTS,
        _NO_SCORES,
    ),
    Definition(
        "ap75",
        "AP75",
        "Average precision of objects at IoU 0.75",
        "TP / (TP + FP + FN) of objects, matched one to one with an IoU of 0.75 or "
        "more",
        _OBJECTS,
        _NO_SCORES,
    ),
    Definition(
        "ap",
        "AP",
        "Average precision of objects",
        "mean of TP / (TP + FP + FN) at IoU 0.5, 0.55 ... 0.95",
        _OBJECTS,
        _NO_SCORES + " Thin vessels seldom reach the higher thresholds.",
    ),
    Definition(
        "average_precision",
        "AP (voxels)",
        "Average precision of scores, voxel by voxel",
        "sum over thresholds of precision x gain in recall, not interpolated",
        "as in scikit-learn; Davis and Goadrich, ICML 2006",
        "A random score has the fraction of foreground, not 0.5: scans of other "
        "vessel density cannot be compared. Not available where the reference is "
        "empty.",
    ),
)
_INTERACTION = (
    Definition(
        "noc",
        "NoC",
        "Number of clicks",
        "simulated clicks until Dice reaches a level, 20 at most (evaluate --protocol "
        "clicks)",
        "Xu et al., CVPR 2016; Sofiiuk et al., ICIP 2022",
        "The annotator who is simulated knows the reference and clicks in the middle "
        "of the largest error; people need more clicks. Runs that never reach the "
        "level count as 20, which hides by how much they fail.",
    ),
)

SEGMENTATION: dict[str, Definition] = by_key(
    *_OVERLAP,
    *_SURFACES,
    *_CENTRELINES,
    *_TOPOLOGY,
    *_VOLUMES,
    *_RANKING,
    *_INTERACTION,
)
