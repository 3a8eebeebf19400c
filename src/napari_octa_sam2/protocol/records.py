"""What a protocol measured: single values, their figures, and the targets."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SLICE_DICE = "slice dice"  # of all slices of all objects, pooled
SPEED = "speed"  # the task that times a network
# Of masks that were found without a prompt, and of the filter they are compared with.
AUTO_DICE, AUTO_CLDICE, FRANGI_DICE = "dice@auto", "cldice@auto", "dice@frangi"


@dataclass(frozen=True)
class Target:
    """The mean that a figure must reach, or must not exceed."""

    value: float
    at_most: bool = False

    def met(self, mean: float) -> bool:
        """Return whether `mean` keeps to it; nan does not."""
        return mean <= self.value if self.at_most else mean >= self.value

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.value:g}"


@dataclass(frozen=True)
class Sample:
    """The values of one image, or of one object of a sequence.

    Parameters
    ----------
    name : str
    values : mapping of str to float
        By figure, such as ``"dice@5"``: Dice after 5 clicks.
    slices : mapping of int to float
        Of a sequence, the Dice of each slice that holds the object.
    detail : mapping of str to Any
        What else JSON should tell, such as the clicks.
    """

    name: str
    values: Mapping[str, float]
    slices: Mapping[int, float] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        slices = {str(k): v for k, v in self.slices.items()}
        return {
            "sample": self.name,
            "values": {k: finite(v) for k, v in self.values.items()},
            **({"slice_dice": slices} if slices else {}),
            **self.detail,
        }


@dataclass(frozen=True)
class Figure:
    """One measure over all samples of a task; nan where a sample has none.

    Parameters
    ----------
    key : str
    names : tuple of str
    values : tuple of float
        One a name.
    target : Target, optional
    """

    key: str
    names: tuple[str, ...]
    values: tuple[float, ...]
    target: Target | None = None

    @property
    def known(self) -> list[float]:
        """The values that are not nan."""
        return [v for v in self.values if not math.isnan(v)]

    @property
    def mean(self) -> float:
        """Arithmetic mean; nan without values."""
        return statistics.fmean(self.known) if self.known else math.nan

    @property
    def sd(self) -> float:
        """Sample standard deviation (n - 1); nan for fewer than two values."""
        return statistics.stdev(self.known) if len(self.known) > 1 else math.nan

    @property
    def median(self) -> float:
        """Median; nan without values."""
        return statistics.median(self.known) if self.known else math.nan

    def extreme(self, lowest: bool) -> tuple[float, str]:
        """Return the lowest or highest value and its name; nan without values."""
        pairs = zip(self.values, self.names, strict=True)
        known = [pair for pair in pairs if not math.isnan(pair[0])]
        if not known:
            return math.nan, ""
        choose = min if lowest else max
        return choose(known, key=lambda pair: pair[0])

    def to_json(self) -> dict[str, Any]:
        """Return the statistics, ready for JSON; what is nan becomes None."""
        low, high = self.extreme(True), self.extreme(False)
        return {
            "figure": self.key,
            "n": len(self.known),
            "mean": finite(self.mean),
            "sd": finite(self.sd),
            "median": finite(self.median),
            "min": finite(low[0]),
            "min_sample": low[1],
            "max": finite(high[0]),
            "max_sample": high[1],
        }


@dataclass(frozen=True)
class TaskReport:
    """What was measured of one task on one split of the data.

    Parameters
    ----------
    name, split, title : str
    prompts : str
        How the objects were prompted, in words.
    judged : tuple of str
        Keys of the figures that stand for the task, the first one first.
    targets : mapping of str to Target
        By key of the figure.
    available : int
        Samples (images or sequences) in the folder.
    measured : int
        Those that were measured.
    samples : tuple of Sample
        One an image, or one an object of each sequence.
    """

    name: str
    split: str
    title: str
    prompts: str
    judged: tuple[str, ...]
    targets: Mapping[str, Target]
    available: int
    measured: int
    samples: tuple[Sample, ...]

    @property
    def label(self) -> str:
        """Name and split."""
        return f"{self.name} {self.split}".strip()

    @property
    def complete(self) -> bool:
        """Whether everything in the folder was measured."""
        return self.measured == self.available

    @property
    def has_curves(self) -> bool:
        """Whether Dice was measured against the number of clicks."""
        return any("dice" in sample.detail for sample in self.samples)

    @property
    def has_found(self) -> bool:
        """Whether Dice was measured without a prompt."""
        return any(AUTO_DICE in sample.values for sample in self.samples)

    def figures(self) -> list[Figure]:
        """Return every figure, in the order in which the samples hold them."""
        keys = dict.fromkeys(key for sample in self.samples for key in sample.values)
        found = [self.figure(key) for key in keys]
        pooled = [
            (f"{sample.name} slice {index}", value)
            for sample in self.samples
            for index, value in sample.slices.items()
        ]
        if pooled:
            names, values = zip(*pooled, strict=True)
            found.append(Figure(SLICE_DICE, names, values))
        return found

    def figure(self, key: str) -> Figure:
        """Return one figure of the samples."""
        return Figure(
            key,
            tuple(sample.name for sample in self.samples),
            tuple(sample.values.get(key, math.nan) for sample in self.samples),
            self.targets.get(key),
        )

    def met(self, figure: Figure) -> bool | None:
        """Return whether the target is met; None without one, or on a part only."""
        if figure.target is None or not self.complete:
            return None
        return figure.target.met(figure.mean)

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "task": self.name,
            "split": self.split,
            "title": self.title,
            "prompts": self.prompts,
            "available": self.available,
            "measured": self.measured,
            "complete": self.complete,
            "judged": list(self.judged),
            "figures": [
                figure.to_json()
                | ({"target": str(figure.target)} if figure.target else {})
                | ({"met": self.met(figure)} if figure.target else {})
                for figure in self.figures()
            ],
            "samples": [sample.to_json() for sample in self.samples],
        }


def finite(value: float) -> float | None:
    """Return `value`, or None for nan."""
    return None if math.isnan(value) else value
