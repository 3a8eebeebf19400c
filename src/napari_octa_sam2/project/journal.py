"""An append-only file of events that any crash leaves readable.

A line an event: its CRC-32, then JSON with its number. A process that is killed leaves
at most one line half written; a disk that was full, lines that are repeated later.
"""

from __future__ import annotations

import json
import os
import zlib
from collections import deque
from collections.abc import Callable, Mapping
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
        text = json.dumps({"n": number, **event}, separators=(",", ":"))
        self._waiting.append(text.encode())
        try:
            self._flush()
        except OSError as error:
            if not self._failed:
                self._notify(
                    f"your work cannot be saved ({error.strerror}) in {self.path}: "
                    "free some space there, or save labels and prompts elsewhere now"
                )
            self._failed = True

    def sync(self) -> None:
        """Have the system write to the disk what it was given."""
        if self._file is not None:
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _flush(self) -> None:
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._file = os.open(self.path, flags, 0o644)
        while self._waiting:
            text = self._waiting[0]
            # The line before may be half written, by a full disk or a crash.
            line = b"\n%08x %s\n" % (zlib.crc32(text), text)
            if os.write(self._file, line) != len(line):
                raise OSError(28, "No space left on device")
            self._waiting.popleft()
            self._written += 1
        if self._failed:
            self._failed = False
            self._notify("your work is saved again")


def read_events(path: Path) -> tuple[list[dict[str, Any]], str]:
    """Return the events of a journal, and what was found wrong with it, if anything.

    Lines that are no whole event are left out; so is all that follows a gap.

    Raises
    ------
    ReadError
        If the file cannot be read.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ReadError(f"{path}: cannot be read ({error.strerror})") from error
    events: list[dict[str, Any]] = []
    for line in lines:
        event = _event(line)
        if event is None or event["n"] < len(events):
            continue
        if event["n"] > len(events):
            lost = event["n"] - len(events)
            return events, f"{lost} entries are damaged; what came after is left out"
        events.append(event)
    return events, ""


def _event(line: bytes) -> dict[str, Any] | None:
    checksum, _, text = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        event: dict[str, Any] = json.loads(text)
        event["n"] += 0
    except (ValueError, TypeError, KeyError):
        return None
    return event
