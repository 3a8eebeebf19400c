"""The command that judges: labels against the truth, or a model by a protocol."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_octa_sam2.cli.console import (
    AsJson,
    Range,
    Report,
    parse_range,
    print_json,
    progress,
    refuse,
    say,
    show_report,
    stop_on_signal,
)
from napari_octa_sam2.cli.segmentation import Model, Refine, load
from napari_octa_sam2.errors import PromptError, ReadError
from napari_octa_sam2.tables import require_folder
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet
from napari_octa_sam2.volume.readers import read_labels, read_volume

if TYPE_CHECKING:
    from napari_octa_sam2.model.loading import LoadedModel

OF_LABELS = ("prediction", "truth", "labels", "slices", "csv")
OF_PROTOCOL = (
    *("model", "refine", "realdata", "out", "tasks", "subjects"),
    "device",
)


class ProtocolName(StrEnum):
    """How a model is judged."""

    clicks = "clicks"
    review = "review"


def evaluate(
    context: typer.Context,
    prediction: Annotated[Path | None, typer.Argument(help="Labels to judge.")] = None,
    truth: Annotated[
        Path | None,
        typer.Argument(help="True labels, or a volume that comes with some."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which labels of TRUTH, if it is a volume."),
    ] = None,
    slices: Range = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table there as well.")
    ] = None,
    protocol: Annotated[
        ProtocolName | None,
        typer.Option(help="Judge a model, or the review, by a simulated user."),
    ] = None,
    model: Model = "octa-nano",
    refine: Refine = True,
    realdata: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Of a protocol: the folder of real samples."),
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(metavar="A,B", help="Of a protocol: only these tasks.")
    ] = None,
    subjects: Annotated[
        int | None,
        typer.Option(min=1, help="Of a protocol: the first so many of each task."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Of a protocol: auto, cuda, mps or cpu.")
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Of a protocol: write tables and plot there."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare labels with the truth: Dice, clDice, HD95 for each object.

    With --protocol clicks --realdata DIR, judge a model instead: Dice, clDice and
    number of clicks on real samples; with --protocol review, how many slices have to be
    looked at with the review queue and without. Ctrl-C stops and shows what is done.
    """
    if protocol is None:
        refuse(context, OF_PROTOCOL, "needs --protocol")
        if prediction is None or truth is None:
            raise typer.BadParameter(
                "expected PREDICTION and TRUTH, or --protocol clicks --realdata DIR"
            )
        _compare(prediction, truth, labels, slices, csv, as_json)
        return
    refuse(context, OF_LABELS, "does not go with --protocol")
    if realdata is None:
        raise typer.BadParameter("expected --realdata DIR with --protocol")
    network = partial(load, model, refine=refine)
    names = _task_names(tasks, protocol)
    _judge(protocol, realdata, network, names, subjects, device, out, as_json)


def load_truth(path: Path, name: str | None) -> tuple[LabelSet, ScanGeometry]:
    """Return the labels that came with a volume, or those of a label file.

    Raises
    ------
    ReadError
        If there are none, or several and no name.
    """
    volume = read_volume(path)
    names = sorted(volume.labels)
    if name is None and not names:
        return read_labels(path)
    if name is None and len(names) > 1:
        raise ReadError(
            f"{path}: expected one kind of labels, found {', '.join(names)}; "
            "choose with --labels NAME"
        )
    chosen = name or names[0]
    if chosen not in volume.labels:
        raise ReadError(
            f"{path}: expected labels called {chosen!r}, found "
            f"{', '.join(names) or 'none'}; choose one of them"
        )
    return volume.labels[chosen], volume.geometry


def _compare(
    prediction: Path,
    truth: Path,
    labels: str | None,
    slices: str | None,
    csv: Path | None,
    as_json: bool,
) -> None:
    from napari_octa_sam2.metrics.evaluation import evaluate as compare

    predicted, grid = read_labels(prediction)
    real, geometry = load_truth(truth, labels)
    if not geometry.known:
        geometry = grid
    elif grid.known and not _alike(grid, geometry):
        say(
            f"warning: the spacing of {prediction} is {grid.spacing} mm, that of "
            f"{truth} {geometry.spacing} mm; the latter is used"
        )
    span = parse_range(slices)
    if span is not None and not 0 <= span.start < span.stop <= len(real.data):
        raise PromptError(
            f"expected a range of slices from 0 to {len(real.data) - 1}, the first "
            f"before the last, found {slices}"
        )
    result = compare(
        predicted.data,
        real.data,
        geometry=geometry,
        names={**predicted.names, **real.names},
        slices=None if span is None else slice(span.start, span.stop),
    )
    if csv is not None:
        result.write_csv(csv)
    if as_json:
        print_json(result.to_json())
    else:
        typer.echo(result.table())


def _judge(
    protocol: ProtocolName,
    realdata: Path,
    network: Callable[[], LoadedModel],
    tasks: list[str] | None,
    subjects: int | None,
    device: str,
    out: Path | None,
    as_json: bool,
) -> None:
    if out is not None:
        require_folder(out)
    with stop_on_signal() as stopped:
        model = network()
        measure, _ = _runner(protocol)
        with progress("samples") as tell:
            report = measure(
                realdata,
                model,
                tasks=tasks,
                subjects=subjects,
                device=device,
                progress=tell,
                cancelled=stopped,
            )
    show_report(report, out, as_json)


def _runner(protocol: ProtocolName) -> tuple[Callable[..., Report], Sequence[str]]:
    """Return what runs a protocol, and the names of its tasks."""
    if protocol is ProtocolName.clicks:
        from napari_octa_sam2.protocol import run as clicks

        return clicks.run_clicks, clicks.TASK_NAMES
    from napari_octa_sam2.protocol.review import run as review

    return review.run_review, review.TASK_NAMES


def _task_names(text: str | None, protocol: ProtocolName) -> list[str] | None:
    """Return the names in ``a,b``; None for None."""
    if text is None:
        return None
    _, known = _runner(protocol)
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise typer.BadParameter(
            f"expected tasks of {', '.join(known)}, found {', '.join(unknown)}"
        )
    return names


def _alike(one: ScanGeometry, other: ScanGeometry) -> bool:
    pairs = zip(one.spacing, other.spacing, strict=True)
    return all(math.isclose(a, b, rel_tol=1e-3) for a, b in pairs)
