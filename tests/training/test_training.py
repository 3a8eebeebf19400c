from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.model.loading import build_network, load_weights
from napari_octa_sam2.training import recipes, simulate
from napari_octa_sam2.training.clips import Clip, ClipConfig, cut_clip
from napari_octa_sam2.training.fit import FitConfig, fit, learning_rate
from napari_octa_sam2.training.losses import dense_loss, prompt_loss, soft_dice_loss
from napari_octa_sam2.training.sources import PairFolder, Scene
from napari_octa_sam2.training.walk import Interaction, walk

CLIP = ClipConfig(frames=3, size=64, objects=2, crop=(0.9, 1.0), min_area=4)


class Bars:
    """Scenes of two bright bars that move from slice to slice."""

    def draw(self, rng):
        instances = np.zeros((6, 64, 64), np.uint8)
        for z in range(6):
            instances[z, 10 + 2 * z : 18 + 2 * z, 5:60] = 1
            instances[z, 44:52, 5 + z : 40 + z] = 2
        images = np.where(instances > 0, 0.9, 0.1).astype(np.float32)
        return Scene(images, instances, {"RV": instances > 0})


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_soft_dice_of_known_masks():
    truth = torch.zeros(1, 4, 4)
    truth[0, :2] = 1
    sure = (truth * 2 - 1) * 100
    assert soft_dice_loss(sure, truth).item() == pytest.approx(0, abs=1e-6)
    half = torch.full((1, 4, 4), -100.0)
    half[0, :1] = 100
    # intersection 4, sizes 4 and 8: 1 - (2 * 4 + 1) / (4 + 8 + 1)
    assert soft_dice_loss(half, truth).item() == pytest.approx(1 - 9 / 13)


def test_only_the_best_candidate_of_a_present_object_is_trained():
    truth = torch.zeros(2, 8, 8, dtype=torch.bool)
    truth[0, :4] = True
    logits = torch.zeros(2, 3, 8, 8, requires_grad=True)
    with torch.no_grad():
        logits[0, 1] = torch.where(truth[0], 4.0, -4.0)
    score = torch.zeros(2, 1, requires_grad=True)
    prompt_loss(logits, torch.full((2, 3), 0.5), score, truth).backward()
    moved = logits.grad.abs().flatten(2).sum(-1) > 0
    assert moved.tolist() == [[False, True, False], [False, False, False]]
    assert score.grad[0] < 0 < score.grad[1]


def test_unknown_classes_do_not_count():
    logits = torch.randn(2, 2, 8, 8, generator=generator())
    truth = torch.rand(2, 2, 32, 32, generator=generator()) > 0.5
    known = torch.tensor([[True, False], [True, False]])
    changed = truth.clone()
    changed[:, 1] = ~changed[:, 1]
    assert dense_loss(logits, truth, known) == dense_loss(logits, changed, known)
    assert dense_loss(logits, truth, ~known) != dense_loss(logits, changed, ~known)


def test_clicks_lie_in_the_mask_and_corrections_in_the_error():
    truth = torch.zeros(3, 32, 32, dtype=torch.bool)
    truth[0, 4:9, 20:30] = True
    truth[1, 10:20, 3:6] = True
    points, labels = simulate.first_clicks(truth, 4, generator())
    for xy, label in zip(points[:2].reshape(-1, 2), labels[:2].flatten(), strict=True):
        assert label == 1
        assert truth[:2, int(xy[1]), int(xy[0])].any()
    assert (labels[2] == -1).all()
    found = truth.clone()
    found[0, 4:9, 25:30] = False
    found[1, 25:30, 25:30] = True
    points, labels = simulate.correction_clicks(found, truth, generator())
    assert labels[:, 0].tolist() == [1, 0, -1]
    assert 25 <= points[0, 0, 0] < 30
    assert 25 <= points[1, 0, 0] < 30


def test_boxes_are_tight_and_marked_as_sam2_wants():
    truth = torch.zeros(1, 32, 32, dtype=torch.bool)
    truth[0, 4:9, 20:30] = True
    corners, labels = simulate.boxes(truth, 0.0, generator())
    assert corners[0].tolist() == [[20, 4], [29, 8]]
    assert labels.tolist() == [[2, 3]]


def test_clips_are_reproducible_and_aligned():
    first, again = (
        cut_clip(Bars().draw(None), CLIP, np.random.default_rng(5)) for _ in range(2)
    )
    assert torch.equal(first.images, again.images)
    assert first.images.shape == (3, 64, 64)
    assert first.masks.shape == (2, 3, 64, 64)
    assert first.known.tolist() == [True, False]
    inside = first.images[first.masks[0]].mean()
    assert inside > first.images[~first.classes[0]].mean() + 0.3
    assert (first.masks[0] & ~first.classes[0]).sum() == 0


def test_learning_rate_warms_up_and_falls_to_a_hundredth():
    config = FitConfig(steps=100, warmup=10, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert rates[100] == pytest.approx(0.01)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


@pytest.mark.parametrize("kind", ["click", "clicks", "box", "mask"])
def test_every_interaction_reaches_the_weights_it_should(kind):
    torch.manual_seed(0)
    network = build_network("octa-nano.yaml", input_size=64).train()
    with torch.no_grad():  # an object called absent passes no pointer on
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(4.0)
    head = torch.nn.Conv2d(16, 2, 1)
    clip = cut_clip(Bars().draw(None), CLIP, np.random.default_rng(1))
    batch = Clip(
        clip.images[None], clip.masks[None], clip.classes[None], clip.known[None]
    )
    walked = walk(network, head, batch, Interaction(kind, 1, 2), generator())
    walked.loss.backward()
    reached = {
        name.split(".")[0]
        for name, p in network.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }
    assert {"image_encoder", "memory_attention", "memory_encoder"} <= reached
    assert {"sam_mask_decoder", "sam_prompt_encoder", "obj_ptr_proj"} <= reached
    assert np.isfinite(walked.tracked_dice)


def test_fit_learns_and_an_interrupted_fit_goes_on(tmp_path):
    torch.manual_seed(0)
    network = build_network("octa-nano.yaml", input_size=64)
    config = FitConfig(steps=30, clips=2, learning_rate=1e-3, warmup=3, workers=0)
    run = fit(network, Bars(), CLIP, config, tmp_path)
    first = [next(run) for _ in range(12)]
    run.close()
    assert not network.training
    fresh = build_network("octa-nano.yaml", input_size=64)
    rest = list(fit(fresh, Bars(), CLIP, config, tmp_path))
    assert rest[0].step == 12
    assert rest[-1].step == 29
    dense = [r.dense_loss for r in [*first, *rest]]
    assert np.mean(dense[-5:]) < 0.6 * np.mean(dense[:5])
    assert (tmp_path / "log.csv").read_text().startswith("step,loss,")
    with pytest.raises(TrainingError, match="other settings"):
        list(fit(fresh, Bars(), CLIP, FitConfig(steps=5), tmp_path))


def test_a_recipe_leaves_weights_and_the_record_to_repeat_it(tmp_path, monkeypatch):
    phases = (
        recipes.Phase("1-a", CLIP, FitConfig(steps=2, clips=1, workers=0)),
        recipes.Phase("2-b", CLIP, FitConfig(steps=1, clips=1, workers=0, seed=1)),
    )
    monkeypatch.setitem(recipes.RECIPES, "octa-nano", phases)
    monkeypatch.setattr(recipes, "octa_nano_source", lambda rossa: Bars())
    reports = list(recipes.train("octa-nano", tmp_path))
    assert [r.phase for r in reports] == ["1-a", "1-a", "2-b"]
    record = json.loads((tmp_path / "octa-nano.json").read_text())
    assert record["phases"][0]["fit"]["steps"] == 2
    assert record["bytes"] < 12e6
    load_weights(build_network("octa-nano.yaml"), tmp_path / "octa-nano.safetensors")
    assert list(recipes.train("octa-nano", tmp_path)) == []


def test_bad_settings_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="at least one step"):
        FitConfig(steps=0)
    with pytest.raises(TrainingError, match="expected a recipe of octa-nano"):
        list(recipes.train("nope", tmp_path))
    with pytest.raises(TrainingError, match="found no pair"):
        PairFolder([tmp_path])
