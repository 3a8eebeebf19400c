"""A clip through the network: prompts, corrections, memory, and the losses of it."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.model.loading import build_network, build_refinement
from napari_octa_sam2.model.prompt_encoder import FIRST_CLASS
from napari_octa_sam2.prompts import SEGMENTABLE
from napari_octa_sam2.training.config import ClipConfig, LossConfig, PromptConfig
from napari_octa_sam2.training.data.clips import Clip, cut_clip
from napari_octa_sam2.training.data.scenes import Scene
from napari_octa_sam2.training.interaction import Interaction
from napari_octa_sam2.training.losses import Criterion
from napari_octa_sam2.training.losses.criterion import coverage
from napari_octa_sam2.training.parts import dense_head_for
from napari_octa_sam2.training.tally import Walked
from napari_octa_sam2.training.walk import GIVEN_ABSENT, Parts, walk

STOCK = "configs/sam2.1/sam2.1_hiera_t.yaml"
NATIVE, SIZE = 48, 64
RV, FAZ = SEGMENTABLE.index("RV"), SEGMENTABLE.index("FAZ")
PROMPTS = PromptConfig()
CLIP = ClipConfig(
    native=NATIVE, objects=2, zoom=(1, 1), tilt=0, min_area=4, whole=0, pieces=0
)
LOSS = LossConfig(
    shown={"bce": 2.0, "dice": 1.0},
    grid={"bce": 2.0, "dice": 1.0, "iou_mse": 1.0, "object_score": 1.0},
    classes={"bce": 2.0, "dice": 1.0},
    click_weight=6.0,
)
CRITERION = Criterion(LOSS)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def bars() -> Scene:
    """Two bright bars that move from slice to slice."""
    instances = np.zeros((6, 64, 64), np.uint8)
    for z in range(6):
        instances[z, 20 + z : 28 + z, 5:60] = 1
        instances[z, 36:42, 10 + z : 50 + z] = 2
    images = np.where(instances > 0, 0.9, 0.1).astype(np.float32)
    return Scene(images, instances, {"RV": instances > 0})


def clip(seed: int = 0, frames: int = 3, **changes: Any) -> Clip:
    config = replace(CLIP, frames=frames, **changes)
    drawn = cut_clip(bars(), config, np.random.default_rng(seed))
    assert drawn is not None
    return drawn


def network_of(config: str = "octa-nano.yaml", size: int = SIZE) -> Any:
    torch.manual_seed(0)
    network = build_network(config, input_size=size).train()
    with torch.no_grad():  # an object called absent passes no pointer on
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(4.0)
    return network


@pytest.fixture
def parts() -> Parts:
    network = network_of()
    head = build_refinement("octa-nano.yaml").eval()  # batch statistics are constant
    with torch.no_grad():  # a new head changes nothing, and learns of no click
        head.last.weight.normal_(0, 0.05)
    return Parts(network, head, dense_head_for(network))


def rngs(numbers: Sequence[int]) -> list[np.random.Generator]:
    return [np.random.default_rng([7, number]) for number in numbers]


def go(
    parts: Parts,
    batch: Clip,
    interaction: Interaction,
    prompts: PromptConfig = PROMPTS,
    *,
    criterion: Criterion = CRITERION,
    numbers: Sequence[int] = (),
    checkpointing: bool = False,
) -> Walked:
    count = batch.masks.shape[0] * batch.masks.shape[1]
    return walk(
        parts,
        batch,
        interaction,
        prompts,
        criterion,
        rngs(numbers or range(count)),
        checkpointing=checkpointing,
    )


def modules(parts: Parts) -> list[tuple[str, Any]]:
    named = (("network", parts.network), ("head", parts.refinement))
    return [*((n, m) for n, m in named if m is not None), ("dense", parts.dense_head)]


def gradients(parts: Parts, loss: Tensor) -> dict[str, Tensor]:
    """Return the gradients of a loss that are not zero, by name."""
    named = {
        f"{prefix}.{name}": weight
        for prefix, module in modules(parts)
        if module is not None
        for name, weight in module.named_parameters()
    }
    found = torch.autograd.grad(
        loss, list(named.values()), retain_graph=True, allow_unused=True
    )
    return {
        name: gradient
        for name, gradient in zip(named, found, strict=True)
        if gradient is not None and gradient.abs().sum() > 0
    }


def reached(parts: Parts, loss: Tensor) -> set[str]:
    """Return which parts of the network, and of the others, a loss trains."""
    names = [name.split(".") for name in gradients(parts, loss)]
    return {name[1] if name[0] == "network" else name[0] for name in names}


class Calls:
    """Records what a network's decoder is given and what it returns."""

    def __init__(self, network: Any, patch: pytest.MonkeyPatch) -> None:
        self.made: list[dict[str, Any]] = []
        step = network._track_step

        def recorded(**given: Any) -> Any:
            result = step(**given)
            self.made.append(given | {"candidates": result[1][0], "memory": result[0]})
            return result

        patch.setattr(network, "_track_step", recorded)

    def on(self, t: int) -> list[dict[str, Any]]:
        return [call for call in self.made if call["frame_idx"] == t]

    def points(self, t: int, call: int = 0) -> tuple[Tensor, Tensor]:
        """Return points in pixels of the clip, and labels."""
        given = self.on(t)[call]["point_inputs"]
        return given["point_coords"] * NATIVE / SIZE, given["point_labels"]


@pytest.fixture
def calls(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(parts.network, monkeypatch)


def single(**changes: Any) -> Clip:
    return Clip.stacked([clip(**changes)])


def lies_in(mask: Tensor, xy: Tensor) -> bool:
    x, y = xy.round().long().tolist()
    return bool(mask[y, x])


@pytest.mark.parametrize("kind", ["click", "clicks", "box", "mask"])
def test_every_interaction_reaches_the_weights_it_should(kind: Any, parts: Parts):
    walked = go(parts, single(), Interaction(kind, rounds=1))
    trained = reached(parts, walked.loss)
    assert {"image_encoder", "memory_attention", "memory_encoder"} <= trained
    assert {"sam_mask_decoder", "sam_prompt_encoder", "obj_ptr_proj"} <= trained
    assert {"head", "dense"} <= trained
    assert 0 <= walked.followed_dice <= 1
    assert math.isnan(walked.prompted_dice) == (kind == "mask")
    assert math.isnan(walked.class_dice)


def test_a_network_without_a_head_shows_what_it_decodes():
    network = network_of(STOCK, 128)
    parts = Parts(network)
    criterion = Criterion(replace(LOSS, classes={}))
    for kind in ("click", "mask"):
        walked = go(
            parts, single(frames=2), Interaction(kind, rounds=1), criterion=criterion
        )
        trained = reached(parts, walked.loss)
        assert {"image_encoder", "sam_mask_decoder", "memory_attention"} <= trained
        assert walked.loss.isfinite()


def test_clips_without_objects_teach_the_head_the_classes_alone(parts: Parts):
    batch = single(objects=0)
    walked = go(parts, batch, Interaction("click"))
    assert reached(parts, walked.loss) == {"head"}
    assert walked.followed.item() == 0
    read = parts.refinement.read(batch.images[0])
    known = batch.known.flatten(0, 1)
    truth = batch.classes[0].transpose(0, 1)
    torch.testing.assert_close(
        walked.loss, CRITERION.of_classes(read.classes, truth, known)
    )


def test_clicks_lie_on_their_objects_and_corrections_in_the_error(
    parts: Parts, calls: Calls
):
    batch = single()
    go(parts, batch, Interaction("click", rounds=2))
    assert [len(calls.on(t)) for t in range(3)] == [3, 1, 1]
    for number in range(3):
        points, labels = calls.points(0, number)
        assert points.shape == (2, 1 + number, 2)
        for mask, xy, sign in zip(batch.masks[0, :, 0], points, labels, strict=True):
            assert all(
                lies_in(mask, at) == (kind == 1)
                for at, kind in zip(xy, sign.tolist(), strict=True)
                if kind >= 0
            )
        given = calls.on(0)[number]["prev_sam_mask_logits"]
        assert (given is None) == (number == 0)
    assert calls.on(1)[0]["point_inputs"] is None


def test_a_round_may_have_the_mask_before_as_only_prompt(parts: Parts, calls: Calls):
    go(parts, single(), Interaction("click", rounds=3, mask_round=0))
    labels = [calls.points(0, number)[1] for number in range(4)]
    assert [bool((label == -1).all()) for label in labels] == [False, True, False, True]
    assert [label.shape[1] for label in labels] == [1, 1, 2, 1]
    assert all(call["prev_sam_mask_logits"] is not None for call in calls.on(0)[1:])


def test_a_late_correction_comes_after_what_was_followed(parts: Parts, calls: Calls):
    go(parts, single(), Interaction("box", late=2))
    assert [len(calls.on(t)) for t in range(3)] == [1, 1, 2]
    assert calls.points(0)[1].tolist() == [[2, 3]] * 2
    first, second = calls.on(2)
    assert first["point_inputs"] is None
    assert second["point_inputs"]["point_labels"].shape == (2, 1)
    assert second["prev_sam_mask_logits"] is not None
    assert not second["is_init_cond_frame"]


def test_prompted_slices_are_remembered_as_such(parts: Parts, calls: Calls):
    go(parts, single(frames=4), Interaction("clicks", slices=(0, 2)))
    assert [call["is_init_cond_frame"] for call in calls.made] == [1, 0, 1, 0]
    memory = calls.made[-1]["output_dict"]
    assert sorted(memory["cond_frame_outputs"]) == [0, 2]
    assert sorted(memory["non_cond_frame_outputs"]) == [1]


@pytest.mark.parametrize("same", [True, False])
def test_prompted_slices_get_points_of_their_own_or_of_the_first(
    same: bool, parts: Parts, calls: Calls
):
    prompts = PromptConfig(same_points=same, deepest=0)
    go(parts, single(), Interaction("click", slices=(0, 2)), prompts)
    first, second = calls.points(0), calls.points(2)
    assert torch.equal(first[0], second[0]) == same


def test_classes_are_asked_for_by_name(parts: Parts, calls: Calls):
    batch = single()
    batch.asked[0, 0] = RV
    walked = go(parts, batch, Interaction("click"))
    labels = calls.points(0)[1]
    assert labels[:, 0].tolist() == [FIRST_CLASS + RV, 1]
    assert 0 <= walked.class_dice <= 1


def test_interactions_are_drawn_as_they_are_configured():
    config = PromptConfig(slices=(2, 3), late=1.0, mask_rounds=True)
    drawn = [
        Interaction.draw(5, config, np.random.default_rng(seed)) for seed in range(80)
    ]
    assert {i.slices for i in drawn} == {(0, 4), (0, 2, 4)}
    assert all(i.late not in (None, *i.slices) for i in drawn)
    assert {i.late for i in drawn} == {1, 2, 3}
    assert {i.rounds for i in drawn} == {0, 1, 2, 3}
    for i in drawn:
        assert (i.mask_round is None) == (i.rounds < 2)
        assert i.mask_round is None or i.mask_round < i.rounds
    again = Interaction.draw(5, config, np.random.default_rng(3))
    assert again == drawn[3]
    assert Interaction.draw(2, config, np.random.default_rng(0)).late is None


INTERACTIONS = {
    "corrected": Interaction("click", rounds=3, mask_round=1, late=2),
    "often prompted": Interaction("clicks", slices=(0, 2), rounds=1),
    "a mask": Interaction("mask", slices=(0, 2)),
    "a box": Interaction("box", late=1),
}


@pytest.mark.parametrize("name", INTERACTIONS)
def test_checkpointing_changes_neither_loss_nor_gradients(name: str, parts: Parts):
    batch = Clip.stacked([clip(0, 4), clip(1, 4)])
    found = []
    for checkpointing in (False, True):
        walked = go(parts, batch, INTERACTIONS[name], checkpointing=checkpointing)
        found.append((walked, gradients(parts, walked.loss)))
    (plain, expected), (saving, gradient) = found
    torch.testing.assert_close(saving.prompted, plain.prompted)
    torch.testing.assert_close(saving.followed, plain.followed)
    assert gradient.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(gradient[key], value, rtol=1e-3, atol=1e-5)


def test_checkpointing_repeats_the_dropout_of_a_stock_network():
    network = network_of(STOCK, 64)
    batch = single(frames=2, objects=1)
    criterion = Criterion(LossConfig(shown={"bce": 1.0}))
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(3)
        walked = go(
            Parts(network),
            batch,
            Interaction("click"),
            criterion=criterion,
            checkpointing=checkpointing,
        )
        found.append(gradients(Parts(network), walked.loss))
    assert any("memory_attention" in key for key in found[0])
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=1e-3, atol=1e-5)


class Memory(TorchDispatchMode):
    """Counts the bytes of tensors that are held, and the most at a time."""

    def __init__(self, weights: Iterator[Tensor]) -> None:
        super().__init__()
        self.held = self.most = 0
        self.seen = {w.untyped_storage()._cdata for w in weights}

    def __torch_dispatch__(
        self, func: Callable[..., Any], _: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self._hold(tensor.untyped_storage())
        self.most = max(self.most, self.held)
        return result

    def _hold(self, storage: Any) -> None:
        if storage._cdata not in self.seen:
            self.seen.add(storage._cdata)
            self.held += storage.nbytes()
            weakref.finalize(storage, self._free, storage._cdata, storage.nbytes())

    def _free(self, key: int, count: int) -> None:
        self.seen.discard(key)
        self.held -= count


def test_checkpointing_needs_a_fraction_of_the_memory(parts: Parts):
    parts = Parts(parts.network, parts.refinement)
    batch = single(frames=6)
    most = {}
    weights = [w for _, m in modules(parts)[:2] for w in m.parameters()]
    for checkpointing in (False, True):
        with Memory(iter(weights)) as memory:
            walked = go(
                parts,
                batch,
                Interaction("click", rounds=3, late=3),
                checkpointing=checkpointing,
            )
            kept = memory.held
            walked.loss.backward()
        gradients = sum(w.grad.nbytes for w in weights if w.grad is not None)
        most[checkpointing] = kept, memory.most - gradients
        for weight in weights:
            weight.grad = None
    assert most[True][0] < most[False][0] / 3
    assert most[True][1] < most[False][1] / 2


def unlabelled(batch: Clip, t: int) -> Clip:
    labelled, known = batch.labelled.clone(), batch.known.clone()
    labelled[:, t] = False
    known[:, t] = False
    return replace(batch, labelled=labelled, known=known)


def inverted(batch: Clip, t: int) -> Clip:
    masks, classes = batch.masks.clone(), batch.classes.clone()
    masks[:, :, t] = ~masks[:, :, t]
    classes[:, :, t] = ~classes[:, :, t]
    return replace(batch, masks=masks, classes=classes)


@pytest.mark.parametrize(
    "interaction",
    [
        Interaction("click", rounds=1),
        Interaction("click", late=1),
        Interaction("click", slices=(0, 1)),
        Interaction("mask", slices=(0, 1, 2)),
    ],
)
def test_slices_without_truth_teach_nothing(interaction: Interaction, parts: Parts):
    batch = single()
    sparse = unlabelled(batch, 1)
    loss, changed = (
        go(parts, each, interaction) for each in (sparse, inverted(sparse, 1))
    )
    assert torch.equal(loss.loss, changed.loss)
    np.testing.assert_equal(loss.followed_dice, changed.followed_dice)
    assert not torch.equal(loss.loss, go(parts, batch, interaction).loss)
    other = go(parts, inverted(batch, 2), interaction)
    assert not torch.equal(other.loss, go(parts, batch, interaction).loss)


def test_truth_of_one_clip_alone_counts(parts: Parts):
    """Of two clips, one has no truth on the last slice."""
    batch = Clip.stacked([clip(0), clip(1)])
    batch.labelled[1, 2] = False
    batch.known[1, 2] = False
    changed = replace(batch, masks=batch.masks.clone())
    changed.masks[1, :, 2] = True
    plan = Interaction("click")
    expected = go(parts, batch, plan)
    assert torch.equal(go(parts, changed, plan).loss, expected.loss)
    changed.masks[0, :, 2] = True
    assert not torch.equal(go(parts, changed, plan).loss, expected.loss)


@pytest.mark.parametrize("present", [True, False])
def test_the_score_of_an_object_learns_whether_it_is_there(present: bool, parts: Parts):
    batch = single(frames=2)
    if not present:
        batch.masks[:, :, 1] = False
    score = Criterion(LossConfig(shown={}, grid={"object_score": 1.0}))
    found: list[Tensor] = []
    walked = go(parts, batch, Interaction("mask"), criterion=score)
    bias = parts.network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias
    found += torch.autograd.grad(walked.loss, bias)
    # the derivative of the cross-entropy is the probability less the target
    assert (float(found[0]) < 0) == present
    logit = bias.detach()
    expected = torch.nn.functional.softplus(-logit if present else logit)
    assert walked.loss.item() == pytest.approx(expected.item(), rel=0.2)


@pytest.mark.parametrize("shown", [True, False])
def test_an_absent_object_can_be_shown_as_an_empty_mask(
    shown: bool, parts: Parts, calls: Calls
):
    batch = single(frames=4)
    batch.masks[:, 0, 2] = False
    network = parts.network
    prompts = PromptConfig(absent_mask=shown)
    go(parts, batch, Interaction("click", slices=(0, 2)), prompts)
    held = calls.made[-1]["output_dict"]["cond_frame_outputs"][2]
    empty = (held["pred_masks"] == GIVEN_ABSENT).flatten(1).all(1)
    assert empty.tolist() == [shown, False]
    nothing = [torch.equal(p, network.no_obj_ptr[0]) for p in held["obj_ptr"]]
    assert nothing == [shown, False]


def test_a_slice_without_any_object_is_prompted_only_to_show_that(
    parts: Parts, calls: Calls
):
    batch = single()
    batch.masks[:, :, 2] = False
    for shown in (False, True):
        calls.made.clear()
        prompts = PromptConfig(absent_mask=shown)
        go(parts, batch, Interaction("click", slices=(0, 2)), prompts)
        assert calls.on(2)[0]["is_init_cond_frame"] == shown


@pytest.mark.parametrize("name", INTERACTIONS)
def test_a_clip_is_treated_alike_whatever_batch_it_is_in(
    name: str, parts: Parts, calls: Calls
):
    clips, prompts = [clip(0, 4), clip(1, 4)], PromptConfig(negatives=(0, 2))
    both = go(parts, Clip.stacked(clips), INTERACTIONS[name], prompts)
    together = list(calls.made)
    alone = []
    for number, each in enumerate(clips):
        calls.made.clear()
        own = (2 * number, 2 * number + 1)
        alone.append(
            go(parts, Clip.stacked([each]), INTERACTIONS[name], prompts, numbers=own)
        )
        rows = slice(2 * number, 2 * number + 2)
        for call, joint in zip(calls.made, together, strict=True):
            if (given := call["point_inputs"]) is not None:
                for key, value in given.items():
                    torch.testing.assert_close(joint["point_inputs"][key][rows], value)
    for part in ("prompted", "followed"):
        mean = (getattr(alone[0], part) + getattr(alone[1], part)) / 2
        torch.testing.assert_close(getattr(both, part), mean)


def test_objects_do_not_see_each_other(parts: Parts, calls: Calls):
    batch = single()
    go(parts, batch, Interaction("click", rounds=1))
    expected = [call["candidates"][0] for call in calls.made]
    calls.made.clear()
    other = replace(batch, masks=batch.masks.clone())
    other.masks[:, 1] = batch.masks[:, 1].flip(-1)
    go(parts, other, Interaction("click", rounds=1))
    for call, value in zip(calls.made, expected, strict=True):
        torch.testing.assert_close(call["candidates"][0], value)
    assert not torch.equal(calls.made[0]["candidates"][1], expected[0])


def losses_of(logits: Tensor, score: Tensor, truth: Tensor, **terms: float) -> Tensor:
    criterion = Criterion(LossConfig(shown={}, grid=terms))
    ious = torch.full(logits.shape[:2], 0.5)
    return criterion.on_grid(logits, ious, score, truth)


def test_only_the_best_candidate_of_a_present_object_is_trained():
    truth = torch.zeros(2, 8, 8, dtype=torch.bool)
    truth[0, :4] = True
    logits = torch.zeros(2, 3, 8, 8)
    logits[0, 1] = torch.where(truth[0], 4.0, -4.0)
    logits.requires_grad_()
    score = torch.zeros(2, requires_grad=True)
    losses_of(
        logits, score, truth, bce=1.0, dice=1.0, object_score=1.0
    ).sum().backward()
    assert logits.grad is not None
    assert score.grad is not None
    moved = logits.grad.abs().flatten(2).sum(-1) > 0
    assert moved.tolist() == [[False, True, False], [False, False, False]]
    assert score.grad.tolist() == [-0.5, 0.5]


def test_the_coarse_mask_aims_at_the_share_of_each_cell():
    truth = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    truth[..., :3] = True
    assert coverage(truth, (2, 2)).flatten().tolist() == [0.75, 0, 0.75, 0]
    at_best = torch.logit(torch.tensor([[[[0.75, 1e-6], [0.75, 1e-6]]]]))
    at_best.requires_grad_()
    loss = losses_of(at_best, torch.zeros(1), truth[:, 0], bce=1.0)
    (slope,) = torch.autograd.grad(loss.sum(), at_best)
    assert slope.abs().max() < 1e-5


def test_losses_are_weighted_and_of_the_resolution_shown():
    truth = torch.zeros(1, 8, 8, dtype=torch.bool)
    truth[0, :4] = True
    coarse = torch.zeros(1, 2, 4, 4)
    one, two, both = (
        Criterion(LossConfig(shown=terms)).on_shown(
            coarse, torch.zeros(1, 2), torch.zeros(1), truth, None
        )
        for terms in (
            {"bce": 2.0},
            {"object_score": 3.0},
            {"bce": 2.0, "object_score": 3.0},
        )
    )
    assert float(one) == pytest.approx(2 * math.log(2))
    assert float(two) == pytest.approx(3 * math.log(2))
    assert float(both) == pytest.approx(5 * math.log(2))


def test_what_is_near_a_click_weighs_more_and_the_absent_nothing():
    truth = torch.zeros(2, 24, 24, dtype=torch.bool)
    truth[0, 2:20] = True
    logits = torch.zeros(2, 1, 24, 24, requires_grad=True)
    painted = torch.zeros(2, 2, 24, 24)
    painted[0, 0, 4, 4] = 1
    criterion = Criterion(LossConfig(shown={"bce": 1.0}, click_weight=6.0))
    ious, score = torch.zeros(2, 1), torch.zeros(2)
    criterion.on_shown(logits, ious, score, truth, painted).sum().backward()
    assert logits.grad is not None
    assert not logits.grad[1].any()
    clicked, other = logits.grad[0, 0, [4, 18], [4, 18]].abs().tolist()
    assert clicked == pytest.approx(6 * other)


def test_unknown_classes_do_not_count():
    generator = torch.Generator().manual_seed(0)
    criterion = Criterion(LossConfig(classes={"bce": 2.0, "dice": 1.0}))
    logits = torch.randn(2, 2, 8, 8, generator=generator)
    truth = torch.rand(2, 2, 32, 32, generator=generator) > 0.5
    known = torch.tensor([[True, False], [True, False]])
    changed = truth.clone()
    changed[:, 1] = ~changed[:, 1]
    loss = criterion.of_classes
    assert loss(logits, truth, known) == loss(logits, changed, known)
    assert loss(logits, truth, ~known) != loss(logits, changed, ~known)
    # images count alike, however many of their classes are known
    known[0] = True
    each = [loss(logits[i, None], truth[i, None], known[i, None]) for i in (0, 1)]
    torch.testing.assert_close(loss(logits, truth, known), (each[0] + each[1]) / 2)
    nothing = Criterion(LossConfig()).of_classes(logits, truth, known)
    assert nothing.item() == 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LossConfig(shown={"hinge": 1.0}), "found 'hinge'"),
        (
            LossConfig(grid={"dice": -1.0}),
            "weight of 0 or more for the loss dice, found -1.0",
        ),
        (LossConfig(classes={"iou_mse": 1.0}), "found 'iou_mse'"),
        (LossConfig(shown={}), "expected a loss of the masks"),
    ],
)
def test_losses_that_cannot_be(config: LossConfig, message: str):
    with pytest.raises(TrainingError, match=message):
        Criterion(config)
