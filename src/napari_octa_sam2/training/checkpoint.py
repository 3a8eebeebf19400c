"""What a training that was interrupted goes on from."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.files import write_whole
from napari_octa_sam2.training.learner import Learner


class Average:
    """The moving average of trained weights (Polyak and Juditsky, 1992).

    Parameters
    ----------
    trained : Learner
    decay : float
        A step; less in the first steps, which are forgotten. 0 is no average.
    """

    def __init__(self, trained: Learner, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.weights = _copied(trained.weights())

    @torch.no_grad()
    def update(self, trained: Learner) -> None:
        """Take in the weights after a step."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        decay = decay if self.decay else 0.0
        self.steps += 1
        for key, value in trained.weights().items():
            if value.is_floating_point():
                self.weights[key].lerp_(value, 1 - decay)
            else:
                self.weights[key].copy_(value)

    @contextmanager
    def in_place(self, trained: Learner) -> Iterator[None]:
        """Put the average into the network for a while, for validation."""
        own = _copied(trained.weights())
        trained.load_weights(self.weights)
        trained.set_training(False)
        try:
            yield
        finally:
            trained.load_weights(own)
            trained.set_training(True)


def save_checkpoint(file: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint; the one before stays until it is complete.

    Raises
    ------
    TrainingError
        If it cannot be written.
    """
    stream = io.BytesIO()
    torch.save(dict(state), stream)
    _write(file, stream.getvalue())


def save_weights(weights: Mapping[str, Tensor], file: Path) -> None:
    """Write weights as safetensors; the file before stays until it is complete.

    Raises
    ------
    TrainingError
        If they cannot be written.
    """
    held = {k: v.detach().cpu().contiguous() for k, v in weights.items()}
    _write(file, save(held))


def load_checkpoint(file: Path) -> dict[str, Any] | None:
    """Return what `save_checkpoint` wrote, or None if there is none.

    Raises
    ------
    TrainingError
        If the file is no checkpoint.
    """
    if not file.exists():
        return None
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        return dict(state)
    except Exception as error:
        raise TrainingError(
            f"{file} is no readable checkpoint ({type(error).__name__}: {error}); "
            "delete it to begin anew, or choose another folder"
        ) from error


def _copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in weights.items()}


def _write(file: Path, content: bytes) -> None:
    try:
        write_whole(file, content)
    except OSError as error:
        raise TrainingError(
            f"{file} could not be written ({error.strerror}); what was there before is "
            "as it was: make room, and run the same command again to go on"
        ) from error
