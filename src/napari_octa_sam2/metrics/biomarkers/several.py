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
from napari_octa_sam2.metrics.subjects import Subject, distinct_names

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

    A scan that cannot be read or measured is named in the notes with the reason. Scans
    of one name are told apart by their folders.

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
    parts, measured, notes = [], [], []
    for done, path in enumerate(paths):
        if cancelled():
            left = len(paths) - done
            notes.append(f"cancelled: {left} of {len(paths)} scans were not measured")
            break
        if progress is not None:
            progress(done, len(paths), path.name)
        try:
            subject = read(path)
            found = measure(subject, eye=eye, settings=settings, cancelled=cancelled)
        except OctaError as error:
            notes.append(f"{path.name} was left out: {error}")
            continue
        parts.append(found)
        measured.append(path)
    if not parts:
        raise VolumeError(
            "expected at least one scan that can be measured, found none: "
            + "; ".join(notes)
        )
    if progress is not None:
        progress(len(paths), len(paths), "")
    names = distinct_names([str(p.settings["subject"]) for p in parts], measured)
    whole = joined(
        [p.with_labels(subject=name) for p, name in zip(parts, names, strict=True)]
    )
    return replace(
        whole,
        settings={"scans": dict(zip(names, (p.settings for p in parts), strict=True))},
        notes=(*shared_notes(names, [p.notes for p in parts]), *notes),
    )


def shared_notes(names: Sequence[str], notes: Sequence[Sequence[str]]) -> list[str]:
    """Return notes of several scans, each once, with the scans it is of if not all."""
    scans: dict[str, list[str]] = {}
    for name, told in zip(names, notes, strict=True):
        for note in told:
            scans.setdefault(note, []).append(name)
    return [
        note if len(of) == len(names) else f"{', '.join(of)}: {note}"
        for note, of in scans.items()
    ]
