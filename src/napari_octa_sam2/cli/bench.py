"""The command that measures the engine beside stock SAM 2."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_octa_sam2.bench.settings import CASE_NAMES, QUICK, Settings
from napari_octa_sam2.cli.console import (
    AsJson,
    progress,
    show_report,
    stop_on_signal,
)
from napari_octa_sam2.tables import require_folder

USUAL = Settings()


def _joined(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))


def bench(
    cases: Annotated[
        str, typer.Option(metavar="A,B", help=f"Of {', '.join(CASE_NAMES)}.")
    ] = ",".join(QUICK),
    model: Annotated[
        str, typer.Option(metavar="NAME", help="See the command `models`.")
    ] = USUAL.model,
    random: Annotated[
        bool, typer.Option("--random", help="Random weights, whatever is on disk.")
    ] = False,
    sizes: Annotated[
        str, typer.Option(metavar="A,B", help="Sides of the network's input.")
    ] = _joined(USUAL.sizes),
    objects: Annotated[
        str, typer.Option(metavar="A,B", help="Objects followed at once.")
    ] = _joined(USUAL.objects),
    slices: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Slices of second-pass (default 64), memory (16,64,256,640), "
            "training (8) and metrics (640).",
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option(help="Timed slices, or cold clicks, of each figure.")
    ] = USUAL.repeats,
    sample: Annotated[
        int | None,
        typer.Option(help="Of second-pass: slices that the reference is timed on."),
    ] = None,
    pixels: Annotated[
        int, typer.Option(help="Rows and columns of a slice.")
    ] = USUAL.pixels,
    limit: Annotated[
        float,
        typer.Option(help="Of memory: minutes that a point may be expected to take."),
    ] = USUAL.limit,
    feature_mb: Annotated[
        int | None, typer.Option(help="Of the engine: budget of image features.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="By default those that torch takes.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")] = USUAL.device,
    precision: Annotated[
        str, typer.Option(help="Of the engine: auto, fp32, bf16 or fp16.")
    ] = USUAL.precision,
    attention: Annotated[
        str, typer.Option(help="Of the engine: exact or pooled.")
    ] = USUAL.attention,
    seed: Annotated[
        int, typer.Option(min=0, help="Of random weights, slices and clicks.")
    ] = USUAL.seed,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write table, JSON and picture there."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the engine beside stock SAM 2, slice by slice in turn.

    Same weights, clicks, slices and threads. Ctrl-C stops and shows what is done.
    """
    settings = Settings(
        model=model,
        random=random,
        cases=tuple(_names(cases)),
        sizes=_numbers("--sizes", sizes),
        objects=_numbers("--objects", objects),
        slices=None if slices is None else _numbers("--slices", slices),
        repeats=repeats,
        sample=sample,
        pixels=pixels,
        limit=limit,
        feature_mb=feature_mb,
        threads=threads,
        device=device,
        precision=precision,
        attention=attention,
        seed=seed,
    )
    settings.check()
    _measure(settings, out, as_json)


def _measure(settings: Settings, out: Path | None, as_json: bool) -> None:
    from napari_octa_sam2.bench.run import run_bench

    if out is not None:
        require_folder(out)
    with stop_on_signal() as stopped, progress("rows") as tell:
        report = run_bench(settings, progress=tell, cancelled=stopped)
    show_report(report, out, as_json)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _numbers(option: str, text: str) -> tuple[int, ...]:
    """Return the numbers in ``a,b``."""
    try:
        return tuple(int(name) for name in _names(text))
    except ValueError:
        raise typer.BadParameter(
            f"expected whole numbers such as 1,4, found {text!r}", param_hint=option
        ) from None
