"""The folder of a training: what it leaves behind, and how others follow it.

A training and whoever watches it share nothing but this folder, so that a dock, a
shell and a viewer that was opened again all see the same. It holds

=====================  ========================================================
``settings.yaml``      recipe as it is run, with the data and the model
``record.json``        versions, machine, data with hashes
``status.json``        where it stands (`Status`)
``run.lock``           held by the process that trains
``stop``               asks it to stop after the step in work
``log.csv``            one line a step
``validation.csv``     one line a validated sample
``samples/``           pictures of predictions, one a validation
``tensorboard/``       the same figures as events
``checkpoint.pt``      what an interrupted training goes on from
``best.safetensors``   the best weights so far
``output.txt``         what the process printed
``model/``             the result: weights, configuration, record and card
=====================  ========================================================
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import filelock
import platformdirs

from napari_octa_sam2.files import write_whole

State = Literal["new", "running", "interrupted", "stopped", "finished", "failed"]
ROOT_VARIABLE = "NAPARI_OCTA_SAM2_TRAININGS"


@dataclass(frozen=True)
class Status:
    """Where a training stands.

    Parameters
    ----------
    state : {"new", "running", "interrupted", "stopped", "finished", "failed"}
        "interrupted" was ended by something else than a request to stop; it goes on
        from its checkpoint, as a "stopped" one does.
    phase : str
        Of a recipe in several phases.
    step, steps : int
        Steps done, and those due in the phase; 0 due where minutes say how long.
    seconds, budget : float
        Time trained so far, and allowed (0: no limit).
    message : str
        What it does, or why it failed.
    baseline, best : float, optional
        Mean Dice of the held-out samples before training, and at its best.
    """

    state: State = "new"
    phase: str = ""
    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    budget: float = 0.0
    message: str = ""
    baseline: float | None = None
    best: float | None = None

    @property
    def done(self) -> float:
        """Share of the phase that is done, 0 to 1."""
        by_steps = self.step / self.steps if self.steps else 0.0
        by_time = self.seconds / self.budget if self.budget else 0.0
        return 1.0 if self.state == "finished" else min(1.0, max(by_steps, by_time))


class TrainingFolder:
    """Read and write access to the folder of a training.

    Parameters
    ----------
    path : Path
        Need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.settings = self.path / "settings.yaml"
        self.record = self.path / "record.json"
        self.log = self.path / "log.csv"
        self.validation = self.path / "validation.csv"
        self.samples = self.path / "samples"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoint = self.path / "checkpoint.pt"
        self.best = self.path / "best.safetensors"
        self.output = self.path / "output.txt"
        self.model = self.path / "model"
        self._status = self.path / "status.json"
        self._stop = self.path / "stop"

    def lock(self) -> filelock.BaseFileLock:
        """Return the lock that the process that trains holds."""
        return filelock.FileLock(self.path / "run.lock")

    def is_running(self) -> bool:
        """Return whether a process trains here now."""
        if not (self.path / "run.lock").exists():
            return False
        try:
            with self.lock().acquire(blocking=False):
                return False
        except filelock.Timeout:
            return True

    def status(self) -> Status:
        """Return where the training stands; what cannot be read counts as new."""
        try:
            status = Status(**json.loads(self._status.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            status = Status()
        if status.state == "running" and not self.is_running():
            return Status(**asdict(status) | {"state": "interrupted"})
        return status

    def write_status(self, status: Status) -> None:
        """Put `status` in the place of the one before, at once."""
        write_whole(self._status, json.dumps(asdict(status)))

    def ask_to_stop(self) -> None:
        """Ask the process that trains to save and end; `start` goes on from there."""
        self._stop.touch()

    def stop_is_asked(self) -> bool:
        """Return whether somebody asked the training to stop."""
        return self._stop.exists()

    def allow(self) -> None:
        """Take back what `ask_to_stop` asked for."""
        self._stop.unlink(missing_ok=True)

    def start(self) -> subprocess.Popen[bytes]:
        """Train in a process of its own, which outlives this one.

        A training that stands somewhere goes on from there.
        """
        self.allow()
        command = [sys.executable, "-m", "napari_octa_sam2", "train"]
        with self.output.open("ab") as output:
            return subprocess.Popen(
                [*command, "--out", str(self.path)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def weights(self) -> Path | None:
        """Return the file that `model.loading.load_model` takes, once there is one."""
        return next(iter(sorted(self.model.glob("*.safetensors"))), None)

    def pictures(self) -> list[Path]:
        """Return the pictures of predictions, oldest first."""
        return sorted(self.samples.glob("*.png"))


def trainings_root() -> Path:
    """Return the folder in which the dock keeps trainings.

    The environment variable ``NAPARI_OCTA_SAM2_TRAININGS`` names another one.
    """
    named = os.environ.get(ROOT_VARIABLE)
    if named:
        return Path(named)
    return Path(platformdirs.user_data_dir("napari-octa-sam2", False)) / "trainings"


def find_trainings(root: Path | None = None) -> list[TrainingFolder]:
    """Return the trainings below `root`, the newest first."""
    root = trainings_root() if root is None else root
    found = [p for p in root.glob("*/settings.yaml") if p.is_file()]
    found.sort(key=lambda p: p.stat().st_mtime, reverse=True)
    return [TrainingFolder(p.parent) for p in found]


def read_columns(file: Path) -> dict[str, list[str]]:
    """Return a CSV file by column; a last line still being written is left out."""
    try:
        lines = file.read_text("utf-8").splitlines(keepends=True)
    except OSError:
        return {}
    rows = list(csv.reader(line for line in lines if line.endswith("\n")))
    if not rows:
        return {}
    header, *body = rows
    return {name: [row[i] for row in body] for i, name in enumerate(header)}


def append_row(file: Path, row: dict[str, Any]) -> None:
    """Append a row to a CSV file, with the header if it is the first."""
    new = not file.exists()
    with file.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
