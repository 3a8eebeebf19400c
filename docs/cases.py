"""Draw the best, the median and the worst case of each en-face task.

    python docs/cases.py --realdata FOLDER [--model NAME|PATH] [--octa500 FOLDER]

Pictures of ROSSA (MIT licence) and of phantoms go to `--out`. Those of OCTA-500, whose
pixels may not be passed on, are drawn only with `--octa500`, outside this repository.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.pyplot import close, subplots
from PIL import Image

from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.model.loading import LoadedModel, load_model
from napari_octa_sam2.overview import (
    NEGATIVE,
    POSITIVE,
    PREDICTION,
    STYLE,
    TRUTH,
)
from napari_octa_sam2.protocol.clicks import Annotation, annotate
from napari_octa_sam2.protocol.sources import Source
from napari_octa_sam2.protocol.targets import TASKS
from napari_octa_sam2.protocol.tasks import EnFaceTask
from napari_octa_sam2.volume.phantom import make_enface

ROOT = Path(__file__).parents[1]
SHIPPABLE = "rossa"
PHANTOMS = (
    EnFaceTask(
        *("phantom-faz", "FAZ of phantoms", lambda _: {}, "FAZ"), clicks=1, asked=False
    ),
    EnFaceTask(
        *("phantom-rv", "large vessels of phantoms", lambda _: {}, "RV"), clicks=5
    ),
)
PHANTOM_SEEDS = range(9000, 9015)


class Sample(NamedTuple):
    name: str
    image: np.ndarray
    truth: np.ndarray


class Case(NamedTuple):
    sample: Sample
    found: Annotation
    dice: float


def read(sources: Iterable[Source]) -> Iterator[Sample]:
    for source in sources:
        data, truth = source.read()
        yield Sample(source.name, data[0], truth.data[0] > 0)


def phantoms(kind: str) -> Iterator[Sample]:
    for seed in PHANTOM_SEEDS:
        image, masks, _ = make_enface(seed)
        yield Sample(f"seed {seed}", image, masks[kind])


def cases(
    task: EnFaceTask, samples: Iterable[Sample], model: LoadedModel
) -> list[Case]:
    """Return the worst, the median and the best case at the clicks that are judged."""
    found = []
    for sample in samples:
        if not sample.truth.any():
            continue
        session = Session(sample.image[None], model)
        limit = 0 if task.whole else task.clicks
        done = annotate(session, sample.truth, whole=task.whole, limit=limit)
        found.append(Case(sample, done, done.dice_after(limit)))
    found.sort(key=lambda case: case.dice)
    return [found[0], found[len(found) // 2], found[-1]]


def draw(path: Path, task: EnFaceTask, chosen: list[Case]) -> None:
    with mpl.rc_context(STYLE):
        figure, panels = subplots(1, 3, figsize=(10.5, 4.1), layout="constrained")
        asked = f"class prompt {task.whole}" if task.whole else f"clicks: {task.clicks}"
        figure.suptitle(f"{task.title} ({asked})")
        for axes, kind, case in zip(
            panels, ("worst", "median", "best"), chosen, strict=True
        ):
            draw_case(axes, case)
            axes.set_title(f"{kind}: {case.sample.name}   Dice {case.dice:.3f}")
        handles = [
            Line2D([], [], color=TRUTH, label="truth"),
            Line2D([], [], color=PREDICTION, label="result"),
        ]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=2, frameon=False
        )
        figure.savefig(path, dpi=100)
        close(figure)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(128)
    small.save(path, optimize=True)


def draw_case(axes: Axes, case: Case) -> None:
    axes.imshow(case.sample.image, cmap="gray")
    for mask, colour in ((case.sample.truth, TRUTH), (case.found.mask, PREDICTION)):
        # a margin of background closes the outline of what touches the border
        rows, columns = (np.arange(-1, n + 1) for n in mask.shape)
        padded = np.pad(mask.astype(float), 1)
        if mask.any():
            axes.contour(columns, rows, padded, [0.5], colors=colour, linewidths=0.8)
    for click in case.found.clicks:
        axes.plot(click.col, click.row, **(POSITIVE if click.positive else NEGATIVE))
    axes.set_axis_off()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--realdata", type=Path)
    parser.add_argument("--model", default="octa-nano")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--octa500", type=Path)
    arguments = parser.parse_args()
    if arguments.octa500 and arguments.octa500.resolve().is_relative_to(ROOT):
        parser.error(f"--octa500: expected a folder outside {ROOT}")
    model = load_model(arguments.model)
    classes = getattr(model.network, "classes", ())
    work = [(arguments.out, task, "", phantoms(task.cls)) for task in PHANTOMS]
    for task in TASKS if arguments.realdata else ():
        folder = arguments.out if task.name == SHIPPABLE else arguments.octa500
        if isinstance(task, EnFaceTask) and folder:
            for split, sources in task.find(arguments.realdata).items():
                work.append((folder, task, split, read(sources)))
    for folder, task, split, samples in work:
        folder.mkdir(parents=True, exist_ok=True)
        asked = task.understood(classes)
        name = "-".join(filter(None, ("cases", task.name, split)))
        draw(folder / f"{name}.png", asked, cases(asked, samples, model))


if __name__ == "__main__":
    main()
