from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from napari_octa_sam2.cli import app
from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model import download, registry
from napari_octa_sam2.model.appearance import Appearance
from napari_octa_sam2.model.card import (
    figure_rows,
    head_rows,
    model_card,
    phase_rows,
    read_record,
    write_figures,
)
from napari_octa_sam2.model.loading import file_sha256
from napari_octa_sam2.model.promptless.config import NetworkConfig
from napari_octa_sam2.model.promptless.model import write_promptless
from napari_octa_sam2.model.promptless.network import (
    PromptlessNetwork,
    count_parameters,
)
from napari_octa_sam2.model.registry import get_entry
from napari_octa_sam2.protocol.records import Sample, Target, TaskReport
from napari_octa_sam2.protocol.report import Report

PHASES = [
    {
        "name": "1-a",
        "data": {"volumes": 0.25, "rossa": 0.75},
        "clip": {"frames": 1, "native": 160, "size": 256},
        "fit": {"steps": 2, "clips": 4, "learning_rate": 4e-4, "seed": 0},
    },
    {
        "name": "2-b",
        "data": {"volumes": 1.0},
        "clip": {"frames": 3, "native": 160, "size": 256},
        "fit": {"steps": 2, "clips": 4, "learning_rate": 4e-4, "seed": 7},
    },
]


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """Weights of 6 and 4 parameters with their record, in place of octa-nano's."""
    path = tmp_path / "octa-nano.safetensors"
    weights = {"a": torch.zeros(2, 3), "refinement.b": torch.zeros(4)}
    save_file({k: v.half() for k, v in weights.items()}, path)
    sha256 = file_sha256(path)
    record = {
        "recipe": "octa-nano",
        "version": "1.0",
        "sha256": sha256,
        "data": ["phantom", "ROSSA (MIT licence)"],
        "phases": PHASES,
        "seconds": 7200,
        "curves": {"1-a": {"hours": [1.0]}, "2-b": {"hours": [2.0]}},
        "machine": {"torch": "2"},
        "finished": "2026-01-01",
    }
    path.with_suffix(".json").write_text(json.dumps(record))
    monkeypatch.setattr(download, "BUNDLED_FOLDER", tmp_path)
    entry = replace(get_entry("octa-nano"), sha256=sha256)
    monkeypatch.setitem(registry.MODELS, "octa-nano", entry)
    return entry


def report(sha256, *dice, name="rossa", split="val", available=None):
    samples = tuple(
        Sample(f"{n}", {"dice@0": d, "cldice@0": d / 2, "dice@1": 1.0})
        for n, d in enumerate(dice)
    )
    judged, targets = ("dice@0", "cldice@0"), {"dice@0": Target(0.9)}
    task = TaskReport(
        *(name, split, "title", "prompts", judged, targets),
        *(available or len(dice), len(dice), samples),
    )
    model = {"name": "octa-nano", "sha256": sha256}
    record = {"model": model, "device": "cpu", "precision": "fp32", "threads": 2}
    return Report(record, (task,), complete=True).to_json()


def record_of(entry):
    return download.checkpoint_path(entry).with_suffix(".json")


def test_the_card_tells_size_classes_and_training(bundled):
    card = model_card(bundled)
    assert card["parameters"] == {"network": 6, "refinement": 4}
    assert card["bytes"] == Path(card["path"]).stat().st_size
    assert card["classes"] == ["RV", "artery", "vein", "capillary", "vessel", "FAZ"]
    assert card["training"]["phases"][1] == PHASES[1]
    header, first, second = phase_rows(card["training"])
    assert dict(zip(header, first, strict=True)) == {
        "phase": "1-a",
        "data": "25% volumes, 75% rossa",
        "clips": "4 of 1 x 160 px at 256",
        "steps": "2",
        "learning rate": "0.0004",
        "seed": "0",
        "hours": "1.00",
    }
    assert (second[0], second[-2:]) == ("2-b", ["7", "1.00"])


def test_a_record_of_other_weights_is_not_shown(bundled):
    other = replace(bundled, sha256="0" * 64)
    assert model_card(other)["training"] is None
    record_of(bundled).unlink()
    assert model_card(bundled)["training"] is None


def test_damaged_files_are_told(bundled):
    record_of(bundled).write_text("{")
    with pytest.raises(ModelError, match="expected the record of a training"):
        model_card(bundled)
    download.checkpoint_path(bundled).write_bytes(b"nothing")
    with pytest.raises(ModelError, match="is damaged"):
        model_card(bundled)


def test_an_official_model_is_what_the_registry_says(tmp_path, monkeypatch):
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path))
    card = model_card(get_entry("sam2.1_hiera_tiny"))
    assert card["available"] is False
    assert card["licence"] == "Apache-2.0"
    assert "training" not in card


def test_figures_join_the_record_task_by_task(bundled):
    path, sha256 = record_of(bundled), bundled.sha256
    write_figures(path, report(sha256, 0.5, 0.7))
    write_figures(path, report(sha256, 0.95, name="artery", split=""))
    write_figures(path, report(sha256, 0.8, 0.9))
    rows = read_record(path)["figures"]
    assert [(r["task"], r["metric"]) for r in rows] == [
        *(("rossa val", "dice@0"), ("rossa val", "cldice@0")),
        *(("artery", "dice@0"), ("artery", "cldice@0")),
    ]
    assert rows[0] == {
        "task": "rossa val",
        "metric": "dice@0",
        "n": 2,
        "mean": pytest.approx(0.85),
        "sd": pytest.approx(0.0707, abs=1e-4),
        "min": 0.8,
        "max": 0.9,
        "target": ">= 0.9",
        "met": False,
        "device": "cpu",
        "precision": "fp32",
        "threads": 2,
    }
    _, first, *_ = figure_rows(read_record(path))
    assert first[:4] == ["rossa val", "Dice, class prompt", "2", "0.85"]
    assert first[-2:] == [">= 0.9", "no"]
    # the figure of one sample has no deviation
    assert figure_rows(read_record(path))[3][4] == "n/a"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "1" * 64}, "of the weights that were judged"),
        ({"available": 3}, "limited \\(rossa val\\)"),
        ({"complete": False}, "was stopped"),
    ],
)
def test_figures_that_do_not_belong_are_refused(bundled, change, message):
    path = record_of(bundled)
    before = path.read_bytes()
    given = report(
        change.get("sha256", bundled.sha256), 0.5, available=change.get("available")
    )
    given["complete"] = change.get("complete", True)
    with pytest.raises(ModelError, match=message):
        write_figures(path, given)
    assert path.read_bytes() == before


def test_models_info_prints_the_card(bundled):
    write_figures(record_of(bundled), report(bundled.sha256, 0.5, 0.75))
    shown = CliRunner().invoke(app, ["models", "info", "octa-nano"])
    assert shown.exit_code == 0, shown.output
    text = " ".join(shown.stdout.split())
    assert f"SHA-256 {bundled.sha256}" in text
    assert "parameters 6, and 4 of the refinement head" in text
    assert "licence BSD-3-Clause" in text
    assert "trained 2.0 h" in text
    assert "rossa val Dice, class prompt 2 0.625 0.177 0.5 0.75 >= 0.9 no" in text
    told = CliRunner().invoke(app, ["models", "info", "octa-nano", "--json"])
    assert json.loads(told.stdout) == json.loads(json.dumps(model_card(bundled)))


@pytest.fixture
def promptless(tmp_path, monkeypatch):
    """A small promptless model with its record, in place of octa-auto."""
    torch.manual_seed(0)
    config = NetworkConfig("block-unet", ("RV", "FAZ"), {"channels": [4, 8]})
    network = PromptlessNetwork(config)
    path = tmp_path / "octa-auto.safetensors"
    write_promptless(path, config, Appearance(), network.state_dict())
    sha256 = file_sha256(path)
    phase = {
        "name": "training",
        "data": {"given": 0.5, "phantom projections": 0.5},
        "trained": {"parts": {"network": 2e-3}},
        "clip": {"frames": 1, "native": 256, "size": 512},
        "fit": {"steps": 9, "clips": 4, "learning_rate": 2e-3, "seed": 0},
    }
    record = {
        "recipe": "octa-auto",
        "version": "1.0",
        "sha256": sha256,
        "data": ["given", "phantom projections", "rossa/train_manual"],
        "averaged": [],
        "phases": [phase],
        "seconds": 3600,
        "curves": {"training": {"hours": [1.0]}},
        "machine": {"torch": "2"},
        "finished": "2026-01-01",
        "model": None,
    }
    path.with_suffix(".json").write_text(json.dumps(record))
    monkeypatch.setattr(download, "BUNDLED_FOLDER", tmp_path)
    entry = replace(get_entry("octa-auto"), sha256=sha256)
    monkeypatch.setitem(registry.MODELS, "octa-auto", entry)
    return entry, count_parameters(network)


def test_the_card_of_a_promptless_model(promptless):
    entry, count = promptless
    card = model_card(entry)
    assert card["parameters"] == {"network": count}
    assert card["classes"] == ["RV", "FAZ"]
    assert card["network"] == {"kind": "block-unet", "settings": {"channels": [4, 8]}}
    assert card["bytes"] == Path(card["path"]).stat().st_size
    header, row = phase_rows(card["training"])
    assert dict(zip(header, row, strict=True))["clips"] == "4 of 1 x 256 px"
    assert model_card(replace(entry, sha256="0" * 64))["training"] is None
    shown = CliRunner().invoke(app, ["models", "info", "octa-auto"])
    assert shown.exit_code == 0, shown.output
    text = " ".join(shown.stdout.split())
    assert "kind promptless input any size" in text
    assert f"parameters {count:,} architecture block-unet" in text
    assert "classes RV, FAZ" in text
    assert "No figures have been measured." in text
    download.checkpoint_path(entry).write_bytes(b"nothing")
    with pytest.raises(ModelError, match="octa-auto"):
        model_card(entry)


def test_the_page_of_a_promptless_model(promptless):
    entry, count = promptless
    page = docs_script("model_card")
    assert "None have been measured" in page.render(model_card(entry))
    samples = (Sample("1", {"dice@auto": 0.9, "above Frangi": 1.0}),)
    judged, targets = ("dice@auto", "above Frangi"), {"dice@auto": Target(0.95)}
    task = TaskReport("rossa", "val", "t", "p", judged, targets, 1, 1, samples)
    model = {"name": "octa-auto", "sha256": entry.sha256}
    measured = {"model": model, "device": "cpu", "precision": "bf16", "threads": 1}
    write_figures(record_of(entry), Report(measured, (task,), complete=True).to_json())
    text = page.render(model_card(entry))
    assert "# Model card: octa-auto" in text
    assert f"| parameters | {count:,} |" in text
    assert "channels 4, 8" in text
    assert "MIT licence, copyright 2023 Haojian Ning" in text
    assert "Procedural phantoms" in text
    assert "Nothing of OCTA-500" in text
    assert "train --recipe octa-auto --data rossa/train_manual" in text
    assert "| rossa val | Dice, no prompt | 1 | 0.9 |" in text
    assert "Measured on cpu (bf16, 1 thread). Targets missed: rossa val." in text
    assert "not for diagnosis" in text


def test_the_page_is_made_from_the_record(bundled):
    page = docs_script("model_card")
    text = page.render(model_card(bundled))
    assert "None have been measured" in text
    write_figures(record_of(bundled), report(bundled.sha256, 0.5, 0.75))
    text = page.render(model_card(bundled))
    assert f"| SHA-256 | `{bundled.sha256}` |" in text
    assert "train --recipe octa-nano --data rossa/train_manual" in text
    assert "2.0 hours on one machine" in text
    assert (
        "| 2-b | 100% volumes | 4 of 3 x 160 px at 256 | 2 | 0.0004 | 7 | 1.00 |"
        in (text)
    )
    assert "| rossa val | Dice, class prompt | 2 | 0.625 |" in text
    assert "Measured on cpu (fp32, 2 threads). Targets missed: rossa val." in text


def docs_script(name):
    path = Path(__file__).parents[2] / "docs" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_the_head_brings_is_a_table_of_three_kinds():
    study = {
        "grid limit": {"rossa val": [0.8456, 0.8751]},
        "without": {"rossa val": [0.7434, 0.724]},
        "with": {"rossa val": [0.8852, 0.9069]},
    }
    _, row = head_rows({"head": study})
    assert row == ["rossa val", "0.846 / 0.875", "0.743 / 0.724", "0.885 / 0.907"]
    assert len(head_rows({})) == 1
