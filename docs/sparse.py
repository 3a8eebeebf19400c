"""What two labelled layers of a sequence teach: the `sparse` rows of `training.md`.

    python docs/sparse.py SEQUENCE OUT [--layers 2 7] [--minutes 8]

SEQUENCE is a layer sequence of SAM-OCTA2, such as ``RV_LayerSequence/10301``; its
layers are numbered from 0. Trains by the recipe `quick` into OUT, then judges octa-nano
and the result on the other layers.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_octa_sam2 import Prompt, Session, load_model, read_volume
from napari_octa_sam2.metrics.segmentation.clicks import next_click
from napari_octa_sam2.metrics.segmentation.overlap import dice
from napari_octa_sam2.model.loading import LoadedModel
from napari_octa_sam2.tables import piped
from napari_octa_sam2.training.data.formats import write_annotated
from napari_octa_sam2.training.plan import begin, make_plan
from napari_octa_sam2.training.run import train
from napari_octa_sam2.volume.octa_volume import OctaVolume

BASE = "octa-nano"


def main() -> None:
    """Make the data, train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sequence", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", type=int, nargs="+", default=[2, 7])
    parser.add_argument("--minutes", type=float, default=8)
    given = parser.parse_args()
    volume = read_volume(given.sequence)
    weights = learn(volume, given.layers, given.minutes, given.out)
    scores = [judge(volume, given.layers, load_model(m)) for m in (BASE, weights)]
    rows = [(name, *(f"{s[name]:.3f}" for s in scores)) for name in scores[0]]
    print(piped([("mean Dice of the other layers", "before", "after"), *rows], 1))


def learn(volume: OctaVolume, layers: list[int], minutes: float, out: Path) -> str:
    """Return the weights that the recipe `quick` makes of some labelled layers."""
    labels = volume.labels["objects"].data
    classes = {int(i): "RV" for i in np.unique(labels) if i}
    out.mkdir(parents=True, exist_ok=True)
    data = write_annotated(
        out / "layers.npz",
        volume.data,
        labels,
        classes=classes,
        labelled=layers,
        name="layers",
        subject=volume.name,
    )
    overrides = [f"fit.minutes={minutes:g}", "clip.labels=[RV]"]
    plan = make_plan("quick", given=[data], overrides=overrides)
    folder = begin(plan, out / "training")
    for _ in train(folder.path):
        pass
    return str(folder.weights())


def judge(
    volume: OctaVolume, layers: list[int], model: LoadedModel
) -> dict[str, float]:
    """Return mean Dice on the layers that were not learned from."""
    truth = volume.labels["objects"].data
    rest = [z for z in range(len(truth)) if z not in layers]

    def click(label: int, z: int, mask: np.ndarray) -> Prompt | None:
        at = next_click(mask)
        point = at and (float(at.row), float(at.col))
        return point and Prompt(label, z, (point,), (1,))

    def mask(label: int, z: int, mask: np.ndarray) -> Prompt:
        present = bool(mask.any())
        return Prompt(label, z, mask=mask if present else None, absent=not present)

    session = Session(volume.data, model)
    whole = [session.add(Prompt(1, z, whole="RV")).mask(1) for z in rest]
    shown = [dice(m, truth[z] > 0) for m, z in zip(whole, rest, strict=True)]
    return {
        "large vessels by the class prompt": float(np.mean(shown)),
        "single vessels followed from one click": follow(volume, layers, model, click),
        "single vessels followed from their masks": follow(volume, layers, model, mask),
    }


def follow(
    volume: OctaVolume,
    layers: list[int],
    model: LoadedModel,
    prompt: Callable[[int, int, np.ndarray], Prompt | None],
) -> float:
    """Return the mean Dice of objects followed from the prompts of some layers."""
    truth = volume.labels["objects"].data
    ids = [int(i) for i in np.unique(truth[layers]) if i]
    session = Session(volume.data, model)
    for z in layers:
        for label in ids:
            given = prompt(label, z, truth[z] == label)
            if given is not None:
                session.add(given)
    latest = {result.slice: result for result in session.propagate("both")}
    scores = []
    for z in set(latest) - set(layers):
        found = np.zeros(truth[z].shape, np.uint16)
        latest[z].write_into(found)
        real = truth[z]
        scores += [dice(found == i, real == i) for i in ids if (real == i).any()]
    return float(np.mean(scores))


if __name__ == "__main__":
    main()
