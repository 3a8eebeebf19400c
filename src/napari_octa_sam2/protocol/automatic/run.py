"""Run the automatic protocol over a folder of real samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.automatic.finding import find
from napari_octa_sam2.automatic.settings import FindSettings
from napari_octa_sam2.engine.promptless import Predictor
from napari_octa_sam2.engine.record import compute_record
from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model.promptless.model import PromptlessModel
from napari_octa_sam2.protocol.automatic import speed
from napari_octa_sam2.protocol.automatic.tasks import TASKS, FindTask
from napari_octa_sam2.protocol.frangi import SIGMAS
from napari_octa_sam2.protocol.records import SPEED, Sample
from napari_octa_sam2.protocol.report import Report
from napari_octa_sam2.protocol.samples import Progress, find_parts, measure_parts
from napari_octa_sam2.protocol.sources import Source

TASK_NAMES = (*(task.name for task in TASKS), SPEED)


def run_automatic(
    folder: Path,
    model: PromptlessModel,
    *,
    tasks: Sequence[str] | None = None,
    subjects: int | None = None,
    device: str = "auto",
    views: int = 1,
    progress: Progress = lambda done, total, note: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Report:
    """Measure what a model finds without a prompt, with the default cleaning.

    Parameters
    ----------
    folder : Path
        The real samples, laid out as `docs/evaluation.md` says.
    model : PromptlessModel
        Judged on the classes that it tells apart.
    tasks : sequence of str, optional
        Some of `TASK_NAMES`; by default all that the folder has samples for.
    subjects : int, optional
        Measure only the first so many images of each task and split.
    device : str
        As for `napari_octa_sam2.engine.device.choose_compute`, of speed as well.
    views : {1, 8}
        As for `napari_octa_sam2.engine.promptless.Predictor`.
    progress : callable
        Called with the images done, their total, and what is worked on.
    cancelled : callable
        Looked at before each image; what is done is reported.

    Raises
    ------
    ReadError
        If the folder is missing, or holds no sample of any, or of a chosen, task.
    ModelError
        If the model does not know the class of a chosen task, or of any, or wants
        three maps at once, or the device is not there.
    """
    chosen = _understood(model, tasks)
    parts, missing = find_parts(folder, chosen, all_of_them=tasks is not None)
    record = _record(model, device, views)
    measure = partial(_measure, model=model, device=device, views=views)
    timed = partial(speed.measure, model, device=device, views=views, stopped=cancelled)
    reports = measure_parts(
        parts,
        measure,
        timed=timed if tasks is None or SPEED in tasks else None,
        subjects=subjects,
        progress=progress,
        cancelled=cancelled,
    )
    record |= {"subjects": subjects, "tasks_without_samples": missing}
    return Report(record, reports, not cancelled())


def _understood(model: PromptlessModel, names: Sequence[str] | None) -> list[FindTask]:
    """Return the tasks whose class the model tells apart."""
    chosen = [task for task in TASKS if names is None or task.name in names]
    known = [task for task in chosen if task.cls in model.classes]
    if chosen and (not known or (names is not None and known != chosen)):
        unknown = dict.fromkeys(t.cls for t in chosen if t not in known)
        raise ModelError(
            f"expected a model that finds {', '.join(unknown)}, found {model.name}, "
            f"which finds {', '.join(model.classes)}; choose other tasks"
        )
    return known


def _measure(
    task: FindTask, source: Source, model: PromptlessModel, device: str, views: int
) -> list[Sample]:
    """Return the values of one image; none if it does not hold the class."""
    volume, truth = source.open()
    mask = truth.data[0] > 0
    if not mask.any():
        return []
    settings = FindSettings((task.cls,), views=views)
    found = find(volume, settings, model=model, device=device).labels.data[0] > 0
    return [task.judge(found, volume.data[0], mask, source.name)]


def _record(model: PromptlessModel, device: str, views: int) -> dict[str, Any]:
    # also refuses a device that is not there before any work
    predictor = Predictor(
        np.zeros((1, 32, 32), np.uint8), model, device=device, views=views
    )
    cleaning = FindSettings(model.classes).plain()["cleaning"]
    return {
        "model": {
            "name": model.name,
            "sha256": model.sha256,
            "network": model.network.config.kind,
            "classes": list(model.classes),
        },
        **compute_record(predictor.compute),
        "seed": None,
        "protocol": {
            "name": "automatic",
            "views": views,
            "cleaning": cleaning,
            "frangi_sigmas": list(SIGMAS),
        },
    }
