"""Whole trainings by name; each writes all that is needed to repeat it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.model.loading import (
    build_network,
    build_refinement,
    load_model,
    split_head,
)
from napari_octa_sam2.model.refinement import RefinementHead
from napari_octa_sam2.training.clips import ClipConfig
from napari_octa_sam2.training.fit import FitConfig, StepReport, fit
from napari_octa_sam2.training.record import (
    export,
    joined,
    mean_weights,
    split_into,
)
from napari_octa_sam2.training.sources import (
    Mixture,
    PairFolder,
    PhantomProjections,
    PhantomVolumes,
    Pool,
    Source,
)


@dataclass(frozen=True)
class Phase:
    """One stretch of a recipe: what is seen, and how the network is fitted.

    `data` holds the share of each source: "volumes", "projections" and "rossa".
    """

    name: str
    data: Mapping[str, float]
    clip: ClipConfig
    fit: FitConfig


OCTA_NANO = (
    # Single slices first: most of what there is to learn is to segment at a prompt.
    Phase(
        "1-projections",
        {"projections": 0.55, "rossa": 0.45},
        ClipConfig(),
        FitConfig(steps=2000, learning_rate=8e-4),
    ),
    # Then short sequences, which train the memory.
    Phase(
        "2-sequences",
        {"volumes": 0.7, "projections": 0.1, "rossa": 0.2},
        ClipConfig(frames=4, objects=3, max_stride=4),
        FitConfig(steps=800, clips=2, learning_rate=4e-4, warmup=40, seed=1),
    ),
    # Then the field of view of real use.
    Phase(
        "3-full-field",
        {"volumes": 0.4, "projections": 0.25, "rossa": 0.35},
        ClipConfig(frames=2, native=320, size=512, max_stride=4),
        FitConfig(steps=450, clips=1, learning_rate=3e-4, warmup=30, seed=2),
    ),
    # Once more, in longer sequences and with whole trees.
    Phase(
        "4-long-sequences",
        {"volumes": 0.6, "projections": 0.2, "rossa": 0.2},
        ClipConfig(
            frames=4, native=192, size=320, objects=3, max_stride=4, pieces=0.25
        ),
        FitConfig(steps=800, clips=2, learning_rate=4e-4, warmup=40, seed=4),
    ),
    # What the head sees in a slice costs a fraction: it learns from many more.
    Phase(
        "5-classes",
        {"volumes": 0.25, "projections": 0.4, "rossa": 0.35},
        ClipConfig(native=192, objects=0),
        FitConfig(steps=2400, clips=6, learning_rate=1e-3, seed=5, frozen=("network",)),
    ),
    # Then what it makes of it for an object that is prompted.
    Phase(
        "6-refinement",
        {"volumes": 0.3, "projections": 0.35, "rossa": 0.35},
        ClipConfig(native=192, size=320, objects=3, pieces=0.25),
        FitConfig(
            steps=500, learning_rate=4e-4, warmup=30, seed=6, frozen=("network",)
        ),
    ),
    # And once more with most weight on single objects in depth slices.
    Phase(
        "7-refinement-in-depth",
        {"volumes": 0.55, "projections": 0.25, "rossa": 0.2},
        ClipConfig(native=192, size=320, objects=3, whole=0.35, pieces=0.25),
        FitConfig(
            steps=800, learning_rate=4e-4, warmup=30, seed=7, frozen=("network",)
        ),
    ),
    # Then at the field of view of real use.
    Phase(
        "8-full-field-refinement",
        {"volumes": 0.35, "projections": 0.3, "rossa": 0.35},
        ClipConfig(native=320, size=512, objects=2, pieces=0.25),
        FitConfig(
            steps=220, learning_rate=2e-4, warmup=20, seed=8, frozen=("network",)
        ),
    ),
    # At last network and head together: corrections are of what the head shows, and
    # the memory is of it.
    Phase(
        "9-together",
        {"volumes": 0.5, "projections": 0.25, "rossa": 0.25},
        ClipConfig(
            frames=3,
            native=192,
            size=320,
            objects=3,
            max_stride=4,
            whole=0.35,
            pieces=0.6,
        ),
        FitConfig(steps=1000, clips=3, learning_rate=3e-4, warmup=40, seed=9),
    ),
    Phase(
        "10-full-field-together",
        {"volumes": 0.4, "projections": 0.25, "rossa": 0.35},
        ClipConfig(frames=2, native=320, size=512, objects=2, max_stride=4, pieces=0.6),
        FitConfig(steps=250, clips=2, learning_rate=2e-4, warmup=20, seed=10),
    ),
)
REFINEMENT_HEAD = (
    Phase(
        "1-classes",
        {"volumes": 0.25, "projections": 0.4, "rossa": 0.35},
        ClipConfig(native=192, objects=0),
        FitConfig(steps=1200, clips=6, learning_rate=1e-3, frozen=("network",)),
    ),
    Phase(
        "2-refinement",
        {"volumes": 0.25, "projections": 0.4, "rossa": 0.35},
        ClipConfig(),
        FitConfig(
            steps=600, learning_rate=4e-4, warmup=30, seed=1, frozen=("network",)
        ),
    ),
)


@dataclass(frozen=True)
class Recipe:
    """Phases of a training, and the configuration of the network that is trained.

    Without `config` a refinement head is trained behind a model that is given. The
    result is the mean of the weights after the phases `averaged`, or the last weights
    (Wortsman et al., "Model soups", 2022).
    """

    phases: tuple[Phase, ...]
    config: str | None = None
    averaged: tuple[str, ...] = ()


RECIPES = {
    "octa-nano": Recipe(
        OCTA_NANO,
        config="octa-nano.yaml",
        averaged=("8-full-field-refinement", "10-full-field-together"),
    ),
    "refinement": Recipe(REFINEMENT_HEAD),
}


@dataclass(frozen=True)
class RecipeReport:
    """Where a recipe stands after a step."""

    phase: str
    phase_steps: int
    step: StepReport


def mixture(data: Mapping[str, float], rossa: Path | None) -> Source:
    """Return the sources of a phase; without ROSSA's folder the others alone.

    `rossa` holds ROSSA's ``train_manual`` and ``train_sam``.
    """
    sources: dict[str, Source] = {
        "volumes": Pool(PhantomVolumes(), size=4, reuse=40),
        "projections": Pool(PhantomProjections(), size=24, reuse=8),
    }
    if rossa is not None:
        sources["rossa"] = PairFolder([rossa / "train_manual", rossa / "train_sam"])
    return Mixture(
        tuple((sources[name], share) for name, share in data.items() if name in sources)
    )


def train(
    name: str,
    folder: Path,
    *,
    model: str | Path | None = None,
    rossa: Path | None = None,
    step_factor: float = 1.0,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[RecipeReport]:
    """Run a recipe, phase after phase, and yield a report a step.

    An interrupted run in `folder` is continued. At the end `folder` holds
    ``<name>.safetensors`` (half precision) and ``<name>.json`` with the settings,
    versions, wall time and hash.

    Parameters
    ----------
    name : str
        A key of `RECIPES`.
    model : str or Path, optional
        Name or checkpoint of the model behind which ``"refinement"`` trains a head.
    rossa : Path, optional
        Folder that holds ROSSA's ``train_manual`` and ``train_sam``.
    step_factor : float
        Multiplies the steps of every phase; 1 is the published recipe.

    Raises
    ------
    TrainingError
        If the recipe is unknown, wants a model and has none or has one and wants
        none, or its data cannot be read.
    """
    recipe = _recipe(name, model)
    folder.mkdir(parents=True, exist_ok=True)
    phases = [_scaled(phase, step_factor) for phase in recipe.phases]
    torch.manual_seed(0)
    weights: dict[str, Tensor] | None = None
    for phase in phases:
        finished = folder / phase.name / "weights.safetensors"
        if not finished.exists():
            network, head = _begin(recipe, model, phase.clip.size)
            if weights is not None:
                split_into(weights, network, head)
            clip = phase.clip
            if recipe.config is None:
                whole = clip.whole if getattr(network, "classes", ()) else 0.0
                clip = replace(clip, size=network.image_size, whole=whole)
            for report in fit(
                network,
                head,
                mixture(phase.data, rossa),
                clip,
                phase.fit,
                folder / phase.name,
                should_stop=should_stop,
            ):
                yield RecipeReport(phase.name, phase.fit.steps, report)
                if report.step + 1 < phase.fit.steps and should_stop():
                    return
            save_file(joined(network, head), finished)
        weights = load_file(finished)
    assert weights is not None
    about: dict[str, Any] = {
        "data": ["phantom"] + ([] if rossa is None else ["ROSSA (MIT licence)"])
    }
    if recipe.averaged:
        ends = [folder / phase / "weights.safetensors" for phase in recipe.averaged]
        weights = mean_weights([load_file(end) for end in ends])
        about["averaged"] = list(recipe.averaged)
    if recipe.config is None:
        weights = _head_alone(weights)
        about["model"] = str(model)
    export(weights, folder, name, phases, about)


def _recipe(name: str, model: str | Path | None) -> Recipe:
    if name not in RECIPES:
        raise TrainingError(
            f"expected a recipe of {', '.join(RECIPES)}, found {name!r}"
        )
    recipe = RECIPES[name]
    if recipe.config is None and model is None:
        raise TrainingError(
            f"the recipe {name} trains behind a model: name one, or a checkpoint"
        )
    if recipe.config is not None and model is not None:
        raise TrainingError(f"the recipe {name} begins from scratch: leave out {model}")
    return recipe


def _begin(recipe: Recipe, model: str | Path | None, size: int) -> tuple[Any, Any]:
    """Return the network and the head as they are before the first phase."""
    if recipe.config is not None:
        network = build_network(recipe.config, input_size=size)
        return network, build_refinement(recipe.config)
    assert model is not None
    return load_model(model, refinement=False).network, RefinementHead()


def _head_alone(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what `model.loading.load_refinement` reads."""
    _, head = split_head(weights)
    return head | {"channels": torch.tensor(RefinementHead().channels)}


def _scaled(phase: Phase, factor: float) -> Phase:
    settings = asdict(phase.fit) | {"steps": max(1, round(phase.fit.steps * factor))}
    return replace(phase, fit=FitConfig(**settings))
