from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from napari_octa_sam2.model.refinement import RefinementHead, paint_clicks

SIZES = [(96, 96), (75, 101), (17, 33)]


def head():
    torch.manual_seed(0)
    return RefinementHead((8, 16, 16)).eval()


@pytest.mark.parametrize("size", SIZES)
def test_any_size_of_slice_and_any_grid_of_logits(size):
    refined = head()(torch.rand(2, 1, *size), torch.randn(2, 1, 24, 24))
    assert refined.shape == (2, 1, *size)
    assert refined.dtype == torch.float32


def test_the_slice_matters_and_objects_do_not_touch_each_other():
    made = head()
    images, logits = torch.rand(2, 1, 64, 64), torch.randn(2, 1, 64, 64)
    both = made(images, logits)
    alone = made(images[1:], logits[1:])
    torch.testing.assert_close(both[1:], alone, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(made(images.flip(0), logits), both)


def test_what_is_absent_stays_absent():
    gone = torch.full((1, 1, 32, 32), -1024.0)
    assert head()(torch.rand(1, 1, 64, 64), gone).max() < -900


def test_clicks_are_spots_at_their_pixel():
    points = torch.tensor([[[20.0, 5], [3, 11], [30, 30], [8, 8]]])
    pictures = paint_clicks(points, torch.tensor([[1, 0, -1, 2]]), (16, 40))
    assert pictures.shape == (1, 2, 16, 40)
    assert divmod(int(pictures[0, 0].argmax()), 40) == (5, 20)
    assert divmod(int(pictures[0, 1].argmax()), 40) == (11, 3)
    assert pictures.amax((2, 3)).tolist() == [[1, 1]]
    assert pictures[0, 0, 5, 30] < 1e-4
    none = paint_clicks(torch.zeros(1, 0, 2), torch.zeros(1, 0), (16, 40))
    assert not none.any()
    assert none.shape == (1, 2, 16, 40)


def test_clicks_matter():
    made, images, logits = head(), torch.rand(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    clicks = paint_clicks(torch.tensor([[[9.0, 9]]]), torch.tensor([[1]]), (32, 32))
    none = made(images, logits)
    torch.testing.assert_close(made(images, logits, torch.zeros_like(clicks)), none)
    assert not torch.allclose(made(images, logits, clicks), none)


def test_it_learns_an_edge_finer_than_the_grid():
    """A bar of three pixels, known on a grid of 8 x 8 pixels, is found again."""
    torch.manual_seed(0)
    made = RefinementHead((16, 16, 16)).train()
    optimiser = torch.optim.Adam(made.parameters(), 3e-3)
    for _ in range(150):
        truth = torch.zeros(8, 1, 32, 32)
        for i, row in enumerate(torch.randint(4, 26, (8,))):
            truth[i, 0, row : row + 3] = 1
        coarse = 4 * F.avg_pool2d(truth, 8) - 1
        image = (truth * 0.6 + 0.2 + 0.05 * torch.randn_like(truth)).clamp(0, 1)
        refined = made(image, coarse)
        loss = F.binary_cross_entropy_with_logits(refined, truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found, plain = refined > 0, F.interpolate(coarse, (32, 32)) > 0

    def dice(mask):
        return 2 * (mask & (truth > 0)).sum() / (mask.sum() + truth.sum())

    assert dice(found) > 0.85 > 0.6 > dice(plain)
