from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from napari_octa_sam2.model.refinement import (
    NO_CLASS,
    Reading,
    RefinementHead,
    paint_clicks,
    reach,
)
from napari_octa_sam2.prompts import SEGMENTABLE

SIZES = [(96, 96), (75, 101), (17, 33)]


def head():
    torch.manual_seed(0)
    return RefinementHead((8, 16, 16)).eval()


def refined(made, images, logits, *more):
    return made(made.read(images), logits, *more)


@pytest.mark.parametrize("size", SIZES)
def test_any_size_of_slice_and_any_grid_of_logits(size):
    made, images = head(), torch.rand(2, 1, *size)
    found = refined(made, images, torch.randn(2, 1, 24, 24))
    assert found.shape == (2, 1, *size)
    assert found.dtype == torch.float32
    assert made.read(images).classes.shape == (2, len(SEGMENTABLE), *size)


def test_the_slice_matters_and_objects_do_not_touch_each_other():
    made = head()
    images, logits = torch.rand(2, 1, 64, 64), torch.randn(2, 1, 64, 64)
    both = refined(made, images, logits)
    alone = refined(made, images[1:], logits[1:])
    torch.testing.assert_close(both[1:], alone, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(refined(made, images.flip(0), logits), both)
    shared = made(made.read(images).of(torch.tensor([1, 1])), logits)
    torch.testing.assert_close(shared[1:], alone, atol=1e-3, rtol=1e-3)


def test_the_class_asked_for_is_what_was_read_of_it():
    made, images, logits = head(), torch.rand(2, 1, 32, 32), torch.zeros(2, 1, 32, 32)
    for module in made.last.parameters():
        torch.nn.init.zeros_(module)
    reading = made.read(images)
    found = made(reading, logits, None, torch.tensor([NO_CLASS, 3]))
    assert not found[0].any()
    torch.testing.assert_close(found[1, 0], reading.classes[1, 3])


def test_what_is_absent_stays_absent():
    gone, asked = torch.full((1, 1, 32, 32), -1024.0), torch.tensor([2])
    found = refined(head(), torch.rand(1, 1, 64, 64), gone, None, asked)
    assert found.max() < -900


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
    none = refined(made, images, logits)
    same = refined(made, images, logits, torch.zeros_like(clicks))
    torch.testing.assert_close(same, none)
    assert not torch.allclose(refined(made, images, logits, clicks), none)


def test_vessels_lead_on_from_the_clicks_and_else_from_the_mask():
    classes = torch.full((1, len(SEGMENTABLE), 20, 20), -5.0)
    classes[0, 0, 3, 2:18] = classes[0, 0, 3:12, 9] = 2.0  # a vessel with a branch
    classes[0, 0, 3, 5] = -0.5  # which is faint here
    classes[0, 0, 16, 2:18] = 2.0  # and another one
    classes[0, 5, 14:19, 14:19] = 2.0
    images = torch.zeros(1, 1, 20, 20)
    seen = Reading(images, torch.zeros(1, 8, 10, 10), classes)
    vessel, faz = (classes[0, i] > -1 for i in (0, 5))
    top = torch.arange(20)[:, None] < 14
    mask = torch.full((1, 1, 20, 20), -3.0)
    mask[..., 15:18, 14:16] = 3.0
    clicks = paint_clicks(torch.tensor([[[17.0, 3]]]), torch.tensor([[1]]), (20, 20))
    found = reach(seen, mask, clicks)[0].bool()
    assert torch.equal(found[0], vessel & top)
    assert not found[1].any()
    found = reach(seen, mask, torch.zeros_like(clicks))[0].bool()
    assert torch.equal(found[0], vessel & ~top)
    assert torch.equal(found[1], faz)


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
        sharp = refined(made, image, coarse)
        loss = F.binary_cross_entropy_with_logits(sharp, truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found, plain = sharp > 0, F.interpolate(coarse, (32, 32)) > 0

    def dice(mask):
        return 2 * (mask & (truth > 0)).sum() / (mask.sum() + truth.sum())

    assert dice(found) > 0.85 > 0.6 > dice(plain)
