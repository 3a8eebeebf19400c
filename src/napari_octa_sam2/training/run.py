"""A whole training: phase after phase, into a folder that tells all about it."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import filelock
import torch
from safetensors.torch import load_file
from torch import Tensor

from napari_octa_sam2.errors import OctaError, TrainingError
from napari_octa_sam2.files import write_whole
from napari_octa_sam2.training.checkpoint import save_weights
from napari_octa_sam2.training.config import ClipConfig
from napari_octa_sam2.training.data.splits import Split
from napari_octa_sam2.training.fit import Fitting, StepReport, Task, report_row
from napari_octa_sam2.training.folder import (
    Status,
    TrainingFolder,
    append_row,
    read_columns,
)
from napari_octa_sam2.training.learner import Learner, seed_all
from napari_octa_sam2.training.plan import GIVEN, find_split, make_source, teacher_of
from napari_octa_sam2.training.recipe import Phase, Recipe, read_recipe
from napari_octa_sam2.training.record import (
    mean_weights,
    write_record,
    write_result,
)
from napari_octa_sam2.training.validation import write_picture

if TYPE_CHECKING:
    from accelerate import Accelerator


LOCK_WAIT = 10.0  # seconds; workers of a killed process hold it a little longer
DEPTH_SAMPLES = 8  # looked at to know how many slices samples have


@dataclass(frozen=True)
class Report:
    """Where a training stands after a step."""

    status: Status
    step: StepReport


def train(
    folder: str | Path, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Report]:
    """Run the training whose settings are in `folder`, and yield a report a step.

    An interrupted one goes on from its checkpoint. Under ``torchrun`` the processes
    share each step; all see `folder`.

    Parameters
    ----------
    folder : path
        As `training.plan.begin` made it.
    should_stop : callable
        Asked after each step; once it is True, a checkpoint is written.

    Raises
    ------
    TrainingError
        If there is no training in `folder`, another process works on it, the data
        cannot be read, the loss stops being finite, or a file cannot be written.
    """
    opened = TrainingFolder(folder)
    if not opened.settings.is_file():
        raise TrainingError(
            f"{opened.path}: expected the folder of a training, found no "
            f"{opened.settings.name}; name a recipe to begin one"
        )
    recipe = read_recipe(opened.settings)
    with _alone(opened):
        run = _Run(opened, recipe, should_stop)
        try:
            yield from run.reports()
        except BaseException as error:
            run.fail(error)
            if isinstance(error, OSError) and not isinstance(error, OctaError):
                raise TrainingError(
                    f"{opened.path} cannot be used ({error.strerror or error}); what "
                    "was saved is as it was: make room, and run the same command again "
                    "to go on"
                ) from error
            raise
        finally:
            run.close()


class _Run:
    def __init__(
        self, folder: TrainingFolder, recipe: Recipe, should_stop: Callable[[], bool]
    ) -> None:
        self.folder, self.recipe = folder, recipe
        self.should_stop = lambda: should_stop() or folder.stop_is_asked()
        self.status = replace(
            folder.status(), state="running", message="reading the data"
        )
        self.accelerator = _accelerator(recipe, folder)
        self.main = bool(self.accelerator.is_main_process)
        self._tell()
        self.split = Split((), ())
        self.teacher = teacher_of(recipe)

    def reports(self) -> Iterator[Report]:
        if self.folder.weights() is not None:
            self._tell(state="finished", message="")
            return
        if _wants_gpu(self.recipe) and not torch.cuda.is_available():
            raise TrainingError(
                "expected a GPU for fp16, found none; set fit.precision=bf16 or fp32"
            )
        data = self.recipe.phases[0].data
        if self.recipe.given:
            self.split = find_split(self.recipe.given, data)
        if self.main:
            write_record(self.folder, self.recipe, self.split)
        trained: Learner | None = None
        for phase in self.recipe.phases:
            done = self._done(phase)
            if done.exists() and phase is not self.recipe.phases[-1]:
                continue
            self._tell(phase=phase.name, message="loading the model")
            trained = self._ready(phase)
            if not done.exists():
                yield from self._fit(trained, phase)
                if self.status.state == "stopped":
                    return
                if self.main:
                    save_weights(trained.weights(), done)
                    self.folder.checkpoint.unlink(missing_ok=True)
                self.accelerator.wait_for_everyone()
        assert trained is not None
        self._put_result(trained)
        if self.main:
            write_result(self.folder, self.recipe, self.teacher, trained, self.status)
        self._tell(state="finished", message="")

    def fail(self, error: BaseException) -> None:
        interrupted = isinstance(error, GeneratorExit | KeyboardInterrupt)
        text = str(error) if isinstance(error, OctaError) else _described(error)
        with contextlib.suppress(OSError):
            self._tell(
                state="stopped" if interrupted else "failed",
                message="" if interrupted else text,
            )

    def close(self) -> None:
        self.accelerator.end_training()

    def _fit(self, trained: Learner, phase: Phase) -> Iterator[Report]:
        fitting = Fitting(
            trained,
            Task(
                make_source(phase.data, self.split.training, phase.fit.seed),
                self._fitting_clip(phase),
                self.teacher.walk(phase),
                phase.fit,
                samples=max(1, len(self.split.training)),
            ),
            self.folder.checkpoint,
            self.folder.best,
            self.accelerator,
        )
        if self.main:
            keep_rows(self.folder.log, phase.name, fitting.step)
            judged = 0 if fitting.baseline is None else fitting.step + 1
            keep_rows(self.folder.validation, phase.name, judged)
        validate = None
        if self.split.validation:
            validate = self._validation(trained, phase)
        self._tell(message="")
        for report in fitting.steps(validate, self.should_stop):
            self.status = replace(
                self.status,
                step=fitting.step,
                steps=fitting.schedule.steps,
                seconds=fitting.seconds,
                budget=60 * phase.fit.minutes,
                baseline=fitting.baseline,
                best=fitting.best,
            )
            if self.main:
                append_row(self.folder.log, {"phase": phase.name} | report_row(report))
                self.folder.write_status(self.status)
            self.accelerator.log(
                {k: v for k, v in asdict(report).items() if v == v}, step=fitting.step
            )
            yield Report(self.status, report)
        if not fitting.is_finished():
            self._tell(state="stopped")
            return
        fitting.settle()

    def _ready(self, phase: Phase) -> Learner:
        """Return the network as it is before a phase."""
        seed_all(phase.fit.seed)
        trained = self.teacher.ready(phase, self.split.training)
        phases = self.recipe.phases
        self._put(trained, self._left_by(phases[: phases.index(phase)]))
        return trained

    def _fitting_clip(self, phase: Phase) -> ClipConfig:
        """Return clips that are no longer than the samples, where all are given."""
        clip = self.teacher.clip(phase)
        if set(phase.data.mix) != {GIVEN} or clip.frames == 1:
            return clip
        looked_at = self.split.training[:DEPTH_SAMPLES]
        deepest = max(len(sample.read().images) for sample in looked_at)
        frames = min(clip.frames, deepest)
        return replace(clip, frames=frames, least_frames=min(clip.least_frames, frames))

    def _left_by(self, phases: Sequence[Phase]) -> dict[str, Tensor]:
        """Return the weights that phases, trained in this order, have left."""
        weights: dict[str, Tensor] = {}
        for phase in phases:
            weights |= load_file(self._done(phase))
        return weights

    def _done(self, phase: Phase) -> Path:
        return self.folder.path / f"{phase.name}.safetensors"

    def _put_result(self, trained: Learner) -> None:
        """Put the result into the network: the last weights, or a mean of several."""
        phases = self.recipe.phases
        names = self.recipe.averaged or (phases[-1].name,)
        ends = [
            self._left_by(phases[: number + 1])
            for number, phase in enumerate(phases)
            if phase.name in names
        ]
        shared = [k for k in ends[-1] if all(k in end for end in ends)]
        mean = mean_weights([{k: end[k] for k in shared} for end in ends])
        self._put(trained, ends[-1] | mean)
        trained.set_training(False)

    def _put(self, trained: Learner, weights: dict[str, Tensor]) -> None:
        """Put weights into a network, without those of helpers that it has not."""
        own = trained.state_dict()
        trained.load_weights({k: v for k, v in weights.items() if k in own})

    def _validation(self, trained: Learner, phase: Phase) -> Callable[[int], float]:
        def validate(step: int) -> float:
            self._tell(message="validating")
            samples = self.split.validation
            judged = list(self.teacher.judge(trained, samples, phase.clip))
            if not judged:
                raise TrainingError(
                    "expected labels in the samples to validate on, found none of "
                    f"{', '.join(phase.clip.labels) or 'any class'}; choose others"
                )
            for each in judged:
                row = {"phase": phase.name, "step": step, "sample": each.sample}
                row |= {"object": each.object, "dice": each.dice, "iou": each.iou}
                append_row(self.folder.validation, row)
            write_picture(self.folder.samples / f"{phase.name}-{step:06d}.png", judged)
            self._tell(message="")
            mean = fmean(each.dice for each in judged)
            self.accelerator.log({"validation_dice": mean}, step=step)
            return mean

        return validate

    def _tell(self, **changes: Any) -> None:
        self.status = replace(self.status, **changes)
        if self.main:
            self.folder.write_status(self.status)


def keep_rows(file: Path, phase: str, step: int) -> None:
    """Leave out the rows of a phase from a step on, which will be written again."""
    columns = read_columns(file)
    if not columns:
        file.unlink(missing_ok=True)
        return
    rows = [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]
    kept = [r for r in rows if r["phase"] != phase or int(r["step"]) < step]
    whole = file.read_bytes().endswith(b"\n")  # no line that a kill cut short
    if len(kept) < len(rows) or not whole:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(columns))
        writer.writeheader()
        writer.writerows(kept)
        write_whole(file, text.getvalue())


@contextlib.contextmanager
def _alone(folder: TrainingFolder) -> Iterator[None]:
    """Hold the folder's lock; of processes that share a training, the first does."""
    if int(os.environ.get("RANK", "0")):
        yield
        return
    lock = folder.lock()
    try:
        lock.acquire(timeout=LOCK_WAIT)
    except filelock.Timeout:
        raise TrainingError(
            f"{folder.path} is being trained by another process; wait for it, or stop "
            "it first"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _accelerator(recipe: Recipe, folder: TrainingFolder) -> Accelerator:
    from accelerate import Accelerator

    fit, cpu = recipe.phases[-1].fit, not torch.cuda.is_available()
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision="fp16" if _wants_gpu(recipe) and not cpu else "no",
        log_with=["tensorboard", *fit.trackers],
        project_dir=folder.tensorboard,
    )
    accelerator.init_trackers(recipe.name)
    return accelerator


def _wants_gpu(recipe: Recipe) -> bool:
    return recipe.phases[-1].fit.precision == "fp16"


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
