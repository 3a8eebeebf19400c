"""What a training leaves behind: weights, and the record of how they came about."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_octa_sam2 import __version__
from napari_octa_sam2.files import file_sha256, write_whole
from napari_octa_sam2.tables import piped
from napari_octa_sam2.training.data.problems import hashes
from napari_octa_sam2.training.data.splits import Split
from napari_octa_sam2.training.folder import (
    Status,
    TrainingFolder,
    read_columns,
)
from napari_octa_sam2.training.learner import Learner
from napari_octa_sam2.training.recipe import Phase, Recipe
from napari_octa_sam2.training.teacher import Teacher

CURVE_POINTS = 30
CURVES = ("loss", "prompted_dice", "followed_dice", "class_dice")
PACKAGES = ("torch", "sam2", "peft", "accelerate", "numpy")


def mean_weights(ends: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of weights of the same network; of counts, the first."""
    first, *_ = ends
    return {
        key: torch.stack([end[key] for end in ends]).mean(0)
        if value.is_floating_point()
        else value
        for key, value in first.items()
    }


def write_record(folder: TrainingFolder, recipe: Recipe, split: Split) -> None:
    """Write what a training needs to be repeated: versions, machine, data, hashes."""
    record = {
        "recipe": recipe.name,
        "version": __version__,
        "environment": _environment(),
        "data": {
            "training": hashes(split.training),
            "validation": hashes(split.validation),
            "left out": [sample.name for sample in split.left_out],
        },
    }
    write_whole(folder.record, json.dumps(record, indent=1) + "\n")


def write_result(
    folder: TrainingFolder,
    recipe: Recipe,
    teacher: Teacher,
    trained: Learner,
    status: Status,
) -> None:
    """Write the model, its settings, its record and its card into ``model/``."""
    folder.model.mkdir(exist_ok=True)
    file = folder.model / f"{teacher.stem}.safetensors"
    write_whole(file.with_suffix(".recipe.yaml"), recipe.to_yaml())
    teacher.write(file, trained)
    record = _record(folder, recipe, status) | {
        "sha256": file_sha256(file),
        "bytes": file.stat().st_size,
        "model": None
        if teacher.base is None
        else {"name": recipe.model, "sha256": teacher.base["sha256"]},
    }
    write_whole(file.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    write_whole(file.with_suffix(".md"), _card(recipe, record, folder))


def _record(folder: TrainingFolder, recipe: Recipe, status: Status) -> dict[str, Any]:
    curves = _curves(folder, recipe.phases)
    data = sorted({name for phase in recipe.phases for name in phase.data.mix})
    return {
        "recipe": recipe.name,
        "version": __version__,
        "data": [*data, *recipe.given],
        "averaged": list(recipe.averaged),
        "phases": [_summary(phase, curves) for phase in recipe.phases],
        "seconds": round(max(c["hours"][-1] for c in curves.values()) * 3600),
        "curves": curves,
        "validation": {"before": status.baseline, "best": status.best},
        "machine": _environment(),
        "finished": time.strftime("%Y-%m-%d"),
    }


def _summary(phase: Phase, curves: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `model.card.phase_rows` shows of a phase, beside all settings."""
    settings = asdict(phase)
    fit = settings["fit"] | {
        "learning_rate": max(phase.trained.parts.values()),
        "steps": curves[phase.name]["steps"],
    }
    return settings | {"data": phase.data.mix, "fit": fit, "sources": settings["data"]}


def _environment() -> dict[str, Any]:
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {
        "processor": platform.machine(),
        "device": device,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **packages,
    }


def _curves(folder: TrainingFolder, phases: Sequence[Phase]) -> dict[str, Any]:
    """Return each phase's log, averaged over stretches, against hours of training."""
    columns = {k: np.array(v) for k, v in read_columns(folder.log).items()}
    curves: dict[str, Any] = {}
    before = 0.0
    for phase in phases:
        own = columns["phase"] == phase.name
        seconds = columns["seconds"][own].astype(float)
        hours = (before + np.cumsum(seconds)) / 3600
        before += float(seconds.sum())
        count = len(hours)
        parts = np.array_split(np.arange(count), min(CURVE_POINTS, count))
        curves[phase.name] = {
            "steps": count,
            "hours": [round(float(hours[i[-1]]), 4) for i in parts],
        } | {
            key: [_mean(columns[key][own].astype(float)[i]) for i in parts]
            for key in CURVES
        }
    return curves


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(known.mean()), 4) if known.size else None


def _card(recipe: Recipe, record: Mapping[str, Any], folder: TrainingFolder) -> str:
    """Return the model card, Markdown (Mitchell et al., "Model cards", 2019)."""
    base = record["model"]
    facts = [
        ["", ""],
        ["recipe", recipe.name],
        ["fine-tuned from", base["name"] if base else "random weights"],
        ["SHA-256", record["sha256"]],
        ["size [MB]", f"{record['bytes'] / 1e6:.1f}"],
        ["training time [h]", f"{record['seconds'] / 3600:.2f}"],
        ["trained on", record["machine"]["device"]],
        ["napari-octa-sam2", record["version"]],
    ]
    known = json.loads(folder.record.read_text("utf-8"))["data"]
    counts = {part: len(known[part]) for part in ("training", "validation")}
    before, best = (record["validation"][key] for key in ("before", "best"))
    judged = "No subject was held out: how good it is, nobody has measured."
    if best is not None:
        judged = (
            f"Mean Dice of {counts['validation']} samples of subjects that were held "
            f"out: {before:.3f} before training, {best:.3f} after it. Each was "
            "prompted by its class, or by one click where the model cannot be asked "
            "for it. The best of several states was chosen on these samples."
        )
    return "\n".join(
        [
            f"# {recipe.name}",
            "",
            recipe.about,
            "",
            piped(facts),
            "",
            f"Learned from {', '.join(record['data'])}: {counts['training']} samples. "
            f"Names and hashes of their files are in `{folder.record.name}`, all "
            "settings in the recipe beside this card.",
            "",
            judged,
            "",
            "For research; not for diagnosis. Scans of other devices, fields of view "
            "or diseases than it learned from have to be checked by eye.",
            "",
        ]
    )
