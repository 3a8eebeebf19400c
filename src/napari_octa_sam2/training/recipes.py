"""Whole trainings by name; each writes all that is needed to repeat it."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_octa_sam2 import __version__
from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.model.loading import build_network, file_sha256
from napari_octa_sam2.training.clips import ClipConfig
from napari_octa_sam2.training.fit import FitConfig, StepReport, fit
from napari_octa_sam2.training.sources import (
    Mixture,
    PairFolder,
    PhantomProjections,
    PhantomVolumes,
    Source,
)


@dataclass(frozen=True)
class Phase:
    """One stretch of a recipe: what is seen, and how the network is fitted."""

    name: str
    clip: ClipConfig
    fit: FitConfig


OCTA_NANO = (
    # Single slices first: most of what there is to learn is to segment at a click.
    Phase(
        "1-slices",
        ClipConfig(frames=1, size=256, objects=6),
        FitConfig(steps=1300, clips=4, learning_rate=6e-4),
    ),
    # Then short sequences, which train the memory.
    Phase(
        "2-sequences",
        ClipConfig(frames=4, size=256, objects=3),
        FitConfig(steps=350, clips=3, learning_rate=3e-4, warmup=30, seed=1),
    ),
    # Then the resolution and the field of view of real use.
    Phase(
        "3-full-field",
        ClipConfig(frames=3, size=512, objects=4, crop=(0.8, 1.0), min_area=120),
        FitConfig(steps=420, clips=1, learning_rate=2e-4, warmup=30, seed=2),
    ),
    # The encoder knows vessels by now; following one of them is learned without it.
    Phase(
        "4-memory",
        ClipConfig(frames=5, size=256, objects=5, max_stride=1),
        FitConfig(
            steps=280,
            clips=3,
            learning_rate=4e-4,
            warmup=20,
            seed=3,
            frozen=("image_encoder",),
        ),
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


def octa_nano_source(rossa: Path | None) -> Source:
    """Return the data of octa-nano: phantoms and, where given, the ROSSA images.

    `rossa` is the folder that holds ROSSA's ``train_manual`` and ``train_sam``.
    """
    volumes, projections = PhantomVolumes(), PhantomProjections()
    if rossa is None:
        return Mixture(((volumes, 0.65), (projections, 0.35)))
    pairs = PairFolder([rossa / "train_manual", rossa / "train_sam"])
    return Mixture(((volumes, 0.5), (projections, 0.3), (pairs, 0.2)))


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
    source = octa_nano_source(rossa)
    phases = [_scaled(phase, step_factor) for phase in RECIPES[recipe]]
    torch.manual_seed(0)
    weights = build_network(f"{recipe}.yaml").state_dict()
    for phase in phases:
        finished = folder / phase.name / "weights.pt"
        if finished.exists():
            weights = torch.load(finished, map_location="cpu", weights_only=True)
            continue
        network = build_network(f"{recipe}.yaml", input_size=phase.clip.size)
        network.load_state_dict(weights)
        for report in fit(
            network,
            source,
            phase.clip,
            phase.fit,
            folder / phase.name,
            should_stop=should_stop,
        ):
            yield RecipeReport(phase.name, phase.fit.steps, report)
            if report.step + 1 < phase.fit.steps and should_stop():
                return
        weights = network.state_dict()
        torch.save(weights, finished)
    export(weights, folder, recipe, phases, rossa is not None)


def export(
    weights: dict[str, torch.Tensor],
    folder: Path,
    recipe: str,
    phases: list[Phase],
    with_rossa: bool,
) -> Path:
    """Write half-precision weights and the record of how they came about."""
    from safetensors.torch import save_file

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
    return Phase(phase.name, phase.clip, FitConfig(**settings))


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
            for key in ("loss", "prompted_dice", "tracked_dice")
        }
    return curves


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(known.mean()), 4) if known.size else None


def _columns(log: Path) -> dict[str, np.ndarray]:
    names, *rows = (line.split(",") for line in log.read_text("utf-8").splitlines())
    return dict(zip(names, np.array(rows, float).T, strict=True))
