"""What a run of the review protocol found: as text, JSON, CSV, Markdown and a plot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_octa_sam2.protocol.review.records import Review, Reviews
from napari_octa_sam2.protocol.review.strategies import TITLES
from napari_octa_sam2.tables import aligned, piped, write_csv, write_files, write_json

FILES = ("review.json", "review.csv", "review.md", "review.png")
NAMES = 2  # columns of names, before those of figures
RIVAL = "uniform"  # the strategy that the others are compared with
Rows = list[list[str]]
_COUNTS = ["slices", "visited", "clicks", "absent", "painted", "seconds"]


@dataclass(frozen=True)
class Report:
    """Everything that a run measured.

    Parameters
    ----------
    record : mapping
        Model and hash, device, threads, versions, constants of the protocol.
    tasks : tuple of Reviews
    complete : bool
        False if the run was stopped.
    """

    record: Mapping[str, Any]
    tasks: tuple[Reviews, ...]
    complete: bool

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        tasks = [task.to_json() for task in self.tasks]
        return {"complete": self.complete, "record": dict(self.record), "tasks": tasks}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Report:
        """Return the report of `to_json`."""
        tasks = tuple(map(Reviews.from_json, content["tasks"]))
        return cls(content["record"], tasks, content["complete"])

    def sums(self) -> Rows:
        """Return a header, and what each strategy took for all samples of a task."""
        rows = [["task", "strategy", "samples", "reached", *_COUNTS]]
        rows[0].append(f"visited, of {RIVAL}")
        for task in self.tasks:
            rival = sum(review.visits for review in task.by(RIVAL))
            for name in task.strategies:
                reviews = task.by(name)
                visits = sum(review.visits for review in reviews)
                reached = sum(review.reached for review in reviews)
                counted = [f"{len(reviews)}", f"{reached}", *_counts(reviews)]
                compared = f"{visits / rival:.0%}" if rival else ""
                rows.append([task.task, TITLES[name], *counted, compared])
        return rows

    def singles(self) -> Rows:
        """Return a header, and what each strategy took for each sample."""
        rows = [["sample", "strategy", "Dice, first click", *_COUNTS, "Dice"]]
        for task in self.tasks:
            for review in sorted(task.reviews, key=lambda review: review.sample):
                dice = f"{review.first_dice:.3f}", f"{review.dice:.3f}"
                title = TITLES[review.strategy]
                counts = _counts([review])
                rows.append([review.sample, title, dice[0], *counts, dice[1]])
        return rows

    def table(self) -> str:
        """Return both tables as plain text for a terminal."""
        blocks = ["" if self.complete else "INCOMPLETE: the run was stopped"]
        blocks += [aligned(self.sums(), NAMES), aligned(self.singles(), NAMES)]
        return "\n\n".join(block for block in blocks if block)

    def markdown(self) -> str:
        """Return the tables and the record as Markdown."""
        stopped = "" if self.complete else "**Incomplete: the run was stopped.**\n\n"
        titles = "\n".join(
            f"- {task.task}: {task.title}; {task.measured} of {task.available}."
            for task in self.tasks
        )
        return (
            f"# {self.record['model']['name']}: review protocol\n\n{stopped}{titles}"
            f"\n\n{piped(self.sums(), NAMES)}\n\n{piped(self.singles(), NAMES)}\n\n"
            f"```json\n{json.dumps(dict(self.record), indent=1)}\n```\n"
        )

    def write(self, folder: Path) -> list[Path]:
        """Write `FILES` into a folder, which is made if need be; return their paths.

        Raises
        ------
        WriteError
            If it cannot be written.
        """
        from napari_octa_sam2.protocol.review.plot import draw

        writers = (
            lambda path: write_json(path, self.to_json()),
            lambda path: write_csv(path, self._steps()),
            lambda path: path.write_text(self.markdown(), "utf-8"),
            lambda path: draw(self.tasks, title=self.record["model"]["name"]).savefig(
                path
            ),
        )
        return write_files(folder, dict(zip(FILES, writers, strict=True)))

    def _steps(self) -> Rows:
        rows = [["task", "sample", "strategy", "visit", "object", "slice", "clicks"]]
        rows[0] += ["absent", "painted", "dice", "seconds"]
        for task in self.tasks:
            for review in task.reviews:
                for number, step in enumerate(review.steps, start=1):
                    where = number, step.object, step.slice
                    values = [*where, *map(int, step.effort), step.dice, step.seconds]
                    names = [task.task, review.sample, review.strategy]
                    rows.append([*names, *map(repr, values)])
        return rows


def _counts(reviews: Sequence[Review]) -> list[str]:
    counts = [(r.places, r.visits, r.clicks, r.absent, r.painted) for r in reviews]
    seconds = sum(review.seconds for review in reviews)
    return [
        *(f"{sum(column)}" for column in zip(*counts, strict=True)),
        f"{seconds:.0f}",
    ]
