"""Commands that run a network: segment, demo."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from napari_octa_sam2.cli import automatic
from napari_octa_sam2.cli.console import (
    AsJson,
    Range,
    is_given,
    line_width,
    parse_range,
    print_json,
    print_pairs,
    progress,
    refuse,
    require_target,
    say,
    stop_on_signal,
)
from napari_octa_sam2.cli.replay import run_replay, source_of, verdict
from napari_octa_sam2.prompts import PromptSet
from napari_octa_sam2.volume.readers import read_volume

if TYPE_CHECKING:
    from napari_octa_sam2.engine.segment import Segmentation
    from napari_octa_sam2.model.loading import LoadedModel
    from napari_octa_sam2.volume.octa_volume import OctaVolume

NO_PROMPTS = PromptSet().to_json()
OF_PROMPTS = (
    *("prompts", "auto", "refine", "slices", "direction"),
    *("precision", "attention"),
)

Model = Annotated[
    str, typer.Option(metavar="NAME|PATH", help="See the command `models`.")
]

Refine = Annotated[
    bool,
    typer.Option(
        "--refine/--no-refine", help="Sharpen masks at the slice's own resolution."
    ),
]


class Direction(StrEnum):
    """Which way objects are followed; forward is towards higher slices."""

    both = "both"
    forward = "forward"
    backward = "backward"


def segment(
    context: typer.Context,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Labels: .ome.zarr, .nii.gz, .nii, .tif or .npy."
        ),
    ],
    volume: Annotated[
        Path | None, typer.Argument(help="A volume: a file or a folder.")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Prompts, as the viewer writes them."),
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="PROJECT", help="Do a project of the viewer once more instead."
        ),
    ] = None,
    model: Model = "octa-nano",
    config: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Configuration of a local checkpoint."),
    ] = None,
    refine: Refine = True,
    slices: Range = None,
    direction: Annotated[
        Direction, typer.Option(help="From an object's prompts.")
    ] = Direction.both,
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    attention: Annotated[
        str,
        typer.Option(help="exact, or pooled: faster, and masks differ a little."),
    ] = "exact",
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw an overview: .png, .pdf or .svg."),
    ] = None,
    auto: automatic.Auto = None,
    finder: automatic.Finder = "octa-auto",
    separate: automatic.Separate = False,
    within: automatic.Within = None,
    threshold: automatic.Threshold = None,
    min_area: automatic.Pixels = None,
    fill_holes: automatic.Holes = None,
    smooth: automatic.Smooth = None,
    views: automatic.LookAgain = automatic.Views.one,
    region: automatic.Region = False,
    strips: automatic.Strips = None,
    follow: automatic.Follow = None,
    at: automatic.At = None,
    save_prompts: automatic.SavePrompts = None,
    as_json: AsJson = False,
) -> None:
    """Segment the prompted objects on every slice.

    With --auto CLASS, find all of a class without a prompt; with --follow KIND as
    well, do so on a few slices alone, from where SAM 2 follows it.

    With --replay PROJECT, do what was done in the viewer once more: the network answers
    anew, and its labels are compared with those of the project, bit for bit. VOLUME is
    by default the one that the project was begun with; --model, --config and --device
    are those of the project.

    Ctrl-C stops after the slice in work and writes what is done.
    """
    if picture is not None:
        from napari_octa_sam2.overview import check_picture

        check_picture(picture)
    if replay is not None:
        refuse(context, OF_PROMPTS, "does not go with --replay")
        has_model = is_given(context, "model")
        if config is not None and not has_model:
            raise typer.BadParameter("--config FILE with --replay needs --model")
        chosen = partial(load, model, config) if has_model else None
        _replay(replay, volume, out, picture, chosen, device, as_json)
        return
    if volume is None or (prompts is None) == (not auto):
        raise typer.BadParameter(
            "expected VOLUME and either --prompts FILE or --auto CLASS, or --replay "
            "PROJECT"
        )
    automatic.check_options(context, auto, follow)
    span = parse_range(slices)
    require_target(out, inputs=(volume, *([] if prompts is None else [prompts])))
    given = None if prompts is None else PromptSet.read(prompts)
    scan = read_volume(volume)
    network = partial(load, model, config, refine)
    with stop_on_signal() as stopped:
        if given is None:
            request = automatic.Request(
                wanted=tuple(wanted.value for wanted in auto or ()),
                finder=finder,
                separate=separate,
                within=within,
                region=region,
                changes=automatic.changes(threshold, min_area, fill_holes, smooth),
                views=int(views.value),
                strips=strips,
                follow=follow,
                at=tuple(at or ()),
                save_prompts=save_prompts,
                slices=span,
                direction=direction.value,
                device=device,
                precision=precision,
            )
            done = automatic.run(scan, request, network, stopped)
        else:
            given.require_usable(scan.shape)
            from napari_octa_sam2.engine.segment import segment as run

            with progress("slices") as tell:
                done = run(
                    scan,
                    given,
                    model=network(),
                    direction=direction.value,
                    slices=span,
                    device=device,
                    precision=precision,
                    attention=attention,
                    progress=tell,
                    cancelled=stopped,
                )
    _finish(done, scan, out, picture)
    _report(done, out, picture, as_json)


def _replay(
    project: Path,
    volume: Path | None,
    out: Path,
    picture: Path | None,
    model: Callable[[], LoadedModel] | None,
    device: str,
    as_json: bool,
) -> None:
    require_target(out, inputs=(project, *([] if volume is None else [volume])))
    scan = read_volume(source_of(project) if volume is None else volume)
    again = run_replay(project, scan, model, device)
    _finish(again.segmentation, scan, out, picture)
    said = verdict(again, project, as_json)
    _report(again.segmentation, out, picture, as_json, replay=said)


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results.")],
    model: Model = "octa-nano",
    as_json: AsJson = False,
) -> None:
    """Show the whole job on a synthetic volume, in two minutes and without network."""
    from napari_octa_sam2.demo import run_demo
    from napari_octa_sam2.metrics.report.sheets import as_text

    with progress("slices") as tell:
        made = run_demo(out, model=load(model), progress=tell)
    files = {name: str(path) for name, path in made.files.items()}
    if as_json:
        scores = made.evaluation.to_json()
        print_json(
            {"files": files, "evaluation": scores, "seconds": round(made.seconds, 1)}
        )
        return
    shown = made.evaluation.of_levels(("object", "all"))
    typer.echo(f"{as_text(shown, width=line_width())}\n")
    print_pairs(files)
    first, last = made.segmentation.record["slices"]
    typer.echo(
        f"\ndone in {made.seconds:.0f} s; to look at it in the viewer:\n"
        f"  napari --plugin napari-octa-sam2 {files['volume']} {files['labels']}\n"
        "to do the same from the shell:\n"
        f"  napari-octa-sam2 segment {files['volume']} --prompts {files['prompts']} "
        f"--model {model} --range {first}:{last} --out labels.nii.gz"
    )


def load(model: str, config: str | None = None, refine: bool = True) -> LoadedModel:
    """Return a model by name or path, telling how far its download is."""
    from napari_octa_sam2.model.loading import load_model

    with progress(f"download of {model} [MB]") as tell:
        return load_model(
            model,
            config=config,
            refinement=refine,
            progress=lambda done, total: tell(
                round(done / 1e6), None if total is None else round(total / 1e6)
            ),
        )


def _finish(
    done: Segmentation, scan: OctaVolume, out: Path, picture: Path | None
) -> None:
    """Write labels, and a picture where one is wanted."""
    done.write(out)
    if picture is not None:
        from napari_octa_sam2.overview import write_overview

        shown = PromptSet.from_json(done.record.get("prompts", NO_PROMPTS))
        write_overview(picture, scan, done.labels, prompts=shown)


def _report(
    done: Segmentation,
    out: Path,
    picture: Path | None,
    as_json: bool,
    **more: Mapping[str, Any],
) -> None:
    for note in done.record["notes"]:
        say(f"note: {note}")
    objects = _summary(done)
    if as_json:
        print_json(
            {
                "labels": str(out),
                "picture": None if picture is None else str(picture),
                "objects": objects,
                "record": done.record,
                **more,
            }
        )
    else:
        for row in objects:
            typer.echo(
                f"{row['id']:>5}  {row['name']:<16}  {row['voxels']:>9} voxels on "
                f"{row['slices']} slices, confidence {row['confidence']:.2f}"
            )
        typer.echo(f"labels written to {out}")
        if picture is not None:
            typer.echo(f"overview written to {picture}")
    if not done.complete:
        visited = len({row.slice for row in done.confidence})
        say(f"error: interrupted; the {visited} slices done are in {out}")
        raise typer.Exit(1)


def _summary(done: Segmentation) -> list[dict[str, Any]]:
    confidences = defaultdict(list)
    for row in done.confidence:
        confidences[row.object].append(row.confidence)
    summary = []
    for label, name in sorted(done.labels.names.items()):
        counts = np.count_nonzero(done.labels.data == label, axis=(1, 2))
        summary.append(
            {
                "id": label,
                "name": name,
                "class": done.labels.classes[label],
                "voxels": int(counts.sum()),
                "slices": int(np.count_nonzero(counts)),
                "confidence": fmean(confidences[label] or [0.0]),
            }
        )
    return summary
