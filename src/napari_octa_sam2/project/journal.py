"""An append-only file of events that any crash leaves readable.

A line an event: its CRC-32, then JSON with its number. A process that is killed leaves
at most one line half written; a disk that was full, lines that are repeated later.
"""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from napari_octa_sam2.errors import ReadError


class Journal:
    """Appends events to a file.

    Parameters
    ----------
    path : Path
        Made if need be; new events follow those that are there.
    written : int
        Events that are there, as `read_events` found them.
    notify : callable
        Called with a sentence when writing fails, and when it works again.

    Notes
    -----
    An event is with the operating system when `append` returns: killing the process
    does not lose it. `sync` makes it outlast a loss of power.
    """

    def __init__(
        self,
        path: Path,
        written: int = 0,
        notify: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.path = path
        self._written = written
        self._notify = notify
        self._waiting: deque[bytes] = deque()
        self._failed = False
        self._file: int | None = None

    def append(self, event: Mapping[str, Any]) -> None:
        """Write an event; where that fails, it is written with the next one."""
        number = self._written + len(self._waiting)
        content = {"n": number, **event}
        text = json.dumps(content, separators=(",", ":"), default=_plain)
        self._waiting.append(text.encode())
        self._write_waiting()

    def sync(self) -> None:
        """Have the system write to the disk what it was given."""
        self._write_waiting()
        if self._file is not None:
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file, after another attempt at what could not be written."""
        self._write_waiting()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write_waiting(self) -> None:
        try:
            while self._waiting:
                self._write(self._waiting[0])
                self._waiting.popleft()
                self._written += 1
        except OSError as error:
            if not self._failed:
                self._failed = True
                self._notify(
                    f"your work cannot be saved ({error.strerror}) in {self.path}: "
                    "free some space there, or save labels and prompts elsewhere now"
                )
        else:
            if self._failed:
                self._failed = False
                self._notify("your work is saved again")

    def _write(self, text: bytes) -> None:
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._file = os.open(self.path, flags, 0o644)
        # The line before may be half written, by a full disk or a crash.
        line = b"\n%08x %s\n" % (zlib.crc32(text), text)
        if os.write(self._file, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_events(path: Path) -> tuple[list[dict[str, Any]], str]:
    """Return the events of a journal, and what was found wrong with it, if anything.

    Lines that are no whole event are left out; so is all that follows a gap. A last
    line without its end is what a crash leaves, and nothing wrong.

    Raises
    ------
    ReadError
        If the file cannot be read.
    """
    events: list[dict[str, Any]] = []
    damaged = False
    for line in _lines(path):
        event = _event(line)
        if event is None:
            damaged |= line.strip() != b"" and line.endswith(b"\n")
        elif event["n"] == len(events):
            events.append(event)
            damaged = False  # a disk was full, and had room again
        elif event["n"] > len(events):
            lost = event["n"] - len(events)
            return events, f"{lost} entries are damaged; what came after is left out"
    return events, "the last entries are damaged and left out" if damaged else ""


def holds(path: Path, is_wanted: Callable[[Mapping[str, Any]], bool]) -> bool:
    """Return whether a journal has an event of a kind; False without a journal."""
    try:
        events = map(_event, _lines(path))
        return any(event is not None and is_wanted(event) for event in events)
    except ReadError:
        return False


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise ReadError(f"{path}: cannot be read ({error.strerror})") from error


def _event(line: bytes) -> dict[str, Any] | None:
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        event: dict[str, Any] = json.loads(text)
        event["n"] += 0
    except (ValueError, TypeError, KeyError):
        return None
    return event


def _plain(value: Any) -> Any:
    """Return a number of NumPy as one of Python."""
    return value.item()
