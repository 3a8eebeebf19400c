"""Draw what octa-auto finds, without a click, on images that it was not trained on.

    python docs/automatic.py REALDATA

Two of ROSSA's validation images (MIT licence, copyright 2023 Haojian Ning), of the
median and of the lowest Dice, with the large vessels drawn by hand; and a
synthetic scan, with everything that is in it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from napari_octa_sam2 import FindSettings, OctaVolume, find, load_promptless
from napari_octa_sam2.metrics.segmentation.overlap import dice
from napari_octa_sam2.model.promptless.model import PromptlessModel
from napari_octa_sam2.protocol.sources import find_pairs
from napari_octa_sam2.training.data.scenes import normalised
from napari_octa_sam2.training.validation import compared
from napari_octa_sam2.volume.phantom import make_enface

PICTURE = Path(__file__).parent / "images" / "automatic.png"
SEED = 20_260
COLOURS = {"artery": "#D55E00", "vein": "#0072B2", "FAZ": "#F0E442"}  # Okabe and Ito


def found_in(
    image: np.ndarray, classes: tuple[str, ...], model: PromptlessModel
) -> dict:
    """Return the mask of each class."""
    labels = find(OctaVolume(image[None]), FindSettings(classes), model=model).labels
    ids = {cls: number for number, cls in labels.classes.items()}
    return {cls: labels.data[0] == ids[cls] for cls in classes}


def rossa(folder: Path, model: PromptlessModel) -> list[tuple[np.ndarray, ...]]:
    """Return images, masks and truths of the median and of the lowest Dice."""
    judged = []
    for source in find_pairs("rossa", folder)["val"]:
        data, truth = source.read()
        mask = found_in(data[0], ("RV",), model)["RV"]
        real = truth.data[0] > 0
        judged.append((dice(mask, real), data[0], mask, real))
    judged.sort(key=lambda each: each[0])
    return [judged[len(judged) // 2], judged[0]]


def coloured(image: np.ndarray, masks: dict[str, np.ndarray]) -> np.ndarray:
    """Return an image with classes in colours, 0 to 1."""
    picture = np.repeat(normalised(image)[..., None], 3, axis=2)
    for cls, mask in masks.items():
        colour = [int(COLOURS[cls][i : i + 2], 16) / 255 for i in (1, 3, 5)]
        picture[mask] = 0.35 * picture[mask] + 0.65 * np.array(colour)
    return picture


def main(folder: Path) -> None:
    model = load_promptless()
    figure, axes = plt.subplots(2, 3, figsize=(10.5, 7.4), layout="constrained")
    columns = [
        (
            f"ROSSA, {place} of 100: Dice {score:.2f}",
            image,
            compared(normalised(image), mask, real),
        )
        for place, (score, image, mask, real) in zip(
            ("median", "worst"), rossa(folder, model), strict=True
        )
    ]
    image, truth, _ = make_enface(SEED, 304, 3.0)
    classes = ("artery", "vein", "FAZ")
    masks = found_in(image, classes, model)
    scores = ", ".join(f"{c} {dice(masks[c], truth[c]):.2f}" for c in classes)
    columns.append((f"synthetic: Dice {scores}", image, coloured(image, masks)))
    for (above, below), (title, grey, picture) in zip(axes.T, columns, strict=True):
        above.imshow(grey, cmap="gray")
        below.imshow(picture)
        above.set_title(title, fontsize="medium")
        for ax in (above, below):
            ax.set_axis_off()
    figure.supxlabel(
        "ROSSA: green found and drawn, orange found alone, blue drawn alone. "
        "Synthetic: orange arteries, blue veins, yellow FAZ.",
        fontsize="medium",
    )
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
