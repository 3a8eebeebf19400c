from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from skimage.measure import euler_number
from torch import Tensor

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.training.losses import (
    cldice,
    homology_loss,
    peeled_cldice,
    peeled_skeleton,
    soft_skeleton,
)
from napari_octa_sam2.training.losses.homology import loops, wasserstein

SURE = 100.0
EIGHT = np.ones((3, 3))
SIDE = 50  # of the images that `homology_loss` compares: nothing is interpolated


def betti(mask: np.ndarray) -> tuple[int, int]:
    """Number of 8-connected components and of holes."""
    outside = np.pad(~mask, 1, constant_values=True)
    return ndimage.label(mask, EIGHT)[1], ndimage.label(outside)[1] - 1


def random_masks(n: int, size: int, seed: int, smooth: float) -> np.ndarray:
    field = np.random.default_rng(seed).standard_normal((n, size, size))
    field = ndimage.gaussian_filter(field, (0, smooth, smooth), mode="wrap")
    return np.asarray(field > 0)


def tensor(mask: np.ndarray) -> Tensor:
    return torch.tensor(mask, dtype=torch.float32)


def lines() -> tuple[Tensor, Tensor]:
    """A line of 20 pixels, and one that lacks 4 of them."""
    truth = torch.zeros(1, 9, 30)
    truth[:, 4, 5:25] = 1
    broken = truth.clone()
    broken[:, 4, 12:16] = 0
    return (broken * 2 - 1) * SURE, truth


# Soft skeletons


def test_soft_skeleton_of_a_bar_is_its_centre_line() -> None:
    bar = torch.zeros(1, 15, 31)
    bar[:, 5:10, 5:26] = 1
    centre = torch.zeros_like(bar)
    centre[:, 7, 7:24] = 1
    torch.testing.assert_close(soft_skeleton(bar), centre)
    # one erosion is too little for five pixels
    assert soft_skeleton(bar, rounds=1).sum() == 0


def test_soft_skeleton_follows_grey_morphology() -> None:
    field = np.random.default_rng(3).random((2, 20, 17))
    grey = ndimage.gaussian_filter(field, (0, 1, 1))
    found = soft_skeleton(torch.tensor(grey), rounds=4).numpy()
    for image, skeleton in zip(grey, found, strict=True):
        parts = []
        for _ in range(5):
            opened = ndimage.grey_opening(image, (3, 3), mode="nearest")
            parts.append(np.maximum(image - opened, 0))
            image = ndimage.grey_erosion(image, (3, 3), mode="nearest")
        # S + (1 - S) d is the complement of the product of complements
        expected = 1 - np.prod([1 - part for part in parts], axis=0)
        np.testing.assert_allclose(skeleton, expected, atol=1e-12)


def test_cldice_of_a_broken_line() -> None:
    # precision 17/17, sensitivity 17/21; Dice 33/37
    miss, dice = 1 - 34 / 38, 1 - 33 / 37
    expected = 0.8 * dice + 0.2 * miss
    torch.testing.assert_close(cldice(*lines()), torch.tensor([expected]))
    torch.testing.assert_close(cldice(*lines(), share=1), torch.tensor([miss]))


def test_cldice_minds_the_centre_more_than_the_rim() -> None:
    truth = torch.zeros(1, 15, 40)
    truth[:, 5:10, 5:35] = 1
    cut, thin = truth.clone(), truth.clone()
    cut[:, :, 18:22] = 0  # 20 pixels of 150
    thin[:, 5, 10:30] = 0  # as many, at the rim
    losses = [cldice((m * 2 - 1) * SURE, truth, share=1).item() for m in (cut, thin)]
    assert losses[0] > 2 * losses[1]


# Peeled skeletons


def peeled_by_hand(mask: np.ndarray, iterations: int) -> np.ndarray:
    """Pixel by pixel, with Euler numbers of scikit-image."""
    mask = np.pad(mask, 1)
    for _ in range(iterations):
        around = ndimage.convolve(mask.astype(int), EIGHT, mode="constant")
        ends = mask & (around - mask <= 1)
        for row, column in [(0, 0), (1, 0), (0, 1), (1, 1)]:
            for r, c in np.argwhere(mask & ~ends):
                if r % 2 != row or c % 2 != column:
                    continue
                window = mask[r - 1 : r + 2, c - 1 : c + 2].copy()
                before = euler_number(window, connectivity=2)
                window[1, 1] = False
                mask[r, c] = euler_number(window, connectivity=2) != before
    return mask[1:-1, 1:-1]


@pytest.mark.parametrize("smooth", [0.0, 1.0])
@pytest.mark.parametrize("size", [11, 12])
def test_peeling_is_that_of_single_pixels(smooth: float, size: int) -> None:
    masks = random_masks(3, size, seed=5, smooth=smooth)
    for iterations in (1, 3):
        found = peeled_skeleton(tensor(masks), iterations)
        expected = [peeled_by_hand(mask, iterations) for mask in masks]
        np.testing.assert_array_equal(found.numpy() > 0, np.stack(expected))


@pytest.mark.parametrize("smooth", [0.0, 1.0, 2.0])
def test_peeling_keeps_the_topology(smooth: float) -> None:
    masks = random_masks(4, 65, seed=1, smooth=smooth)
    skeletons = peeled_skeleton(tensor(masks), 10).numpy()
    assert set(np.unique(skeletons)) == {0, 1}
    for mask, skeleton in zip(masks, skeletons > 0, strict=True):
        assert betti(skeleton) == betti(mask)
        assert not (skeleton & ~mask).any()
        assert skeleton.sum() < mask.sum()


def test_peeled_bar_is_its_centre_line() -> None:
    bar = torch.zeros(1, 15, 31)
    bar[:, 6:9, 3:28] = 1
    skeleton = peeled_skeleton(bar)[0].numpy() > 0
    assert skeleton[7, 5:26].all()
    assert betti(skeleton) == (1, 0)
    assert skeleton.sum() <= 25 + 4  # spurs of a corner at most


def test_peeled_masks_of_a_batch_do_not_mix() -> None:
    masks = tensor(random_masks(3, 33, seed=2, smooth=1.0))
    together = peeled_skeleton(masks)
    alone = [peeled_skeleton(masks[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_peeling_passes_gradients_to_the_skeleton() -> None:
    p = tensor(random_masks(2, 33, seed=2, smooth=1.0)) * 0.6 + 0.2
    p.requires_grad_()
    skeleton = peeled_skeleton(p)
    factor = torch.arange(p.numel(), dtype=torch.float32).view(p.shape)
    (skeleton * factor).sum().backward()
    torch.testing.assert_close(p.grad, factor * skeleton.detach())


def test_noise_decides_near_one_half() -> None:
    generator = torch.Generator().manual_seed(0)
    p = torch.full((1, 300, 300), 0.6)
    mask = peeled_skeleton(p, iterations=0, generator=generator)
    # logistic noise of scale b: P(logit(p) + b noise > 0) = sigmoid(logit(p) / b)
    expected = 1 / (1 + math.exp(-math.log(1.5) / 0.33))
    assert mask.mean().item() == pytest.approx(expected, abs=0.006)
    again = torch.Generator().manual_seed(0)
    assert torch.equal(mask, peeled_skeleton(p, iterations=0, generator=again))


def test_noise_leaves_what_is_certain() -> None:
    masks = tensor(random_masks(2, 33, seed=4, smooth=1.0)).requires_grad_()
    generator = torch.Generator().manual_seed(0)
    noisy = peeled_skeleton(masks, generator=generator)
    assert torch.equal(noisy, peeled_skeleton(masks))
    noisy.sum().backward()
    assert masks.grad is not None
    assert masks.grad.isfinite().all()


def test_peeled_cldice_of_a_broken_line() -> None:
    miss, dice = 1 - 34 / 38, 1 - 33 / 37
    expected = (dice + miss) / 2
    torch.testing.assert_close(peeled_cldice(*lines()), torch.tensor([expected]))


def vessels(realdata: Path, name: str) -> Tensor:
    path = realdata / "sam-octa-extend/datasets/OCTA-500/OCTA_3M/GT_LargeVessel"
    with Image.open(path / f"{name}.bmp") as image:
        return tensor(np.asarray(image)[None] > 0)


def test_peeled_vessels_of_real_subjects(realdata: Path) -> None:
    masks = torch.cat([vessels(realdata, "10301"), vessels(realdata, "10302")])
    masks.requires_grad_()
    sizes = [peeled_skeleton(masks, n).sum((1, 2)).tolist() for n in (1, 3, 5)]
    assert [first for first, _ in sizes] == [3083, 2581, 2581]
    assert sizes[-1] == [2581, 1892]
    skeletons = peeled_skeleton(masks)
    for mask, skeleton in zip(masks, skeletons, strict=True):
        assert betti(skeleton.detach().numpy() > 0) == betti(mask.detach().numpy() > 0)
        assert (skeleton <= mask).all()
    assert betti(masks[0].detach().numpy() > 0) == (11, 3)
    skeletons.sum().backward()
    assert masks.grad is not None
    assert masks.grad.isfinite().all()


# Homology


def blank(side: int = SIDE) -> Tensor:
    return torch.zeros(side, side)


def logit(p: Tensor) -> Tensor:
    return torch.logit(p, eps=1e-7)[None]


def test_loops_run_around_bright_objects() -> None:
    image = blank(12)
    image[2:5, 2:5] = 0.7
    image[3, 3] = 0.9
    image[7:10, 2:10] = 0.8
    image[7:10, 6] = 0.3  # a pass
    image[0:2, 8:] = 0.6  # no loop around what lies at the border
    diagram = sorted(loops(image).tolist())
    expected = [[0.0, 0.8], [0.0, 0.9], [0.3, 0.8]]
    np.testing.assert_allclose(diagram, expected, atol=1e-6)


def test_loops_count_components_clear_of_the_border() -> None:
    mask = random_masks(1, 40, seed=8, smooth=1.0)[0]
    labels, count = ndimage.label(mask)  # 4-connected
    rim = np.ones_like(mask)
    rim[1:-1, 1:-1] = False
    at_border = np.unique(labels[rim & mask]).size
    assert 0 < at_border < count
    assert len(loops(tensor(mask))) == count - at_border


def test_loops_name_the_right_pixels() -> None:
    image = torch.zeros(9, 14)
    image[2:7, 2:12] = 0.8
    image[2:7, 6] = 0.3
    image[4, 6] = 0.4
    image[3, 9], image[5, 3] = 0.95, 0.9
    image.requires_grad_()
    diagram = loops(image)
    (young,) = diagram[diagram[:, 0] > 0.2]
    (gradient,) = torch.autograd.grad(young[0] + 2 * young[1], image)
    assert gradient[4, 6] == 1
    assert gradient[5, 3] == 2  # the lower of the two peaks
    assert gradient.sum() == 3


def cheapest(a: list[list[float]], b: list[list[float]]) -> float:
    """2-Wasserstein distance, by trying every matching."""
    best = math.inf
    for count in range(min(len(a), len(b)) + 1):
        for left in itertools.combinations(range(len(a)), count):
            for right in itertools.permutations(range(len(b)), count):
                pairs = list(zip(left, right, strict=True))
                cost = sum(
                    max(abs(a[i][0] - b[j][0]), abs(a[i][1] - b[j][1])) ** 2
                    for i, j in pairs
                )
                alone = [a[i] for i in range(len(a)) if i not in left]
                alone += [b[j] for j in range(len(b)) if j not in right]
                cost += sum(((death - birth) / 2) ** 2 for birth, death in alone)
                best = min(best, cost)
    return math.sqrt(best)


@pytest.mark.parametrize("sizes", [(0, 0), (0, 3), (3, 0), (4, 3), (3, 5), (5, 5)])
def test_wasserstein_distance_is_that_of_the_best_matching(
    sizes: tuple[int, int],
) -> None:
    rng = np.random.default_rng(sum(sizes))
    for _ in range(5):
        a, b = (torch.tensor(np.sort(rng.random((n, 2)), 1)) for n in sizes)
        expected = cheapest(a.tolist(), b.tolist())
        assert wasserstein(a, b).item() == pytest.approx(expected)
        assert wasserstein(b, a).item() == pytest.approx(expected)


def test_wasserstein_distance_has_the_gradient_of_its_value() -> None:
    rng = np.random.default_rng(0)
    a, b = (torch.tensor(np.sort(rng.random((n, 2)), 1)) for n in (4, 3))
    assert torch.autograd.gradcheck(wasserstein, (a.requires_grad_(), b))


def test_homology_of_a_missing_object() -> None:
    truth, found = blank(), blank()
    truth[10:15, 10:15] = truth[30:35, 30:35] = 1
    found[10:15, 10:15] = 0.9
    loss = homology_loss(logit(found), truth[None])
    expected = math.hypot(0.1, 0.5)
    torch.testing.assert_close(loss, torch.tensor([expected]), atol=1e-5, rtol=0)


def test_homology_of_a_faint_bridge() -> None:
    truth = blank()
    truth[20:25, 10:40] = 1
    found = truth.clone()
    found[20:25, 24] = 0.3
    logits = logit(found).requires_grad_()
    loss = homology_loss(logits, truth[None])
    torch.testing.assert_close(loss.detach(), torch.tensor([0.35]), atol=1e-5, rtol=0)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[0, 20:25, 24].sum() < 0  # the bridge is raised
    assert logits.grad[0, :, :24].abs().max() < 1e-6  # the rest stays as it is


def rings() -> tuple[Tensor, Tensor, Tensor]:
    """A ring, the same open on one side, and cut in two."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - 25
    radius = np.hypot(rows, columns)
    closed = tensor((radius > 10) & (radius < 14))
    open_ = closed.clone()
    open_[24:26, 25:] = 0
    halves = open_.clone()
    halves[24:26] = 0
    return closed, open_, halves


def test_homology_of_rings() -> None:
    closed, open_, halves = rings()
    found = torch.stack([closed, open_, halves]) * 8 - 4
    losses = homology_loss(found, closed.expand(3, -1, -1)).tolist()
    contrast = 1 / (1 + math.exp(-4)) - 1 / (1 + math.exp(4))
    faint = 1 / (1 + math.exp(4))
    assert losses[0] == pytest.approx(faint, abs=1e-5)
    assert losses[1] == pytest.approx(losses[0])  # one object still: holes do not enter
    assert losses[2] == pytest.approx(math.hypot(faint, contrast / 2), abs=1e-5)


def test_homology_closes_a_ring_with_two_faint_places() -> None:
    closed, _, halves = rings()
    faint = 3 * (closed - halves)
    logits = (halves * 8 - 4 + faint)[None].requires_grad_()
    before = logits[0].detach() > 0
    optimiser = torch.optim.Adam([logits], lr=0.2)
    for _ in range(30):
        optimiser.zero_grad()
        homology_loss(logits, closed[None]).sum().backward()
        optimiser.step()
    after = logits[0].detach() > 0
    assert ndimage.label(before.numpy())[1] == 2
    assert ndimage.label(after.numpy())[1] == 1
    assert (after >= before).all()
    assert (after <= closed.bool()).all()


def test_homology_of_what_diverged() -> None:
    with pytest.raises(TrainingError, match="finite"):
        homology_loss(torch.full((1, 8, 8), math.nan), torch.zeros(1, 8, 8))
