"""Projects on disk: begun, resumed, found, locked, copied, damaged."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_octa_sam2.errors import ReadError, WriteError
from napari_octa_sam2.project import store
from napari_octa_sam2.project.document import Document
from napari_octa_sam2.project.store import About, Project
from napari_octa_sam2.prompts import Prompt, PromptObject, PromptSet
from napari_octa_sam2.volume.readers import read_labels

CLICK = Prompt(1, 2, ((4, 5),), (1,))
NAMED = PromptSet((PromptObject(1, "big vein", "vein"), PromptObject(300)), (CLICK,))


def work(project: Project, value: int = 1) -> None:
    document = project.document
    document.begin()
    document.set_prompts(NAMED)
    labels = document.labels(2).astype(np.uint16)
    labels[3:6, 4:8] = value
    document.write(2, labels)


def content(document: Document) -> object:
    return document.prompts, document.volume().tolist()


def journal_of(path: Path) -> Path:
    return path / store.JOURNAL


@pytest.fixture
def path(about: About) -> Path:
    """A project with some work, closed."""
    project = store.begin(about)
    work(project)
    work(project, 300)
    project.document.undo()
    project.close()
    return project.path


def test_work_is_gone_on_with(path: Path, about: About) -> None:
    project = store.resume(path)
    assert project.about == about
    assert project.document.prompts == NAMED
    assert set(np.unique(project.document.labels(2))) == {0, 1}
    assert project.document.redo() == [2]
    assert set(np.unique(project.document.labels(2))) == {0, 300}
    before = content(project.document)
    project.sync()
    project.close()
    again = store.resume(path)
    assert content(again.document) == before
    again.close()


def test_names_of_folders_tell_volume_and_time(
    about: About, projects: Path, path: Path
) -> None:
    assert path.parent == projects
    assert path.name.startswith("eye_1-" + about.begun[:10])
    other = store.begin(about)
    assert other.path != path
    work(other)
    other.close()
    strange = store.begin(replace(about, name="../..\n/" + "ä" * 300))
    assert strange.path.parent == projects
    strange.close()
    nameless = store.begin(replace(about, name="///"))
    assert nameless.path.name.startswith("volume-")
    nameless.close()


def test_projects_of_a_volume_are_found_the_newest_first(
    data: np.ndarray, path: Path, about: About
) -> None:
    newer = store.begin(about)
    work(newer)
    newer.close()
    os.utime(journal_of(path), (1, 1))
    assert store.find_projects(data) == [newer.path, path]
    os.utime(journal_of(newer.path), (0, 0))
    assert store.find_projects(data) == [path, newer.path]


def test_a_project_of_another_volume_is_not_found(data: np.ndarray, path: Path) -> None:
    other = data.copy()
    other[3, 2, 1] += 1
    assert store.find_projects(other) == []
    assert store.find_projects(data[:5]) == []
    assert store.find_projects(data.astype(np.uint16)) == []
    assert store.find_projects(data) == [path]


def test_strange_folders_do_not_matter(
    data: np.ndarray, path: Path, projects: Path, tmp_path: Path
) -> None:
    for name, text in (("a", "{"), ("b", "{}"), ("c", '{"attributes": []}')):
        (projects / f"{name}.octa.zarr").mkdir()
        (projects / f"{name}.octa.zarr" / "zarr.json").write_text(text, "utf-8")
        with pytest.raises(ReadError, match="expected a project"):
            store.resume(projects / f"{name}.octa.zarr")
    assert store.find_projects(data) == [path]
    assert store.find_projects(data, tmp_path / "missing") == []


def test_a_project_without_work_leaves_nothing(
    about: About, data: np.ndarray, projects: Path
) -> None:
    project = store.begin(about)
    project.note({"do": "open", "model": "octa-nano", "record": {}})
    assert store.find_projects(data) == []
    project.close()
    project.close()
    assert list(projects.iterdir()) == []


def test_changes_after_closing_are_not_written(about: About) -> None:
    project = store.begin(about)
    work(project)
    project.close()
    before = journal_of(project.path).read_bytes()
    work(project, 5)
    assert journal_of(project.path).read_bytes() == before


HOLDER = """
import sys
from napari_octa_sam2.project.store import resume
project = resume(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_one_process_at_a_time_works_on_it(path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ReadError, match="open in another window"):
            store.resume(path)
    finally:
        holder.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        holder.communicate()
    project = store.resume(path)
    assert project.document.prompts == NAMED
    project.close()


def test_one_window_at_a_time_works_on_it(path: Path) -> None:
    project = store.resume(path)
    with pytest.raises(ReadError, match="open in another window"):
        store.resume(path)
    project.close()
    store.resume(path).close()


def test_copies_are_ome_zarr_labels(path: Path, about: About) -> None:
    import ome_zarr.io
    import ome_zarr.reader

    project = store.resume(path)
    project.document.redo()
    for _ in range(2):  # in place of older ones
        project.copies({"model": {"name": "octa-nano"}}).write()
    labels, geometry = read_labels(path / "labels" / "objects")
    np.testing.assert_array_equal(labels.data, project.document.volume())
    assert labels.names == {1: "big vein", 300: "object 300"}
    assert labels.classes == {1: "vein", 300: "other"}
    assert geometry == about.geometry
    assert PromptSet.read(path / "prompts.json") == NAMED
    group = zarr.open_group(path, mode="r")
    assert group.attrs["record"] == {"model": {"name": "octa-nano"}}
    plain = group["labels/objects/0"]
    assert isinstance(plain, zarr.Array)
    np.testing.assert_array_equal(plain[:], labels.data)
    location = ome_zarr.io.parse_url(path / "labels" / "objects")
    assert location is not None
    (node, *_) = ome_zarr.reader.Reader(location)()
    np.testing.assert_array_equal(np.asarray(node.data[0]), labels.data)
    assert not list(path.glob(".copies")) + list(path.glob(".old"))
    project.close()


def test_copies_are_of_the_moment_they_were_asked_for(path: Path) -> None:
    project = store.resume(path)
    copies = project.copies({})
    expected = project.document.volume()
    project.document.redo()
    copies.write()
    labels, _ = read_labels(path / "labels" / "objects")
    np.testing.assert_array_equal(labels.data, expected)
    project.close()


WRITER = """
import sys
from napari_octa_sam2.project.store import resume
project = resume(sys.argv[1])
print("ready", flush=True)
while True:
    project.copies({}).write()
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_killed_while_copies_are_written_the_journal_has_it_all(path: Path) -> None:
    project = store.resume(path)
    project.copies({}).write()
    expected = content(project.document)
    project.close()
    rng = np.random.default_rng(3)
    for _ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(float(rng.uniform(0.05, 0.2)))
        writer.kill()
        writer.communicate()
        project = store.resume(path)
        assert content(project.document) == expected
        if (path / "labels").exists():  # never half of them
            labels, _ = read_labels(path / "labels" / "objects")
            np.testing.assert_array_equal(labels.data, project.document.volume())
        assert PromptSet.read(path / "prompts.json") == NAMED
        project.copies({}).write()
        assert (path / "labels").is_dir()
        project.close()


def test_copies_that_cannot_be_written_say_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = store.resume(path)
    project.copies({}).write()

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("napari_octa_sam2.project.copies.add_labels", full)
    project.document.redo()
    with pytest.raises(WriteError, match=r"in the journal all the same"):
        project.copies({}).write()
    old, _ = read_labels(path / "labels" / "objects")
    assert set(np.unique(old.data)) == {0, 1}
    project.close()


def damage(path: Path, number: int) -> bytes:
    content = journal_of(path).read_bytes()
    at = content.index(b'{"n":%d,' % number) + 4
    changed = content[:at] + b"#" + content[at + 1 :]
    journal_of(path).write_bytes(changed)
    return changed


def test_damage_is_said_once_and_kept_aside(path: Path) -> None:
    damaged = damage(path, 3)  # begins the second step, which is taken back later
    said: list[str] = []
    project = store.resume(path, said.append)
    assert len(said) == 1
    assert "1 entries are damaged" in said[0]
    assert set(np.unique(project.document.labels(2))) == {0, 1}
    (aside,) = path.glob("*.damaged")
    assert aside.read_bytes() == damaged
    work(project, 7)
    project.close()
    project = store.resume(path, said.append)
    assert len(said) == 1
    assert set(np.unique(project.document.labels(2))) == {0, 7}
    project.close()
    damage(path, 1)
    store.resume(path, said.append).close()
    assert len(list(path.glob("*.damaged"))) == 2
    assert path.is_dir()  # though no work is left, for what is kept aside


def test_damage_that_cannot_be_set_aside_leaves_the_journal_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = damage(path, 3)
    with monkeypatch.context() as patch:
        patch.setattr(
            "napari_octa_sam2.project.journal.os.write", lambda file, content: 0
        )
        with pytest.raises(ReadError, match="cannot be"):
            store.resume(path)
    assert journal_of(path).read_bytes() == damaged
    store.resume(path).close()  # its lock was let go


def test_a_malformed_journal_is_refused_with_the_reason(path: Path) -> None:
    project = store.resume(path)
    project.note({"do": "labels", "slice": 99, "step": 0, "content": ""})
    project.close()
    for _ in range(2):  # the lock is let go
        with pytest.raises(ReadError, match=r"malformed .*slice from 0 to 5, found 99"):
            store.resume(path)


def test_a_project_of_another_version_says_which(path: Path) -> None:
    text = json.loads((path / "zarr.json").read_text("utf-8"))
    text["attributes"]["napari-octa-sam2 project"]["version"] = 2
    (path / "zarr.json").write_text(json.dumps(text), "utf-8")
    with pytest.raises(ReadError, match="expected version 1, found 2"):
        store.resume(path)


def test_what_is_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"expected a project .*found none"):
        store.resume(tmp_path)


def test_a_place_that_is_no_folder_is_refused(about: About, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(WriteError, match=store.FOLDER_VARIABLE):
        store.begin(about, tmp_path / "file")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_read_only_folder_is_refused(
    about: About, path: Path, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    shutil.copytree(path, closed / path.name)
    (closed / path.name / ".lock").unlink(missing_ok=True)
    for folder in (closed / path.name, closed):
        folder.chmod(0o555)
    try:
        with pytest.raises(WriteError, match="cannot be made"):
            store.begin(about, closed)
        with pytest.raises(ReadError, match="cannot be"):
            store.resume(closed / path.name)
        assert len(store.read_project(closed / path.name)[1]) > 0
    finally:
        for folder in (closed, closed / path.name):
            folder.chmod(0o755)


def test_a_disk_without_room_is_said_when_work_begins(
    about: About, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "write_about", full)
    with pytest.raises(WriteError, match="No space left"):
        store.begin(about)
    assert list(projects.iterdir()) == []


def test_the_folder_of_projects_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(store.FOLDER_VARIABLE)
    assert store.projects_folder().name == "projects"
    assert "cache" not in str(store.projects_folder()).lower()


def test_what_is_known_of_a_volume_comes_back(about: About) -> None:
    assert About.from_json(json.loads(json.dumps(about.to_json()))) == about
    assert about.shape == (6, 12, 16)
