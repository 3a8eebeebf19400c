"""What a training will learn from, looked at before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_octa_sam2.errors import ReadError, TrainingError
from napari_octa_sam2.files import write_whole
from napari_octa_sam2.training.config import DataConfig
from napari_octa_sam2.training.data.drawing import Drawn, Mixture, Pool
from napari_octa_sam2.training.data.formats import find_samples
from napari_octa_sam2.training.data.phantoms import PhantomProjections, PhantomVolumes
from napari_octa_sam2.training.data.problems import (
    Problem,
    describe,
    find_problems,
)
from napari_octa_sam2.training.data.scenes import Sample, Source
from napari_octa_sam2.training.data.splits import Split, hold_out
from napari_octa_sam2.training.folder import TrainingFolder
from napari_octa_sam2.training.recipe import Recipe, read_recipe

if TYPE_CHECKING:
    from napari_octa_sam2.training.teacher import Teacher

GIVEN, VOLUMES, PROJECTIONS = "given", "phantom volumes", "phantom projections"


@dataclass(frozen=True, eq=False)
class Plan:
    """A recipe with its data.

    Parameters
    ----------
    recipe : Recipe
    problems : list of Problem
        Found in the data; nothing starts with a fatal one.
    counts : dict
        What `training.data.problems.describe` returns; empty for synthetic data.
    """

    recipe: Recipe
    problems: list[Problem]
    counts: dict[str, dict[str, Any]]

    @property
    def ready(self) -> bool:
        """Whether training can begin."""
        return not any(problem.fatal for problem in self.problems)


def make_plan(
    name: str | Path,
    *,
    model: str | None = None,
    given: Sequence[str | Path] = (),
    overrides: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Read a recipe, find its data, and look for problems.

    Parameters
    ----------
    name, model, given, overrides
        As for `training.recipe.read_recipe`.
    progress : callable, optional
        Called with the samples looked at, and with how many there are.

    Raises
    ------
    TrainingError
        If the recipe or a data set is none, or there is nothing to learn from.
    """
    recipe = read_recipe(name, model=model, given=given, overrides=overrides)
    data, missing = recipe.phases[0].data, list(_missing_trackers(recipe))
    if not _wants_given(recipe):
        return Plan(recipe, missing, {})
    if not recipe.given:
        return Plan(recipe, [*missing, _nothing_given(recipe)], {})
    split = find_split(recipe.given, data)
    problems = [*missing, *find_problems(split, progress)]
    counts = {}
    if not any(problem.fatal for problem in problems):
        try:
            counts = describe(split)
        except ReadError as error:
            problems.append(Problem("", str(error), fatal=True))
    if counts and is_promptless(recipe):
        problems += _classes_missing(recipe, counts["training"]["classes"])
    return Plan(recipe, problems, counts)


def begin(plan: Plan, folder: str | Path) -> TrainingFolder:
    """Write the settings of a training into a folder, ready for `training.run.train`.

    Raises
    ------
    TrainingError
        If the data have a fatal problem, the folder is of another training, or it
        cannot be written.
    """
    if not plan.ready:
        worst = next(problem for problem in plan.problems if problem.fatal)
        where = f"{worst.file}: " if worst.file else ""
        raise TrainingError(where + worst.text)
    opened, text = TrainingFolder(folder), plan.recipe.to_yaml()
    try:
        opened.path.mkdir(parents=True, exist_ok=True)
        if opened.settings.exists():
            if opened.settings.read_text("utf-8") != text:
                raise TrainingError(
                    f"{opened.path} holds a training with other settings; choose "
                    "another folder, or give --out alone to go on with that one"
                )
        else:
            write_whole(opened.settings, text)
    except OSError as error:
        raise TrainingError(
            f"{opened.path} cannot be written ({error.strerror or error}); choose "
            "another folder, or make room"
        ) from error
    return opened


def find_split(given: Sequence[str], data: DataConfig) -> Split:
    """Return the samples of data sets, with those to validate on held out.

    Raises
    ------
    TrainingError
        As `training.data.formats.find_samples` and `training.data.splits.hold_out`.
    """
    samples: list[Sample] = []
    for path in given:
        samples += find_samples(path, data)
    return hold_out(samples, data)


def make_source(data: DataConfig, training: Sequence[Sample], seed: int) -> Source:
    """Return what a phase draws its scenes from.

    Parameters
    ----------
    data : DataConfig
    training : sequence of Sample
        Of the data sets that were given.
    seed : int
        Of the synthetic scenes.
    """
    makers: dict[str, Callable[[], Source]] = {
        GIVEN: lambda: Drawn(training),
        VOLUMES: lambda: Pool(PhantomVolumes(), size=4, reuse=40, seed=seed),
        PROJECTIONS: lambda: Pool(PhantomProjections(), size=24, reuse=8, seed=seed),
    }
    if unknown := sorted(set(data.mix) - set(makers)):
        raise TrainingError(
            f"expected sources of {', '.join(makers)} in data.mix, found {unknown[0]!r}"
        )
    parts = [
        (makers[name](), share)
        for name, share in data.mix.items()
        if share > 0 and (name != GIVEN or training)
    ]
    if not parts:
        raise TrainingError("expected something to learn from, found an empty data.mix")
    return parts[0][0] if len(parts) == 1 else Mixture(tuple(parts))


def teacher_of(recipe: Recipe) -> Teacher:
    """Return what trains the kind of network that a recipe has."""
    if is_promptless(recipe):
        from napari_octa_sam2.training.promptless import PromptlessTeacher

        return PromptlessTeacher(recipe)
    from napari_octa_sam2.training.prompted import PromptedTeacher

    return PromptedTeacher(recipe)


def is_promptless(recipe: Recipe) -> bool:
    """Return whether a recipe trains a network that needs no prompts."""
    from napari_octa_sam2.model.promptless import model

    return recipe.network is not None or model.is_promptless(recipe.model)


def _classes_missing(recipe: Recipe, found: Collection[str]) -> Iterator[Problem]:
    """Yield a problem where a promptless network would learn from data alone."""
    from napari_octa_sam2.training.promptless import PromptlessTeacher

    wanted = PromptlessTeacher(recipe).classes
    synthetic = any(set(phase.data.mix) != {GIVEN} for phase in recipe.phases)
    if not synthetic and not set(wanted) & set(found):
        text = (
            f"expected labels of {', '.join(wanted)} in the data, found "
            f"{', '.join(found) or 'none'}; give the objects these classes, or choose "
            "another network"
        )
        yield Problem("", text, fatal=True)


def _missing_trackers(recipe: Recipe) -> Iterator[Problem]:
    for name in sorted({t for phase in recipe.phases for t in phase.fit.trackers}):
        if find_spec(name) is None:
            text = (
                f"expected {name} to be installed, as fit.trackers wants it, found "
                f"nothing; pip install {name}, or leave it out"
            )
            yield Problem("", text, fatal=True)


def _wants_given(recipe: Recipe) -> bool:
    return bool(recipe.given) or any(
        phase.data.mix.get(GIVEN) for phase in recipe.phases
    )


def _nothing_given(recipe: Recipe) -> Problem:
    alone = any(set(phase.data.mix) == {GIVEN} for phase in recipe.phases)
    if alone:
        text = (
            f"the recipe {recipe.name} learns from data that are given, and there are "
            "none; name a data set"
        )
    else:
        text = "without real images this learns from synthetic ones alone"
    return Problem("", text, fatal=alone)
