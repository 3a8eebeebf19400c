"""Projects on disk: an OME-Zarr group with labels, prompts, and a journal.

The journal is what counts: it holds every change as it was made. Labels and prompts
beside it are copies for other programs, brought up to date now and then.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2 import __version__
from napari_octa_sam2.errors import OctaError, ReadError, WriteError
from napari_octa_sam2.project.document import Document
from napari_octa_sam2.project.journal import Journal, read_events
from napari_octa_sam2.volume.encoders import add_labels
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.identity import fingerprint
from napari_octa_sam2.volume.octa_volume import LabelSet

SUFFIX = ".octa.zarr"
JOURNAL = "journal.jsonl"
KEY = "napari-octa-sam2 project"
FOLDER_VARIABLE = "NAPARI_OCTA_SAM2_PROJECTS"
LABELS = "objects"
VERSION = 1
Notify = Callable[[str], None]


@dataclass(frozen=True)
class About:
    """What a project is of.

    Parameters
    ----------
    name : str
        Of the volume.
    source : str, optional
        File or folder that it was read from.
    shape : (int, int, int)
    fingerprint : str
        `napari_octa_sam2.volume.identity.fingerprint` of the volume.
    geometry : ScanGeometry
    begun : str
        Date and time, ISO 8601.
    """

    name: str
    source: str | None
    shape: tuple[int, int, int]
    fingerprint: str
    geometry: ScanGeometry
    begun: str

    @classmethod
    def of(
        cls, data: np.ndarray, name: str, source: str | None, geometry: ScanGeometry
    ) -> About:
        """Return what is known of a volume ``(depth, slow, fast)``."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        depth, slow, fast = data.shape
        return cls(name, source, (depth, slow, fast), fingerprint(data), geometry, now)

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "version": VERSION,
            "software": __version__,
            "name": self.name,
            "source": self.source,
            "shape": list(self.shape),
            "fingerprint": self.fingerprint,
            "spacing": list(self.geometry.spacing),
            "unit": self.geometry.unit,
            "begun": self.begun,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> About:
        """Return what `to_json` told of."""
        depth, slow, fast = (int(n) for n in content["shape"])
        spacing = tuple(content["spacing"])
        return cls(
            content["name"],
            content["source"],
            (depth, slow, fast),
            content["fingerprint"],
            ScanGeometry(spacing, content["unit"]),
            content["begun"],
        )


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
        self._lock = lock
        self._journal = Journal(path / JOURNAL, len(events), notify)
        self.document.tell = self._journal.append

    def note(self, event: Mapping[str, Any]) -> None:
        """Write down what the engine did, to be repeated by `engine.replay`."""
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
        """Let others work on it."""
        self._journal.close()
        self._lock.release()


@dataclass(frozen=True, eq=False)
class Copies:
    """Labels and prompts of a project at one moment, for other programs."""

    path: Path
    about: About
    document: Document
    record: dict[str, Any]

    def write(self) -> None:
        """Write them beside the journal, in place of older ones.

        Raises
        ------
        WriteError
            If that cannot be done; the journal is not touched.
        """
        prompts = self.document.prompts
        names = {o.id: o.name for o in prompts.objects}
        classes = {o.id: o.cls for o in prompts.objects}
        labels = {LABELS: LabelSet(self.document.volume(), names, classes)}
        staging, old = self.path / ".copies", self.path / ".old"
        try:
            for folder in (staging, old):
                shutil.rmtree(folder, ignore_errors=True)
            add_labels(staging, labels, self.about.geometry)
            if (self.path / "labels").exists():
                (self.path / "labels").rename(old)
            (staging / "labels").rename(self.path / "labels")
            prompts.write(self.path / "prompts.json")
            _write_root(self.path, self.about, self.record)
        except (OSError, ValueError) as error:
            raise WriteError(
                f"{self.path}: labels and prompts could not be written there "
                f"({error}); every change is in the journal all the same"
            ) from error
        finally:
            for folder in (staging, old):
                shutil.rmtree(folder, ignore_errors=True)


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
    plain = re.sub(r"[^\w.-]+", "_", about.name).strip("._") or "volume"
    stamp = about.begun[:19].replace(":", "").replace("T", "-")
    number = 0
    while True:
        suffix = f"-{number}" if number else ""
        path = folder / f"{plain}-{stamp}{suffix}{SUFFIX}"
        try:
            path.mkdir(parents=True)
            _write_root(path, about, {})
            return Project(path, about, [], _locked(path), notify)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise WriteError(
                f"{path}: expected a folder that work can be saved in, found that it "
                f"cannot be made ({error.strerror}); set {FOLDER_VARIABLE} to one"
            ) from error


def resume(path: str | Path, notify: Notify = lambda message: None) -> Project:
    """Go on with a project, at its last change.

    Raises
    ------
    ReadError
        If it is none, is damaged, or another process works on it.
    """
    path = Path(path)
    read_project(path)  # that it is one
    lock = _locked(path)
    try:
        about, events = read_project(path, notify)
        _set_damage_aside(path / JOURNAL, events)
        return Project(path, about, events, lock, notify)
    except (OctaError, KeyError, TypeError, ValueError) as error:
        lock.release()
        raise ReadError(f"{path}: the journal is malformed ({error})") from error


def read_project(
    path: Path, notify: Notify = lambda message: None
) -> tuple[About, list[dict[str, Any]]]:
    """Return what a project is of, and the events of its journal.

    Raises
    ------
    ReadError
        If it is no project, or cannot be read.
    """
    about = _about(path)
    if about is None:
        raise ReadError(
            f"{path}: expected a project (a folder *{SUFFIX} with a journal), found "
            "none; projects are kept in " + str(projects_folder())
        )
    if not (path / JOURNAL).exists():
        return about, []
    events, trouble = read_events(path / JOURNAL)
    if trouble:
        notify(f"{path.name}: {trouble}")
    return about, events


def find_projects(data: np.ndarray, folder: Path | None = None) -> list[Path]:
    """Return the projects of a volume ``(depth, slow, fast)``, the newest first.

    Those without any change are left out.
    """
    wanted = fingerprint(data)
    found = [path for path, about in _projects(folder) if about.fingerprint == wanted]
    journals = {path: path / JOURNAL for path in found}
    worked = [path for path in found if journals[path].exists()]
    return sorted(worked, key=lambda p: journals[p].stat().st_mtime, reverse=True)


def _projects(folder: Path | None) -> Iterator[tuple[Path, About]]:
    for path in sorted((folder or projects_folder()).glob(f"*{SUFFIX}")):
        about = _about(path)
        if about is not None:
            yield path, about


def _about(path: Path) -> About | None:
    try:
        attributes = json.loads((path / "zarr.json").read_text("utf-8"))["attributes"]
        return About.from_json(attributes[KEY])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_root(path: Path, about: About, record: Mapping[str, Any]) -> None:
    """Write the metadata of the group in one step."""
    attributes = {KEY: about.to_json(), "record": dict(record)}
    content = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    part = path / "zarr.json.part"
    part.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    part.replace(path / "zarr.json")


def _set_damage_aside(path: Path, events: Sequence[Mapping[str, Any]]) -> None:
    """Begin the journal anew where not all of it could be read; keep the old one."""
    if not path.exists() or not read_events(path)[1]:
        return
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    journal = Journal(part)
    for event in events:
        journal.append({k: v for k, v in event.items() if k != "n"})
    journal.sync()
    journal.close()
    path.replace(path.with_suffix(".damaged"))
    part.replace(path)


def _locked(path: Path) -> Any:
    """Return the lock of a project; it goes with the process that holds it."""
    from filelock import FileLock, Timeout

    lock = FileLock(path / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ReadError(
            f"{path}: expected a project that nobody works on, found it open in "
            "another window; close it there first"
        ) from None
    return lock
