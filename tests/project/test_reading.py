"""Projects read as they were left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.project import store
from napari_octa_sam2.project.reading import read_document
from napari_octa_sam2.project.store import About
from napari_octa_sam2.prompts import PromptObject, PromptSet


@pytest.fixture
def path(about: About, tmp_path: Path) -> Path:
    """A project with an object on slice 2, which nobody works on."""
    project = store.begin(about, tmp_path / "projects")
    project.document.begin()
    project.document.set_prompts(PromptSet((PromptObject(1, "vein", "vein"),)))
    project.document.write(2, np.ones(about.shape[1:], np.uint16))
    project.close()
    return project.path


def test_the_document_is_that_of_the_last_change(path: Path, about: About) -> None:
    before = sorted(p.name for p in path.iterdir())
    found, document = read_document(path)
    assert found == about
    assert document.labelled_slices() == [2]
    assert [o.name for o in document.prompts.objects] == ["vein"]
    assert sorted(p.name for p in path.iterdir()) == before


def test_damage_is_told_before_changes_are_followed(path: Path) -> None:
    journal = path / store.JOURNAL
    text = journal.read_text("utf-8")
    journal.write_text(text.replace('"slice":2', '"slice":9'), "utf-8")
    told: list[str] = []
    _, document = read_document(path, told.append)
    assert [path.name in line and "damaged" in line for line in told] == [True]
    assert list(document.labelled_slices()) == []


def test_a_malformed_journal_is_refused(path: Path) -> None:
    project = store.resume(path)
    project.note({"do": "labels", "slice": 99, "step": 0, "content": ""})
    project.close()
    with pytest.raises(ReadError, match=r"malformed one \(.*found 99"):
        read_document(path)
