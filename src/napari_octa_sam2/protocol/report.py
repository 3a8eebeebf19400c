"""What a run of a protocol found: as text, JSON, CSV, Markdown and a plot."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_octa_sam2.protocol.clicks import CAP, CLICKS, LEVELS
from napari_octa_sam2.protocol.records import SLICE_DICE, Figure, TaskReport
from napari_octa_sam2.tables import aligned, piped, write_csv, write_files, write_json

SUFFIXES = (".json", ".csv", ".md", ".png")
NAMES = 2  # columns of names, before those of figures
Rows = list[list[str]]
_FIGURES = ["task", "figure", "n", "mean", "SD", "median", "min", "max", "worst"]
_MEASURES = {"dice": "Dice", "cldice": "clDice"}


@dataclass(frozen=True)
class Report:
    """Everything that a run measured.

    Parameters
    ----------
    record : mapping
        Model and hash, device, threads, versions, name and constants of the protocol.
    tasks : tuple of TaskReport
        One a task and split.
    complete : bool
        False if the run was stopped.
    """

    record: Mapping[str, Any]
    tasks: tuple[TaskReport, ...]
    complete: bool

    @property
    def protocol(self) -> str:
        """Name of the protocol, and stem of the files."""
        return str(self.record["protocol"]["name"])

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON; what is nan becomes None."""
        tasks = [task.to_json() for task in self.tasks]
        return {"complete": self.complete, "record": dict(self.record), "tasks": tasks}

    def figures(self) -> Rows:
        """Return a header, and the figures that stand for each task."""
        rows = [[*_FIGURES, "target", "met"]]
        for task in self.tasks:
            shown = {*task.judged, SLICE_DICE}
            rows += [_figure_row(task, f) for f in task.figures() if f.key in shown]
        return rows

    def curves(self) -> Rows:
        """Return a header, and Dice and clDice against clicks of the en-face tasks."""
        rows = [["task", "mean", *(_after(f"{k}") for k in CLICKS)]]
        rows[0] += [f"NoC@{level:.2f}" for level in LEVELS] + ["not reached"]
        for task in self.tasks:
            if not task.has_curves:
                continue
            for measure, title in _MEASURES.items():
                means = [task.figure(f"{measure}@{k}").mean for k in CLICKS]
                needed = _clicks_needed(task) if measure == "dice" else []
                row = [task.label, title, *map(_cell, means), *needed]
                rows.append(row + [""] * (len(rows[0]) - len(row)))
        return rows

    def table(self) -> str:
        """Return the tables as plain text for a terminal."""
        blocks = ["" if self.complete else "INCOMPLETE: the run was stopped"]
        blocks.append(aligned(self.figures(), NAMES))
        if len(curves := self.curves()) > 1:
            blocks.append(f"against clicks (NoC: clicks needed, at most {CAP})")
            blocks.append(aligned(curves, NAMES))
        blocks.append(f"measured on {self._conditions}")
        return "\n\n".join(block for block in blocks if block)

    def markdown(self) -> str:
        """Return the tables and the record as Markdown."""
        model = self.record["model"]
        stopped = "" if self.complete else "**Incomplete: the run was stopped.**\n\n"
        prompts = "\n".join(
            f"- {task.label}: {task.title}; {task.prompts}." for task in self.tasks
        )
        against_clicks = ""
        if len(curves := self.curves()) > 1:
            against_clicks = (
                f"NoC: clicks needed for a Dice, {CAP} where it is not reached.\n\n"
                f"{piped(curves, NAMES)}\n\n"
            )
        return (
            f"# {model['name']}: {self.protocol} protocol\n\n{stopped}{prompts}\n\n"
            f"{piped(self.figures(), NAMES)}\n\n{against_clicks}"
            f"Measured on {self._conditions}.\n\n"
            f"```json\n{json.dumps(dict(self.record), indent=1)}\n```\n"
        )

    def write(self, folder: Path) -> list[Path]:
        """Write the protocol's files into a folder, made if need be; return paths.

        Raises
        ------
        WriteError
            If it cannot be written.
        """
        from napari_octa_sam2.protocol.plot import draw

        writers = (
            lambda path: write_json(path, self.to_json()),
            lambda path: write_csv(path, self._single_values()),
            lambda path: path.write_text(self.markdown(), "utf-8"),
            lambda path: draw(self.tasks, title=self.record["model"]["name"]).savefig(
                path
            ),
        )
        names = (f"{self.protocol}{suffix}" for suffix in SUFFIXES)
        return write_files(folder, dict(zip(names, writers, strict=True)))

    @property
    def _conditions(self) -> str:
        """Return what times depend on."""
        device, precision, threads = (
            self.record[key] for key in ("device", "precision", "threads")
        )
        return f"{device}, {precision}, {threads} thread{'s' if threads > 1 else ''}"

    def _single_values(self) -> Rows:
        rows = [["task", "split", "figure", "sample", "value"]]
        for task in self.tasks:
            for figure in task.figures():
                rows += [
                    [task.name, task.split, figure.key, name, repr(value)]
                    for name, value in zip(figure.names, figure.values, strict=True)
                    if not math.isnan(value)
                ]
        return rows


def _figure_row(task: TaskReport, figure: Figure) -> list[str]:
    samples = len(figure.known)
    lowest = not (figure.target and figure.target.at_most)
    lowest &= not figure.key.startswith("false area")
    (low, _), (high, _) = figure.extreme(True), figure.extreme(False)
    statistics = [figure.mean, figure.sd, figure.median, low, high]
    met = {None: "", True: "yes", False: "no"}[task.met(figure)]
    return [
        task.label,
        figure_title(figure.key),
        f"{samples}" if task.complete else f"{samples} (part)",
        *map(_cell, statistics),
        figure.extreme(lowest)[1],
        str(figure.target or ""),
        met,
    ]


def figure_title(key: str) -> str:
    """Return the key of a figure as users read it."""
    measure, _, made = key.partition("@")
    if not made:
        return {"dice": "Dice, by object", SLICE_DICE: "Dice, by slice"}.get(key, key)
    return f"{_MEASURES[measure]}, {_after(made)}"


def _after(made: str) -> str:
    """Return in words how a mask was made: how many clicks, or what else."""
    words = {
        "0": "class prompt",
        "1": "1 click",
        "auto": "no prompt",
        "frangi": "Frangi filter",
    }
    return words.get(made, f"{made} clicks")


def _clicks_needed(task: TaskReport) -> list[str]:
    needed = [task.figure(f"noc@{level:.2f}").mean for level in LEVELS]
    reached = [task.figure(f"reached@{level:.2f}").values for level in LEVELS]
    failed = "/".join(f"{sum(1 - value for value in v):.0f}" for v in reached)
    return [*map(_cell, needed), failed]


def _cell(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.4g}"
