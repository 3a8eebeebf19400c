"""Measure what training and the refinement head bring octa-nano, on real images.

    python docs/studies.py RUN REALDATA [--without-head PHASE ...]

RUN is the folder that `train --recipe octa-nano` has written, with the weights after
each phase; those of phases before the head was trained are judged without it. Masks
are judged after the class prompt alone, or after one click. The results join the
record beside the bundled weights; `docs/model_card.py` shows them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.metrics.segmentation.overlap import dice
from napari_octa_sam2.metrics.segmentation.topology import cldice
from napari_octa_sam2.model.download import checkpoint_path
from napari_octa_sam2.model.loading import (
    LoadedModel,
    build_network,
    build_refinement,
    load_model,
)
from napari_octa_sam2.model.registry import get_entry
from napari_octa_sam2.protocol.clicks import annotate
from napari_octa_sam2.protocol.targets import TASKS
from napari_octa_sam2.protocol.tasks import EnFaceTask

NAME = "octa-nano"
STUDIED = [
    task
    for task in TASKS
    if isinstance(task, EnFaceTask) and task.name not in ("artery", "vein")
]
GRID = 128  # cells of the decoder's mask, at an input of 512


Score = Callable[[np.ndarray, np.ndarray, EnFaceTask], tuple[float, float]]


def by_task(folder: Path, most: int, score: Score) -> dict[str, list[float]]:
    """Return the mean Dice and clDice of at most `most` images a task and split.

    `score` is given an image as a volume of one slice, its truth, and the task.
    """
    found = {}
    for task in STUDIED:
        for split, sources in task.find(folder).items():
            values = []
            for source in sources[:most]:
                data, truth = source.read()
                values.append(score(data, truth.data[0] > 0, task))
            found[f"{task.name} {split}".strip()] = means(values)
    return found


def measure(model: LoadedModel, folder: Path, most: int) -> dict[str, list[float]]:
    """Return how good the masks of a model are."""

    def score(
        data: np.ndarray, mask: np.ndarray, task: EnFaceTask
    ) -> tuple[float, float]:
        clicks = 0 if task.whole else task.clicks
        session = Session(data, model)
        done = annotate(session, mask, whole=task.whole, limit=clicks)
        return done.dice_after(clicks), done.cldice_after(clicks)

    return by_task(folder, most, score)


def on_grid(
    data: np.ndarray, mask: np.ndarray, task: EnFaceTask
) -> tuple[float, float]:
    """Return how good the truth is, averaged to the mask grid and interpolated back."""
    truth = torch.from_numpy(mask[None, None].astype(np.float32))
    cells = F.interpolate(truth, (GRID, GRID), mode="area")
    back = F.interpolate(cells, mask.shape, mode="bilinear")[0, 0].numpy()
    found_at = [back > level for level in np.arange(0.2, 0.8, 0.05)]
    best = max(found_at, key=lambda guess: dice(guess, mask))
    return dice(best, mask), cldice(best, mask)


def after_phases(
    run: Path, phases: list[str], folder: Path, headless: list[str]
) -> dict[str, dict[str, object]]:
    """Return the figures of the weights that each phase left."""
    found: dict[str, dict[str, object]] = {}
    for phase in phases:
        network = build_network(f"{NAME}.yaml")
        head = build_refinement(f"{NAME}.yaml")
        trained = load_file(run / f"{phase}.safetensors")
        for prefix, part in (("network.", network), ("refinement.", head)):
            own = {
                k.removeprefix(prefix): v
                for k, v in trained.items()
                if k.startswith(prefix)
            }
            part.load_state_dict(own, strict=False)  # counts of batches are not kept
        model = LoadedModel(network, phase, "", None if phase in headless else head)
        found[phase] = {
            "head": phase not in headless,
            "dice": measure(model, folder, most=20),
        }
        print(phase, found[phase], flush=True)
    return found


def means(values: list[tuple[float, float]]) -> list[float]:
    return [round(fmean(column), 4) for column in zip(*values, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("realdata", type=Path)
    parser.add_argument("--without-head", nargs="*", default=[], metavar="PHASE")
    args = parser.parse_args()
    path = checkpoint_path(get_entry(NAME)).with_suffix(".json")
    record = json.loads(path.read_text("utf-8"))
    every = 1000
    record["head"] = {
        "grid limit": by_task(args.realdata, every, on_grid),
        "without": measure(load_model(NAME, refinement=False), args.realdata, every),
        "with": measure(load_model(NAME), args.realdata, every),
    }
    phases = [phase["name"] for phase in record["phases"]]
    record["after_phases"] = after_phases(
        args.run, phases, args.realdata, args.without_head
    )
    path.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
