"""Size and shape of the foveal avascular zone (FAZ)."""

from __future__ import annotations

from napari_octa_sam2.metrics.definitions.definition import Definition, by_key

LABELLER = "depends on the plexus, the projection and the labeller"

FAZ: dict[str, Definition] = by_key(
    Definition(
        "faz_area",
        "FAZ area",
        "Area of the FAZ",
        "pixels * area of a pixel",
        "Tam et al., Invest Ophthalmol Vis Sci 2011;52:9257",
        "Discs of 15 to 100 pixels radius: within 1.9 %, 0 on average. On real eyes it "
        f"{LABELLER}, and scales with the square of the magnification.",
        length=2,
    ),
    Definition(
        "faz_perimeter",
        "FAZ perimeter",
        "Perimeter of the FAZ (Crofton)",
        "1/2 sum over 16 directions of angle * distance of lines * crossings",
        "Legland, Kieu & Devaux, Image Anal Stereol 2007;26:83",
        "Discs of 15 to 100 pixels radius: -1.2 to +0.9 %; 1.2 % where pixels are "
        "twice as long as wide. Corners are cut: squares of 60 pixels -1.6 %, of 20 "
        "pixels -4.4 %. Jags of a pixel are passed over: real labels are 3 to 13 % "
        "shorter than with four directions (scikit-image). Grows with the resolution "
        "of a ragged outline.",
        length=1,
    ),
    Definition(
        "faz_circularity",
        "FAZ circularity",
        "Circularity of the FAZ: 1 for a disc",
        "4 pi area / perimeter^2",
        "Cox, J Paleontol 1927;1:179; perimeter: Crofton, 16 directions",
        "Discs of 15 to 100 pixels radius: -1.1 to +0.8 %, so that it can exceed 1; in "
        "the middle of a pixel, where single pixels stick out, -2.7 % at most. Twice "
        "the relative error of the perimeter.",
    ),
    Definition(
        "faz_acircularity",
        "FAZ acircularity",
        "Acircularity index of the FAZ: perimeter over that of a disc of its area",
        "perimeter / (2 sqrt(pi area))",
        "Tam et al., Invest Ophthalmol Vis Sci 2011;52:9257; Krawitz et al., Vision "
        "Res 2017;139:177",
        "Discs of 15 to 100 pixels radius: -0.4 to +0.8 %, so that it can fall below "
        "1. Error of the perimeter.",
    ),
    Definition(
        "faz_axis_ratio",
        "FAZ axis ratio",
        "Axis ratio of the FAZ",
        "major axis / minor axis of the ellipse of the same second moments",
        "Krawitz et al., Vision Res 2017;139:177",
        "Ellipses with a minor axis of at least 15 pixels: within 1.5 %. Never below "
        "1: discs +0.1 % on average, +1.2 % at most.",
    ),
    Definition(
        "faz_major",
        "FAZ major axis",
        "Major axis of the moment ellipse of the FAZ",
        "4 sqrt(largest eigenvalue of the covariance of its points)",
        "Krawitz et al., Vision Res 2017;139:177",
        "Ellipses: within 1 %. Bays and outliers of the outline lengthen it.",
        length=1,
    ),
    Definition(
        "faz_minor",
        "FAZ minor axis",
        "Minor axis of the moment ellipse of the FAZ",
        "4 sqrt(smallest eigenvalue of the covariance of its points)",
        "Krawitz et al., Vision Res 2017;139:177",
        "Ellipses: within 1.2 %.",
        length=1,
    ),
    Definition(
        "faz_feret_max",
        "FAZ max Feret",
        "Largest diameter of the FAZ",
        "largest distance of parallel lines that hold it",
        "Feret, Nouv Assoc Int pour l'Essai des Materiaux 1930, group D:428",
        "Discs: 0.7 to 1 pixel too long; ellipses: within a pixel. One outlying pixel "
        "changes it.",
        length=1,
    ),
    Definition(
        "faz_feret_min",
        "FAZ min Feret",
        "Smallest diameter of the FAZ",
        "smallest distance of parallel lines that hold it",
        "Feret, Nouv Assoc Int pour l'Essai des Materiaux 1930, group D:428",
        "Discs and ellipses: within a pixel; discs 0.4 pixels too short on average.",
        length=1,
    ),
    Definition(
        "faz_diameter",
        "FAZ diameter",
        "Diameter of the disc of the area of the FAZ",
        "2 sqrt(area / pi)",
        "geometry",
        "Half the relative error of the area: discs within 0.7 %.",
        length=1,
    ),
    Definition(
        "faz_solidity",
        "FAZ solidity",
        "Solidity of the FAZ: 1 for a convex shape",
        "area / area of its convex hull, in whole pixels",
        "scikit-image, regionprops",
        "Below 1 by the pixels of the hull: discs of 15 pixels radius -3 %, of 100 "
        "pixels -0.6 %.",
    ),
    Definition(
        "fd300",
        "FD-300",
        "Vessel area density in the ring of 300 um around the FAZ",
        "vessel pixels in the ring / pixels of the ring",
        "foveal density of Optovue AngioAnalytics",
        "The ring, from pixel centre to pixel centre, is 1 % too small (1.5 % with "
        "pixels of 0.015 mm). From one plane, where the device uses the whole inner "
        "retina; not available where the ring leaves the scan.",
    ),
)
