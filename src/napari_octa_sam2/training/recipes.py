"""Whole trainings by name; each writes all that is needed to repeat it."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from napari_octa_sam2 import __version__
from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.model.loading import (
    REFINEMENT,
    build_network,
    build_refinement,
    file_sha256,
)
from napari_octa_sam2.training.clips import ClipConfig
from napari_octa_sam2.training.fit import FitConfig, StepReport, fit
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
        {"volumes": 0.5, "projections": 0.25, "rossa": 0.25},
        ClipConfig(frames=4, objects=3),
        FitConfig(steps=900, clips=2, learning_rate=4e-4, warmup=40, seed=1),
    ),
    # Then the field of view of real use.
    Phase(
        "3-full-field",
        {"volumes": 0.5, "projections": 0.25, "rossa": 0.25},
        ClipConfig(frames=3, native=320, size=512, zoom=(0.9, 1.4)),
        FitConfig(steps=500, clips=1, learning_rate=2e-4, warmup=30, seed=2),
    ),
)
CURVE_POINTS = 30
RECIPES = {"octa-nano": OCTA_NANO}


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
    recipe: str,
    folder: Path,
    *,
    rossa: Path | None = None,
    step_factor: float = 1.0,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[RecipeReport]:
    """Run a recipe, phase after phase, and yield a report a step.

    An interrupted run in `folder` is continued. At the end `folder` holds
    ``<recipe>.safetensors`` (half precision) and ``<recipe>.json`` with the
    settings, versions, wall time and hash.

    Parameters
    ----------
    recipe : str
        A key of `RECIPES`.
    step_factor : float
        Multiplies the steps of every phase; 1 is the published recipe.

    Raises
    ------
    TrainingError
        If the recipe is unknown or its data cannot be read.
    """
    if recipe not in RECIPES:
        raise TrainingError(
            f"expected a recipe of {', '.join(RECIPES)}, found {recipe!r}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    phases = [_scaled(phase, step_factor) for phase in RECIPES[recipe]]
    config = f"{recipe}.yaml"
    torch.manual_seed(0)
    weights = joined(build_network(config), build_refinement(config))
    for phase in phases:
        finished = folder / phase.name / "weights.safetensors"
        if not finished.exists():
            network = build_network(config, input_size=phase.clip.size)
            head = build_refinement(config)
            split_into(weights, network, head)
            for report in fit(
                network,
                head,
                mixture(phase.data, rossa),
                phase.clip,
                phase.fit,
                folder / phase.name,
                should_stop=should_stop,
            ):
                yield RecipeReport(phase.name, phase.fit.steps, report)
                if report.step + 1 < phase.fit.steps and should_stop():
                    return
            save_file(joined(network, head), finished)
        weights = load_file(finished)
    export(weights, folder, recipe, phases, rossa is not None)


def joined(network: Any, refinement: Any) -> dict[str, torch.Tensor]:
    """Return the weights of both, as a checkpoint holds them."""
    head = {REFINEMENT + k: v for k, v in refinement.state_dict().items()}
    return {k: v.contiguous() for k, v in (network.state_dict() | head).items()}


def split_into(weights: dict[str, torch.Tensor], network: Any, refinement: Any) -> None:
    """Load what `joined` returned."""
    own = [key for key in weights if key.startswith(REFINEMENT)]
    refinement.load_state_dict({k.removeprefix(REFINEMENT): weights[k] for k in own})
    network.load_state_dict({k: v for k, v in weights.items() if k not in own})


def export(
    weights: dict[str, torch.Tensor],
    folder: Path,
    recipe: str,
    phases: list[Phase],
    with_rossa: bool,
) -> Path:
    """Write half-precision weights and the record of how they came about."""
    path = folder / f"{recipe}.safetensors"
    save_file({k: v.half().contiguous() for k, v in weights.items()}, path)
    record: dict[str, Any] = {
        "recipe": recipe,
        "version": __version__,
        "sha256": file_sha256(path),
        "bytes": path.stat().st_size,
        "data": ["phantom"] + (["ROSSA (MIT licence)"] if with_rossa else []),
        "phases": [asdict(phase) for phase in phases],
        "seconds": round(sum(_seconds(folder / p.name / "log.csv") for p in phases)),
        "curves": _curves(folder, phases),
        "machine": {
            "processor": platform.machine(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "finished": time.strftime("%Y-%m-%d"),
    }
    path.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    return path


def _scaled(phase: Phase, factor: float) -> Phase:
    settings = asdict(phase.fit) | {"steps": max(1, round(phase.fit.steps * factor))}
    return replace(phase, fit=FitConfig(**settings))


def _seconds(log: Path) -> float:
    return float(sum(_columns(log)["seconds"]))


def _curves(folder: Path, phases: list[Phase]) -> dict[str, dict[str, Any]]:
    """Return each phase's log, averaged over stretches, against hours of training."""
    curves: dict[str, dict[str, Any]] = {}
    before = 0.0
    for phase in phases:
        columns = _columns(folder / phase.name / "log.csv")
        hours = (before + np.cumsum(columns["seconds"])) / 3600
        before += float(sum(columns["seconds"]))
        parts = np.array_split(np.arange(len(hours)), min(CURVE_POINTS, len(hours)))
        curves[phase.name] = {
            "hours": [round(float(hours[i[-1]]), 4) for i in parts]
        } | {
            key: [_mean(columns[key][i]) for i in parts]
            for key in ("loss", "prompted_dice", "tracked_dice", "class_dice")
        }
    return curves


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(known.mean()), 4) if known.size else None


def _columns(log: Path) -> dict[str, np.ndarray]:
    names, *rows = (line.split(",") for line in log.read_text("utf-8").splitlines())
    return dict(zip(names, np.array(rows, float).T, strict=True))
