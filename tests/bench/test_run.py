from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_octa_sam2.bench import run as bench
from napari_octa_sam2.bench.run import CASES, run_bench
from napari_octa_sam2.bench.settings import CASE_NAMES, Settings
from napari_octa_sam2.errors import ModelError, OctaError


def test_every_case_has_its_name():
    assert tuple(CASES) == CASE_NAMES


def test_rows_are_as_many_as_were_announced(settings):
    told = []
    settings = replace(settings, cases=("gpu",), objects=(1, 2), threads=1)
    report = run_bench(settings, progress=lambda *state: told.append(state))
    assert report.complete
    assert len(report.rows) == CASES["gpu"].count(settings) == 4
    assert told[0] == (0, 4, "gpu, sam2.1_hiera_tiny, objects 1")
    assert told[-1] == (4, 4, "")
    assert report.record["threads"] == 1
    assert report.record["settings"]["seed"] == 0
    assert report.record["weights"] == "random"


def test_what_is_done_is_kept_when_stopped(settings):
    looked = []

    def cancelled() -> bool:
        looked.append(1)
        return len(looked) > 1

    report = run_bench(replace(settings, cases=("gpu",)), cancelled=cancelled)
    assert not report.complete
    assert len(report.rows) == 1


def test_the_threads_are_as_they_were(settings, monkeypatch):
    class Failing:
        count = staticmethod(lambda settings: 1)

        @staticmethod
        def measure(settings, watch):
            assert torch.get_num_threads() == before + 1
            raise ZeroDivisionError

    before = torch.get_num_threads()
    monkeypatch.setitem(bench.CASES, "speed", Failing)
    with pytest.raises(ZeroDivisionError):
        run_bench(replace(settings, cases=("speed",), threads=before + 1))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cases": ("nose",)}, "expected a case of speed, .*found nose"),
        ({"cases": ()}, "found none"),
        ({"model": "sam3"}, "unknown model 'sam3'"),
        ({"sizes": (512, 1000)}, "multiples of 64, found 1000"),
        ({"sizes": (0,)}, "multiples of 64, found 0"),
        ({"objects": (1, 0)}, "objects of at least 1, found 0"),
        ({"repeats": 0}, "repeats of at least 1"),
        ({"slices": (64, 3)}, "slices of at least 4, found 3"),
        ({"pixels": 10}, "pixels of at least 32"),
        ({"threads": 0}, "threads of at least 1"),
        ({"sample": 0}, "sample of at least 1"),
        ({"feature_mb": -1}, "feature_mb of at least 0"),
        ({"device": "tpu"}, "expected a device of auto"),
        ({"precision": "int4"}, "expected a precision of auto"),
        ({"attention": "sparse"}, "expected attention of exact, pooled"),
    ],
)
def test_what_cannot_be_measured_is_refused(wrong, message):
    with pytest.raises(OctaError, match=message):
        replace(Settings(), **wrong).check()


def test_a_device_that_is_not_there_is_refused(settings):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ModelError, match="expected a device"):
        run_bench(replace(settings, device="cuda"))


def test_settings_as_json_and_back():
    settings = Settings(sizes=(512, 1024), slices=(4,), threads=2)
    import json

    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
