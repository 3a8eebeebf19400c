"""Figures of the vessels in the plane."""

from __future__ import annotations

from napari_octa_sam2.metrics.definitions.definition import Definition, by_key

CHU = "Chu et al., J Biomed Opt 2016;21:066008"
OCTAVA = "Untracht et al., PLoS ONE 2021;16:e0261052"
BOXES = "boxes of 2, 4, 8, 16 and 32 pixels"
STEPS = "sum over steps of the centre line, by their length in the region"

_REGION = (
    Definition(
        "length",
        "L",
        "Length of the centre lines in the region",
        f"{STEPS}; smoothed over 12 pixels, spurs within 1.5 radii pruned, free ends "
        "carried on to the wall",
        "Whittaker, Proc Edinburgh Math Soc 1923;41:63 (smoothing); Nunez-Iglesias et "
        "al., PeerJ 2018;6:e4312 (branches)",
        "Straight vessels of 1.5 to 12 pixels at any angle: within 0.1 % (a chain of "
        "pixels: up to +8 %). Circles of 8 pixels radius and more: within 0.5 %, of 6 "
        "pixels -2.6 %. A rounded end counts to its tip: up to a radius too long.",
        length=1,
    ),
    Definition(
        "coverage",
        "coverage",
        "Part of the region that lies in the scan",
        "area of the region in the scan / area of the region",
        "Sampson et al., Light Sci Appl 2022;11:63",
        "Figures of a region that is covered in part are those of this part.",
    ),
    Definition(
        "area",
        "area",
        "Area of the region in the scan",
        "sum of the parts of pixels in the region * area of a pixel",
        "pixel count with partial pixels",
        "Scales with the square of the magnification of the eye.",
        length=2,
    ),
)
_DENSITIES = (
    Definition(
        "vad",
        "VAD",
        "Vessel area density (perfusion density)",
        "area of vessels in the region / area of the region",
        f"{CHU}; Durbin et al., JAMA Ophthalmol 2017;135:370",
        "Grows with the width at which vessels are drawn: one pixel more on a vessel "
        "of three is a third more. Independent of the magnification of the eye.",
    ),
    Definition(
        "vld",
        "VLD",
        "Vessel length density (skeleton density)",
        "length of the centre lines in the region / area of the region",
        f"{CHU}; Reif et al., Int J Biomed Imaging 2012:509783",
        "As the length: lattices, trees with their caps, waves within 3 %. Not the "
        "number of skeleton pixels by all pixels, which is another figure.",
        length=-1,
    ),
    Definition(
        "vdi",
        "VDI",
        "Vessel diameter index",
        "area of vessels / length of the centre lines",
        CHU,
        "Parallel vessels: within 1 %. Too low in dense nets, where each junction is "
        "counted once in the area and by every centre line in the length: -8 % in a "
        "lattice of vessels of 3 pixels at 20 pixels.",
        length=1,
        fine=True,
    ),
    Definition(
        "vpi",
        "VPI",
        "Vessel perimeter index",
        "perimeter of vessels in the region (Crofton, 4 directions) / area of the "
        "region",
        f"{CHU}; perimeter: Legland et al., Image Anal Stereol 2007;26:83",
        "Discs of 5 to 80 pixels radius: within 0.5 %, 1.5 % where pixels are twice as "
        "long as wide. Straight walls along the axes -5.5 %, at 22.5 degrees +2.7 %, "
        "over all directions -0.3 %. Where the scan or the region ends is no wall.",
        length=-1,
    ),
    Definition(
        "vci",
        "VCI",
        "Vessel complexity index",
        "perimeter^2 / (4 pi * area of vessels)",
        CHU,
        "Discs of 20 pixels radius and more: within 1 %. Grows with the size of the "
        "region: compare equal regions only.",
    ),
)

_JUNCTIONS = (
    Definition(
        "junction_density",
        "junctions/A",
        "Junctions by area",
        "junctions of the centre lines in the region / area of the region",
        OCTAVA,
        "Lattices, trees and crossings from 60 degrees: exact. Junctions whose largest "
        "discs in the mask overlap are one; vessels that cross at less than about 60 "
        "degrees make two.",
        length=-2,
    ),
    Definition(
        "junctions_per_length",
        "junctions/L",
        "Junctions by length",
        "junctions of the centre lines in the region / their length",
        OCTAVA,
        "As the junctions by area and the length.",
        length=-1,
    ),
)

_TEXTURE = (
    Definition(
        "fractal_dimension",
        "FD",
        "Box-counting dimension of the vessels",
        f"- slope of log N(s) by log s, for {BOXES}; a box that the edge cuts counts "
        "by its part inside",
        "Mandelbrot, The Fractal Geometry of Nature 1982; Reif et al., Int J Biomed "
        "Imaging 2012:509783",
        "Lines, filled regions of any shape and the Sierpinski carpet: exact. Depends "
        "on the sizes of boxes and on the pixel: compare equal scans only.",
    ),
    Definition(
        "fractal_r2",
        "FD R^2",
        "How well box counts follow a power law",
        "R^2 of the line through log N(s) by log s",
        "least squares",
        "Close to 1 for most sets, fractal or not.",
    ),
    Definition(
        "lacunarity",
        "lacunarity",
        "Lacunarity of the vessels in boxes of 0.15 mm",
        "E[m^2] / E[m]^2 of the vessel pixels m in a box of 0.15 mm (10 pixels where "
        "the spacing is unknown) gliding over all places within the region",
        "Allain & Cloitre, Phys Rev A 1991;44:3552; Gould et al., Microcirculation "
        "2011;18:136",
        "Equal to the definition box by box. The box is rounded to whole pixels; falls "
        "with its size and with VAD.",
    ),
)

_SHAPE = (
    Definition(
        "tortuosity",
        "DM",
        "Tortuosity (distance metric)",
        "mean over branches by their length in the region of length / chord; branches "
        "of 10 pixels and more that are no loops",
        "Hart et al., Int J Med Inform 1999;53:239",
        "Semicircles within 3 %; straight branches at most +0.5 %. Grows with the "
        "length of branches, so it falls where more junctions are found.",
    ),
    Definition(
        "curvature",
        "curvature",
        "Mean curvature of branches",
        "mean over branches by their length in the region of the sum of angles "
        "between chords of 4 pixels / length; branches of 10 pixels and more",
        "Bullitt et al., IEEE Trans Med Imaging 2003;22:1163 (sum of angles)",
        "Circles of 8 to 50 pixels radius: within 1.5 %. Straight vessels read up to "
        "0.02 by pixel, at 5 degrees to an axis: 1.5 mm^-1 where a pixel is 15 um.",
        length=-1,
    ),
)

_PROFILE = (
    "width of the interpolated mask across the centre line, at most 4 radii and 2 "
    "pixels wide"
)
_WIDTHS = (
    "Straight vessels of 4 pixels and more at any angle: within 2 % of what was drawn, "
    "of 1.5 pixels 6 %; drawing a width in pixels itself errs by up to 12 %. Nothing "
    "is thinner than a pixel. Too wide beside junctions."
)
_CALIBRES = tuple(
    Definition(
        f"diameter_{key}",
        symbol,
        f"{title} along the centre lines",
        f"{words} by length of the {_PROFILE}",
        "rays across the smoothed centre line",
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

_RATIO = Definition(
    "avr",
    "AVR",
    "Ratio of the diameters of arteries and veins",
    "VDI of arteries / VDI of veins",
    "Hubbard et al., Ophthalmology 1999;106:2269 (for fundus photographs)",
    "Of all arteries and veins in the scan, not of the six largest beside the disc: "
    "not the ratio of fundus photographs.",
)

VESSELS: dict[str, Definition] = by_key(
    *_DENSITIES, *_CALIBRES, *_JUNCTIONS, *_SHAPE, *_TEXTURE, *_REGION, _RATIO
)
