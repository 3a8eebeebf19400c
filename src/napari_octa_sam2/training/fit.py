"""The training loop of one phase: resumable to the bit, alone or on many devices."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.training.checkpoint import (
    Average,
    load_checkpoint,
    save_checkpoint,
    save_weights,
)
from napari_octa_sam2.training.compute import (
    attention_on,
    precision_of,
    workers_context,
)
from napari_octa_sam2.training.config import ClipConfig, FitConfig
from napari_octa_sam2.training.data.clips import Clip
from napari_octa_sam2.training.data.scenes import Source
from napari_octa_sam2.training.learner import Learner, seed_all
from napari_octa_sam2.training.schedule import Schedule, make_optimiser, set_rates
from napari_octa_sam2.training.stream import ClipStream, Share
from napari_octa_sam2.training.tally import Walked
from napari_octa_sam2.training.teacher import Walk

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class StepReport:
    """What one optimiser step did.

    Dice values are of the training clips, `seconds` since the step before ended.
    """

    step: int
    loss: float
    prompted_dice: float
    followed_dice: float
    class_dice: float
    rate: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Task:
    """What a phase learns from, and how.

    Parameters
    ----------
    source : Source
    clip : ClipConfig
    walk : Walk
    config : FitConfig
    samples : int
        Number of training samples, which make an epoch.
    """

    source: Source
    clip: ClipConfig
    walk: Walk
    config: FitConfig
    samples: int = 1


class Fitting:
    """A phase in work.

    Parameters
    ----------
    trained : Learner
        Changed in place.
    task : Task
    file : Path
        The checkpoint, which is continued if it is there.
    best : Path
        Receives the weights that validated best.
    accelerator : accelerate.Accelerator
        Device, precision and the other processes.
    """

    def __init__(
        self,
        trained: Learner,
        task: Task,
        file: Path,
        best: Path,
        accelerator: Accelerator,
    ) -> None:
        self.trained, self.task, self.file = trained, task, file
        self.best_file, self.accelerator = best, accelerator
        config = task.config
        self.share = Share(accelerator.process_index, accelerator.num_processes)
        a_step = config.clips * config.accumulate * self.share.world
        self.schedule = Schedule(config, max(task.samples / a_step, 1e-9))
        trained.to(accelerator.device)
        self.optimiser: Any = accelerator.prepare_optimizer(
            make_optimiser(config, trained.groups.values())
        )
        self.average = Average(trained, config.average)
        self.step, self.seconds = 0, 0.0
        self.best: float | None = None
        self.baseline: float | None = None
        self.since_best = 0
        self._resume()

    def steps(
        self,
        validate: Callable[[int], float] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[StepReport]:
        """Train, and yield a report after each step.

        On every end, also one that was asked for, a checkpoint is written. A step is
        reported before it is part of one: what has been written of it is complete.

        Parameters
        ----------
        validate : callable, optional
            Returns the mean Dice of the samples that were held out, after so many
            steps. It is called with the averaged weights in place.
        should_stop : callable

        Raises
        ------
        TrainingError
            If the loss stops being finite, or a checkpoint cannot be written.
        """
        config, saved = self.task.config, time.monotonic()
        self.trained.set_training(True)
        if validate is not None and self.baseline is None:
            self.baseline = self._validated(validate)
        began = time.monotonic()
        for batches in self._batches():
            report = self._one_step(batches, began)
            self.step += 1
            self.seconds += report.seconds
            ended = self._agreed(self._is_done() or should_stop())
            due = config.validate_every and self.step % config.validate_every == 0
            if validate is not None and (due or self._is_done()):
                self._validated(validate)
                ended = ended or self._agreed(self._has_no_patience())
            yield report
            if ended or time.monotonic() - saved > config.save_every:
                self.save()
                saved = time.monotonic()
            if ended:
                return
            began = time.monotonic()

    def is_finished(self) -> bool:
        """Return whether nothing is left to do."""
        return self._is_done() or self._has_no_patience()

    def settle(self) -> None:
        """Put the result into the network: the best weights, or the averaged ones."""
        weights = self.average.weights
        if self.best is not None and self.best_file.exists():
            weights = load_file(self.best_file)
        self.trained.load_weights(weights)
        self.trained.set_training(False)

    def save(self) -> None:
        """Write the checkpoint."""
        if self.accelerator.is_main_process:
            save_checkpoint(self.file, self._state())

    def _one_step(self, batches: list[Clip], began: float) -> StepReport:
        config = self.task.config
        factor = self.schedule.factor(self.step, self.seconds)
        set_rates(self.optimiser, factor)
        seed_all(config.seed, self.step, self.share.rank)
        self.optimiser.zero_grad(set_to_none=True)
        losses: list[Tensor] = []
        # activations that are computed again need the kernels of the first time
        with attention_on(self.accelerator.device, config.precision):
            for number, batch in enumerate(batches):
                turn = self.step * config.accumulate + number
                with precision_of(self.accelerator.device, config.precision):
                    clips = batch.to(self.accelerator.device)
                    walked = self.task.walk(self.trained, clips, turn, self.share)
                self._backward(walked, len(batches))
                losses.append(walked.loss.detach())
        loss = self._mean_over_processes(torch.stack(losses).mean()).item()
        self._share_gradients()
        norm = self.accelerator.clip_grad_norm_(
            [p for p in self.trained.parameters() if p.requires_grad],
            config.clip_norm or math.inf,
        )
        # half precision leaves a step out where its gradients are too large
        if not math.isfinite(loss) or not (
            config.precision == "fp16" or math.isfinite(norm)
        ):
            raise TrainingError(
                f"the loss is {loss} at step {self.step}, its gradient "
                f"{float(norm)}; the last checkpoint is as it was: train again with "
                "smaller learning rates (trained.parts)"
            )
        self.optimiser.step()
        self.average.update(self.trained)
        return StepReport(
            self.step,
            loss,
            walked.prompted_dice,
            walked.followed_dice,
            walked.class_dice,
            factor,
            self._shared(time.monotonic() - began),
        )

    def _backward(self, walked: Walked, passes: int) -> None:
        if not self.task.config.separate_updates:
            self.accelerator.backward(walked.loss / passes)
            return
        for loss, memory in ((walked.prompted, False), (walked.followed, True)):
            inputs = self.trained.parameters_of(memory)
            if loss.requires_grad and inputs:
                self.accelerator.backward(
                    loss / passes, inputs=inputs, retain_graph=not memory
                )

    def _share_gradients(self) -> None:
        """Average the gradients over all processes."""
        if self.share.world == 1:
            return
        weights = [p for p in self.trained.parameters() if p.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in weights]
        flat = torch.cat([g.flatten() for g in gradients])
        flat = self._mean_over_processes(flat)
        sizes = [g.numel() for g in gradients]
        for weight, part in zip(weights, flat.split(sizes), strict=True):
            weight.grad = part.view_as(weight)

    def _mean_over_processes(self, value: Tensor) -> Tensor:
        if self.share.world == 1:
            return value
        reduced = self.accelerator.reduce(value, "mean")
        assert isinstance(reduced, Tensor)
        return reduced

    def _agreed(self, wish: bool) -> bool:
        """Return whether any process wants it, so that all do the same."""
        return self._shared(float(wish)) > 0

    def _shared(self, value: float) -> float:
        """Return the mean of a number over all processes, the same in each."""
        device = self.accelerator.device
        number = torch.tensor(value, device=device, dtype=torch.float64)
        return float(self._mean_over_processes(number))

    def _validated(self, validate: Callable[[int], float]) -> float:
        score = 0.0
        with self.average.in_place(self.trained):
            if self.accelerator.is_main_process:
                score = validate(self.step)
        score = self.share.world * self._shared(score)
        if self.best is None or score > self.best:
            self.best, self.since_best = score, 0
            if self.accelerator.is_main_process:
                save_weights(self.average.weights, self.best_file)
        else:
            self.since_best += 1
        return score

    def _batches(self) -> Iterator[list[Clip]]:
        config = self.task.config
        if self.is_finished():
            return
        stream = ClipStream(
            self.task.source,
            self.task.clip,
            config,
            self.step * config.accumulate,
            self.share,
        )
        loader = torch.utils.data.DataLoader(
            stream,
            batch_size=None,
            num_workers=config.workers,
            multiprocessing_context=workers_context() if config.workers else None,
        )
        batches: list[Clip] = []
        for batch in loader:
            batches.append(Clip(*batch))
            if len(batches) == config.accumulate:
                yield batches
                batches = []

    def _is_done(self) -> bool:
        return self.schedule.done(self.step, self.seconds) >= 1

    def _has_no_patience(self) -> bool:
        patience = self.task.config.patience
        return bool(patience) and self.since_best >= patience

    def _state(self) -> dict[str, Any]:
        scaler = self.accelerator.scaler
        return {
            "weights": self.trained.weights(),
            "average": self.average.weights,
            "averaged_steps": self.average.steps,
            "optimiser": self.optimiser.state_dict(),
            "scaler": {} if scaler is None else scaler.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "baseline": self.baseline,
            "since_best": self.since_best,
        }

    def _resume(self) -> None:
        state = load_checkpoint(self.file)
        if state is None:
            return
        if _shapes(state.get("weights", {})) != _shapes(self.trained.weights()):
            raise TrainingError(
                f"{self.file} is of another network or of other parts; choose another "
                "folder, or delete it to begin anew"
            )
        self.trained.load_weights(state["weights"])
        for key, value in state["average"].items():
            self.average.weights[key].copy_(value)
        self.average.steps = state["averaged_steps"]
        self.optimiser.load_state_dict(state["optimiser"])
        if state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.best, self.baseline = state["best"], state["baseline"]
        self.since_best = state["since_best"]


def report_row(report: StepReport) -> dict[str, Any]:
    """Return a report as a row of ``log.csv``: floats to the last digit."""
    return {
        key: repr(value) if isinstance(value, float) else value
        for key, value in asdict(report).items()
    }


def _shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in weights.items()}
