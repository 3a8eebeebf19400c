"""The processes that train, started by this one; they outlive docks and napari."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.training.folder import Status, TrainingFolder

STARTING = Status("running", message="starting")
_processes: dict[Path, subprocess.Popen[bytes]] = {}


def start(folder: TrainingFolder) -> None:
    """Train in a process of its own.

    Raises
    ------
    TrainingError
        If there can be none.
    """
    try:
        _processes[folder.path] = folder.start()
    except OSError as error:
        raise TrainingError(
            "expected to start a process that trains, found that this cannot be done "
            f"({error.strerror or error}); free memory or disk and try again"
        ) from error


def end(folder: TrainingFolder) -> None:
    """End a training at once if it was started here, else after its step."""
    folder.ask_to_stop()
    process = _processes.get(folder.path)
    if process is not None:
        process.terminate()


def known(path: Path, status: Status, output: str) -> Status:
    """Return where a training stands, also while its process cannot say so.

    Parameters
    ----------
    path : Path
    status : Status
        As the training's folder has it.
    output : str
        What the process printed last.
    """
    process = _processes.get(path)
    if process is None:
        return status
    if process.poll() is None:
        is_told = status.state == "running"
        return status if is_told else replace(STARTING, message="starting or saving")
    del _processes[path]
    if status.state != "new":
        return status
    why = output or f"the process ended with code {process.returncode}"
    return replace(status, state="failed", message=why)
