"""Commands on labels alone: measure, agree."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_octa_sam2.cli.console import (
    AsJson,
    line_width,
    print_json,
    progress,
    say,
    stop_on_signal,
)
from napari_octa_sam2.errors import WriteError
from napari_octa_sam2.metrics.results import Results
from napari_octa_sam2.prompts.objects import CLASSES

if TYPE_CHECKING:
    from napari_octa_sam2.metrics.report.pictures import Picture

Out = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Write a table (.csv, .xlsx, .json) or a page (.html, .pdf); repeatable.",
    ),
]
Spacing = Annotated[
    str | None,
    typer.Option(
        metavar="ROW,COL|DEPTH,ROW,COL",
        help="Size of a voxel in mm, for files that do not know it.",
    ),
]
Regions = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="whole, without faz, fovea, parafovea, perifovea, etdrs, superior, "
        "inferior, or sectors such as S1.",
    ),
]
LabelsName = Annotated[
    str | None,
    typer.Option("--labels", metavar="NAME", help="Which labels of a volume."),
]
ClassOf = Annotated[
    list[str] | None,
    typer.Option("--class", metavar="ID=CLASS", help="Class of a label; repeatable."),
]


class Laterality(StrEnum):
    """Which eye: right or left."""

    OD = "OD"
    OS = "OS"


def measure(
    labels: Annotated[
        list[Path],
        typer.Argument(
            help="Labels, masks, projects, volumes with labels, or folders of them."
        ),
    ],
    name: LabelsName = None,
    classes: ClassOf = None,
    regions: Regions = None,
    laterality: Annotated[
        Laterality | None, typer.Option(help="OD, right eye, or OS, left eye.")
    ] = None,
    fovea: Annotated[
        str | None,
        typer.Option(metavar="ROW,COL", help="By default the centroid of the FAZ."),
    ] = None,
    axial_length: Annotated[
        float | None,
        typer.Option(metavar="MM", help="Corrects magnification (Bennett)."),
    ] = None,
    scanner: Annotated[
        str | None,
        typer.Option(help="Cirrus, Optovue or Topcon: sets the reference length."),
    ] = None,
    reference_length: Annotated[
        float | None,
        typer.Option(metavar="MM", help="Axial length that the scanner assumes."),
    ] = None,
    spacing: Spacing = None,
    surfaces: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Surfaces of the retina: .npy or .mat."),
    ] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Measure vessels and the FAZ: densities, calibres, shapes, in two and three axes.

    Each file, project or volume is a scan; a folder stands for what is in it. Ctrl-C
    stops and shows what is done.
    """
    from napari_octa_sam2.metrics.biomarkers.eye import Eye
    from napari_octa_sam2.metrics.biomarkers.measurement import (
        DEFAULT_REGIONS,
        MeasureSettings,
    )
    from napari_octa_sam2.metrics.biomarkers.several import measure_several
    from napari_octa_sam2.metrics.subjects import Subject, find_subjects, read_subject

    require_targets(out or [])
    centre = _numbers("--fovea", fovea, 2)
    eye = Eye(
        laterality=laterality.value if laterality else "",
        axial_length=axial_length,
        device=scanner,
        reference_length=reference_length,
        fovea=None if centre is None else (centre[0], centre[1]),
    )
    chosen = DEFAULT_REGIONS if regions is None else _listed(regions)
    class_of = parse_classes(classes)
    size = parse_spacing(spacing)
    paths = find_subjects(labels)

    @lru_cache(maxsize=1)  # a page of one scan shows it as well
    def read(path: Path) -> Subject:
        subject = read_subject(path, labels=name, spacing=size, surfaces=surfaces)
        return subject.with_classes(class_of) if class_of else subject

    with stop_on_signal() as stopped, progress("scans") as tell:
        results = measure_several(
            paths,
            read,
            eye=eye,
            settings=MeasureSettings(regions=chosen),
            progress=tell,
            cancelled=stopped,
        )

    def pictures() -> list[Picture]:
        from napari_octa_sam2.metrics.report import gallery, planes

        if len(paths) > 1:
            return gallery.pictures_of_scans(results)
        (own,) = results.settings["scans"].values()
        found = replace(results, settings=own)
        return gallery.pictures_of_scan(planes.planes(read(paths[0]), found), found)

    show(
        results,
        out,
        as_json,
        inputs=paths,
        title="Vessels and FAZ",
        subject=", ".join(results.settings["scans"]),
        pictures=pictures,
        complete=not stopped(),
    )


def agree(
    graders: Annotated[
        list[Path],
        typer.Argument(help="Labels of each grader: a file or a folder of scans each."),
    ],
    name: LabelsName = None,
    classes: ClassOf = None,
    spacing: Spacing = None,
    biomarkers: Annotated[
        bool,
        typer.Option(help="Measure as well, and compare the biomarkers."),
    ] = True,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Compare graders, or repeats: Dice, kappa, ICC and limits of agreement.

    Scans of different graders belong together by their names; a grader is called by
    the name of the file or folder.
    """
    from napari_octa_sam2.metrics.agreement.files import agree_files

    require_targets(out or [])
    with stop_on_signal() as stopped, progress("scans") as tell:
        results, measured = agree_files(
            graders,
            labels=name,
            classes=parse_classes(classes),
            spacing=parse_spacing(spacing),
            biomarkers=biomarkers,
            progress=tell,
            cancelled=stopped,
        )

    def pictures() -> list[Picture]:
        from napari_octa_sam2.metrics.report import gallery

        return gallery.pictures_of_graders(results, measured)

    show(
        results,
        out,
        as_json,
        inputs=graders,
        title="Agreement of graders",
        subject=", ".join(results.settings["graders"]),
        pictures=pictures,
        complete=not stopped(),
    )


def require_targets(out: list[Path]) -> None:
    """Raise `WriteError` before the work if its results could not go to `out`."""
    from napari_octa_sam2.metrics.report.writing import check_targets

    check_targets(out)
    for path in out:
        home = next(p for p in path.absolute().parents if p.exists())
        if path.is_dir() or not (home.is_dir() and os.access(home, os.W_OK)):
            raise WriteError(
                f"{path}: expected a file in a folder that you may write to, found "
                f"{'a folder' if path.is_dir() else 'none'}; pick another name"
            )


def show(
    results: Results,
    out: list[Path] | None,
    as_json: bool,
    *,
    inputs: list[Path],
    title: str,
    subject: str = "",
    pictures: Callable[[], Sequence[Picture]] = tuple,
    levels: Collection[str] | None = None,
    complete: bool = True,
) -> None:
    """Print results, and write them to the files that are asked for.

    The text on the terminal can be restricted to some `levels`; `pictures` returns
    those of a page, and is called only for one.

    Raises
    ------
    typer.Exit
        With status 1 if the results are not `complete`.
    """
    from napari_octa_sam2.metrics.report.sheets import as_text
    from napari_octa_sam2.metrics.report.writing import write

    if as_json:
        print_json(results.to_json())
    else:
        shown = results if levels is None else results.of_levels(levels)
        typer.echo(as_text(shown, width=line_width()))
    drawn = cache(pictures)
    for path in out or ():
        write(
            path,
            results,
            title=title,
            subject=subject,
            pictures=drawn,
            inputs=inputs,
        )
        say(f"written: {path}")
    if not complete:
        say("error: interrupted; the figures are of what was done")
        raise typer.Exit(1)


def parse_spacing(text: str | None) -> tuple[float, ...] | None:
    """Return the numbers of ``ROW,COL`` or ``DEPTH,ROW,COL``; None for None.

    Raises
    ------
    typer.BadParameter
        If they are not two or three positive numbers.
    """
    values = _numbers("--spacing", text, 2, 3)
    if values is not None and not all(0 < value < math.inf for value in values):
        raise typer.BadParameter(f"--spacing: expected positive mm, found {text}")
    return values


def parse_classes(texts: list[str] | None) -> dict[int, str]:
    """Return the classes of ``ID=CLASS`` entries.

    Raises
    ------
    typer.BadParameter
        If an id is no number, or a class none that is known.
    """
    found = {}
    for text in texts or ():
        label, _, cls = text.partition("=")
        if not label.isdecimal() or cls not in CLASSES:
            raise typer.BadParameter(
                f"--class: expected ID=CLASS with a class of {', '.join(CLASSES)}, "
                f"found {text!r}"
            )
        found[int(label)] = cls
    return found


def _listed(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(name: str, text: str | None, *counts: int) -> tuple[float, ...] | None:
    """Return the numbers of a list such as ``1,2``; None for None."""
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in counts:
        wanted = " or ".join(map(str, counts))
        raise typer.BadParameter(
            f"{name}: expected {wanted} numbers with commas between, found {text!r}"
        )
    return values
