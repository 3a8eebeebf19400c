"""What is measured with, against known truth."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.profiler import record_function

from napari_octa_sam2.bench import machine
from napari_octa_sam2.bench.agreement import Agreement
from napari_octa_sam2.bench.gauge import Gauge
from napari_octa_sam2.bench.runs import race
from napari_octa_sam2.bench.scene import clicks, volume
from napari_octa_sam2.bench.stages import (
    clock,
    counted,
    marked_flops,
    marked_seconds,
    watched,
)
from napari_octa_sam2.bench.stock import _replaced
from napari_octa_sam2.engine.device import Compute
from napari_octa_sam2.volume.phantom import make_enface

CPU = torch.device("cpu")


def answer(**logits):
    arrays = {int(k[1:]): np.array(v, np.float32) for k, v in logits.items()}
    return SimpleNamespace(slice=0, logits=arrays)


class TestAgreement:
    def test_worst_of_all_objects(self):
        found = Agreement()
        found.add(
            answer(o1=[[1, 2, -3]], o2=[[1, 1, 1]]),
            answer(o1=[[1, -2, -3]], o2=[[1, 1, 1.5]]),
        )
        assert found.figures() == {
            "min IoU": 0.5,
            "mean IoU": 0.75,
            "worst logit difference": 4,
        }
        assert found.raw() == {
            "masks_compared": 2,
            "foreground_share": [pytest.approx(2 / 3), 1],
        }

    def test_two_empty_masks_are_equal(self):
        found = Agreement()
        found.add(answer(o1=[[-1, -2]]), answer(o1=[[-1, -1]]))
        assert found.figures() == {
            "min IoU": 1,
            "mean IoU": 1,
            "worst logit difference": 1,
        }

    def test_nothing_compared_is_not_measured(self):
        assert set(Agreement().figures().values()) == {None}


class TestStages:
    M, K, N = 30, 40, 50

    def product(self):
        return torch.mm(torch.ones(self.M, self.K), torch.ones(self.K, self.N))

    def test_work_of_a_product_is_analytic(self):
        def work():
            self.product()  # outside of every stage
            with record_function("recall"):
                self.product()
                with record_function("something else"):
                    self.product()

        with torch.inference_mode():
            found = marked_flops(work)
        assert found == {"recall": 2 * 2 * self.M * self.K * self.N}

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_work_of_attention_is_analytic(self, dtype):
        q, k = (
            torch.ones(1, 2, 7, 16, dtype=dtype),
            torch.ones(1, 2, 9, 16, dtype=dtype),
        )

        def work():
            with record_function("recall"):
                F.scaled_dot_product_attention(q, k, k)

        with torch.inference_mode():
            found = marked_flops(work)
        assert found == {"recall": 2 * 2 * 7 * 9 * (16 + 16)}

    def test_work_of_a_module_is_analytic(self):
        layer = torch.nn.Linear(self.K, self.N)
        with torch.inference_mode(), counted() as meter:
            with watched({"decode": layer}, meter):
                layer(torch.ones(self.M, self.K))
            layer(torch.ones(self.M, self.K))  # no longer watched
        assert dict(meter.totals) == {"decode": 2 * self.M * self.K * self.N}

    def test_seconds_of_marks_and_modules_are_of_their_stages(self):
        layer = torch.nn.Linear(200, 200)
        meter = clock(CPU)

        def work():
            for _ in range(3):
                with record_function("encode"):
                    layer(torch.ones(200, 200))
                with record_function("not a stage"):
                    layer(torch.ones(200, 200))

        with watched({"encode": layer}, meter):
            seconds = marked_seconds(work, CPU)
        assert set(seconds) == {"encode"}
        assert seconds["encode"] > 0
        assert meter.totals["encode"] > 0


class TestMachine:
    def test_peak_of_each_shape(self):
        found = machine.matmul_peak(Compute(CPU, "fp32"))
        assert list(found) == ["4096x256x4096", "2048x2048x2048", "4096x4096x256"]
        assert min(found.values()) > 0

    @pytest.mark.parametrize(
        ("text", "name", "flags"),
        [
            (
                "processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\n"
                "flags\t\t: fpu avx2 avx512_bf16 amx_bf16 sse\n\nprocessor\t: 1\n",
                "Fast CPU @ 3 GHz",
                ["avx2", "avx512_bf16", "amx_bf16"],
            ),
            ("processor: 0\nFeatures: fp asimd bf16\n", None, ["asimd", "bf16"]),
        ],
    )
    def test_processor(self, tmp_path, monkeypatch, text, name, flags):
        path = tmp_path / "cpuinfo"
        path.write_text(text)
        monkeypatch.setattr(machine, "_CPUINFO", path)
        found = machine.describe(Compute(CPU, "fp32"))
        assert found["processor_flags"] == flags
        assert found["processor"] == name or name is None
        assert found["processor"]
        assert found["versions"]["torch"] == torch.__version__


def test_gauge_sees_what_was_given_back():
    gauge = Gauge(CPU)
    block = np.ones(25_000_000)  # 200 MB
    del block
    assert 190e6 < gauge.peak() < 260e6


class TestScene:
    def test_slices_drift_by_a_pixel(self):
        data = volume(4, 64, seed=1)
        assert data.shape == (4, 64, 64)
        np.testing.assert_array_equal(data[3, :, 3:], data[0, :, :-3])

    def test_clicks_are_on_vessels_one_an_object(self):
        prompts = clicks(16, 64, seed=1)
        _, masks, _ = make_enface(1, 64, 1.0)
        assert [p.object for p in prompts] == list(range(1, 17))
        assert len({p.points for p in prompts}) == 16
        for prompt in prompts:
            (row, col), *_ = prompt.points
            assert masks["vessel"][int(row), int(col)]
            assert prompt.slice == 0


class Counter:
    """A run that knows its slices, and notes when it was asked for them."""

    device, precision = CPU, "fp32"

    def __init__(self, name, slices, asked):
        self.name, self.slices, self.asked = name, slices, asked

    def follow(self, start=None):
        for index in range(self.slices):
            self.asked.append(f"{self.name}{index}")
            yield SimpleNamespace(slice=index, logits={})


def test_runs_take_turns_in_who_comes_first(watch):
    asked = []
    runs = Counter("a", 3, asked), Counter("b", 3, asked)
    pairs = list(race(runs, watch))
    assert asked == ["a0", "b0", "b1", "a1", "a2", "b2"]
    assert [(a.answer.slice, b.answer.slice) for a, b in pairs] == [
        (0, 0),
        (1, 1),
        (2, 2),
    ]


def test_what_was_replaced_in_stock_comes_back():
    from sam2 import sam2_video_predictor as module

    original = module.tqdm
    with _replaced("tqdm", None):
        assert module.tqdm is None
    assert module.tqdm is original
    with pytest.raises(ZeroDivisionError), _replaced("tqdm", None):
        1 / 0  # noqa: B018
    assert module.tqdm is original
