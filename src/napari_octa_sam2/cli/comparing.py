"""The use of `evaluate` on labels: files, or folders of scans, against their truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_octa_sam2.cli.console import (
    Tell,
    parse_range,
    progress,
    stop_on_signal,
)
from napari_octa_sam2.cli.measuring import require_targets, show
from napari_octa_sam2.errors import PromptError, ReadError, VolumeError
from napari_octa_sam2.metrics.results import Results
from napari_octa_sam2.metrics.subjects import is_scan, read_subject
from napari_octa_sam2.volume.readers import read_volume

if TYPE_CHECKING:
    from napari_octa_sam2.metrics.report.pictures import Picture
    from napari_octa_sam2.metrics.segmentation.cohort import Case

SHOWN = ("object", "class", "all", "subjects")  # slices are for files


@dataclass(frozen=True)
class Asked:
    """What is compared, and how; as the options of `evaluate`."""

    labels: str | None = None
    slices: str | None = None
    tolerance: float | None = None
    slicewise: bool = True
    per_slice: bool = True
    scores: Path | None = None
    spacing: Sequence[float] | None = None


def compare(
    prediction: Path, truth: Path, asked: Asked, out: list[Path], as_json: bool
) -> None:
    """Compare, print, and write.

    Raises
    ------
    OctaError
        If the input cannot be read or compared, or a file not be written.
    """
    require_targets(out)
    both = [path.is_dir() and not is_scan(path) for path in (prediction, truth)]
    run = _folders if all(both) else _pair
    with stop_on_signal() as stopped, progress("figures") as tell:
        results = run(prediction, truth, asked, tell, stopped)

    def pictures() -> list[Picture]:
        from napari_octa_sam2.metrics.report import gallery

        return gallery.pictures_of_comparison(results)

    show(
        results,
        out,
        as_json,
        inputs=[prediction, truth],
        title="Segmentation",
        subject=f"{prediction.name} against {truth.name}",
        pictures=pictures,
        levels=SHOWN,
        complete=not stopped(),
    )


def _pair(
    prediction: Path,
    truth: Path,
    asked: Asked,
    tell: Tell,
    stopped: Callable[[], bool],
) -> Results:
    from napari_octa_sam2.metrics.segmentation.evaluation import evaluate

    notes: list[str] = []
    case = _read("", prediction, truth, asked, notes)
    span = parse_range(asked.slices)
    if span is not None and not 0 <= span.start < span.stop <= len(case.truth):
        raise PromptError(
            f"expected a range of slices from 0 to {len(case.truth) - 1}, the first "
            f"before the last, found {asked.slices}"
        )
    found = evaluate(
        case.prediction,
        case.truth,
        geometry=case.geometry,
        names=case.names,
        classes=case.classes,
        slices=None if span is None else slice(span.start, span.stop),
        slicewise=asked.slicewise,
        tolerance=asked.tolerance,
        per_slice=asked.per_slice,
        scores=None if asked.scores is None else read_volume(asked.scores).data,
        progress=tell,
        cancelled=stopped,
    )
    return replace(found, notes=(*notes, *found.notes))


def _folders(
    prediction: Path,
    truth: Path,
    asked: Asked,
    tell: Tell,
    stopped: Callable[[], bool],
) -> Results:
    from napari_octa_sam2.metrics.segmentation.cohort import evaluate_cohort
    from napari_octa_sam2.metrics.segmentation.pairing import pair_files

    if asked.slices is not None or asked.scores is not None:
        raise PromptError(
            "expected two files with --range or --scores, found two folders; compare "
            "scan by scan"
        )
    pairs, notes = pair_files(prediction, truth)

    def cases() -> Iterator[Case]:
        for pair in pairs:
            try:
                yield _read(pair.subject, pair.prediction, pair.truth, asked, notes)
            except ReadError as error:
                notes.append(f"{pair.subject} was left out: {error}")

    def told(done: int, total: int | None, subject: str) -> None:
        tell(done, len(pairs), subject)

    try:
        found = evaluate_cohort(
            cases(),
            slicewise=asked.slicewise,
            tolerance=asked.tolerance,
            per_slice=asked.per_slice,
            progress=told,
            cancelled=stopped,
        )
    except VolumeError as error:
        raise VolumeError("; ".join([str(error), *notes])) from error
    return replace(found, notes=(*found.notes, *notes))


def _read(
    name: str, prediction: Path, truth: Path, asked: Asked, notes: list[str]
) -> Case:
    """Return what is compared, and add to `notes` where the spacings differ."""
    from napari_octa_sam2.metrics.segmentation.cohort import Case

    read = partial(read_subject, spacing=asked.spacing)
    predicted, real = read(prediction), read(truth, labels=asked.labels)
    labels, given = real.one(), predicted.one()
    geometry = real.geometry if real.geometry.known else predicted.geometry
    is_plane = len(labels.data) == 1
    if predicted.geometry.known and not predicted.geometry.same_as(
        geometry, in_plane=is_plane
    ):
        notes.append(
            f"the spacing of {prediction} is {predicted.geometry.spacing} mm, that of "
            f"{truth} {geometry.spacing} mm; the latter is used"
        )
    return Case(
        name,
        given.data,
        labels.data,
        geometry,
        {**given.names, **labels.names},
        {**given.classes, **labels.classes},
    )
