"""Graders whose labels are files: one each, or a folder of scans each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from napari_octa_sam2.errors import ReadError, VolumeError
from napari_octa_sam2.metrics.agreement.graders import agree
from napari_octa_sam2.metrics.agreement.overlap import require_several
from napari_octa_sam2.metrics.biomarkers.eye import Eye
from napari_octa_sam2.metrics.biomarkers.measurement import (
    MeasureSettings,
    Progress,
    measure,
)
from napari_octa_sam2.metrics.results import Results, joined
from napari_octa_sam2.metrics.subjects import (
    Subject,
    distinct_names,
    find_subjects,
    is_scan,
    read_subject,
)
from napari_octa_sam2.volume.readers.record import plain_name

SCAN = "scan"  # the subject of graders that gave one file each
REGIONS = ("whole", "parafovea")

T = TypeVar("T")
Read = Callable[[Path], Subject]


class Agreed(NamedTuple):
    """How graders agree, and what their labels measure.

    Attributes
    ----------
    results : Results
        Of `agree`.
    measured : dict of str to Results
        By grader, with the label ``"subject"``; empty if nothing was measured.
    """

    results: Results
    measured: dict[str, Results]


def agree_files(
    paths: Sequence[Path],
    *,
    labels: str | None = None,
    classes: Mapping[int, str] | None = None,
    spacing: Sequence[float] | None = None,
    eye: Eye | None = None,
    biomarkers: bool = True,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Agreed:
    """Compare graders; see `agree`.

    Parameters
    ----------
    paths : sequence of Path
        A file of labels each, all of one scan; or a folder of scans each, which belong
        together by their names.
    labels : str, optional
        Which labels of a volume, as for `read_subject`.
    classes, spacing
        As for `Subject.with_classes` and `read_subject`.
    eye : Eye, optional
        As for `measure`, of all scans.
    biomarkers : bool
        Whether to measure each scan as well, and compare what was measured.
    progress : callable, optional
        Called with scans measured, scans in all and the name of the next.
    cancelled : callable, optional
        Asked before each scan; the biomarkers are not compared then.

    Raises
    ------
    OctaError
        If there are fewer than two graders, they do not belong together, or labels
        cannot be read. Labels that cannot be measured are named in the notes.
    """
    scans = graders(paths)

    # the labels of a subject are asked for grader by grader, then their spacing
    @lru_cache(maxsize=len(paths))
    def read(path: Path) -> Subject:
        subject = read_subject(path, labels=labels, spacing=spacing)
        return subject.with_classes(classes) if classes else subject

    measured, notes = None, list[str]()
    if biomarkers:
        measured = _measured(scans, read, eye, notes, progress, cancelled)
        if measured is None:
            notes.append("cancelled: what the graders' labels measure was not compared")
    results = agree(
        {g: _Lazy(own, lambda p: read(p).one()) for g, own in scans.items()},
        {g: _Lazy(own, lambda p: read(p).geometry) for g, own in scans.items()},
        biomarkers=measured,
    )
    told = replace(results, notes=(*results.notes, *notes))
    return Agreed(told, measured or {})


def graders(paths: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """Return the scans of each grader, by the names of graders and subjects.

    Raises
    ------
    VolumeError
        If there are fewer than two graders.
    ReadError
        If a path is missing, comes twice or holds no labels, files and folders are
        mixed, or a folder has two files of a scan.
    """
    require_several([str(path) for path in paths])
    names = distinct_names([plain_name(path) for path in paths], paths)
    found = [find_subjects([path]) for path in paths]
    if all(is_scan(path) for path in paths):
        return {n: {SCAN: path} for n, path in zip(names, paths, strict=True)}
    if any(is_scan(path) for path in paths):
        raise ReadError(
            "expected a file of each grader or a folder of each, found both; put the "
            "scans of each grader into a folder"
        )
    return {name: _by_name(scans) for name, scans in zip(names, found, strict=True)}


def _by_name(scans: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in scans:
        other = found.setdefault(plain_name(path), path)
        if other is not path:
            raise ReadError(
                f"{path.parent}: expected one file of {plain_name(path)}, found "
                f"{other.name} and {path.name}; keep one of them there"
            )
    return found


def _measured(
    scans: Mapping[str, Mapping[str, Path]],
    read: Read,
    eye: Eye | None,
    notes: list[str],
    progress: Progress | None,
    cancelled: Callable[[], bool],
) -> dict[str, Results] | None:
    """Return what each grader's labels measure; None if that was cancelled.

    Labels that cannot be measured, such as empty ones, are told in `notes`.
    """
    total = sum(map(len, scans.values()))
    settings = MeasureSettings(regions=REGIONS, objects=False)
    parts: dict[str, list[Results]] = {grader: [] for grader in scans}
    jobs = [(g, s, path) for g, own in scans.items() for s, path in own.items()]
    for done, (grader, subject, path) in enumerate(jobs):
        if cancelled():
            return None
        if progress is not None:
            progress(done, total, f"{grader}, {subject}")
        try:
            found = measure(read(path), eye=eye, settings=settings)
        except VolumeError as error:
            notes.append(f"{grader}, {subject} was not measured: {error}")
            continue
        parts[grader].append(found.with_labels(subject=subject))
    if progress is not None:
        progress(total, total, "")
    return {grader: joined(found) for grader, found in parts.items()}


class _Lazy(Mapping[str, T]):
    """What is known of each subject, read when it is asked for."""

    def __init__(self, paths: Mapping[str, Path], get: Callable[[Path], T]) -> None:
        self._paths, self._get = paths, get

    def __getitem__(self, subject: str) -> T:
        return self._get(self._paths[subject])

    def __contains__(self, subject: object) -> bool:
        return subject in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)
