"""Measure the bundled model on real depth slices of OCTA-500 (subject 10301).

The samples are not part of this repository (see `--realdata`). FAZ: one click on the
middle slice, propagated both ways. RV: each object gets up to three clicks on the slice
where it is largest. Clicks are those of the simulated annotator.

    python docs/real_samples.py --realdata FOLDER [--model NAME|PATH] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.metrics.clicks import next_click
from napari_octa_sam2.metrics.overlap import dice
from napari_octa_sam2.model.loading import LoadedModel, load_model
from napari_octa_sam2.prompts import Prompt
from napari_octa_sam2.volume.readers import read_volume

SEQUENCES = Path("sam-octa2/datasets/OCTA500")


def click_object(
    session: Session, truth: np.ndarray, object_id: int, index: int, clicks: int
) -> int:
    """Click on an object of one slice up to `clicks` times; return how often."""
    found = None
    for count in range(clicks):
        click = next_click(truth[index], found)
        if click is None:
            return count
        point = (float(click.row), float(click.col))
        result = session.add(Prompt(object_id, index, (point,), (int(click.positive),)))
        found = result.mask(object_id)
    return clicks


def follow(session: Session, object_id: int, truth: np.ndarray) -> list[float]:
    """Return the Dice of each slice that holds the object, followed both ways."""
    masks = {
        r.slice: r.mask(object_id)
        for r in session.propagate("both", objects=[object_id])
    }
    return [dice(masks[z], truth[z]) for z in range(len(truth)) if truth[z].any()]


def measure(folder: Path, model: LoadedModel) -> dict[str, Any]:
    """Return the Dice of every slice: FAZ, and RV object by object."""
    volume = read_volume(folder / SEQUENCES / "FAZ_LayerSequence/10301")
    truth = volume.labels["FAZ"].data > 0
    session = Session(volume.data, model)
    click_object(session, truth, 1, len(truth) // 2, 1)
    report: dict[str, Any] = {"FAZ": {"FAZ": follow(session, 1, truth)}}

    volume = read_volume(folder / SEQUENCES / "RV_LayerSequence/10301")
    labels = volume.labels["objects"]
    session = Session(volume.data, model)
    report["RV"] = {}
    for object_id in (int(i) for i in np.unique(labels.data) if i):
        truth = labels.data == object_id
        largest = int(truth.sum((1, 2)).argmax())
        click_object(session, truth, object_id, largest, 3)
        report["RV"][labels.names[object_id]] = follow(session, object_id, truth)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--realdata", type=Path, required=True)
    parser.add_argument("--model", default="octa-nano")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    report = measure(arguments.realdata, model)
    for task, objects in report.items():
        for name, values in objects.items():
            text = " ".join(f"{v:.2f}" for v in values)
            print(f"{task:4} {name:10} mean {statistics.fmean(values):.3f}  {text}")
        pooled = [v for values in objects.values() for v in values]
        print(f"{task:4} all slices mean {statistics.fmean(pooled):.3f}")
    if arguments.json:
        record = {"model": model.name, "sha256": model.sha256, "dice": report}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
