"""What came of a review: its steps, and what they add up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from napari_octa_sam2.protocol.review.reviewer import GOAL, Effort, Step


@dataclass(frozen=True)
class Review:
    """How an object, or all of a sequence together, came to the goal.

    Parameters
    ----------
    sample, strategy : str
    places : int
        Slices that there are, times objects.
    steps : tuple of Step
    """

    sample: str
    strategy: str
    places: int
    steps: tuple[Step, ...]

    @property
    def visits(self) -> int:
        """Slices looked at, those of the first clicks included."""
        return len(self.steps)

    @property
    def clicks(self) -> int:
        """Clicks made."""
        return sum(step.effort.clicks for step in self.steps)

    @property
    def absent(self) -> int:
        """Slices on which an object was said to be absent."""
        return sum(step.effort.absent for step in self.steps)

    @property
    def painted(self) -> int:
        """Slices painted by hand."""
        return sum(step.effort.painted for step in self.steps)

    @property
    def seconds(self) -> float:
        """Time that the computer took."""
        return sum(step.seconds for step in self.steps)

    @property
    def first_dice(self) -> float:
        """Dice over the volume after a click on each object."""
        objects = {step.object for step in self.steps}
        return self.steps[len(objects) - 1].dice

    @property
    def dice(self) -> float:
        """Dice over the volume at the end."""
        return self.steps[-1].dice

    @property
    def reached(self) -> bool:
        """Whether the goal was reached."""
        return self.dice >= GOAL

    def dice_after(self, visits: int) -> float:
        """Return the Dice after so many visits, or at the end where fewer were due."""
        return self.steps[min(visits, self.visits) - 1].dice

    def dice_within(self, clicks: int) -> float:
        """Return the Dice before more than so many clicks were made; 0 at first."""
        made, dice = 0, 0.0
        for step in self.steps:
            made += step.effort.clicks
            if made > clicks:
                break
            dice = step.dice
        return dice

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "sample": self.sample,
            "strategy": self.strategy,
            "places": self.places,
            "visits": self.visits,
            "clicks": self.clicks,
            "absent": self.absent,
            "painted": self.painted,
            "reached": self.reached,
            "seconds": self.seconds,
            "steps": [
                {**asdict(step), "effort": step.effort._asdict()} for step in self.steps
            ],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Review:
        """Return the review of `to_json`."""
        steps = tuple(
            Step(**(step | {"effort": Effort(**step["effort"])}))
            for step in content["steps"]
        )
        return cls(content["sample"], content["strategy"], content["places"], steps)


@dataclass(frozen=True)
class Reviews:
    """The reviews of one task, by every strategy.

    Parameters
    ----------
    task, title : str
    available : int
        Sequences in the folder.
    measured : int
        Those that were gone through.
    reviews : tuple of Review
    """

    task: str
    title: str
    available: int
    measured: int
    reviews: tuple[Review, ...]

    def by(self, strategy: str) -> list[Review]:
        """Return the reviews by a strategy."""
        return [review for review in self.reviews if review.strategy == strategy]

    @property
    def strategies(self) -> list[str]:
        """The strategies that went through every sample, in order."""
        counts = {r.strategy: len(self.by(r.strategy)) for r in self.reviews}
        return [name for name, n in counts.items() if n == max(counts.values())]

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "task": self.task,
            "title": self.title,
            "available": self.available,
            "measured": self.measured,
            "reviews": [review.to_json() for review in self.reviews],
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Reviews:
        """Return the reviews of `to_json`."""
        reviews = tuple(map(Review.from_json, content["reviews"]))
        return cls(**(content | {"reviews": reviews}))
