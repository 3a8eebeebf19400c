from __future__ import annotations

import pytest
import torch

from napari_octa_sam2.model.refinement import RefinementHead

SIZES = [(96, 96), (75, 101), (17, 33)]


def head(seed=0, *, trained=True):
    torch.manual_seed(seed)
    made = RefinementHead((8, 16, 16)).eval()
    if trained:
        torch.nn.init.normal_(made.last.weight)
    return made


@pytest.mark.parametrize("size", SIZES)
def test_an_untrained_head_changes_nothing(size):
    logits = torch.randn(2, 1, *size)
    refined = head(trained=False)(torch.rand(2, 1, *size), logits)
    torch.testing.assert_close(refined, logits)


@pytest.mark.parametrize("size", SIZES)
def test_any_size_of_slice_and_any_grid_of_logits(size):
    refined = head()(torch.rand(2, 1, *size), torch.randn(2, 1, 24, 24))
    assert refined.shape == (2, 1, *size)
    assert refined.dtype == torch.float32


def test_the_slice_matters_and_objects_do_not_touch_each_other():
    made = head()
    images, logits = torch.rand(2, 1, 64, 64), torch.randn(2, 1, 64, 64)
    both = made(images, logits)
    torch.testing.assert_close(both[1:], made(images[1:], logits[1:]))
    assert not torch.allclose(made(images.flip(0), logits), both)


def test_what_is_absent_stays_absent():
    gone = torch.full((1, 1, 32, 32), -1024.0)
    assert head()(torch.rand(1, 1, 64, 64), gone).max() < -900


def test_it_learns_an_edge_finer_than_the_grid():
    """A bar of three pixels, known on a grid of 8 x 8 pixels, is found again."""
    made = head(trained=False).train()
    torch.manual_seed(0)
    optimiser = torch.optim.Adam(made.parameters(), 1e-2)
    for _ in range(40):
        truth = torch.zeros(4, 1, 64, 64)
        for i, row in enumerate(torch.randint(4, 58, (4,))):
            truth[i, 0, row : row + 3] = 1
        coarse = torch.nn.functional.avg_pool2d(truth, 8) * 8 - 2
        image = (truth * 0.6 + 0.2 + 0.05 * torch.randn_like(truth)).clamp(0, 1)
        refined = made(image, coarse)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(refined, truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found, plain = refined > 0, torch.nn.functional.interpolate(coarse, (64, 64)) > 0

    def dice(mask):
        return 2 * (mask & (truth > 0)).sum() / (mask.sum() + truth.sum())

    assert dice(found) > 0.95 > dice(plain)
