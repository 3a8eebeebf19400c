from __future__ import annotations

import math
import sys
from collections.abc import Callable

import pytest
import torch
from scipy import ndimage
from torch import Tensor

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.training.config import LossConfig
from napari_octa_sam2.training.losses import (
    MASK_LOSSES,
    Criterion,
    bce,
    dice_ce,
    focal,
    iou_loss,
    score_loss,
    soft_dice,
)

SURE = 100.0
MaskLoss = Callable[[Tensor, Tensor], Tensor]


def logits_of(mask: Tensor) -> Tensor:
    """Logits whose sigmoid is the mask itself."""
    return (mask * 2 - 1) * SURE


def square(top: int, left: int, side: int, size: int = 12) -> Tensor:
    mask = torch.zeros(1, size, size)
    mask[:, top : top + side, left : left + side] = 1
    return mask


@pytest.fixture
def noisy() -> tuple[Tensor, Tensor]:
    """Rough predictions of three vessel-like masks."""
    generator = torch.Generator().manual_seed(7)
    field = torch.randn(3, 24, 24, generator=generator).numpy()
    field = ndimage.gaussian_filter(field, (0, 1.5, 1.5))
    truth = torch.tensor(field > 0.1, dtype=torch.float32)
    noise = torch.randn(truth.shape, generator=generator)
    return 2 * (truth - 0.5) + 1.5 * noise, truth


def test_dice_of_shifted_squares() -> None:
    # 4 x 4 = 16 pixels each, 3 x 4 = 12 in both
    loss = soft_dice(logits_of(square(2, 2, 4)), square(3, 2, 4))
    torch.testing.assert_close(loss, torch.tensor([1 - 25 / 33]))


def test_dice_counts_shares_of_pixels() -> None:
    logits, truth = torch.zeros(1, 2, 2), torch.full((1, 2, 2), 0.25)
    # p g = 1/8 in each of 4 pixels; sums 2 and 1
    torch.testing.assert_close(soft_dice(logits, truth), torch.tensor([1 - 2 / 4]))


def test_cross_entropy_of_undecided_logits() -> None:
    logits, truth = torch.zeros(1, 3, 5), square(0, 0, 2, 5)[:, :3]
    torch.testing.assert_close(bce(logits, truth), torch.tensor([math.log(2)]))
    weight = 1 + 2 * truth  # 4 of 15 pixels count three times
    expected = math.log(2) * (11 + 3 * 4) / 15
    torch.testing.assert_close(bce(logits, truth, weight), torch.tensor([expected]))


def test_cross_entropy_limits_wild_logits() -> None:
    loss = bce(torch.full((1, 2, 2), 1e4), torch.zeros(1, 2, 2))
    torch.testing.assert_close(loss, torch.tensor([32.0]))


def test_focal_of_undecided_logits() -> None:
    logits = torch.zeros(2, 2, 2)
    truth = torch.stack([torch.ones(2, 2), torch.zeros(2, 2)])
    expected = torch.tensor([0.25, 0.75]) * 0.5**2 * math.log(2)
    torch.testing.assert_close(focal(logits, truth), expected)
    torch.testing.assert_close(
        focal(logits, truth, alpha=-1), torch.full((2,), 0.25 * math.log(2))
    )


def test_focal_minds_the_sure_less() -> None:
    logits, truth = torch.full((1, 1, 1), math.log(9)), torch.ones(1, 1, 1)
    expected = 0.25 * 0.1**2 * -math.log(0.9)
    torch.testing.assert_close(focal(logits, truth), torch.tensor([expected]))


def test_focal_without_focus_is_cross_entropy(noisy: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(focal(*noisy, alpha=-1, gamma=0), bce(*noisy))


def test_dice_ce_of_undecided_logits() -> None:
    logits, truth = torch.zeros(1, 2, 2), torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    expected = 1 - (2 + 1e-5) / (4 + 1e-5) + math.log(2)
    torch.testing.assert_close(dice_ce(logits, truth), torch.tensor([expected]))


def test_dice_ce_of_an_empty_mask_is_near_one() -> None:
    truth = torch.zeros(1, 8, 8)
    # Dice of a smoothing of 1e-5, unlike one of a pixel, sees a faint answer
    faint = torch.full((1, 8, 8), -6.0)
    assert dice_ce(faint, truth).item() > 0.99
    assert soft_dice(faint, truth).item() < 0.2


@pytest.mark.parametrize("loss", MASK_LOSSES.values(), ids=MASK_LOSSES)
class TestEveryMaskLoss:
    def test_of_a_perfect_mask_is_zero(self, loss: MaskLoss) -> None:
        truth = torch.cat([square(3, 3, 5), square(0, 6, 4), torch.zeros(1, 12, 12)])
        found = loss(logits_of(truth), truth)
        torch.testing.assert_close(found, torch.zeros(3), atol=1e-6, rtol=0)

    def test_has_finite_gradients_at_the_truth(self, loss: MaskLoss) -> None:
        truth = torch.cat([square(3, 3, 5), torch.zeros(1, 12, 12)])
        logits = logits_of(truth).requires_grad_()
        loss(logits, truth).sum().backward()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()

    def test_judges_each_mask_by_itself(
        self, loss: MaskLoss, noisy: tuple[Tensor, Tensor]
    ) -> None:
        logits, truth = noisy
        logits.requires_grad_()
        together = loss(logits, truth)
        alone = [loss(logits[i : i + 1], truth[i : i + 1]) for i in range(3)]
        assert together.shape == (3,)
        torch.testing.assert_close(together, torch.cat(alone))
        (gradient,) = torch.autograd.grad(together[1], logits)
        assert gradient[1].any()
        assert not gradient[[0, 2]].any()

    def test_falls_by_gradient_steps(
        self, loss: MaskLoss, noisy: tuple[Tensor, Tensor]
    ) -> None:
        logits, truth = noisy
        logits.requires_grad_()
        optimiser = torch.optim.Adam([logits], lr=0.1)
        before = loss(logits, truth).detach()
        for _ in range(15):
            optimiser.zero_grad()
            loss(logits, truth).sum().backward()
            assert logits.grad is not None
            assert logits.grad.isfinite().all()
            optimiser.step()
        assert (loss(logits, truth) < 0.9 * before).all()

    def test_of_no_mask_is_empty(self, loss: MaskLoss) -> None:
        nothing = torch.zeros(0, 8, 8)
        assert loss(nothing, nothing).shape == (0,)


@pytest.mark.parametrize("name", ["focal", "dice", "bce", "dice_ce", "cldice"])
def test_gradient_is_that_of_the_value(name: str, noisy: tuple[Tensor, Tensor]) -> None:
    logits, truth = (part[:, :8, :8].double() for part in noisy)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: MASK_LOSSES[name](x, truth), logits)


def test_iou_of_hard_masks() -> None:
    truth = square(0, 0, 4)
    half, all_of_it = logits_of(truth), logits_of(truth)
    half[:, :2] = -SURE  # 8 of 16 pixels
    logits = torch.stack([half, all_of_it], 1)
    predicted = torch.tensor([[0.8, 0.9]])
    torch.testing.assert_close(
        iou_loss(predicted, logits, truth, "l1"), torch.tensor([(0.3 + 0.1) / 2])
    )
    torch.testing.assert_close(
        iou_loss(predicted, logits, truth, "mse"), torch.tensor([(0.09 + 0.01) / 2])
    )


def test_iou_of_soft_masks() -> None:
    logits, truth = torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4)
    truth[:, :2] = 1
    # both 4, either 8 + 8 - 4
    predicted = torch.tensor([[1.0]])
    torch.testing.assert_close(
        iou_loss(predicted, logits, truth, "l1", soft=True), torch.tensor([2 / 3])
    )
    # nothing is above 0, so the hard mask is empty
    torch.testing.assert_close(
        iou_loss(predicted, logits, truth, "l1"), torch.tensor([1.0])
    )


@pytest.mark.parametrize("soft", [False, True])
def test_iou_of_two_empty_masks_is_one(soft: bool) -> None:
    truth = torch.zeros(1, 4, 4)
    loss = iou_loss(torch.zeros(1, 1), logits_of(truth)[:, None], truth, "l1", soft)
    torch.testing.assert_close(loss, torch.tensor([1.0]))


def test_iou_is_of_the_own_object() -> None:
    truth = torch.cat([square(0, 0, 4), square(6, 6, 4)])
    logits = logits_of(truth.flip(0))[:, None]
    torch.testing.assert_close(
        iou_loss(torch.tensor([[0.25], [0.5]]), logits, truth, "l1"),
        torch.tensor([0.25, 0.5]),
    )


@pytest.mark.parametrize("soft", [False, True])
def test_iou_trains_the_prediction_only(soft: bool) -> None:
    predicted = torch.full((1, 1), 0.5, requires_grad=True)
    logits = torch.zeros(1, 1, 12, 12, requires_grad=True)
    iou_loss(predicted, logits, square(0, 0, 4), soft=soft).sum().backward()
    assert predicted.grad is not None
    assert predicted.grad.item() > 0
    assert logits.grad is None


def test_iou_of_an_unknown_kind() -> None:
    with pytest.raises(TrainingError, match="'l1' or 'mse', not 'huber'"):
        iou_loss(
            torch.zeros(1, 1),
            torch.zeros(1, 1, 4, 4),
            torch.zeros(1, 4, 4),
            "huber",  # type: ignore[arg-type]
        )


def test_score_of_present_and_absent_objects() -> None:
    logit = torch.tensor([0.0, math.log(3), math.log(3)], requires_grad=True)
    present = torch.tensor([1.0, 1.0, 0.0])
    loss = score_loss(logit, present)
    expected = torch.tensor([2.0, 4 / 3, 4.0]).log()
    torch.testing.assert_close(loss, expected)
    loss.sum().backward()
    assert logit.grad is not None
    assert logit.grad.sign().tolist() == [-1, -1, 1]  # what is absent goes down


def test_score_weighs_the_present() -> None:
    logit, present = torch.zeros(2), torch.tensor([1.0, 0.0])
    torch.testing.assert_close(
        score_loss(logit, present, positive_weight=2.0),
        math.log(2) * torch.tensor([2.0, 1.0]),
    )


def on_shown(noisy: tuple[Tensor, Tensor], terms: dict[str, float]) -> Tensor:
    logits, truth = noisy
    nothing = torch.zeros(len(logits), 1)
    criterion = Criterion(LossConfig(shown=terms))
    return criterion.on_shown(logits[:, None], nothing, nothing[:, 0], truth, None)


def test_weighted_sum(noisy: tuple[Tensor, Tensor]) -> None:
    found = on_shown(noisy, {"focal": 20, "dice": 1})
    torch.testing.assert_close(found, 20 * focal(*noisy) + soft_dice(*noisy))


def test_weighted_sum_is_in_single_precision(noisy: tuple[Tensor, Tensor]) -> None:
    logits, truth = noisy
    short = logits.bfloat16()
    found = on_shown((short, truth), {"bce": 1.0})
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, bce(short.float(), truth))


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"dyce": 1.0}, r"bce, cldice, dice, dice_ce, focal, homology.*'dyce'"),
        ({"dice": -1.0}, r"0 or more for the loss dice, found -1"),
        ({"dice": math.nan}, r"0 or more for the loss dice, found nan"),
        ({"dice": math.inf}, r"0 or more for the loss dice, found inf"),
        ({}, "found none"),
        ({"dice": 0.0}, "found none"),
    ],
)
def test_weighted_sum_of_nonsense(terms: dict[str, float], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        Criterion(LossConfig(shown=terms))


def test_homology_is_left_out_where_it_weighs_nothing(
    monkeypatch: pytest.MonkeyPatch, noisy: tuple[Tensor, Tensor]
) -> None:
    monkeypatch.setitem(sys.modules, "gudhi", None)
    found = on_shown(noisy, {"dice": 1, "homology": 0})
    torch.testing.assert_close(found, soft_dice(*noisy))
    with pytest.raises(TrainingError, match="pip install gudhi"):
        on_shown(noisy, {"homology": 0.1})
