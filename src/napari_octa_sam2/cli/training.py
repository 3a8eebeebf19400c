"""The command that trains a network by its recipe."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer

from napari_octa_sam2.cli.console import progress, say, stop_on_signal

if TYPE_CHECKING:
    from napari_octa_sam2.training.recipes import RecipeReport


def train(
    recipe: Annotated[str, typer.Option(help="octa-nano or refinement.")],
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder of the run; one begun is continued."),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH", help="Model behind which `refinement` trains a head."
        ),
    ] = None,
    rossa: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the ROSSA data set, if at hand."),
    ] = None,
    steps_factor: Annotated[
        float, typer.Option(min=0.0, help="Multiplies the steps; 1 as published.")
    ] = 1.0,
) -> None:
    """Train a network from scratch, or a refinement head behind a model.

    Ctrl-C stops after the step in work; the same command goes on from there.
    """
    from napari_octa_sam2.training.recipes import train as run

    finished = out / f"{recipe}.safetensors"
    with stop_on_signal() as stopped, progress("steps") as tell:
        reports = run(
            recipe,
            out,
            model=model,
            rossa=rossa,
            step_factor=steps_factor,
            should_stop=stopped,
        )
        recent: deque[float] = deque(maxlen=20)
        try:
            for report in reports:
                step = report.step
                recent.append(step.seconds)
                tell(step.step + 1, report.phase_steps, _note(report, fmean(recent)))
        except RuntimeError:
            # Ctrl-C reaches the workers that prepare the data as well
            if not stopped():
                raise
        interrupted = stopped()
    if interrupted and not finished.is_file():
        say(
            f"error: interrupted; the checkpoint is in {out}: run the same command "
            "again to go on"
        )
        raise typer.Exit(1)
    typer.echo(f"weights written to {finished}")


def _note(report: RecipeReport, seconds: float) -> str:
    """Return phase, loss, Dice and the time left in the phase."""
    step = report.step
    minutes = seconds * (report.phase_steps - step.step - 1) / 60
    return (
        f"of {report.phase}: loss {step.loss:.3f}, Dice {step.prompted_dice:.3f} "
        f"prompted, {step.tracked_dice:.3f} followed, {minutes:.0f} min left"
    )
