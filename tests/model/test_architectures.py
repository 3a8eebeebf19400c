from __future__ import annotations

import json
import sys

import pytest
import torch
from typer.testing import CliRunner

from napari_octa_sam2.cli import app
from napari_octa_sam2.model import architectures
from napari_octa_sam2.model.architectures import Example, describe, examples, measure
from napari_octa_sam2.model.promptless.config import ARCHITECTURES
from napari_octa_sam2.protocol.automatic import speed


@pytest.fixture(autouse=True)
def _small_slice(monkeypatch):
    monkeypatch.setattr(speed, "SIZE", 64)


def test_every_architecture_is_an_example():
    labels = [each.label for each in examples()]
    assert {each.kind for each in examples()} == set(ARCHITECTURES)
    assert [n for n in labels if n.startswith("snake")] == [
        *("snake-unet s", "snake-unet m", "snake-unet l")
    ]
    assert [each.label for each in examples("unet")] == ["unet"]


def test_settings_are_those_of_the_network():
    assert describe("block-unet") == {
        "name": "block-unet",
        "title": "U-net on blocks of 2 x 2 pixels",
        "source": "Ronneberger et al., U-Net, MICCAI 2015",
        "multiple": 1,
        "settings": {"channels": (48, 96, 144, 192)},
    }
    assert describe("snake-unet")["settings"]["width"] == 72
    assert set(describe("swin-unetr")["settings"]) == {
        *("feature_size", "depths", "drop_rate")
    }


def test_a_network_is_counted_and_timed():
    row = measure(Example("block-unet", settings={"channels": [8]}))
    assert row["parameters"] == sum(
        p.numel() for p in _network("block-unet", {"channels": [8]}).parameters()
    )
    assert row["milliseconds"] > 0
    assert row["missing"] is None


def test_a_huge_network_is_counted_without_its_weights(monkeypatch):
    def never(*arguments):
        raise AssertionError("timed")

    monkeypatch.setattr(architectures, "_milliseconds", never)
    *_, large = examples("snake-unet")
    row = measure(large)
    assert 300e6 < row["parameters"] < 310e6
    assert row["milliseconds"] is None
    assert torch.get_default_device() == torch.device("cpu")


def test_what_is_not_installed_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "monai", None)
    row = measure(Example("unet"))
    assert row["parameters"] is row["milliseconds"] is None
    assert "MONAI" in row["missing"]
    assert "pip install napari-octa-sam2[monai]" in row["missing"]


@pytest.fixture
def run(monkeypatch):
    """Run `models info`, of small networks only."""
    chosen = [
        Example("block-unet", settings={"channels": [8]}),
        Example("snake-unet", "l", {"width": 2, "depth": 1}, timed=False),
        Example("unet"),
    ]
    monkeypatch.setattr(
        architectures,
        "examples",
        lambda kind: [each for each in chosen if kind in (None, each.kind)],
    )
    monkeypatch.setitem(sys.modules, "monai", None)
    return lambda *arguments: CliRunner().invoke(app, ["models", "info", *arguments])


def test_all_are_printed_with_what_the_time_depends_on(run):
    result = run()
    assert result.exit_code == 0, result.output
    header, _, columns, *rows = result.stdout.splitlines()
    assert f"threads: {torch.get_num_threads()}" in header
    assert "slice [ms]" in columns
    assert [row.split()[0] for row in rows] == ["block-unet", "snake-unet", "unet"]
    assert "not timed" in rows[1]
    assert "unknown" in rows[2]
    assert "[monai]" in rows[2]
    assert "networks 3/3" in result.stderr


def test_one_is_printed_with_its_settings(run):
    result = run("block-unet")
    assert result.exit_code == 0, result.output
    assert "channels: (48, 96, 144, 192)" in result.stdout
    assert "snake" not in result.stdout
    told = json.loads(run("block-unet", "--json").stdout)
    assert told["settings"] == {"channels": [48, 96, 144, 192]}
    assert {"device", "precision", "threads"} <= set(told)
    assert [row["name"] for row in told["architectures"]] == ["block-unet"]


def _network(kind, settings):
    from napari_octa_sam2.model.promptless.config import NetworkConfig
    from napari_octa_sam2.model.promptless.network import PromptlessNetwork

    return PromptlessNetwork(NetworkConfig(kind, settings=settings))
