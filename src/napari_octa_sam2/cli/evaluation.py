"""The command that judges: labels against the truth, or a model by a protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_octa_sam2.cli.automatic import Views
from napari_octa_sam2.cli.comparing import Asked, compare
from napari_octa_sam2.cli.console import (
    AsJson,
    Range,
    Report,
    progress,
    refuse,
    show_report,
    stop_on_signal,
)
from napari_octa_sam2.cli.measuring import Spacing, parse_spacing
from napari_octa_sam2.cli.segmentation import Refine, load
from napari_octa_sam2.tables import require_folder

OF_LABELS = (
    *("prediction", "truth", "labels", "slices", "tolerance", "skeleton"),
    *("per_slice", "scores", "spacing"),
)
OF_PROTOCOL = (
    *("model", "refine", "realdata", "tasks", "subjects"),
    *("views", "device"),
)


class Skeleton(StrEnum):
    """What is thinned to centre lines."""

    slices = "slices"
    volume = "volume"


class ProtocolName(StrEnum):
    """How a model is judged."""

    clicks = "clicks"
    review = "review"
    automatic = "automatic"


def evaluate(
    context: typer.Context,
    prediction: Annotated[
        Path | None, typer.Argument(help="Labels to judge, or a folder of scans.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Argument(
            help="True labels, a volume that comes with some, or a folder of them."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which labels of TRUTH, if it is a volume."),
    ] = None,
    slices: Range = None,
    tolerance: Annotated[
        float | None,
        typer.Option(metavar="MM", help="Of NSD; by default one pixel en face."),
    ] = None,
    skeleton: Annotated[
        Skeleton, typer.Option(help="Centre lines for clDice: of slices or the volume.")
    ] = Skeleton.slices,
    per_slice: Annotated[
        bool, typer.Option(help="Compare each slice as well; see --out.")
    ] = True,
    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Probabilities of foreground, for average precision."
        ),
    ] = None,
    spacing: Spacing = None,
    protocol: Annotated[
        ProtocolName | None,
        typer.Option(
            help="Judge a model, or the review, by a simulated user; or what a model "
            "finds without one."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Of a protocol: see the command `models` (default: octa-nano; of "
            "automatic, octa-auto).",
        ),
    ] = None,
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
    views: Annotated[
        Views,
        typer.Option(help="Of automatic: 8 looks turned and mirrored as well."),
    ] = Views.one,
    device: Annotated[
        str, typer.Option(help="Of a protocol: auto, cuda, mps or cpu.")
    ] = "auto",
    out: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Write a table (.csv, .xlsx, .json) or a page (.html, .pdf); "
            "repeatable. Of a protocol: a folder for tables and plot.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare labels with the truth: overlap, surfaces, centre lines, topology.

    Of two folders, scans of one name belong together. With --protocol clicks
    --realdata DIR, judge a model instead: Dice, clDice and number of clicks on real
    samples; with --protocol review, how many slices have to be looked at with the
    review queue and without; with --protocol automatic, Dice and clDice of what a
    promptless model finds. Ctrl-C stops and shows what is done.
    """
    if protocol is None:
        refuse(context, OF_PROTOCOL, "needs --protocol")
        if prediction is None or truth is None:
            raise typer.BadParameter(
                "expected PREDICTION and TRUTH, or --protocol clicks --realdata DIR"
            )
        asked = Asked(
            labels=labels,
            slices=slices,
            tolerance=tolerance,
            slicewise=skeleton is Skeleton.slices,
            per_slice=per_slice,
            scores=scores,
            spacing=parse_spacing(spacing),
        )
        compare(prediction, truth, asked, out or [], as_json)
        return
    refuse(context, OF_LABELS, "does not go with --protocol")
    if realdata is None:
        raise typer.BadParameter("expected --realdata DIR with --protocol")
    judge = _chosen(context, protocol, model, refine, int(views))
    names = _task_names(tasks, judge.task_names)
    if len(out or ()) > 1:
        raise typer.BadParameter("expected one --out DIR with --protocol")
    options = {"tasks": names, "subjects": subjects, "device": device}
    _run(judge, realdata, options, out[0] if out else None, as_json)


@dataclass(frozen=True)
class Judge:
    """What judges a model, and by which tasks."""

    load: Callable[[], Any]
    measure: Callable[..., Report]
    task_names: Sequence[str]


def _chosen(
    context: typer.Context,
    protocol: ProtocolName,
    model: str | None,
    refine: bool,
    views: int,
) -> Judge:
    """Return the judge of a protocol; refuse options of the others."""
    if protocol is ProtocolName.automatic:
        from napari_octa_sam2.model.promptless import model as promptless
        from napari_octa_sam2.protocol.automatic import run as automatic

        refuse(context, ("refine",), "does not go with --protocol automatic")
        return Judge(
            partial(promptless.load_promptless, model or promptless.DEFAULT_PROMPTLESS),
            partial(automatic.run_automatic, views=views),
            automatic.TASK_NAMES,
        )
    refuse(context, ("views",), "needs --protocol automatic")
    network = partial(load, model or "octa-nano", refine=refine)
    if protocol is ProtocolName.clicks:
        from napari_octa_sam2.protocol import run as clicks

        return Judge(network, clicks.run_clicks, clicks.TASK_NAMES)
    from napari_octa_sam2.protocol.review import run as review

    return Judge(network, review.run_review, review.TASK_NAMES)


def _run(
    judge: Judge,
    realdata: Path,
    options: dict[str, Any],
    out: Path | None,
    as_json: bool,
) -> None:
    if out is not None:
        require_folder(out)
    with stop_on_signal() as stopped:
        model = judge.load()
        with progress("samples") as tell:
            report = judge.measure(
                realdata, model, **options, progress=tell, cancelled=stopped
            )
    show_report(report, out, as_json)


def _task_names(text: str | None, known: Sequence[str]) -> list[str] | None:
    """Return the names in ``a,b``; None for None."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise typer.BadParameter(
            f"expected tasks of {', '.join(known)}, found {', '.join(unknown)}"
        )
    return names
