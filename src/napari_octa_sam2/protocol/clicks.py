"""Annotate one slice click by click, as an annotator who knows the truth would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from napari_octa_sam2.metrics.segmentation.clicks import Click, next_click
from napari_octa_sam2.metrics.segmentation.overlap import dice
from napari_octa_sam2.metrics.segmentation.topology import cldice
from napari_octa_sam2.prompts import Prompt

CLICKS = (0, 1, 3, 5, 10)  # after which the figures are reported
LEVELS = (0.80, 0.85, 0.90)  # of Dice, for the number of clicks
CAP = 20


class Answer(Protocol):
    """What a session answers with; see `engine.results.SliceResult`."""

    @property
    def slice(self) -> int:
        """Index of the slice."""
        ...

    def mask(self, object_id: int) -> np.ndarray:
        """Return the mask of one object."""
        ...


class Annotated(Protocol):
    """What the annotator works with; see `engine.session.Session`."""

    def add(self, prompt: Prompt) -> Answer:
        """Answer one more prompt."""
        ...

    def propagate(
        self, direction: str = "both", *, objects: list[int] | None = None
    ) -> Iterator[Answer]:
        """Follow objects through the slices."""
        ...


@dataclass(frozen=True, eq=False)
class Annotation:
    """How the mask of a slice grew with the clicks.

    Parameters
    ----------
    dice : tuple of float
        Entry k is the Dice after k clicks. Without a class prompt there is no mask
        before the first click, and entry 0 is nan.
    cldice : mapping of int to float
        clDice after those of `CLICKS` that were made.
    clicks : tuple of Click
    mask : numpy.ndarray of bool
        After the last click.
    """

    dice: tuple[float, ...]
    cldice: Mapping[int, float]
    clicks: tuple[Click, ...]
    mask: np.ndarray

    def dice_after(self, clicks: int) -> float:
        """Return the Dice after so many clicks, or after all where fewer were due."""
        return self.dice[min(clicks, len(self.dice) - 1)]

    def cldice_after(self, clicks: int) -> float:
        """Return the clDice after so many clicks, or after all where fewer were due."""
        return self.cldice[min(clicks, max(self.cldice))]

    def clicks_to(self, level: float) -> int | None:
        """Return the clicks until Dice reaches `level` (NoC); None if it never does."""
        return next((k for k, value in enumerate(self.dice) if value >= level), None)


def annotate(
    session: Annotated,
    truth: np.ndarray,
    *,
    whole: str | None = None,
    limit: int = CAP,
    object_id: int = 1,
    index: int = 0,
) -> Annotation:
    """Click on an object of one slice until there is nothing left to gain.

    Each click is that of `napari_octa_sam2.metrics.segmentation.clicks.next_click`. It
    ends after `limit` clicks, where no error is left, or once the largest of `CLICKS`
    is made and the highest of `LEVELS` was reached: no figure can change then.

    Parameters
    ----------
    session : Annotated
    truth : numpy.ndarray of bool
        Shape ``(slow, fast)``, not empty.
    whole : str, optional
        Class to ask for before the first click, as `Prompt.whole`.
    limit : int
        Most clicks.
    object_id, index : int
        The object and its slice.
    """
    mask = np.zeros_like(truth)
    scores = [float("nan")]
    centrelines: dict[int, float] = {}
    clicks: list[Click] = []
    if whole is not None:
        mask = session.add(Prompt(object_id, index, whole=whole)).mask(object_id)
        scores = [dice(mask, truth)]
        centrelines[0] = cldice(mask, truth)
    while len(clicks) < limit and not _settled(scores):
        click = next_click(truth, mask)
        if click is None:
            break
        mask = session.add(as_prompt(click, object_id, index)).mask(object_id)
        clicks.append(click)
        scores.append(dice(mask, truth))
        if len(clicks) in CLICKS:
            centrelines[len(clicks)] = cldice(mask, truth)
    # a run that ended early keeps its last mask
    centrelines.setdefault(len(clicks), cldice(mask, truth))
    return Annotation(tuple(scores), centrelines, tuple(clicks), mask)


def as_prompt(click: Click, object_id: int, index: int) -> Prompt:
    """Return a click as the prompt of an object on a slice."""
    point = (float(click.row), float(click.col))
    return Prompt(object_id, index, (point,), (int(click.positive),))


def _settled(scores: list[float]) -> bool:
    reached = any(score >= max(LEVELS) for score in scores)
    return reached and len(scores) > max(CLICKS)
