"""Figures of the vessels in the volume."""

from __future__ import annotations

from napari_octa_sam2.metrics.definitions.definition import Definition, by_key

_COUNT = "count of voxels"
_LINES = "Nunez-Iglesias et al., PeerJ 2018;6:e4312 (branches)"
_RAYS = "12 rays across the smoothed centre line"
_DEPTH = (
    "In OCT angiography vessels cast tails in depth, so that labels are too deep there"
)
_DISC = (
    "diameter of the disc of the area of the cross-section, by length of the centre "
    "lines"
)
_WIDTHS = (
    "Straight vessels of 4 voxels and more in any direction: within 2 %, of 3 voxels "
    "-4 %; within 5 % in voxels four times as wide as deep. Rays end at two radii and "
    "a voxel: cross-sections flatter than 2:1 read too thin, 3:1 -11 %, 4:1 -19 %. "
    f"{_DEPTH}."
)

_AMOUNTS = (
    Definition(
        "volume",
        "V",
        "Volume",
        "voxels * volume of a voxel",
        _COUNT,
        f"{_DEPTH}. Scales with the square of the magnification of the eye.",
        length=3,
    ),
    Definition(
        "volume_fraction",
        "VVF",
        "Volume fraction",
        "voxels of vessels / voxels of the scan",
        _COUNT,
        f"Falls with how much of the depth was scanned. {_DEPTH}.",
    ),
    Definition(
        "length_3d",
        "L 3-D",
        "Length of the centre lines",
        "sum over steps of the centre lines; smoothed over 12 voxels of the coarsest "
        "axis, spurs within 1.5 radii pruned, free ends carried on to the wall",
        f"Whittaker, Proc Edinburgh Math Soc 1923;41:63 (smoothing); {_LINES}",
        "Straight vessels in any direction: 0 to +2 %; helices and voxels four times "
        "as wide as deep: within 3 %. Corners are cut by up to a voxel. A rounded end "
        "counts to its tip: up to a radius too long.",
        length=1,
    ),
    Definition(
        "length_density_3d",
        "length/V",
        "Length by volume",
        "length of the centre lines / volume of the scan",
        _LINES,
        "As the length; falls with how much of the depth was scanned.",
        length=-2,
    ),
)

_CALIBRES = tuple(
    Definition(
        f"diameter_{key}_3d",
        f"{symbol} 3-D",
        f"{title} along the centre lines",
        f"{words} of the {_DISC}",
        _RAYS,
        _WIDTHS,
        length=1,
        fine=True,
    )
    for key, symbol, title, words in (
        ("mean", "mean diameter", "Mean diameter", "mean"),
        ("median", "median diameter", "Median diameter", "median"),
        ("sd", "SD of diameter", "Deviation of the diameter", "standard deviation"),
    )
)

_BRANCHING = (
    Definition(
        "junctions",
        "junctions",
        "Junctions of the centre lines",
        "junction voxels that touch, or whose largest balls in the mask overlap, are "
        "one",
        _LINES,
        "Cages and trees: exact. A surface of noise makes more; fill holes first.",
    ),
    Definition(
        "junctions_per_length_3d",
        "junctions/L 3-D",
        "Junctions by length",
        "junctions / length of the centre lines",
        _LINES,
        "As the junctions and the length.",
        length=-1,
    ),
    Definition(
        "junction_density_3d",
        "junctions/V",
        "Junctions by volume",
        "junctions / volume of the scan",
        _LINES,
        "As the junctions; falls with how much of the depth was scanned.",
        length=-3,
    ),
    Definition(
        "parts",
        "b0",
        "Connected parts",
        "Betti number b0; voxels that share a corner are connected",
        "Kovalevsky, Comput Vis Graph Image Process 1989;46:141",
        "Exact. A single voxel of noise is a part.",
    ),
    Definition(
        "loops",
        "b1",
        "Loops",
        "Betti number b1 = b0 + b2 - Euler number",
        "Kovalevsky, Comput Vis Graph Image Process 1989;46:141",
        "Exact. A hole through a vessel one voxel wide is a loop.",
    ),
    Definition(
        "tortuosity_3d",
        "DM 3-D",
        "Tortuosity (distance metric)",
        "mean over branches by their length of length / chord; branches of 10 voxels "
        "and more that are no loops",
        "Hart et al., Int J Med Inform 1999;53:239; Bullitt et al., IEEE Trans Med "
        "Imaging 2003;22:1163",
        "Arcs within 2 %; straight branches at most +1 %. Grows with the length of "
        "branches.",
    ),
)

VOLUMES: dict[str, Definition] = by_key(*_AMOUNTS, *_CALIBRES, *_BRANCHING)
