from __future__ import annotations

import itertools
import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from napari_octa_sam2.errors import ModelError, TrainingError
from napari_octa_sam2.metrics.clicks import next_click
from napari_octa_sam2.metrics.overlap import dice
from napari_octa_sam2.model.loading import (
    LoadedModel,
    build_network,
    build_refinement,
    load_refinement,
    load_weights,
)
from napari_octa_sam2.model.prompt_encoder import FIRST_CLASS
from napari_octa_sam2.prompts import SEGMENTABLE
from napari_octa_sam2.training import recipes, simulate
from napari_octa_sam2.training.clips import ONE_OBJECT, Clip, ClipConfig, cut_clip
from napari_octa_sam2.training.fit import (
    FitConfig,
    dense_head_for,
    fit,
    learning_rate,
)
from napari_octa_sam2.training.losses import (
    coverage,
    dense_loss,
    prompt_loss,
    refined_loss,
    soft_dice_loss,
)
from napari_octa_sam2.training.recipes import RECIPES
from napari_octa_sam2.training.record import mean_weights
from napari_octa_sam2.training.sources import PairFolder, Scene
from napari_octa_sam2.training.walk import Interaction, Parts, walk

CLIP = ClipConfig(
    frames=3, native=48, size=64, objects=4, zoom=(0.9, 1.1), tilt=5, min_area=4
)
RV, FAZ = SEGMENTABLE.index("RV"), SEGMENTABLE.index("FAZ")


class Bars:
    """Scenes of two bright bars that move from slice to slice."""

    def draw(self, rng):
        instances = np.zeros((6, 64, 64), np.uint8)
        for z in range(6):
            instances[z, 10 + 2 * z : 18 + 2 * z, 5:60] = 1
            instances[z, 44:52, 5 + z : 40 + z] = 2
        images = np.where(instances > 0, 0.9, 0.1).astype(np.float32)
        return Scene(images, instances, {"RV": instances > 0})


def random(seed=0):
    return np.random.default_rng(seed)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batched(clip):
    return Clip(*(getattr(clip, field.name)[None] for field in fields(Clip)))


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
    truth = torch.zeros(2, 8, 8)
    truth[0, :4] = 1
    logits = torch.zeros(2, 3, 8, 8, requires_grad=True)
    with torch.no_grad():
        logits[0, 1] = torch.where(truth[0] > 0, 4.0, -4.0)
    score = torch.zeros(2, 1, requires_grad=True)
    prompt_loss(logits, torch.full((2, 3), 0.5), score, truth).backward()
    moved = logits.grad.abs().flatten(2).sum(-1) > 0
    assert moved.tolist() == [[False, True, False], [False, False, False]]
    assert score.grad[0] < 0 < score.grad[1]


def test_the_coarse_mask_aims_at_the_share_of_each_cell():
    truth = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    truth[..., :3] = True
    assert coverage(truth, (2, 2)).flatten().tolist() == [0.75, 0, 0.75, 0]


def test_the_refined_mask_of_an_absent_object_is_not_trained():
    truth = torch.zeros(2, 8, 8, dtype=torch.bool)
    truth[0, 2:5] = True
    logits = torch.zeros(2, 1, 8, 8, requires_grad=True)
    near = torch.zeros(2, 8, 8)
    near[0, 3, 3] = 1
    refined_loss(logits, truth, near).backward()
    assert not logits.grad[1].any()
    clicked, other = logits.grad[0, 0, 3, 3:5].abs()
    assert clicked > other > 0


def test_unknown_classes_do_not_count():
    logits = torch.randn(2, 2, 8, 8, generator=generator())
    truth = torch.rand(2, 2, 32, 32, generator=generator()) > 0.5
    known = torch.tensor([[True, False], [True, False]])
    changed = truth.clone()
    changed[:, 1] = ~changed[:, 1]
    assert dense_loss(logits, truth, known) == dense_loss(logits, changed, known)
    assert dense_loss(logits, truth, ~known) != dense_loss(logits, changed, ~known)
    # images count alike, however many of their classes are known
    known[0] = True
    each = [
        dense_loss(logits[i : i + 1], truth[i : i + 1], known[i : i + 1])
        for i in (0, 1)
    ]
    torch.testing.assert_close(dense_loss(logits, truth, known), sum(each) / 2)


def test_clicks_lie_in_the_mask_and_corrections_in_the_error():
    truth = torch.zeros(3, 32, 32, dtype=torch.bool)
    truth[0, 4:9, 20:30] = True
    truth[1, 10:20, 3:6] = True
    points, labels = simulate.first_clicks(truth, 4, random())
    for xy, label in zip(points[:2].reshape(-1, 2), labels[:2].flatten(), strict=True):
        assert label == 1
        assert truth[:2, int(xy[1]), int(xy[0])].any()
    assert (labels[2] == -1).all()
    found = truth.clone()
    found[0, 4:9, 25:30] = False
    found[1, 25:30, 25:30] = True
    points, labels = simulate.correction_clicks(found, truth)
    assert labels[:, 0].tolist() == [1, 0, -1]
    for i in range(2):
        click = next_click(truth[i].numpy(), found[i].numpy())
        assert points[i, 0].tolist() == [click.col, click.row]


def test_a_class_is_asked_for_in_place_of_a_click():
    points = torch.tensor([[[3.0, 4], [5, 6]], [[7, 8], [9, 10]]])
    labels = torch.ones(2, 2, dtype=torch.int32)
    points, labels = simulate.ask_for_classes(
        (points, labels), torch.tensor([ONE_OBJECT, FAZ])
    )
    assert points.tolist() == [[[3, 4], [5, 6]], [[0, 0], [0, 0]]]
    assert labels.tolist() == [[1, 1], [FIRST_CLASS + FAZ, -1]]


def test_boxes_are_tight_and_marked_as_sam2_wants():
    truth = torch.zeros(1, 32, 32, dtype=torch.bool)
    truth[0, 4:9, 20:30] = True
    corners, labels = simulate.boxes(truth, 0.0, random())
    assert corners[0].tolist() == [[20, 4], [29, 8]]
    assert labels.tolist() == [[2, 3]]


def test_clips_are_reproducible_and_aligned():
    first, again = (cut_clip(Bars().draw(None), CLIP, random(5)) for _ in range(2))
    for field in fields(Clip):
        assert torch.equal(getattr(first, field.name), getattr(again, field.name))
    assert first.images.shape == (3, 48, 48)
    assert first.masks.shape == (4, 3, 48, 48)
    assert first.known.nonzero().flatten().tolist() == [RV]
    assert set(first.asked.tolist()) == {ONE_OBJECT, RV}
    inside = first.images[first.classes[RV]].mean()
    assert inside > first.images[~first.classes[RV]].mean() + 0.3
    for mask, asked in zip(first.masks, first.asked, strict=True):
        if asked == RV:
            assert torch.equal(mask, first.classes[RV])
        else:
            assert 0 < mask.sum() < first.classes[RV].sum()
            # labels and masks are sampled by different rules: edges may differ
            assert (mask & ~first.classes[RV]).sum() < 0.1 * mask.sum()


def thickness(scene, zoom):
    """Area of the bars over half the length of their border."""
    config = replace(CLIP, zoom=(zoom, zoom), whole=1.0, tilt=0)
    clips = [cut_clip(scene, config, random(i)) for i in range(12)]
    area = sum(float(c.classes[RV].float().mean()) for c in clips)
    border = sum(
        float(np.abs(np.diff(c.classes[RV, 0], axis=a)).sum())
        for c in clips
        for a in (0, 1)
    )
    return 2 * 48**2 * area / border


def test_zoom_changes_the_size_of_things_by_that_much():
    scene = Bars().draw(None)
    twice = pytest.approx(2 * thickness(scene, 1.0), rel=0.25)
    assert thickness(scene, 2.0) == twice


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
    parts = Parts(network, build_refinement("octa-nano.yaml"), dense_head_for(network))
    batch = batched(cut_clip(Bars().draw(None), CLIP, random(1)))
    walked = walk(parts, batch, Interaction(kind, 1, 2), random())
    walked.loss.backward()
    reached = {
        name.split(".")[0]
        for name, p in network.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }
    assert {"image_encoder", "memory_attention", "memory_encoder"} <= reached
    assert {"sam_mask_decoder", "sam_prompt_encoder", "obj_ptr_proj"} <= reached
    assert parts.refinement.last.weight.grad.abs().sum() > 0
    assert np.isfinite(walked.tracked_dice)


def test_clips_without_objects_teach_the_head_the_classes_alone(tmp_path):
    torch.manual_seed(0)
    network, head = untrained()
    clip = replace(CLIP, objects=0)
    config = FitConfig(
        steps=25, clips=2, learning_rate=1e-3, warmup=3, workers=0, frozen=("network",)
    )
    reports = list(fit(network, head, Bars(), clip, config, tmp_path))
    losses = [r.loss for r in reports]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert np.isnan(reports[-1].class_dice)
    scene = Bars().draw(random())
    read = head.read(torch.from_numpy(scene.images[:1, None])).classes
    found = read[0, RV].detach().numpy() > 0
    assert dice(found, scene.classes["RV"][0]) > 0.9


def test_fit_learns_and_an_interrupted_fit_goes_on(tmp_path):
    torch.manual_seed(0)
    network, head = untrained()
    config = FitConfig(steps=30, clips=2, learning_rate=1e-3, warmup=3, workers=0)
    run = fit(network, head, Bars(), CLIP, config, tmp_path)
    first = [next(run) for _ in range(12)]
    run.close()
    assert not network.training
    assert not head.training
    fresh = untrained()
    rest = list(fit(*fresh, Bars(), CLIP, config, tmp_path))
    assert rest[0].step == 12
    assert rest[-1].step == 29
    losses = [r.loss for r in [*first, *rest]]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert (tmp_path / "log.csv").read_text().startswith("step,loss,")
    with pytest.raises(TrainingError, match="other settings"):
        list(fit(*fresh, Bars(), CLIP, FitConfig(steps=5), tmp_path))


def test_the_result_is_the_average_of_the_weights(tmp_path):
    """With a decay of zero it is the last step, with one the first."""
    heads = {}
    for average in (0.0, 1.0):
        torch.manual_seed(0)
        network, head = untrained()
        config = FitConfig(
            steps=4, clips=1, warmup=1, workers=0, average=average, frozen=("network",)
        )
        before = {k: v.clone() for k, v in network.state_dict().items()}
        list(fit(network, head, Bars(), CLIP, config, tmp_path / str(average)))
        heads[average] = head.last.weight.detach().clone()
        frozen = network.state_dict()
        assert all(torch.equal(before[k], frozen[k]) for k in before)
    state = torch.load(tmp_path / "0.0" / "checkpoint.pt", weights_only=True)
    assert torch.equal(heads[0.0], state["trained"]["refinement.last.weight"])
    assert not torch.equal(heads[0.0], heads[1.0])


def untrained():
    return (
        build_network("octa-nano.yaml", input_size=64),
        build_refinement("octa-nano.yaml"),
    )


def test_a_recipe_leaves_weights_and_the_record_to_repeat_it(tmp_path, monkeypatch):
    phases = (
        recipes.Phase("1-a", {}, CLIP, FitConfig(steps=2, clips=1, workers=0)),
        recipes.Phase("2-b", {}, CLIP, FitConfig(steps=1, clips=1, workers=0, seed=1)),
    )
    recipe = recipes.Recipe(phases, config="octa-nano.yaml")
    monkeypatch.setitem(recipes.RECIPES, "octa-nano", recipe)
    monkeypatch.setattr(recipes, "mixture", lambda data, rossa: Bars())
    reports = list(recipes.train("octa-nano", tmp_path))
    assert [r.phase for r in reports] == ["1-a", "1-a", "2-b"]
    record = json.loads((tmp_path / "octa-nano.json").read_text())
    assert record["phases"][0]["fit"]["steps"] == 2
    assert record["bytes"] < 12e6
    network, head = untrained()
    assert load_weights(network, tmp_path / "octa-nano.safetensors", head) is head
    assert list(recipes.train("octa-nano", tmp_path)) == []


def test_a_head_is_trained_behind_a_model_that_stays_as_it_is(tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = build_network("octa-nano.yaml", input_size=64)
    network.classes = ()  # as stock SAM 2 has none
    torch.save(network.state_dict(), tmp_path / "mine.pt")
    fitted = FitConfig(steps=2, clips=1, workers=0, frozen=("network",), average=0)
    recipe = recipes.Recipe((recipes.Phase("1-a", {}, CLIP, fitted),))
    monkeypatch.setitem(recipes.RECIPES, "refinement", recipe)
    monkeypatch.setattr(recipes, "mixture", lambda data, rossa: Bars())
    monkeypatch.setattr(
        recipes, "load_model", lambda *_, **__: LoadedModel(network, "mine", "")
    )
    before = {k: v.clone() for k, v in network.state_dict().items()}
    list(recipes.train("refinement", tmp_path / "run", model=tmp_path / "mine.pt"))
    after = network.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    head = load_refinement(tmp_path / "run" / "refinement.safetensors")
    assert head.last.weight.abs().sum() > 0
    with pytest.raises(ModelError, match="is no refinement head"):
        load_refinement(tmp_path / "mine.pt")


def test_bad_settings_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="trains behind a model"):
        list(recipes.train("refinement", tmp_path))
    with pytest.raises(TrainingError, match="begins from scratch"):
        list(recipes.train("octa-nano", tmp_path, model="sam2.1_hiera_tiny"))
    with pytest.raises(TrainingError, match="at least one step"):
        FitConfig(steps=0)
    with pytest.raises(TrainingError, match="expected a recipe of octa-nano"):
        list(recipes.train("nope", tmp_path))
    with pytest.raises(TrainingError, match="found no pair"):
        PairFolder([tmp_path])


def test_the_mean_of_weights_leaves_counts_alone():
    one = {"a": torch.tensor([1.0, 2.0]), "steps": torch.tensor(7)}
    other = {"a": torch.tensor([3.0, -2.0]), "steps": torch.tensor(9)}
    found = mean_weights([one, other])
    assert found["a"].tolist() == [2.0, 0.0]
    assert found["steps"].item() == 7


def test_every_recipe_averages_phases_that_it_has():
    for recipe in RECIPES.values():
        assert set(recipe.averaged) <= {phase.name for phase in recipe.phases}
