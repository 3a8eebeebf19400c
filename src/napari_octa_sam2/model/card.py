"""The model card: what a network is, how it was trained, what was measured of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.files import write_whole
from napari_octa_sam2.model.download import checkpoint_path, is_available
from napari_octa_sam2.model.loading import REFINEMENT, resource
from napari_octa_sam2.model.registry import PROMPTLESS, ModelEntry

Rows = list[list[str]]
_STATISTICS = ("n", "mean", "sd", "min", "max")


def describe(entry: ModelEntry) -> dict[str, Any]:
    """Return the facts of the registry, and where the checkpoint is or will be."""
    return vars(entry) | {
        "path": str(checkpoint_path(entry)),
        "available": is_available(entry),
    }


def model_card(entry: ModelEntry) -> dict[str, Any]:
    """Return all that is known of a model, ready for JSON.

    Of a bundled model that is, beside `describe`: ``bytes``; ``parameters`` of the
    network, and of the refinement head where it is prompted; ``classes`` that can be
    asked for as a whole, or are found without a prompt; ``training``, the record of
    `read_record`. Of a promptless one also ``network``: its kind and settings.

    Raises
    ------
    ModelError
        If the bundled files cannot be read.
    """
    card = describe(entry)
    if entry.url is not None or not card["available"]:
        return card
    weights = checkpoint_path(entry)
    known = _promptless(entry) if entry.kind == PROMPTLESS else _prompted(entry)
    return card | {
        "bytes": weights.stat().st_size,
        **known,
        "training": read_record(weights.with_suffix(".json"), entry.sha256),
    }


def read_record(path: Path, sha256: str | None = None) -> dict[str, Any] | None:
    """Return the record of a training, as `training.record.export` writes it.

    None if there is none, or if it is of other weights than those of `sha256`.

    Raises
    ------
    ModelError
        If the file cannot be read.
    """
    if not path.is_file():
        return None
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path}: expected the record of a training, found {error}; install the "
            "package again, or export the training again"
        ) from error
    return record if sha256 in (None, record.get("sha256")) else None


def write_figures(path: Path, report: Mapping[str, Any]) -> None:
    """Put what a protocol measured into the record of the training.

    What was measured before of the same tasks is replaced, the rest is kept.

    Parameters
    ----------
    path : Path
        The record beside the weights.
    report : mapping
        As `evaluate --protocol clicks` writes it into ``clicks.json``, or automatic
        into ``automatic.json``.

    Raises
    ------
    ModelError
        If there is no record, if the run judged other weights, or if it was stopped or
        did not measure every sample of its tasks.
    """
    record = read_record(path)
    judged = report["record"]["model"]
    if record is None or record["sha256"] != judged["sha256"]:
        raise ModelError(
            f"{path}: expected the record of the weights that were judged "
            f"({judged['name']}, SHA-256 {judged['sha256'] or 'unknown'}), found "
            f"{'none' if record is None else record['sha256']}"
        )
    parts = [_label(task) for task in report["tasks"] if not task["complete"]]
    if parts or not report["complete"]:
        raise ModelError(
            "expected a run that measured every sample, found one that was stopped or "
            f"limited ({', '.join(parts) or 'no task is whole'}); run it again "
            "without --subjects"
        )
    known: dict[str, list[dict[str, Any]]] = {}
    for row in record.get("figures", []):
        known.setdefault(row["task"], []).append(row)
    keys = ("device", "precision", "threads")
    conditions = {key: report["record"][key] for key in keys}
    for task in report["tasks"]:
        known[_label(task)] = [row | conditions for row in _figures(task)]
    record["figures"] = [row for rows in known.values() for row in rows]
    write_whole(path, json.dumps(record, indent=1) + "\n")


def phase_rows(record: Mapping[str, Any]) -> Rows:
    """Return a header, and the settings and hours of each phase of a training."""
    rows = [["phase", "data", "clips", "steps", "learning rate", "seed", "hours"]]
    before = 0.0
    for phase in record["phases"]:
        clip, fit = phase["clip"], phase["fit"]
        shares = [f"{share:.0%} {name}" for name, share in phase["data"].items()]
        size = f"{clip['frames']} x {clip['native']} px"
        if not _is_promptless(phase):
            size += f" at {clip['size']}"
        hours = record["curves"][phase["name"]]["hours"][-1]
        numbers = [f"{fit['steps']}", f"{fit['learning_rate']:g}", f"{fit['seed']}"]
        took = f"{hours - before:.2f}"
        clips = f"{fit['clips']} of {size}"
        rows.append([phase["name"], ", ".join(shares), clips, *numbers, took])
        before = hours
    return rows


def figure_rows(record: Mapping[str, Any]) -> Rows:
    """Return a header, and the figures that `write_figures` has put into a record."""
    from napari_octa_sam2.protocol.report import figure_title

    rows = [["task", "figure", "n", "mean", "SD", "min", "max", "target", "met"]]
    for row in record.get("figures", []):
        met = {None: "", True: "yes", False: "no"}[row["met"]]
        numbers = [_number(row[key]) for key in _STATISTICS]
        title = figure_title(row["metric"])
        rows.append([row["task"], title, *numbers, row["target"] or "", met])
    return rows


def head_rows(record: Mapping[str, Any]) -> Rows:
    """Return a header, and Dice / clDice with and without the refinement head.

    Of what ``docs/studies.py`` has put into a record; without rows if it has not.
    """
    study = record.get("head", {})
    kinds = ("grid limit", "without", "with")
    rows = [["task", "limit of the mask grid", "without the head", "with the head"]]
    for task in study.get("with", {}):
        pairs = (study[kind][task] for kind in kinds)
        rows.append([task, *(" / ".join(f"{v:.3f}" for v in pair) for pair in pairs)])
    return rows


def _figures(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the figures that stand for a task."""
    from napari_octa_sam2.protocol.records import SLICE_DICE

    return [
        {"task": _label(task), "metric": figure["figure"]}
        | {key: figure[key] for key in _STATISTICS}
        | {"target": figure.get("target"), "met": figure.get("met")}
        for figure in task["figures"]
        if figure["figure"] in (*task["judged"], SLICE_DICE)
    ]


def _label(task: Mapping[str, Any]) -> str:
    return f"{task['task']} {task['split']}".strip()


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3g}"


def _is_promptless(phase: Mapping[str, Any]) -> bool:
    """Return whether a phase trained a network that sees clips at their own size."""
    return "network" in phase.get("trained", {}).get("parts", ())


def _promptless(entry: ModelEntry) -> dict[str, Any]:
    from napari_octa_sam2.model.promptless.model import load_promptless
    from napari_octa_sam2.model.promptless.network import count_parameters

    model = load_promptless(entry.name)
    config = model.network.config
    return {
        "parameters": {"network": count_parameters(model.network)},
        "classes": list(model.classes),
        "network": {"kind": config.kind, "settings": dict(config.settings)},
    }


def _prompted(entry: ModelEntry) -> dict[str, Any]:
    return {
        "parameters": _parameters(checkpoint_path(entry)),
        "classes": _classes(entry.config),
    }


def _parameters(weights: Path) -> dict[str, int]:
    from safetensors import SafetensorError, safe_open

    counts = {"network": 0, "refinement": 0}
    try:
        with safe_open(weights, framework="numpy") as file:
            for key in file.keys():  # noqa: SIM118, it is no mapping
                part = "refinement" if key.startswith(REFINEMENT) else "network"
                counts[part] += prod(file.get_slice(key).get_shape())
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{weights} is damaged ({error}); install the package again"
        ) from error
    return counts


def _classes(config: str) -> list[str]:
    from omegaconf import OmegaConf

    content: Any = OmegaConf.load(resource(f"configs/{config}"))
    return list(content["model"].get("classes", ()))
