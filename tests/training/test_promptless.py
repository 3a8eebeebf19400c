"""Networks without prompts: what they learn from, and what is left of it."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.model.appearance import GREY, Appearance
from napari_octa_sam2.model.promptless.config import NetworkConfig
from napari_octa_sam2.model.promptless.model import load_promptless, write_promptless
from napari_octa_sam2.model.promptless.network import PromptlessNetwork
from napari_octa_sam2.prompts import SEGMENTABLE
from napari_octa_sam2.training.config import LossConfig, TrainedConfig
from napari_octa_sam2.training.data.clips import Clip
from napari_octa_sam2.training.folder import TrainingFolder, read_columns
from napari_octa_sam2.training.learner import seed_all
from napari_octa_sam2.training.losses import Criterion
from napari_octa_sam2.training.plan import begin, make_plan
from napari_octa_sam2.training.promptless import PromptlessLearner, PromptlessWalk
from napari_octa_sam2.training.recipe import read_recipe
from napari_octa_sam2.training.run import train
from napari_octa_sam2.training.stream import Share

SMALL = NetworkConfig("block-unet", ("RV", "FAZ"), {"channels": [8, 16]})
SHORT = (
    *("fit.minutes=0", "fit.workers=0", "fit.warmup=0", "fit.average=0"),
    *("fit.clips=2", "clip.native=64", "clip.tilt=0", "fit.precision=fp32"),
    *("network.kind=block-unet", "network.settings={channels: [8, 16]}"),
)


def begun(out: Path, data: Path, *changes: str) -> TrainingFolder:
    """Return the folder of a small s3-octa training that is about to begin."""
    plan = make_plan("s3-octa", given=[data], overrides=[*SHORT, *changes])
    assert plan.ready, plan.problems
    return begin(plan, out)


def learner_of(parts: dict[str, float] | None = None) -> PromptlessLearner:
    seed_all(3)
    config = TrainedConfig(parts or {"network": 1e-3}, batch_statistics=True)
    return PromptlessLearner(PromptlessNetwork(SMALL), config, GREY)


def clip_of(known: list[str]) -> Clip:
    """Return two clips of a slice with a bar of large vessel, and a square of FAZ."""
    classes = torch.zeros(2, len(SEGMENTABLE), 1, 32, 32, dtype=torch.bool)
    classes[:, SEGMENTABLE.index("RV"), :, :, 4:8] = True
    classes[:, SEGMENTABLE.index("FAZ"), :, 12:24, 12:24] = True
    images = 0.8 * classes[:, SEGMENTABLE.index("RV")].float()
    is_known = torch.tensor([name in known for name in SEGMENTABLE])
    return Clip(
        images=images[:, :, None],
        masks=torch.zeros(2, 0, 1, 32, 32, dtype=torch.bool),
        asked=torch.zeros(2, 0, dtype=torch.long),
        classes=classes,
        known=is_known.expand(2, 1, -1),
        labelled=torch.ones(2, 1, dtype=torch.bool),
    )


WALK = PromptlessWalk(Criterion(LossConfig(classes={"bce": 1.0}), prompted=False))


def test_a_class_without_truth_teaches_nothing() -> None:
    learner = learner_of()
    learner.set_training(True)
    WALK(learner, clip_of(["RV"]), 0, Share()).loss.backward()
    gradient = learner.network.body.classes.weight.grad
    assert gradient is not None
    vessels, faz = gradient.view(2, 4, -1)  # four pixels of a block for each class
    assert vessels.abs().sum() > 0
    assert faz.abs().sum() == 0


def test_the_loss_and_dice_are_those_of_the_logits() -> None:
    learner = learner_of()
    learner.set_training(False)
    batch = clip_of(["RV", "FAZ"])
    with torch.no_grad():
        walked = WALK(learner, batch, 0, Share())
        logits = learner.network(batch.images[:, 0])
    own = [SEGMENTABLE.index(name) for name in ("RV", "FAZ")]
    truth = batch.classes[:, own, 0]
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, truth.float()
    )
    assert float(walked.loss) == pytest.approx(float(expected), rel=1e-5)
    found = logits > 0
    overlap = 2 * (found & truth).sum((2, 3)) / (found.sum((2, 3)) + truth.sum((2, 3)))
    assert walked.class_dice == pytest.approx(float(overlap.mean()), rel=1e-5)


def test_it_learns_and_what_it_learned_is_used(pairs: Path, tmp_path: Path) -> None:
    folder = begun(
        tmp_path / "run",
        pairs,
        *("fit.steps=60", "trained.parts.network=1e-2", "clip.effects={blur: 0}"),
        *("data.holdout=fraction", "data.fraction=0.34", "fit.validate_every=30"),
    )
    losses = [report.step.loss for report in train(folder.path)]
    assert fmean(losses[-10:]) < 0.8 * fmean(losses[:5])
    status = folder.status()
    assert status.best is not None
    assert status.baseline is not None
    assert status.best > status.baseline + 0.2
    weights = folder.weights()
    assert weights is not None
    model = load_promptless(weights)
    assert model.classes == ("RV",)
    rows = read_columns(folder.validation)
    assert set(rows["object"]) == {"RV"}
    record = json.loads(weights.with_suffix(".json").read_text("utf-8"))
    assert record["sha256"] == model.sha256
    assert record["model"] is None


def test_an_interrupted_training_ends_as_an_unbroken_one(
    pairs: Path, tmp_path: Path
) -> None:
    whole = begun(tmp_path / "whole", pairs, "fit.steps=6", "data.holdout=none")
    assert len(list(train(whole.path))) == 6
    broken = begun(tmp_path / "broken", pairs, "fit.steps=6", "data.holdout=none")
    stops = itertools.chain([False, False, True], itertools.repeat(True))
    assert len(list(train(broken.path, lambda: next(stops)))) == 3
    assert broken.weights() is None
    assert len(list(train(broken.path))) == 3
    ends = [folder.weights() for folder in (whole, broken)]
    first, second = (end.read_bytes() for end in ends if end is not None)
    assert first == second


def test_sparse_annotation_goes_on_from_a_model(
    sequences: Path, tmp_path: Path
) -> None:
    seed_all(0)
    base = tmp_path / "base.safetensors"
    write_promptless(base, SMALL, GREY, PromptlessNetwork(SMALL).state_dict())
    changes = [
        *("fit.minutes=0", "fit.steps=4", "fit.workers=0", "fit.precision=fp32"),
        *("clip.native=64", "trained.parts.network=1e-2", "data.holdout=none"),
    ]
    plan = make_plan(
        "sparse-annotation", model=str(base), given=[sequences], overrides=changes
    )
    assert plan.ready, plan.problems
    folder = begin(plan, tmp_path / "run")
    assert len(list(train(folder.path))) == 4
    weights = folder.weights()
    assert weights is not None
    assert weights.stem == "base-sparse-annotation"
    model, before = load_promptless(weights), load_promptless(base)
    assert model.classes == before.classes
    changed = [
        not torch.equal(a, b)
        for a, b in zip(
            model.network.parameters(), before.network.parameters(), strict=True
        )
    ]
    assert all(changed)
    record = json.loads(weights.with_suffix(".json").read_text("utf-8"))
    assert record["model"] == {"name": str(base), "sha256": before.sha256}


def test_three_maps_are_seen_at_once(maps: Path, tmp_path: Path) -> None:
    folder = begun(
        tmp_path / "run",
        maps,
        *("fit.steps=2", "data.as_channels=true", "data.holdout=none"),
        "data.projections=[OPL_BM, FULL, ILM_OPL]",
    )
    assert len(list(train(folder.path))) == 2
    weights = folder.weights()
    assert weights is not None
    model = load_promptless(weights)
    assert model.network.channels == 3
    assert model.appearance.composite == ("OPL_BM", "FULL", "ILM_OPL")


def test_parts_of_other_networks_are_refused() -> None:
    with pytest.raises(TrainingError, match="network alone"):
        learner_of({"encoder": 1e-3})


def test_a_promptless_loss_is_one_of_classes() -> None:
    with pytest.raises(TrainingError, match=r"loss\.classes"):
        Criterion(LossConfig(), prompted=False)


def test_data_without_the_classes_of_the_network_are_told(
    pairs: Path, tmp_path: Path
) -> None:
    changes = [*SHORT, "fit.steps=2", "network.classes=[FAZ]"]
    plan = make_plan("s3-octa", given=[pairs], overrides=changes)
    assert not plan.ready
    assert "expected labels of FAZ in the data, found RV" in plan.problems[-1].text


def test_a_network_and_a_model_are_one_too_many() -> None:
    with pytest.raises(TrainingError, match="found both"):
        read_recipe("s3-octa", model="octa-auto", overrides=["network.kind=unet"])


def test_a_model_is_trained_in_the_place_of_a_network() -> None:
    recipe = read_recipe("s3-octa", model="octa-auto")
    assert (recipe.model, recipe.network) == ("octa-auto", None)


def test_another_network_takes_the_place_of_model_and_settings() -> None:
    for name in ("s3-octa", "sparse-annotation"):
        recipe = read_recipe(name, overrides=["network.kind=unet"])
        assert recipe.network == NetworkConfig("unet")
        assert recipe.model == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("network.kind=vgg", "expected a network of block-unet"),
        ("network.classes=[nerve]", "expected different classes"),
        ("network.colour=red", "network.colour"),
    ],
)
def test_a_wrong_network_is_named(change: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        read_recipe("s3-octa", overrides=[change])


def test_a_model_of_grey_slices_refuses_composites(maps: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.safetensors"
    write_promptless(base, SMALL, GREY, PromptlessNetwork(SMALL).state_dict())
    changes = ["data.as_channels=true", "data.projections=[FULL, ILM_OPL, OPL_BM]"]
    plan = make_plan(
        "sparse-annotation", model=str(base), given=[maps], overrides=changes
    )
    with pytest.raises(TrainingError, match="1 channels"):
        list(train(begin(plan, tmp_path / "run").path))


def test_colours_make_three_channels(tmp_path: Path) -> None:
    look = replace(GREY, colours="viridis")
    network = PromptlessNetwork(SMALL, 3)
    file = tmp_path / "coloured.safetensors"
    write_promptless(file, SMALL, look, network.state_dict())
    loaded = load_promptless(file)
    assert loaded.appearance == Appearance(colours="viridis")
    assert loaded.network.channels == 3
    halves = {k: v.half().float() for k, v in network.state_dict().items()}
    for key, value in loaded.network.state_dict().items():
        if value.is_floating_point():
            np.testing.assert_array_equal(value.numpy(), halves[key].numpy())
