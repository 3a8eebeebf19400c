"""The main job on real depth slices, where they are there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from statistics import fmean

import pytest

from napari_octa_sam2.model.loading import load_model

SCRIPT = Path(__file__).parents[1] / "docs" / "real_samples.py"


@pytest.mark.slow
def test_faz_and_large_vessels_of_a_real_subject(realdata):
    spec = importlib.util.spec_from_file_location("real_samples", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    report = script.measure(realdata, load_model())
    assert len(report["FAZ"]["FAZ"]) == 11
    assert len(report["RV"]) == 7
    best = [max(values) for values in report["RV"].values()]
    assert fmean(best) > 0.4
