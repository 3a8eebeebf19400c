"""Measure what is found and followed without a click in a sequence of layers.

    python docs/no_click.py REALDATA [--kind KIND] [--model NAME] [--finder NAME]

Every sequence of REALDATA with single vessels: `follow` finds them, prompts SAM 2 with
them and propagates. Found and true vessels are paired one to one so that the sum of
their Dice (in three dimensions) is the largest; a true one without a partner counts 0.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from napari_octa_sam2 import FindSettings, OctaVolume, find
from napari_octa_sam2.automatic.following import follow
from napari_octa_sam2.protocol.sources import find_sequences


def matched(found: np.ndarray, truth: np.ndarray) -> dict[int, float]:
    """Return the Dice of each true object with its partner."""
    ids = [int(i) for i in np.unique(truth) if i]
    table = np.zeros((len(ids), int(found.max()) + 1))
    sizes = np.bincount(found.ravel())
    for row, number in enumerate(ids):
        shared = np.bincount(found[truth == number], minlength=len(sizes))
        table[row] = 2 * shared / (sizes + (truth == number).sum())
    table[:, 0] = 0  # background is no object
    rows, columns = linear_sum_assignment(-table)
    best = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    return {
        n: float(table[r, best[r]]) if r in best else 0.0 for r, n in enumerate(ids)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    for name, default in (("kind", "mask"), ("model", "octa-nano")):
        parser.add_argument(f"--{name}", default=default)
    parser.add_argument("--finder", default="octa-auto")
    given = parser.parse_args()
    settings = FindSettings(separate=True)
    for sources in find_sequences("RV_LayerSequence", "objects", given.folder).values():
        for source in sources:
            data, truth = source.read()
            volume = OctaVolume(data, name=source.name)
            alone = find(volume, settings, model=given.finder)
            done = follow(
                volume,
                settings,
                kind=given.kind,
                finder=given.finder,
                model=given.model,
            )
            for how, labels in (("found", alone.labels), ("followed", done.labels)):
                scores = matched(labels.data, truth.data)
                each = ", ".join(f"{n}: {v:.2f}" for n, v in scores.items())
                mean = float(np.mean(list(scores.values())))
                print(f"{source.name} {how}: mean Dice {mean:.3f} ({each})", flush=True)


if __name__ == "__main__":
    main()
