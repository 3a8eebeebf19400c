"""A project as it was left: what it is of, and its document; nothing is opened."""

from __future__ import annotations

from pathlib import Path

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.project.about import About
from napari_octa_sam2.project.document import Document
from napari_octa_sam2.project.store import Notify, read_project


def read_document(
    path: Path, notify: Notify = lambda message: None
) -> tuple[About, Document]:
    """Return what a project is of, and its document after the last change.

    Parameters
    ----------
    path : Path
    notify : callable, optional
        Called, before any change is followed, if not all of the journal can be read.

    Raises
    ------
    ReadError
        If it is no project, or its journal is malformed.
    """
    about, events = read_project(path, notify)
    document = Document(about.shape)
    try:
        for event in events:
            document.follow(event)
    except (KeyError, TypeError, ValueError) as error:
        raise ReadError(
            f"{path}: expected a journal of changes, found a malformed one "
            f"({type(error).__name__}: {error}); open the project once to repair it"
        ) from error
    return about, document
