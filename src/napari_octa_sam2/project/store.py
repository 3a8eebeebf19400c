"""Projects on disk: an OME-Zarr group with labels, prompts, and a journal.

The journal is what counts: it holds every change as it was made. Labels and prompts
beside it are copies for other programs, brought up to date now and then.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.errors import ReadError, WriteError
from napari_octa_sam2.project.about import About, read_about, write_about
from napari_octa_sam2.project.copies import Copies
from napari_octa_sam2.project.document import Document
from napari_octa_sam2.project.journal import Journal, holds, read_events
from napari_octa_sam2.volume.identity import fingerprint

__all__ = [
    "About",
    "Copies",
    "Project",
    "begin",
    "find_projects",
    "projects_folder",
    "read_project",
    "resume",
]

SUFFIX = ".octa.zarr"
JOURNAL = "journal.jsonl"
DAMAGED = ".damaged"
FOLDER_VARIABLE = "NAPARI_OCTA_SAM2_PROJECTS"
LONGEST_NAME = 50  # characters; file systems take 255 bytes, dates and suffix included
PRELIMINARY = ("open", "resume")  # events that are no work yet
Notify = Callable[[str], None]


class Project:
    """A document that is written down as it changes.

    Made by `begin` and `resume`. One process at a time works on a project.

    Parameters
    ----------
    path : Path
    about : About
    events : list of dict
        What the journal held.
    """

    def __init__(
        self,
        path: Path,
        about: About,
        events: list[dict[str, Any]],
        lock: Any,
        notify: Notify,
    ) -> None:
        self.path, self.about = path, about
        self.document = Document(about.shape)
        self.events = events
        for event in events:
            self.document.follow(event)
        self._is_worked_on = any(map(_is_work, events))
        self._lock = lock
        self._journal = Journal(path / JOURNAL, len(events), notify)
        self.document.tell = self.note

    def note(self, event: Mapping[str, Any]) -> None:
        """Write an event down: a change, or what the engine did."""
        self._is_worked_on = self._is_worked_on or _is_work(event)
        self._journal.append(event)

    def copies(self, record: Mapping[str, Any]) -> Copies:
        """Return labels and prompts as they are now, to be written in any thread.

        Parameters
        ----------
        record : mapping
            What made the labels: model and hash, device, versions.
        """
        return Copies(self.path, self.about, self.document.copy(), dict(record))

    def sync(self) -> None:
        """Have the system write to the disk what was noted."""
        self._journal.sync()

    def close(self) -> None:
        """Let others work on it; one without any work is removed.

        Changes of the document are not written down any more.
        """
        self.document.tell = _ignored
        self._journal.close()
        self._lock.release()
        if not self._is_worked_on and not any(self.path.glob(f"*{DAMAGED}")):
            shutil.rmtree(self.path, ignore_errors=True)


def projects_folder() -> Path:
    """Return the folder of all projects.

    The environment variable ``NAPARI_OCTA_SAM2_PROJECTS``, or the folder for user data
    of the operating system: not a cache, which may be emptied.
    """
    from platformdirs import user_data_path

    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen) if chosen else user_data_path("napari-octa-sam2") / "projects"


def begin(
    about: About, folder: Path | None = None, notify: Notify = lambda message: None
) -> Project:
    """Begin a project in a new folder.

    Raises
    ------
    WriteError
        If it cannot be made.
    """
    folder = folder or projects_folder()
    plain = re.sub(r"[^\w.-]+", "_", about.name)[:LONGEST_NAME].strip("._") or "volume"
    stamp = about.begun[:19].replace(":", "").replace("T", "-")
    number = 0
    while True:
        suffix = f"-{number}" if number else ""
        path = folder / f"{plain}-{stamp}{suffix}{SUFFIX}"
        try:
            path.mkdir(parents=True)
            write_about(path, about, {})
            return Project(path, about, [], _locked(path), notify)
        except FileExistsError:
            number += 1
        except OSError as error:
            shutil.rmtree(path, ignore_errors=True)
            raise WriteError(
                f"{path}: expected a folder that work can be saved in, found that it "
                f"cannot be made ({error.strerror or error}); set {FOLDER_VARIABLE} to "
                "one"
            ) from error


def resume(path: str | Path, notify: Notify = lambda message: None) -> Project:
    """Go on with a project, at its last change.

    Raises
    ------
    ReadError
        If it is none, is damaged, or another process works on it.
    """
    path = Path(path)
    read_about(path)  # that it is one
    lock = _locked(path)
    try:
        project = _read(path, lock, notify)
    except BaseException:
        lock.release()
        raise
    project.note({"do": "resume"})
    return project


def read_project(
    path: Path, notify: Notify = lambda message: None
) -> tuple[About, list[dict[str, Any]]]:
    """Return what a project is of, and the events of its journal.

    Raises
    ------
    ReadError
        If it is no project, or cannot be read.
    """
    about = read_about(path)
    if not (path / JOURNAL).exists():
        return about, []
    events, trouble = read_events(path / JOURNAL)
    if trouble:
        notify(f"{path.name}: {trouble}")
    return about, events


def find_projects(data: np.ndarray, folder: Path | None = None) -> list[Path]:
    """Return the projects of a volume ``(depth, slow, fast)``, the newest first.

    Those without any work are left out.
    """
    wanted = fingerprint(data)
    found = [path for path, about in _projects(folder) if about.fingerprint == wanted]
    worked = [path for path in found if holds(path / JOURNAL, _is_work)]
    return sorted(worked, key=lambda p: (p / JOURNAL).stat().st_mtime, reverse=True)


def _projects(folder: Path | None) -> Iterator[tuple[Path, About]]:
    for path in sorted((folder or projects_folder()).glob(f"*{SUFFIX}")):
        try:
            yield path, read_about(path)
        except ReadError:
            continue


def _is_work(event: Mapping[str, Any]) -> bool:
    return event.get("do") not in PRELIMINARY


def _ignored(event: Mapping[str, Any]) -> None:
    """Take an event of a document that nobody writes down."""


def _read(path: Path, lock: Any, notify: Notify) -> Project:
    try:
        about, events = read_project(path, notify)
        _set_damage_aside(path / JOURNAL, events)
        return Project(path, about, events, lock, notify)
    except ReadError:
        raise
    except OSError as error:
        raise _no_place(path, error) from error
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ReadError(f"{path}: the journal is malformed ({reason})") from error


def _set_damage_aside(path: Path, events: Sequence[Mapping[str, Any]]) -> None:
    """Begin the journal anew where not all of it could be read; keep the old one."""
    if not path.exists() or not read_events(path)[1]:
        return
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    journal = Journal(part)
    for event in events:
        journal.append({k: v for k, v in event.items() if k != "n"})
    journal.sync()
    journal.close()
    if read_events(part) != (list(events), ""):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    number = len(list(path.parent.glob(f"*{DAMAGED}"))) + 1
    shutil.copy2(path, path.with_name(f"{path.stem}-{number}{DAMAGED}"))
    part.replace(path)


def _locked(path: Path) -> Any:
    """Return the lock of a project; it goes with the process that holds it."""
    from filelock import FileLock, Timeout

    lock = FileLock(path / ".lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ReadError(
            f"{path}: expected a project that nobody works on, found it open in "
            "another window; close it there first"
        ) from None
    except OSError as error:
        raise _no_place(path, error) from error
    return lock


def _no_place(path: Path, error: OSError) -> ReadError:
    return ReadError(
        f"{path}: expected a project that can be written to, found that it cannot be "
        f"({error.strerror or error}); copy it to a folder of your own first"
    )
