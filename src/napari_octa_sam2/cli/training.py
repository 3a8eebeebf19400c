"""The command that trains a network by a recipe."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer

from napari_octa_sam2.cli.console import print_table, progress, say, stop_on_signal

if TYPE_CHECKING:
    from napari_octa_sam2.training.folder import TrainingFolder
    from napari_octa_sam2.training.plan import Plan
    from napari_octa_sam2.training.run import Report


def train(
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the run; one begun is continued."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="See --recipes.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Data set to learn from; may be repeated."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="Model to fine-tune; see `models`."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Changes a setting: fit.minutes=10."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Look at the data alone; train nothing.")
    ] = False,
    recipes: Annotated[
        bool, typer.Option("--recipes", help="List the recipes.")
    ] = False,
) -> None:
    """Fine-tune a model on labelled data, or train one, by a recipe.

    Ctrl-C stops after the step in work; `train --out DIR` goes on from there. Several
    GPUs or machines: torchrun ... -m napari_octa_sam2 train --out DIR.
    """
    if recipes:
        return _list_recipes()
    if recipe is None and (data or model or settings or check):
        raise typer.BadParameter("expected --recipe NAME; `train --recipes` lists them")
    if recipe is not None:
        plan = _plan(recipe, model, data or [], settings or [])
        if check:
            raise typer.Exit(0 if plan.ready else 1)
    if out is None:
        raise typer.BadParameter("expected --out DIR, the folder of the training")
    from napari_octa_sam2.training.folder import TrainingFolder

    folder = TrainingFolder(out)
    if recipe is not None:
        from napari_octa_sam2.training.plan import begin

        folder = begin(plan, out)
    _run(folder)


def _list_recipes() -> None:
    from napari_octa_sam2.training.recipe import read_recipe, recipe_names

    read = [read_recipe(name) for name in recipe_names()]
    print_table([["recipe", "for"], *([r.name, r.about] for r in read)])


def _plan(recipe: str, model: str | None, data: list[Path], changes: list[str]) -> Plan:
    """Return the plan of a training, with its data and their problems shown."""
    from napari_octa_sam2.training.plan import make_plan

    with progress("samples looked at") as tell:
        plan = make_plan(
            recipe, model=model, given=data, overrides=changes, progress=tell
        )
    for part, counts in plan.counts.items():
        classes = ", ".join(counts["classes"]) or "no class"
        say(
            f"{part}: {counts['subjects']} subjects, {counts['samples']} samples, "
            f"{counts['slices']} slices with labels, {counts['objects']} objects; "
            f"{classes}"
        )
    for problem in plan.problems:
        where = f"{problem.file}: " if problem.file else ""
        say(f"{'error' if problem.fatal else 'note'}: {where}{problem.text}")
    return plan


def _run(folder: TrainingFolder) -> None:
    from napari_octa_sam2.training.run import train as run

    folder.allow()
    with stop_on_signal() as stopped, progress("steps") as tell:
        recent: deque[float] = deque(maxlen=20)
        try:
            for report in run(folder.path, stopped):
                recent.append(report.step.seconds)
                status = report.status
                tell(status.step, status.steps or None, _note(report, fmean(recent)))
        except RuntimeError:
            # Ctrl-C reaches the workers that prepare the data as well
            if not stopped():
                raise
    weights = folder.weights()
    if weights is None:
        say(
            f"error: interrupted; the checkpoint is in {folder.path}: "
            f"`train --out {folder.path}` goes on"
        )
        raise typer.Exit(1)
    status = folder.status()
    if status.best is not None:
        say(
            "mean Dice of the samples that were held out: "
            f"{status.baseline:.3f} before, {status.best:.3f} after"
        )
    typer.echo(f"model written to {weights}")


def _note(report: Report, seconds: float) -> str:
    """Return phase, loss, Dice and the time left in the phase."""
    step, status = report.step, report.status
    left = max(status.budget - status.seconds, 0.0) if status.budget else 0.0
    if status.steps:
        by_steps = seconds * (status.steps - status.step)
        left = min(left, by_steps) if status.budget else by_steps
    held_out = "" if status.best is None else f", held out {status.best:.3f} at best"
    known = {
        "prompted": step.prompted_dice,
        "followed": step.followed_dice,
        "of classes": step.class_dice,
    }
    dice = ", ".join(f"{v:.3f} {name}" for name, v in known.items() if v == v)
    return (
        f"of {status.phase}: loss {step.loss:.3f}, Dice {dice or 'unknown'}"
        f"{held_out}, {left / 60:.0f} min left"
    )
