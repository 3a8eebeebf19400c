from __future__ import annotations

import json

import pytest

from napari_octa_sam2.engine import probe
from napari_octa_sam2.engine.device import choose_compute


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_OCTA_SAM2_CACHE", str(tmp_path))
    probe.is_bf16_faster.cache_clear()
    yield tmp_path
    probe.is_bf16_faster.cache_clear()


@pytest.mark.parametrize(("speed", "precision"), [(4.0, "bf16"), (1.1, "fp32")])
def test_the_measured_speed_chooses_once_and_for_all(
    cache, monkeypatch, speed, precision
):
    monkeypatch.setattr(probe, "bf16_speed", lambda: speed)
    assert choose_compute("cpu").precision == precision
    assert list(json.loads((cache / "bf16_speed.json").read_text()).values()) == [speed]
    probe.is_bf16_faster.cache_clear()
    monkeypatch.setattr(probe, "bf16_speed", lambda: 9.0 / speed)
    assert choose_compute("cpu").precision == precision


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"other": "x"}'])
def test_a_damaged_record_is_measured_anew(cache, monkeypatch, text):
    (cache / "bf16_speed.json").write_text(text)
    monkeypatch.setattr(probe, "bf16_speed", lambda: 3.0)
    assert probe.is_bf16_faster()


def test_a_cache_that_cannot_be_written_to_is_no_obstacle(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NAPARI_OCTA_SAM2_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(probe, "bf16_speed", lambda: 3.0)
    assert probe.is_bf16_faster()


def test_the_measure_is_a_ratio():
    assert 0.01 < probe.bf16_speed() < 100
