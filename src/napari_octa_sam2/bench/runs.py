"""Two ways of following the same objects, timed slice by slice in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch

from napari_octa_sam2.prompts import Prompt

T = TypeVar("T")
Watch = Callable[[str], None]  # told what is worked on; raises `Stopped`


class Stopped(Exception):
    """The user has asked to stop."""


class Answer(Protocol):
    """Mask logits ``(slow, fast)`` of each object on one slice."""

    @property
    def slice(self) -> int:
        """Index of the slice."""
        ...

    @property
    def logits(self) -> Mapping[int, np.ndarray]:
        """By object."""
        ...


class Run(Protocol):
    """Something that answers clicks on a volume and follows objects through it."""

    device: torch.device
    precision: str

    def click(self, prompt: Prompt) -> Answer:
        """Answer a first click of an object on a slice."""
        ...

    def follow(self, start: int | None = None) -> Iterator[Answer]:
        """Follow all objects from a slice on, by default the first prompted one."""
        ...


class Lap(NamedTuple):
    """One slice of one run."""

    seconds: float
    answer: Answer


def within(watch: Watch, where: str) -> Watch:
    """Return `watch` for what is done at one point."""
    watch(where)
    return lambda note: watch(f"{where}, {note}")


def timed(work: Callable[[], T], device: torch.device) -> tuple[float, T]:
    """Return the seconds that `work` takes on a device, and its result."""
    synchronise(device)
    began = time.perf_counter()
    result = work()
    synchronise(device)
    return time.perf_counter() - began, result


def synchronise(device: torch.device) -> None:
    """Wait until a device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def laps(following: Iterator[Answer], device: torch.device) -> Iterator[Lap]:
    """Yield what `following` yields, timed."""
    while True:
        seconds, answer = timed(partial(next, following, None), device)
        if answer is None:
            return
        yield Lap(seconds, answer)


def race(runs: Sequence[Run], watch: Watch) -> Iterator[tuple[Lap, ...]]:
    """Yield each slice of all runs, until one has no more.

    The runs take turns slice by slice, and in who comes first, so that what else the
    machine does falls on all of them.
    """
    tracks = [laps(run.follow(), run.device) for run in runs]
    for number in count():
        watch(f"slice {number}")
        done: dict[int, Lap] = {}
        for turn in range(len(tracks)):
            place = (number + turn) % len(tracks)
            lap = next(tracks[place], None)
            if lap is None:
                return
            done[place] = lap
        yield tuple(done[place] for place in range(len(tracks)))
