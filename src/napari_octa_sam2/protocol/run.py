"""Run the click protocol over a folder of real samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_octa_sam2.engine.record import run_record
from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.model.loading import LoadedModel
from napari_octa_sam2.prompts import Prompt
from napari_octa_sam2.protocol import speed
from napari_octa_sam2.protocol.clicks import CAP, CLICKS, LEVELS, Annotated, Answer
from napari_octa_sam2.protocol.records import Sample, TaskReport
from napari_octa_sam2.protocol.report import Report
from napari_octa_sam2.protocol.sources import Source, require_samples
from napari_octa_sam2.protocol.targets import TASKS
from napari_octa_sam2.protocol.tasks import Task

TASK_NAMES = (*(task.name for task in TASKS), speed.NAME)


class Stopped(Exception):
    """The user has asked to stop."""


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
    progress: Callable[[int, int | None, str], None] = lambda done, total, note: None,
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
    classes = model.classes
    plan, missing = _plan(folder, tasks, classes)
    # a session also refuses a device that is not there before any work
    record = _record(Session(np.zeros((1, 32, 32), np.uint8), model, device=device))
    timed = tasks is None or speed.NAME in tasks
    total = sum(len(found[:subjects]) for _, _, found in plan) + timed
    reports: list[TaskReport] = []
    done = 0
    for task, split, found in plan:
        samples: list[Sample] = []
        measured = 0
        for source in found[:subjects]:
            progress(done, total, f"{task.name} {split} {source.name}")
            try:
                samples += _measure(task, source, model, device, cancelled)
            except Stopped:
                break
            measured += 1
            done += 1
        reports.append(_report(task, split, samples, len(found), measured))
        if cancelled():
            break
    if timed and not cancelled():
        progress(done, total, speed.NAME)
        reports.append(_speed_report(speed.measure(model, cancelled)))
    if not cancelled():
        progress(total, total, "")
    record |= {"subjects": subjects, "tasks_without_samples": missing}
    return Report(record, tuple(reports), not cancelled())


def _plan(
    folder: Path, names: Sequence[str] | None, classes: Sequence[str]
) -> tuple[list[tuple[Task, str, list[Source]]], list[str]]:
    """Return task, split and samples of what can be measured, and tasks without."""
    require_samples(folder)
    chosen = [
        task.understood(classes)
        for task in TASKS
        if names is None or task.name in names
    ]
    plan = [(t, split, s) for t in chosen for split, s in t.find(folder).items()]
    found = {task.name for task, _, _ in plan}
    missing = [task.name for task in chosen if task.name not in found]
    if missing and (names is not None or not plan):
        raise ReadError(
            f"{folder}: expected samples of {', '.join(missing)}, found none; see "
            "docs/evaluation.md for the layout, or choose other tasks"
        )
    return plan, missing


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


def _report(
    task: Task,
    split: str,
    samples: Sequence[Sample],
    available: int,
    measured: int,
) -> TaskReport:
    return TaskReport(
        task.name,
        split,
        task.title,
        task.prompts,
        task.judged,
        task.targets,
        available,
        measured,
        tuple(samples),
    )


def _speed_report(samples: Sequence[Sample]) -> TaskReport:
    return TaskReport(
        speed.NAME,
        "",
        speed.TITLE,
        speed.PROMPTS,
        speed.JUDGED,
        speed.TARGETS,
        1,
        len(samples),
        tuple(samples),
    )


def _record(session: Session) -> dict[str, Any]:
    return run_record(session) | {
        "threads": torch.get_num_threads(),
        "seed": None,
        "protocol": {
            "name": "clicks",
            "reported_after": list(CLICKS),
            "noc_levels": list(LEVELS),
            "noc_cap": CAP,
        },
    }
