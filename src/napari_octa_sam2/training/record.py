"""What a training leaves behind: weights, and the record of how they came about."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_octa_sam2 import __version__
from napari_octa_sam2.model.loading import REFINEMENT, file_sha256, split_head

if TYPE_CHECKING:
    from napari_octa_sam2.training.recipes import Phase

CURVE_POINTS = 30


def joined(network: Any, refinement: Any) -> dict[str, Tensor]:
    """Return the weights of both, as a checkpoint holds them."""
    head = {REFINEMENT + k: v for k, v in refinement.state_dict().items()}
    return {k: v.contiguous() for k, v in (network.state_dict() | head).items()}


def split_into(weights: Mapping[str, Tensor], network: Any, refinement: Any) -> None:
    """Load what `joined` returned."""
    own, head = split_head(weights)
    network.load_state_dict(own)
    refinement.load_state_dict(head)


def mean_weights(ends: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of weights of the same network; of counts, the first."""
    first, *_ = ends
    return {
        key: torch.stack([end[key] for end in ends]).mean(0)
        if value.is_floating_point()
        else value
        for key, value in first.items()
    }


def export(
    weights: Mapping[str, Tensor],
    folder: Path,
    name: str,
    phases: Sequence[Phase],
    about: Mapping[str, Any],
) -> Path:
    """Write ``<name>.safetensors`` in half precision and ``<name>.json`` beside it.

    Parameters
    ----------
    weights : mapping of str to Tensor
    folder : Path
        Holds the folders of the phases with their logs.
    name : str
    phases : sequence of Phase
    about : mapping
        Joins the record.
    """
    path = folder / f"{name}.safetensors"
    halves = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    save_file(halves, path)
    record: dict[str, Any] = {
        "recipe": name,
        "version": __version__,
        "sha256": file_sha256(path),
        "bytes": path.stat().st_size,
        **about,
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


def _seconds(log: Path) -> float:
    return float(sum(_columns(log)["seconds"]))


def _curves(folder: Path, phases: Sequence[Phase]) -> dict[str, dict[str, Any]]:
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
