"""Run the review protocol over the layer sequences of a folder of real samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.engine.record import run_record
from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.model.loading import LoadedModel
from napari_octa_sam2.protocol.review import reviewer
from napari_octa_sam2.protocol.review.records import Review, Reviews
from napari_octa_sam2.protocol.review.report import Report
from napari_octa_sam2.protocol.review.reviewer import Reviewer
from napari_octa_sam2.protocol.review.strategies import STRATEGIES
from napari_octa_sam2.protocol.sequences import objects_of
from napari_octa_sam2.protocol.sources import Source, require_samples
from napari_octa_sam2.protocol.targets import FAZ_LAYERS, RV_OBJECTS
from napari_octa_sam2.protocol.tasks import Find
from napari_octa_sam2.volume.octa_volume import LabelSet


@dataclass(frozen=True)
class ReviewTask:
    """Review the objects of sequences, one at a time or all of a sequence together.

    Parameters
    ----------
    name, title : str
    find : callable
        Returns the samples of a folder by split.
    together : bool
    """

    name: str
    title: str
    find: Find
    together: bool = False

    def groups(self, truth: LabelSet, name: str) -> list[tuple[str, list[int]]]:
        """Return the objects to review at a time, and what they are called."""
        found = objects_of(truth)
        if self.together:
            return [(f"{name}, {len(found)} objects", [label for label, _ in found])]
        return [(f"{name} {title}", [label]) for label, title in found]


TASKS = (
    ReviewTask("faz-sequence", "FAZ layer sequences", FAZ_LAYERS),
    ReviewTask("rv-sequence", "vessels of RV layer sequences", RV_OBJECTS),
    ReviewTask(
        "rv-together", "vessels of a sequence together", RV_OBJECTS, together=True
    ),
)
TASK_NAMES = tuple(task.name for task in TASKS)


def run_review(
    folder: Path,
    model: LoadedModel,
    *,
    tasks: Sequence[str] | None = None,
    subjects: int | None = None,
    device: str = "auto",
    progress: Callable[[int, int | None, str], None] = lambda done, total, note: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Report:
    """Measure how much reviewing each strategy needs, with a simulated annotator.

    Parameters
    ----------
    folder : Path
        The real samples, laid out as `docs/evaluation.md` says.
    model : LoadedModel
    tasks : sequence of str, optional
        Some of `TASK_NAMES`; by default all.
    subjects : int, optional
        Only the first so many sequences of each task.
    device : str
        As for `napari_octa_sam2.engine.device.choose_compute`.
    progress : callable
        Called with the sequences done, their total, and what is worked on.
    cancelled : callable
        Looked at before each visit; reviews that are done are reported.

    Raises
    ------
    ReadError
        If the folder is missing, or holds no sequence of a task.
    """
    plan = _plan(folder, tasks)
    # a session also refuses a device that is not there before any work
    record = _record(Session(np.zeros((1, 32, 32), np.uint8), model, device=device))
    total = sum(len(found[:subjects]) for _, found in plan)
    done = 0
    results = []
    for task, found in plan:
        reviews: list[Review] = []
        measured = 0
        for source in found[:subjects]:
            tell = partial(progress, done, total)
            reviews += _measure(task, source, model, device, tell, cancelled)
            if cancelled():
                break
            measured += 1
            done += 1
        results.append(
            Reviews(task.name, task.title, len(found), measured, tuple(reviews))
        )
        if cancelled():
            break
    if not cancelled():
        progress(total, total, "")
    return Report(record | {"subjects": subjects}, tuple(results), not cancelled())


def _plan(
    folder: Path, names: Sequence[str] | None
) -> list[tuple[ReviewTask, list[Source]]]:
    """Return the tasks and their sequences."""
    require_samples(folder)
    chosen = [task for task in TASKS if names is None or task.name in names]
    plan = [(task, found) for task in chosen for found in task.find(folder).values()]
    found = {task.name for task, _ in plan}
    if missing := [task.name for task in chosen if task.name not in found]:
        raise ReadError(
            f"{folder}: expected sequences of {', '.join(missing)}, found none; see "
            "docs/evaluation.md for the layout, or choose other tasks"
        )
    return plan


def _measure(
    task: ReviewTask,
    source: Source,
    model: LoadedModel,
    device: str,
    tell: Callable[[str], None],
    cancelled: Callable[[], bool],
) -> Iterator[Review]:
    """Yield the reviews of one sequence; none that was stopped."""
    data, truth = source.read()
    session = Session(data, model, device=device)
    for _ in session.prefetch(range(len(data))):  # so that no strategy waits for it
        if cancelled():
            return
    for name, ids in task.groups(truth, source.name):
        for strategy in STRATEGIES:
            tell(f"{task.name} {name}, {strategy.title}")
            work = Reviewer(session, truth.data, ids).work(strategy.choose)
            steps = tuple(takewhile(lambda step: not cancelled(), work))
            for object_id in ids:
                session.remove_object(object_id)
            if cancelled():
                return
            yield Review(name, strategy.name, len(data) * len(ids), steps)


def _record(session: Session) -> dict[str, Any]:
    return run_record(session) | {
        "seed": None,
        "protocol": {
            "name": "review",
            "goal": reviewer.GOAL,
            "accepted": reviewer.ACCEPTED,
            "kept": reviewer.KEPT,
            "corrections": reviewer.CORRECTIONS,
        },
    }
