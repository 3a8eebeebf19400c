"""What a task is: how its objects are prompted, and which figures stand for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_octa_sam2.protocol.clicks import CAP, CLICKS, LEVELS, Annotated, annotate
from napari_octa_sam2.protocol.records import Sample, Target
from napari_octa_sam2.protocol.sequences import Choice, follow, objects_of
from napari_octa_sam2.protocol.sources import Source
from napari_octa_sam2.volume.octa_volume import LabelSet

Find = Callable[[Path], dict[str, list[Source]]]


@dataclass(frozen=True)
class EnFaceTask:
    """Annotate everything of a class on en-face images.

    Judged after the class prompt alone, or without one after `clicks` plain clicks.

    Parameters
    ----------
    name, title : str
    find : callable
        Returns the samples of a folder by split.
    cls : str
        What the truth shows.
    clicks : int
    asked : bool
        Whether the whole class is asked for before the first click.
    least : mapping of str to float
        Targets of ``"dice"`` and ``"cldice"``.
    """

    name: str
    title: str
    find: Find
    cls: str
    clicks: int
    asked: bool = True
    least: Mapping[str, float] = field(default_factory=dict)

    def understood(self, classes: Iterable[str]) -> EnFaceTask:
        """Return the task for a model with these class prompts."""
        return replace(self, asked=self.asked and self.cls in set(classes))

    @property
    def whole(self) -> str | None:
        """Class to ask for before the first click, as `Prompt.whole`."""
        return self.cls if self.asked else None

    @property
    def prompts(self) -> str:
        """How objects are prompted, in words."""
        clicks = f"up to {CAP} clicks"
        return f"the class {self.whole}, then {clicks}" if self.whole else clicks

    @property
    def judged(self) -> tuple[str, ...]:
        """Keys of Dice and clDice at the number of clicks that is judged."""
        count = 0 if self.whole else self.clicks
        return f"dice@{count}", f"cldice@{count}"

    @property
    def targets(self) -> dict[str, Target]:
        """Targets by figure."""
        keys = dict(zip(("dice", "cldice"), self.judged, strict=True))
        return {keys[kind]: Target(value) for kind, value in self.least.items()}

    def measure(self, session: Annotated, truth: LabelSet, name: str) -> list[Sample]:
        """Annotate one image; nothing is returned if it does not hold the object."""
        mask = truth.data[0] > 0
        if not mask.any():
            return []
        done = annotate(session, mask, whole=self.whole)
        counts = CLICKS if self.whole else CLICKS[1:]
        needed = {level: done.clicks_to(level) for level in LEVELS}
        values = (
            {f"dice@{k}": done.dice_after(k) for k in counts}
            | {f"cldice@{k}": done.cldice_after(k) for k in counts}
            | {f"noc@{v:.2f}": CAP if k is None else k for v, k in needed.items()}
            | {f"reached@{v:.2f}": float(k is not None) for v, k in needed.items()}
        )
        clicks = [[click.row, click.col, int(click.positive)] for click in done.clicks]
        curve = list(done.dice) if self.whole else [None, *done.dice[1:]]
        return [Sample(name, values, detail={"dice": curve, "clicks": clicks})]


@dataclass(frozen=True)
class SequenceTask:
    """Annotate each object on a few slices of a sequence, propagate both ways.

    Parameters
    ----------
    name, title : str
    find : callable
        Returns the samples of a folder by split.
    choose : callable
        Returns the slices to click on, from the truth of an object.
    clicks : int
        Most clicks on each of them.
    least : float
        Target of the mean Dice of the objects.
    """

    name: str
    title: str
    find: Find
    choose: Choice
    clicks: int
    least: float

    judged = ("dice", "false area [px]")

    def understood(self, classes: Iterable[str]) -> SequenceTask:
        """Return the task itself: objects are clicked on, whatever the model."""
        return self

    @property
    def prompts(self) -> str:
        """How objects are prompted, in words."""
        words = "1 click" if self.clicks == 1 else f"up to {self.clicks} clicks"
        where = self.choose.__name__.replace("_", ", ")
        return f"{words} on each prompted slice of an object ({where}), both ways"

    @property
    def targets(self) -> dict[str, Target]:
        """Targets by figure."""
        return {"dice": Target(self.least)}

    def measure(self, session: Annotated, truth: LabelSet, name: str) -> list[Sample]:
        """Annotate and follow every object of one sequence."""
        return [
            self._follow(session, truth.data == label, label, f"{name} {title}")
            for label, title in objects_of(truth)
        ]

    def _follow(
        self, session: Annotated, mask: np.ndarray, label: int, name: str
    ) -> Sample:
        slices = self.choose(mask)
        done = follow(session, mask, slices=slices, clicks=self.clicks, object_id=label)
        return Sample(
            name,
            {"dice": done.mean_dice, "false area [px]": done.mean_false_area},
            done.dice,
            {
                "clicks": {str(k): n for k, n in done.clicks.items()},
                "false_areas": {str(k): n for k, n in done.false_areas.items()},
            },
        )


Task = EnFaceTask | SequenceTask
