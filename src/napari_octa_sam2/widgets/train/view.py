"""What the Train dock shows of trainings: their states, curves and pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_octa_sam2.training.folder import (
    Status,
    TrainingFolder,
    find_trainings,
    read_columns,
)

MOST_POINTS = 400
LONGEST_WINDOW = 50  # steps that a smoothed curve averages over
LAST_LINES = 8
DICE = {
    "prompted_dice": "prompted",
    "followed_dice": "followed",
    "class_dice": "whole class",
}
_OWN_NAME = re.compile(r"(\d{4}-\d\d-\d\d)_(\d\d)-(\d\d)-[\d-]+_(.+)")


@dataclass(frozen=True, eq=False)
class Series:
    """A curve: values at steps; `marked` where each one is worth a mark."""

    name: str
    steps: np.ndarray
    values: np.ndarray
    marked: bool = False


@dataclass(frozen=True, eq=False)
class Curves:
    """The curves of a training, against steps of all its phases."""

    loss: tuple[Series, ...] = ()
    dice: tuple[Series, ...] = ()


@dataclass(frozen=True, eq=False)
class View:
    """What was seen of the trainings.

    Parameters
    ----------
    states : dict of Path to str
        Every training with its state, the newest first.
    folder : TrainingFolder, optional
        The one that was looked at closely; None where there is none.
    status : Status
    stamp : tuple
        Of the files that `curves` and `picture` are of.
    curves : Curves, optional
        None if they are as before.
    picture : Path, optional
        The newest one.
    output : str
        The last lines that the process printed.
    stopping : bool
        Whether somebody asked it to stop.
    """

    states: dict[Path, str]
    folder: TrainingFolder | None
    status: Status
    stamp: tuple[object, ...]
    curves: Curves | None
    picture: Path | None
    output: str
    stopping: bool = False


def look(path: Path | None, stamp: tuple[object, ...] = ()) -> View:
    """Look at all trainings, and closely at the one in `path`.

    Parameters
    ----------
    path : Path, optional
    stamp : tuple
        Of the view before: curves of the same files are not read again.
    """
    states = {f.path: f.status().state for f in find_trainings()}
    if path is None:
        return View(states, None, Status(), (), None, None, "")
    folder = TrainingFolder(path)
    pictures = folder.pictures()
    files = (folder.log, folder.validation, *pictures[-1:])
    now = (path, *map(_stamp, files))
    return View(
        states,
        folder,
        folder.status(),
        now,
        None if now == stamp else read_curves(folder),
        pictures[-1] if pictures else None,
        last_lines(folder.output),
        folder.stop_is_asked(),
    )


def read_curves(folder: TrainingFolder) -> Curves:
    """Return the smoothed curves of a training, and its validations."""
    log, judged = read_columns(folder.log), read_columns(folder.validation)
    if not log:
        return Curves(dice=_validations(judged, {}))
    steps = np.arange(1, len(log["phase"]) + 1)
    # its log is in the order of the phases: where each one begins
    begins: dict[str, int] = {}
    for number, phase in enumerate(log["phase"]):
        begins.setdefault(phase, number)
    loss = _smoothed("loss", steps, log["loss"])
    dice = [_smoothed(name, steps, log[key]) for key, name in DICE.items()]
    return Curves(
        tuple(s for s in (loss,) if len(s.values)),
        (*(s for s in dice if len(s.values)), *_validations(judged, begins)),
    )


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Return the mean of the last `window` values up to each; nan counts for none."""
    known = np.isfinite(values)
    sums = np.cumsum(np.where(known, values, 0.0))
    counts = np.cumsum(known)
    sums[window:] -= sums[:-window].copy()
    counts[window:] -= counts[:-window].copy()
    means: np.ndarray = np.divide(
        sums, counts, out=np.full(len(values), np.nan), where=counts > 0
    )
    return means


def last_lines(file: Path) -> str:
    """Return the end of a text file, or nothing if it cannot be read."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - 4000))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return ""
    # a progress bar writes its line again and again
    lines = [line.rsplit("\r", 1)[-1] for line in text.split("\n")]
    return "\n".join([line for line in lines if line.strip()][-LAST_LINES:])


def title(path: Path) -> str:
    """Return what a training is called: when it was begun, and its recipe."""
    own = _OWN_NAME.fullmatch(path.name)
    return "{} {}:{} {}".format(*own.groups()) if own else path.name


def progress_text(status: Status) -> str:
    """Return how far a training is, and how long it takes still."""
    done = status.done
    text = f"step {status.step}" + (f" of {status.steps}" if status.steps else "")
    if status.state == "running" and 0 < done < 1 and status.seconds:
        text += f", {duration(status.seconds * (1 - done) / done)} left"
    return f"{text} ({done:.0%})"


def explanation(status: Status, output: str) -> str:
    """Return in words where a training stands, and why."""
    match status.state:
        case "new":
            said = "Has not begun."
        case "running":
            # a recipe of one phase calls it so
            phase = status.phase.removeprefix("training")
            said = " ".join(filter(None, ("Training", phase)))
            said += f": {status.message} …" if status.message else " …"
        case "stopped":
            said = "Paused; Resume goes on from here."
        case "interrupted":
            said = "Was interrupted; Resume goes on from its last checkpoint."
        case "finished":
            said = f"Finished. {judgement(status)}"
        case "failed":
            said = f"Failed: {status.message}"
    if status.state == "interrupted" and output:
        said += f"\n{output}"
    return said


def judgement(status: Status) -> str:
    """Return what training brought on the samples that were held out."""
    if status.baseline is None or status.best is None:
        return "No subject was held out: nobody has measured how good it is."
    return (
        f"Mean Dice of held-out samples: {status.baseline:.3f} before, "
        f"{status.best:.3f} at best."
    )


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _validations(
    judged: Mapping[str, Sequence[str]], begins: Mapping[str, int]
) -> tuple[Series, ...]:
    """Return the mean Dice of each validation, as a series; none without any."""
    found: dict[int, list[float]] = {}
    rows = zip(*(judged.get(k, ()) for k in ("phase", "step", "dice")), strict=True)
    for phase, step, value in rows:
        place = begins.get(phase, 0) + int(step)
        found.setdefault(place, []).append(float(value))
    if not found:
        return ()
    steps = sorted(found)
    means = [float(np.mean(found[step])) for step in steps]
    return (Series("validation", np.array(steps), np.array(means), marked=True),)


def _smoothed(name: str, steps: np.ndarray, column: Sequence[str]) -> Series:
    values = np.array(column, float)
    means = smoothed(values, min(LONGEST_WINDOW, max(1, len(values) // 10)))
    some = np.unique(np.linspace(0, len(steps) - 1, MOST_POINTS).round().astype(int))
    some = some[np.isfinite(means[some])]
    return Series(name, steps[some], means[some])


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
