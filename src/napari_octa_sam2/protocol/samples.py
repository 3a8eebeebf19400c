"""Go through the samples of a folder, task by task, and report each task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.protocol.records import SPEED, Sample, Target, TaskReport
from napari_octa_sam2.protocol.sources import Source, require_samples

Progress = Callable[[int, int | None, str], None]


class Stopped(Exception):
    """The user has asked to stop."""


class Judged(Protocol):
    """What a task tells of itself; see `TaskReport`."""

    @property
    def name(self) -> str:
        """What users type."""
        ...

    @property
    def title(self) -> str:
        """What users read."""
        ...

    @property
    def prompts(self) -> str:
        """How objects are prompted, in words."""
        ...

    @property
    def judged(self) -> tuple[str, ...]:
        """Keys of the figures that stand for the task."""
        ...

    @property
    def targets(self) -> Mapping[str, Target]:
        """Targets by figure."""
        ...

    @property
    def find(self) -> Callable[[Path], dict[str, list[Source]]]:
        """Return the samples of a folder by split."""
        ...


T = TypeVar("T", bound=Judged)


@dataclass(frozen=True)
class Part(Generic[T]):
    """The samples of one task and split."""

    task: T
    split: str
    sources: Sequence[Source]


def find_parts(
    folder: Path, tasks: Sequence[T], *, all_of_them: bool
) -> tuple[list[Part[T]], list[str]]:
    """Return what can be measured, and the names of tasks without samples.

    Raises
    ------
    ReadError
        If the folder is missing, or holds no sample of any task, or of one of them
        where `all_of_them` are wanted.
    """
    require_samples(folder)
    parts = [
        Part(task, split, sources)
        for task in tasks
        for split, sources in task.find(folder).items()
    ]
    found = {part.task.name for part in parts}
    missing = [task.name for task in tasks if task.name not in found]
    if missing and (all_of_them or not parts):
        raise ReadError(
            f"{folder}: expected samples of {', '.join(missing)}, found none; see "
            "docs/evaluation.md for the layout, or choose other tasks"
        )
    return parts, missing


def measure_parts(
    parts: Sequence[Part[T]],
    measure: Callable[[T, Source], Sequence[Sample]],
    *,
    timed: Callable[[], TaskReport] | None,
    subjects: int | None,
    progress: Progress,
    cancelled: Callable[[], bool],
) -> tuple[TaskReport, ...]:
    """Return a report of each part that was begun, and that of the speed.

    Parameters
    ----------
    parts : sequence of Part
    measure : callable
        Returns the values of one source; may raise `Stopped`.
    timed : callable, optional
        Measures speed, after everything else.
    subjects : int, optional
        Measure only the first so many sources of each part.
    progress : callable
        Called with the sources done, their total, and what is worked on.
    cancelled : callable
        Looked at before each source.
    """
    total = sum(len(part.sources[:subjects]) for part in parts) + (timed is not None)
    reports: list[TaskReport] = []
    done = 0
    for part in parts:
        samples: list[Sample] = []
        measured = 0
        for source in part.sources[:subjects]:
            progress(done, total, f"{part.task.name} {part.split} {source.name}")
            if cancelled():
                break
            try:
                samples += measure(part.task, source)
            except Stopped:
                break
            measured += 1
            done += 1
        reports.append(_report(part, measured, samples))
        if cancelled():
            break
    if timed is not None and not cancelled():
        progress(done, total, SPEED)
        reports.append(timed())
    if not cancelled():
        progress(total, total, "")
    return tuple(reports)


def _report(part: Part[T], measured: int, samples: Sequence[Sample]) -> TaskReport:
    task = part.task
    return TaskReport(
        task.name,
        part.split,
        task.title,
        task.prompts,
        task.judged,
        task.targets,
        len(part.sources),
        measured,
        tuple(samples),
    )
