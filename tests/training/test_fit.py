"""The training loop: schedules, averages, interruptions, and several processes."""

from __future__ import annotations

import errno
import importlib
import math
import multiprocessing
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor, nn

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.model.adapters.config import AdapterConfig
from napari_octa_sam2.model.loading import build_network, build_refinement
from napari_octa_sam2.training.checkpoint import (
    Average,
    load_checkpoint,
    save_checkpoint,
)
from napari_octa_sam2.training.config import (
    ClipConfig,
    FitConfig,
    LossConfig,
    PromptConfig,
    TrainedConfig,
)
from napari_octa_sam2.training.data.clips import Clip
from napari_octa_sam2.training.data.scenes import Scene
from napari_octa_sam2.training.fit import (
    Fitting,
    StepReport,
    Task,
    report_row,
    save_weights,
)
from napari_octa_sam2.training.folder import TrainingFolder, read_columns
from napari_octa_sam2.training.interaction import Interaction
from napari_octa_sam2.training.learner import seed_all
from napari_octa_sam2.training.losses import Criterion
from napari_octa_sam2.training.parts import Trained
from napari_octa_sam2.training.plan import begin, make_plan
from napari_octa_sam2.training.prompted import PromptedWalk
from napari_octa_sam2.training.schedule import Schedule, make_optimiser, set_rates
from napari_octa_sam2.training.stream import (
    INTERACTION,
    PROMPTS,
    ClipStream,
    Share,
    generator,
)
from napari_octa_sam2.training.walk import walk

CLIP = ClipConfig(native=48, size=64, objects=2, zoom=(0.9, 1.1), tilt=5, min_area=4)
LOSS = LossConfig(
    shown={"bce": 2.0, "dice": 1.0},
    grid={"bce": 2.0, "dice": 1.0, "iou_mse": 1.0, "object_score": 1.0},
    classes={"bce": 2.0},
)
FIT = FitConfig(steps=6, clips=1, workers=0, save_every=1e9)
DECODER = TrainedConfig({"mask_decoder": 1e-3})


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Bars:
    """Scenes of two bright bars that move from slice to slice."""

    def draw(self, rng: np.random.Generator, turn: int) -> Scene:
        instances = np.zeros((6, 64, 64), np.uint8)
        for z in range(6):
            instances[z, 10 + 2 * z : 18 + 2 * z, 5:60] = 1
            instances[z, 44:52, 5 + z : 40 + z] = 2
        images = np.where(instances > 0, 0.9, 0.1).astype(np.float32)
        return Scene(images, instances, {"RV": instances > 0})


class Spoilt(Bars):
    """The same, of which one is damaged."""

    def __init__(self, turn: int) -> None:
        self.turn = turn

    def draw(self, rng: np.random.Generator, turn: int) -> Scene:
        scene = super().draw(rng, turn)
        return (
            replace(scene, images=scene.images * np.nan) if turn == self.turn else scene
        )


def trained_of(config: TrainedConfig = DECODER) -> Trained:
    seed_all(0)
    network = build_network("octa-nano.yaml", input_size=64)
    with torch.no_grad():  # an object called absent passes no pointer on
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(4.0)
    return Trained(network, build_refinement("octa-nano.yaml"), config, dense=True)


def fitting_of(
    folder: Path,
    config: FitConfig = FIT,
    trained: Trained | None = None,
    source: Any = None,
    **changes: Any,
) -> Fitting:
    walk = PromptedWalk(PromptConfig(), Criterion(LOSS), config)
    task = Task(source or Bars(), CLIP, walk, config)
    return Fitting(
        trained or trained_of(),
        replace(task, **changes),
        folder / "checkpoint.pt",
        folder / "best.safetensors",
        Accelerator(cpu=True),
    )


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[k], other[k]) for k in one
    )


def copied(trained: Trained) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in trained.weights().items()}


# --- how long, and how fast


def test_what_ends_first_ends_a_training():
    both = Schedule(FitConfig(steps=100, epochs=3), 20)
    assert both.steps == 60
    assert both.done(30, 1e6) == 0.5
    assert Schedule(FitConfig(epochs=0.001), 20).steps == 1
    timed = Schedule(FitConfig(minutes=2), 20)
    assert timed.steps == 0
    assert timed.done(10**6, 30) == 0.25
    mixed = Schedule(FitConfig(minutes=2, steps=100), 20)
    assert mixed.done(75, 30) == 0.75
    assert mixed.done(5, 60) == 0.5


def test_rates_rise_and_fall_along_a_cosine():
    schedule = Schedule(FitConfig(steps=110, warmup=10, floor=0.01), 1)
    rates = [schedule.factor(step, 0.0) for step in range(111)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    expected = [0.01 + 0.99 * (1 + math.cos(math.pi * i / 100)) / 2 for i in range(101)]
    assert rates[10:] == pytest.approx(expected)
    assert rates[-1] == pytest.approx(0.01)


def test_rates_follow_the_time_where_minutes_say_how_long():
    schedule = Schedule(FitConfig(minutes=1, warmup=5, floor=0.1), 1)
    assert schedule.factor(3, 50.0) == 0.8
    for seconds in (0, 15, 30, 45, 60, 90):
        wave = (1 + math.cos(math.pi * min(seconds / 60, 1))) / 2
        assert schedule.factor(500, seconds) == pytest.approx(0.1 + 0.9 * wave)
    both = Schedule(FitConfig(minutes=1, steps=100, floor=0), 1)
    assert both.factor(50, 0.0) == pytest.approx(both.factor(0, 30.0)) == 0.5


def test_rates_decay_by_the_epoch_and_at_milestones():
    rates = FitConfig(steps=1000, schedule="decay", gamma=0.5, floor=0.1)
    decay = Schedule(rates, 10)
    for step in range(0, 60, 7):
        expected = max(0.5 ** (step / 10), 0.1)
        assert decay.factor(step, 0.0) == pytest.approx(expected)
    config = replace(rates, schedule="multistep", milestones=(2, 5), floor=0.3)
    steps = Schedule(config, 10)
    found = [steps.factor(step, 0.0) for step in (0, 19, 20, 49, 50, 900)]
    assert found == [1, 1, 0.5, 0.5, 0.3, 0.3]
    constant = Schedule(replace(rates, schedule="constant"), 10)
    assert [constant.factor(step, 1e9) for step in (0, 999)] == [1, 1]


@pytest.mark.parametrize(
    ("kind", "expected"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_every_part_has_its_own_rate(kind: Any, expected: type):
    weights = [nn.Parameter(torch.ones(2)) for _ in range(2)]
    groups = [(1e-3, weights[:1]), (1e-5, weights[1:])]
    optimiser = make_optimiser(FitConfig(steps=1, optimiser=kind), groups)
    assert type(optimiser) is expected
    set_rates(optimiser, 0.5)
    assert [g["lr"] for g in optimiser.param_groups] == [5e-4, 5e-6]
    set_rates(optimiser, 1.0)
    assert [g["lr"] for g in optimiser.param_groups] == [1e-3, 1e-5]


def test_prodigy_has_one_rate_for_all():
    weights = [nn.Parameter(torch.ones(2)) for _ in range(2)]
    groups = [(1.0, weights[:1]), (0.5, weights[1:])]
    with pytest.raises(TrainingError, match=r"one learning rate .* found 0.5, 1.0"):
        make_optimiser(FitConfig(steps=1, optimiser="prodigy"), groups)


def test_a_training_needs_to_know_how_long():
    with pytest.raises(TrainingError, match=r"give fit\.steps"):
        FitConfig()
    with pytest.raises(TrainingError, match="at least one clip"):
        FitConfig(steps=1, clips=0)


# --- which clips


def test_a_pass_holds_the_same_clips_wherever_a_stream_begins():
    config = replace(FIT, clips=2)
    clip = replace(CLIP, frames=3, least_frames=1)
    whole = iter(ClipStream(Bars(), clip, config, 0, Share()))
    passes = [Clip(*next(whole)) for _ in range(4)]
    later = Clip(*next(iter(ClipStream(Bars(), clip, config, 3, Share()))))
    for field in fields(Clip):
        first, again = getattr(passes[3], field.name), getattr(later, field.name)
        assert torch.equal(first, again)
    assert len({p.images.shape[1] for p in passes}) > 1
    assert not torch.equal(passes[0].masks[0], passes[0].masks[1])


def test_processes_share_the_clips_of_one():
    alone = replace(FIT, clips=2)
    shares = [Share(rank, 2) for rank in range(2)]
    for turn in range(3):
        numbers = [number for s in shares for number in s.numbers(FIT, turn)]
        assert numbers == list(Share().numbers(alone, turn))
        whole = ClipStream(Bars(), CLIP, alone, 0, Share()).batch(turn)
        for rank, share in enumerate(shares):
            part = ClipStream(Bars(), CLIP, FIT, 0, share).batch(turn)
            assert torch.equal(part.images[0], whole.images[rank])
            assert torch.equal(part.masks[0], whole.masks[rank])


def test_workers_bring_clips_in_order():
    stream = ClipStream(Bars(), CLIP, FIT, 5, Share())
    loaded = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=2)
    for turn, batch in zip(range(5, 9), loaded, strict=False):
        assert torch.equal(Clip(*batch).images, stream.batch(turn).images)


def test_data_without_an_object_end_a_training():
    clip = replace(CLIP, min_area=10**6, whole=0)
    stream = ClipStream(Bars(), clip, FIT, 0, Share())
    with pytest.raises(TrainingError, match=r"an object of at least 1000000 pixels"):
        stream.batch(0)


# --- which weights


def test_parts_are_trained_at_their_rates_and_the_rest_stays(tmp_path: Path):
    config = TrainedConfig({"network": 1e-5, "neck": 1e-3, "refinement": 1e-2})
    trained = trained_of(config)
    rates = {name: rate for name, (rate, _) in trained.groups.items()}
    assert rates == config.parts | {"dense head": 1e-2}
    count = {name: len(group) for name, (_, group) in trained.groups.items()}
    assert count["neck"] == len(list(trained.network.image_encoder.neck.parameters()))
    own = len(list(trained.network.parameters()))
    assert count["network"] + count["neck"] == own

    trained = trained_of()
    before = {k: v.clone() for k, v in trained.state_dict().items()}
    list(fitting_of(tmp_path, replace(FIT, steps=2), trained).steps())
    changed = {k for k, v in trained.state_dict().items() if not v.equal(before[k])}
    assert changed
    assert changed <= trained.keys
    assert all(key.startswith("network.sam_mask_decoder.") for key in trained.keys)


def test_statistics_are_learned_only_where_that_is_asked_for(tmp_path: Path):
    for learned in (False, True):
        config = TrainedConfig({"refinement": 1e-3}, batch_statistics=learned)
        trained = trained_of(config)
        name = "refinement.stem.1.running_mean"
        before = trained.state_dict()[name].clone()
        assert (name in trained.weights()) == learned
        folder = tmp_path / str(learned)
        folder.mkdir()
        fitting = fitting_of(folder, replace(FIT, steps=1), trained)
        list(fitting.steps())
        assert trained.state_dict()[name].equal(before) != learned


@pytest.mark.parametrize(
    ("parts", "kind", "message"),
    [
        ({"brain": 1.0}, "none", "found 'brain'"),
        ({"adapters": 1.0}, "none", "no adapters to train"),
        ({"mask_decoder": 1.0}, "lora", "learning rate for the adapters"),
        ({}, "none", "something to train"),
    ],
)
def test_parts_that_cannot_be(parts: dict[str, float], kind: Any, message: str):
    with pytest.raises(TrainingError, match=message):
        trained_of(TrainedConfig(parts, AdapterConfig(kind)))


def test_a_head_that_is_not_there_is_not_trained():
    network = build_network("octa-nano.yaml", input_size=64)
    with pytest.raises(TrainingError, match="no refinement head"):
        Trained(network, None, TrainedConfig({"refinement": 1e-3}), dense=False)


def test_changes_are_of_the_trained_parts(tmp_path: Path):
    adapter = AdapterConfig("lora", rank=2, dropout=0.5)
    trained = trained_of(TrainedConfig({"adapters": 1e-2}, adapter))
    list(fitting_of(tmp_path, replace(FIT, steps=2), trained).steps())
    fresh = trained_of()
    changed = trained.changed(fresh.network, fresh.refinement)
    assert changed
    assert all("lora_" in key for key in changed)


def test_the_average_is_the_one_by_hand():
    trained = trained_of()
    average = Average(trained, 0.5)
    key = min(trained.keys)
    expected = trained.weights()[key].clone()
    for step in range(5):
        with torch.no_grad():
            trained.weights()[key].add_(1.0 + step)
        average.update(trained)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * trained.weights()[key]
    torch.testing.assert_close(average.weights[key], expected)
    own = copied(trained)
    with average.in_place(trained):
        assert torch.equal(trained.weights()[key], average.weights[key])
        assert not trained.training
    assert same(trained.weights(), own)
    assert trained.training


def test_without_decay_the_last_weights_are_the_result(tmp_path: Path):
    trained = trained_of()
    fitting = fitting_of(tmp_path, replace(FIT, steps=2), trained)
    list(fitting.steps())
    last = copied(trained)
    assert same(fitting.average.weights, last)
    fitting.settle()
    assert same(trained.weights(), last)
    assert not trained.training


# --- the loop


def test_a_network_learns(tmp_path: Path):
    config = replace(FIT, steps=30, clips=2, clip_norm=1.0, warmup=3)
    trained = trained_of(TrainedConfig({"mask_decoder": 1e-3, "refinement": 3e-3}))
    fitting = fitting_of(tmp_path, config, trained)
    losses = [report.loss for report in fitting.steps()]
    assert len(losses) == 30
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": "adam", "average": 0.9, "clip_norm": 1.0},
        {"optimiser": "prodigy", "weight_decay": 0.01, "warmup": 2},
        {"accumulate": 2, "clips": 2, "precision": "bf16"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_stopped_training_goes_on_to_the_bit(changes: dict[str, Any], tmp_path: Path):
    config = replace(FIT, **changes)
    parts = TrainedConfig(
        {"adapters": 1e-3, "refinement": 1e-3},
        AdapterConfig("lora", dropout=0.2),
        batch_statistics=True,
    )
    (tmp_path / "whole").mkdir()
    unbroken = fitting_of(tmp_path / "whole", config, trained_of(parts))
    expected = [r.loss for r in unbroken.steps()]
    first = fitting_of(tmp_path, config, trained_of(parts))
    stopped = [r.loss for r in first.steps(should_stop=lambda: first.step == 2)]
    assert not first.is_finished()
    assert len(stopped) == 2
    second = fitting_of(tmp_path, config, trained_of(parts))
    rest = list(second.steps())
    assert rest[0].step == 2
    assert [*stopped, *(r.loss for r in rest)] == expected
    assert same(second.trained.weights(), unbroken.trained.weights())
    assert same(second.average.weights, unbroken.average.weights)
    assert list(second.steps()) == []


def test_a_step_is_reported_before_it_is_saved(tmp_path: Path):
    """What is killed between the two repeats the step, and its row."""
    fitting = fitting_of(tmp_path, replace(FIT, save_every=0))
    for report, _ in zip(fitting.steps(), range(3), strict=False):
        state = load_checkpoint(fitting.file)
        assert (0 if state is None else state["step"]) == report.step


def test_minutes_end_a_training(tmp_path: Path):
    fitting = fitting_of(tmp_path, replace(FIT, steps=0, minutes=0.02))
    reports = list(fitting.steps())
    assert fitting.is_finished()
    assert fitting.seconds >= 1.2
    assert fitting.seconds == pytest.approx(sum(r.seconds for r in reports))
    assert sum(r.seconds for r in reports[:-1]) < 1.2
    rates = [r.rate for r in reports]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.9 > rates[-1]


def scores(values: list[float]) -> tuple[Callable[[int], float], list[int]]:
    """Return a validation that gives these values, and the steps it is asked at."""
    asked: list[int] = []

    def validate(step: int) -> float:
        asked.append(step)
        return values[len(asked) - 1]

    return validate, asked


def test_the_best_weights_are_kept_and_patience_ends(tmp_path: Path):
    config = replace(FIT, steps=20, validate_every=2, patience=2, average=0.5)
    trained = trained_of()
    fitting = fitting_of(tmp_path, config, trained)
    validate, asked = scores([0.1, 0.3, 0.6, 0.5, 0.6])
    best: dict[str, Tensor] = {}
    for report in fitting.steps(validate):
        if report.step == 3:
            best = {k: v.clone() for k, v in fitting.average.weights.items()}
    assert asked == [0, 2, 4, 6, 8]
    assert fitting.step == 8
    assert (fitting.baseline, fitting.best) == (0.1, 0.6)
    assert fitting.is_finished()
    fitting.settle()
    assert same(trained.weights(), best)
    again = fitting_of(tmp_path, config)
    assert (again.baseline, again.best, again.since_best) == (0.1, 0.6, 2)
    assert list(again.steps(validate)) == []


def test_validation_sees_the_average_and_changes_nothing(tmp_path: Path):
    config = replace(FIT, steps=4, validate_every=1, average=0.9)
    trained = trained_of()
    fitting = fitting_of(tmp_path, config, trained)

    def validate(step: int) -> float:
        assert not trained.training
        assert same(trained.weights(), fitting.average.weights)
        torch.rand(7)
        return 0.0

    seen = [r.loss for r in fitting.steps(validate)]
    (tmp_path / "alone").mkdir()
    config = replace(config, validate_every=0)
    plain = [r.loss for r in fitting_of(tmp_path / "alone", config).steps()]
    assert seen == plain


def test_without_one_the_first_and_the_last_are_validated(tmp_path: Path):
    validate, asked = scores([0.5, 0.4])
    fitting = fitting_of(tmp_path, replace(FIT, steps=3))
    before = copied(fitting.trained)
    list(fitting.steps(validate))
    assert asked == [0, 3]
    fitting.settle()
    assert same(fitting.trained.weights(), before)


def test_memory_learns_from_followed_slices_alone(tmp_path: Path):
    parts = TrainedConfig({"memory": 1e-4, "mask_decoder": 1e-4, "encoder": 1e-4})
    config = replace(FIT, steps=1, separate_updates=True)
    clip = replace(CLIP, frames=3)
    for checkpointing in (False, True):
        folder = tmp_path / str(checkpointing)
        folder.mkdir()
        fitting = fitting_of(
            folder,
            replace(config, checkpointing=checkpointing),
            trained_of(parts),
            clip=clip,
        )
        list(fitting.steps())

        fresh = trained_of(parts)
        fresh.set_training(True)
        walked = walk(
            fresh.parts,
            ClipStream(Bars(), clip, config, 0, Share()).batch(0),
            Interaction.draw(3, PromptConfig(), generator(0, INTERACTION, 0)),
            PromptConfig(),
            Criterion(LOSS),
            [generator(0, PROMPTS, 0, index) for index in range(2)],
        )
        for memory, loss in ((True, walked.followed), (False, walked.prompted)):
            weights = fresh.parameters_of(memory)
            expected = torch.autograd.grad(
                loss, weights, retain_graph=True, allow_unused=True
            )
            assert sum(float(g.abs().sum()) for g in expected if g is not None) > 0
            found = fitting.trained.parameters_of(memory)
            for weight, gradient in zip(found, expected, strict=True):
                if gradient is None:
                    assert weight.grad is None
                else:
                    torch.testing.assert_close(
                        weight.grad, gradient, rtol=1e-3, atol=1e-5
                    )


def test_checkpointing_trains_alike(tmp_path: Path):
    losses = []
    for checkpointing in (False, True):
        folder = tmp_path / str(checkpointing)
        folder.mkdir()
        config = replace(FIT, steps=3, checkpointing=checkpointing, precision="bf16")
        parts = TrainedConfig({"network": 1e-4, "refinement": 1e-3})
        clip = replace(CLIP, frames=2)
        fitting = fitting_of(folder, config, trained_of(parts), clip=clip)
        losses.append([r.loss for r in fitting.steps()])
    assert losses[1] == pytest.approx(losses[0], rel=2e-2)
    assert losses[1][0] == pytest.approx(losses[0][0], rel=1e-4)


# --- what goes wrong


def test_a_loss_that_is_no_number_ends_a_training(tmp_path: Path):
    config = replace(FIT, save_every=0)
    fitting = fitting_of(tmp_path, config, source=Spoilt(2))
    with pytest.raises(TrainingError, match=r"loss is nan at step 2.*smaller learning"):
        list(fitting.steps())
    state = load_checkpoint(fitting.file)
    assert state is not None
    assert state["step"] == 2
    assert all(v.isfinite().all() for v in state["weights"].values())
    assert [r.step for r in fitting_of(tmp_path, config).steps()] == [2, 3, 4, 5]


def test_a_gradient_that_is_no_number_reaches_no_weight(tmp_path: Path):
    fitting = fitting_of(tmp_path, replace(FIT, save_every=0))
    weight = next(p for p in fitting.trained.parameters() if p.requires_grad)
    weight.register_hook(lambda g: g * math.inf if fitting.step == 1 else g)
    with pytest.raises(TrainingError, match=r"at step 1, its gradient (nan|inf)"):
        list(fitting.steps())
    assert all(v.isfinite().all() for v in fitting.trained.weights().values())


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = replace(FIT, save_every=0)
    fitting = fitting_of(tmp_path, config)
    steps = fitting.steps()
    for _ in range(3):
        next(steps)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(TrainingError, match=r"checkpoint\.pt could not .*No space"):
            next(steps)
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]
    again = fitting_of(tmp_path, config)
    assert again.step == 2
    assert len(list(again.steps())) == 4


def test_a_full_disk_leaves_the_best_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "best.safetensors"
    save_weights({"a": torch.ones(2)}, file)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match=r"best\.safetensors could not be written"):
        save_weights({"a": torch.zeros(2)}, file)
    assert load_file(file)["a"].tolist() == [1, 1]
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(TrainingError, match=r"nowhere.best\.safetensors"):
        save_weights({"a": torch.zeros(2)}, tmp_path / "nowhere" / "best.safetensors")


@pytest.mark.parametrize(
    "config",
    [
        TrainedConfig({"refinement": 1e-3}),
        TrainedConfig({"adapters": 1e-3}, AdapterConfig("lora", rank=4)),
    ],
    ids=["other parts", "other shapes"],
)
def test_a_checkpoint_of_another_network_is_refused(
    config: TrainedConfig, tmp_path: Path
):
    adapters = TrainedConfig({"adapters": 1e-3}, AdapterConfig("lora", rank=8))
    fitting_of(tmp_path, trained=trained_of(adapters)).save()
    assert fitting_of(tmp_path, trained=trained_of(adapters)).step == 0
    with pytest.raises(TrainingError, match="another network or of other parts"):
        fitting_of(tmp_path, trained=trained_of(config))


def test_what_is_no_checkpoint_is_refused(tmp_path: Path):
    file = tmp_path / "checkpoint.pt"
    assert load_checkpoint(file) is None
    save_checkpoint(file, {"steps": 3})
    with pytest.raises(TrainingError, match="another network or of other parts"):
        fitting_of(tmp_path)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(TrainingError, match=r"no readable checkpoint .* delete it"):
        fitting_of(tmp_path)


def test_rows_of_the_log_have_every_digit():
    row = report_row(StepReport(3, 0.1 + 0.2, 0.5, math.nan, 1 / 3, 1.0, 0.25))
    assert row["step"] == 3
    assert row["loss"] == "0.30000000000000004"
    assert row["class_dice"] == repr(1 / 3)


# --- processes of their own

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def start() -> Iterator[Run]:
    """Start a training in a process of its own."""
    if os.name == "nt":
        pytest.skip("needs fork and SIGKILL")
    context = multiprocessing.get_context("forkserver")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.syspath_prepend(str(Path(__file__).parent))
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        context.set_forkserver_preload(["trainee"])
        target = importlib.import_module("trainee").run

        def started(folder: TrainingFolder, *given: Any, **named: Any) -> Any:
            made = (str(folder.path), *given)
            child = context.Process(target=target, args=made, kwargs=named)
            child.start()
            return child

        yield started


SMALL = (
    *("clip.native=48", "clip.size=64", "fit.minutes=null", "data.holdout=none"),
    *("fit.clips=1", "fit.save_every=0", "fit.workers=0"),
)


def begun(path: Path, data: Path, *overrides: str) -> TrainingFolder:
    plan = make_plan("quick", given=[data], overrides=[*SMALL, *overrides])
    return begin(plan, path)


def ended(child: Any) -> int:
    child.join(120)
    assert child.exitcode is not None
    return int(child.exitcode)


def result(folder: TrainingFolder) -> tuple[list[str], dict[str, Tensor]]:
    weights = folder.weights()
    assert weights is not None
    last = load_file(folder.path / "training.safetensors")
    return read_columns(folder.log)["loss"], load_file(weights) | last


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_killed_training_goes_on_to_the_bit(
    workers: int, start: Run, pairs: Path, tmp_path: Path
):
    settings = "fit.steps=12", "trained.adapter.dropout=0.1", f"fit.workers={workers}"
    unbroken, broken = (begun(tmp_path / n, pairs, *settings) for n in ("a", "b"))
    whole = start(unbroken)
    chance = random.Random(workers)
    # while a checkpoint is being written, and right after one is
    for written in (0.0, chance.random(), 1.0)[workers:]:
        child = start(broken, chance.randint(1, 3), written)
        assert ended(child) == -signal.SIGKILL
        # workers outlive it for some seconds, and its lock with them
        wait_for(lambda: not broken.is_running())
    # and at any other time
    done = len(read_columns(broken.log)["loss"])
    child = start(broken)
    wait_for(lambda: len(read_columns(broken.log)["loss"]) > done)
    time.sleep(chance.uniform(0, 0.2))
    child.kill()
    assert ended(child) == -signal.SIGKILL
    wait_for(lambda: not broken.is_running())
    assert broken.status().state == "interrupted"
    assert ended(start(broken)) == 0
    assert ended(whole) == 0
    (expected, weights), (losses, found) = result(unbroken), result(broken)
    assert len(expected) == 12
    assert losses == expected
    assert same(found, weights)


def together(start: Run, folder: TrainingFolder, count: int = 2) -> None:
    """Train in several processes, as ``torchrun`` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(count),
    }
    children = [
        start(folder, variables=variables | {"RANK": str(i), "LOCAL_RANK": str(i)})
        for i in range(count)
    ]
    assert [ended(child) for child in children] == [0] * count


def test_two_processes_train_as_one_with_twice_the_clips(
    start: Run, pairs: Path, tmp_path: Path
):
    alone = begun(tmp_path / "one", pairs, "fit.steps=4", "fit.clips=2")
    shared = begun(tmp_path / "two", pairs, "fit.steps=4", "fit.clips=1")
    child = start(alone)
    together(start, shared)
    assert ended(child) == 0
    (expected, weights), (losses, found) = result(alone), result(shared)
    assert [float(x) for x in losses] == pytest.approx(
        [float(x) for x in expected], rel=1e-5
    )
    assert found.keys() == weights.keys()
    for key, value in weights.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-4)


def test_two_processes_end_together_when_time_is_up(
    start: Run, pairs: Path, tmp_path: Path
):
    settings = "fit.minutes=0.02", "data.holdout=fraction", "data.fraction=0.34"
    folder = begun(tmp_path / "timed", pairs, *settings, "fit.validate_every=1000")
    together(start, folder)
    assert folder.status().state == "finished"
    steps = set(read_columns(folder.validation)["step"])
    assert steps == {"0", str(len(read_columns(folder.log)["loss"]))}
