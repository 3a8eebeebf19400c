"""Many scans measured into one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from napari_octa_sam2.errors import OctaError, VolumeError
from napari_octa_sam2.metrics.biomarkers.eye import Eye
from napari_octa_sam2.metrics.biomarkers.measurement import (
    MeasureSettings,
    Progress,
    measure,
)
from napari_octa_sam2.metrics.results import Results, joined
from napari_octa_sam2.metrics.subjects import Subject

Read = Callable[[Path], Subject]


def measure_several(
    paths: Sequence[Path],
    read: Read,
    *,
    eye: Eye | None = None,
    settings: MeasureSettings | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Results:
    """Measure scans one after the other; each row gets the label subject.

    A scan that cannot be read or measured is named in the notes with the reason.

    Parameters
    ----------
    paths : sequence of Path
        As `find_subjects` returns them.
    read : callable
        Returns the labels of a path, such as `read_subject`.
    eye, settings, cancelled
        As for `measure`.
    progress : callable, optional
        Called with scans done, scans in all and the name of the next.

    Raises
    ------
    VolumeError
        If none of them could be measured.
    """
    parts, notes = [], []
    for done, path in enumerate(paths):
        if cancelled():
            notes.append(f"cancelled: {done} of {len(paths)} scans were measured")
            break
        if progress is not None:
            progress(done, len(paths), path.name)
        try:
            subject = read(path)
            found = measure(subject, eye=eye, settings=settings, cancelled=cancelled)
        except OctaError as error:
            notes.append(f"{path.name} was left out: {error}")
            continue
        parts.append(named(found, subject.name))
    if not parts:
        raise VolumeError(
            "expected at least one scan that can be measured, found none: "
            + "; ".join(notes)
        )
    if progress is not None:
        progress(len(paths), len(paths), "")
    whole = joined(parts)
    scans = {str(part.settings["subject"]): dict(part.settings) for part in parts}
    return replace(whole, settings={"scans": scans}, notes=(*whole.notes, *notes))


def named(results: Results, subject: str) -> Results:
    """Return results whose rows and notes tell the subject."""
    labelled = results.with_labels(subject=subject)
    notes = tuple(f"{subject}: {note}" for note in results.notes)
    return replace(labelled, notes=notes)
