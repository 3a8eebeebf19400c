"""Run the click protocol over a folder of real samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.engine.record import run_record
from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.model.loading import LoadedModel
from napari_octa_sam2.prompts import Prompt
from napari_octa_sam2.protocol import speed
from napari_octa_sam2.protocol.clicks import CAP, CLICKS, LEVELS, Annotated, Answer
from napari_octa_sam2.protocol.records import SPEED, Sample, TaskReport
from napari_octa_sam2.protocol.report import Report
from napari_octa_sam2.protocol.samples import (
    Progress,
    Stopped,
    find_parts,
    measure_parts,
)
from napari_octa_sam2.protocol.sources import Source
from napari_octa_sam2.protocol.targets import TASKS
from napari_octa_sam2.protocol.tasks import Task

TASK_NAMES = (*(task.name for task in TASKS), SPEED)


class Stoppable:
    """A session that looks before each click and each slice whether to stop."""

    def __init__(self, session: Annotated, stopped: Callable[[], bool]) -> None:
        self._session = session
        self._stopped = stopped

    def add(self, prompt: Prompt) -> Answer:
        """Answer one more prompt."""
        self._look()
        return self._session.add(prompt)

    def propagate(
        self, direction: str = "both", *, objects: list[int] | None = None
    ) -> Iterator[Answer]:
        """Follow objects through the slices."""
        for answer in self._session.propagate(direction, objects=objects):
            self._look()
            yield answer

    def _look(self) -> None:
        if self._stopped():
            raise Stopped


def run_clicks(
    folder: Path,
    model: LoadedModel,
    *,
    tasks: Sequence[str] | None = None,
    subjects: int | None = None,
    device: str = "auto",
    progress: Progress = lambda done, total, note: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Report:
    """Measure a model with the simulated annotator.

    Parameters
    ----------
    folder : Path
        The real samples, laid out as `docs/evaluation.md` says.
    model : LoadedModel
        Asked for whole classes if its network has `classes`, else only clicked at.
    tasks : sequence of str, optional
        Some of `TASK_NAMES`; by default all that the folder has samples for.
    subjects : int, optional
        Measure only the first so many images or sequences of each task and split.
    device : str
        As for `napari_octa_sam2.engine.device.choose_compute`. Speed is measured on
        the CPU.
    progress : callable
        Called with the samples done, their total, and what is worked on.
    cancelled : callable
        Looked at before each click and slice; what is done is reported.

    Raises
    ------
    ReadError
        If the folder is missing, or holds no sample of any, or of a chosen, task.
    """
    chosen = [
        task.understood(model.classes)
        for task in TASKS
        if tasks is None or task.name in tasks
    ]
    parts, missing = find_parts(folder, chosen, all_of_them=tasks is not None)
    # a session also refuses a device that is not there before any work
    record = _record(Session(np.zeros((1, 32, 32), np.uint8), model, device=device))
    reports = measure_parts(
        parts,
        lambda task, source: _measure(task, source, model, device, cancelled),
        timed=partial(_speed, model, cancelled)
        if tasks is None or SPEED in tasks
        else None,
        subjects=subjects,
        progress=progress,
        cancelled=cancelled,
    )
    record |= {"subjects": subjects, "tasks_without_samples": missing}
    return Report(record, reports, not cancelled())


def _measure(
    task: Task,
    source: Source,
    model: LoadedModel,
    device: str,
    cancelled: Callable[[], bool],
) -> list[Sample]:
    data, truth = source.read()
    session = Stoppable(Session(data, model, device=device), cancelled)
    return task.measure(session, truth, source.name)


def _speed(model: LoadedModel, cancelled: Callable[[], bool]) -> TaskReport:
    return speed.report(speed.measure(model, cancelled))


def _record(session: Session) -> dict[str, Any]:
    return run_record(session) | {
        "seed": None,
        "protocol": {
            "name": "clicks",
            "reported_after": list(CLICKS),
            "noc_levels": list(LEVELS),
            "noc_cap": CAP,
        },
    }
