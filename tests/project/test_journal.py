"""What is left of a journal after crashes, damage and full disks."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.project.journal import Journal, holds, read_events

EVENTS = [{"do": "begin"}, {"do": "labels", "slice": 3, "content": "µ\n"}, {"do": "x"}]


def numbered(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"n": n, **event} for n, event in enumerate(events)]


def written(path: Path, events: list[dict[str, Any]] = EVENTS) -> bytes:
    journal = Journal(path)
    for event in events:
        journal.append(event)
    journal.close()
    return path.read_bytes()


def test_events_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    written(path)
    assert read_events(path) == (numbered(EVENTS), "")
    journal = Journal(path, written=3)
    journal.append({"do": "more", "slice": np.int64(4), "sure": np.float32(0.5)})
    journal.sync()
    journal.close()
    more = {"do": "more", "slice": 4, "sure": 0.5}
    assert read_events(path) == (numbered([*EVENTS, more]), "")


def test_an_event_is_with_the_system_when_append_returns(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    for count, event in enumerate(EVENTS, start=1):
        journal.append(event)
        assert read_events(tmp_path / "j.jsonl") == (numbered(EVENTS[:count]), "")
    journal.close()


def test_a_line_cut_at_any_byte_loses_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    before = written(path, EVENTS[:2])
    whole = written(path, []) + b"\n%08x %s\n" % (
        zlib.crc32(text := b'{"n":2,"do":"x"}'),
        text,
    )
    for cut in range(len(before), len(whole) + 1):
        path.write_bytes(whole[:cut])
        events, trouble = read_events(path)
        assert trouble == ""
        assert events == numbered(EVENTS)[: 3 if cut >= len(whole) - 1 else 2]
        journal = Journal(path, written=len(events))
        journal.append({"do": "after"})
        journal.close()
        expected = numbered([*EVENTS[: len(events)], {"do": "after"}])
        assert read_events(path) == (expected, "")


@pytest.mark.parametrize("line", [0, 1])
def test_what_follows_damage_is_left_out_and_said(tmp_path: Path, line: int) -> None:
    path = tmp_path / "j.jsonl"
    content = written(path)
    at = content.index(b'{"n":%d' % line) + 5
    path.write_bytes(content[:at] + b"#" + content[at + 1 :])
    events, trouble = read_events(path)
    assert events == numbered(EVENTS)[:line]
    assert "1 entries are damaged" in trouble


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-4] + b"#" + content[-3:],
        lambda content: content + b"\n" + bytes(40) + b"\n",
        lambda content: content + b"\nffffffff []\n",
        lambda content: content + b"\n%08x []\n" % zlib.crc32(b"[]"),
        lambda content: content + b"\nnot hex {}\n",
    ],
)
def test_damage_at_the_end_is_said(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes(damage(written(path)))
    events, trouble = read_events(path)
    assert events == numbered(EVENTS)[: len(events)]
    assert len(events) >= 2
    assert "last entries are damaged" in trouble


class Disk:
    """A disk that takes so many bytes, then none."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._write = os.write

    def write(self, file: int, content: bytes) -> int:
        part = content[: self.room]
        if content and not part:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(part)
        return self._write(file, part)


@pytest.mark.parametrize("room", range(0, 130, 7))
def test_a_full_disk_is_said_once_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    disk, said = Disk(room), list[str]()
    monkeypatch.setattr("napari_octa_sam2.project.journal.os.write", disk.write)
    path = tmp_path / "j.jsonl"
    journal = Journal(path, notify=said.append)
    events = [{"do": "step", "number": n} for n in range(8)]
    for event in events[:6]:
        journal.append(event)
    assert len(said) == 1
    assert "cannot be saved" in said[0]
    assert str(path) in said[0]
    kept, _ = read_events(path)
    assert kept == numbered(events)[: len(kept)]
    disk.room = 10**6
    for event in events[6:]:
        journal.append(event)
    journal.close()
    assert read_events(path) == (numbered(events), "")
    assert [text for text in said if "saved again" in text] == said[1:]
    assert len(said) == 2


def test_closing_tries_to_write_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(0)
    monkeypatch.setattr("napari_octa_sam2.project.journal.os.write", disk.write)
    journal = Journal(tmp_path / "j.jsonl")
    journal.append(EVENTS[0])
    disk.room = 10**6
    journal.close()
    assert read_events(tmp_path / "j.jsonl") == (numbered(EVENTS[:1]), "")


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    said: list[str] = []
    folder = tmp_path / "gone"
    journal = Journal(folder / "j.jsonl", notify=said.append)
    journal.append(EVENTS[0])
    journal.append(EVENTS[1])
    assert len(said) == 1
    folder.mkdir()
    journal.append(EVENTS[2])
    journal.close()
    assert read_events(folder / "j.jsonl") == (numbered(EVENTS), "")
    assert said[1:] == ["your work is saved again"]


def test_kinds_of_events_are_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    assert not holds(path, lambda event: True)
    written(path)
    assert holds(path, lambda event: event["do"] == "x")
    assert not holds(path, lambda event: event["do"] == "y")


def test_a_journal_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="cannot be read"):
        read_events(tmp_path)
