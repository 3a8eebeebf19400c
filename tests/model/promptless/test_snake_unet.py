"""The U-net of snake convolutions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model.promptless.aggregation import (
    AtrousPyramid,
    MixTransformer,
    ShiftedWindows,
)
from napari_octa_sam2.model.promptless.network import count_parameters
from napari_octa_sam2.model.promptless.snake_unet import SIZES, SnakeUNet
from napari_octa_sam2.model.snake import SnakeConv


def snakes_of(network):
    return [m for m in network.modules() if isinstance(m, SnakeConv)]


@pytest.fixture
def images():
    return torch.rand(2, 1, 16, 24, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("size", "millions", "within"),
    [("m", 18.54, 1e-3), ("l", 307.7, 1e-2), ("s", 0.284, 5e-2)],
)
def test_the_sizes_are_near_those_of_the_reference(size, millions, within):
    with torch.device("meta"):
        network = SnakeUNet(1, 1, **SIZES[size])
    assert count_parameters(network) == pytest.approx(millions * 1e6, rel=within)


def test_the_default_size_is_m():
    with torch.device("meta"):
        default, m = SnakeUNet(3, 2), SnakeUNet(3, 2, **SIZES["m"])
    assert count_parameters(default) == count_parameters(m)


@torch.no_grad()
def test_the_extend_reaches_the_snakes(images):
    torch.manual_seed(0)
    network = SnakeUNet(1, 2, width=4)
    logits = {3.0: network(images)}
    for extend in (0.0, 1.0, 7.0):
        other = SnakeUNet(1, 2, width=4, extend=extend)
        other.load_state_dict(network.state_dict())
        logits[extend] = other(images)
    values = list(logits.values())
    for i, some in enumerate(values):
        for others in values[i + 1 :]:
            assert (some - others).abs().max() > 1e-3
    for snake in snakes_of(network):  # let them go straight on
        for parameter in snake.steps[1].parameters():
            torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(network(images), logits[0.0], rtol=1e-4, atol=1e-5)


def test_the_kernel_reaches_the_snakes(images):
    network = SnakeUNet(1, 1, width=4, kernel=5)
    assert {snake.conv.weight[0, 0].numel() for snake in snakes_of(network)} == {5}
    assert network(images).shape == (2, 1, 16, 24)
    with pytest.raises(ModelError, match="odd"):
        SnakeUNet(1, 1, width=4, kernel=4)


@pytest.mark.parametrize(
    ("name", "block"),
    [("mit", MixTransformer), ("swint", ShiftedWindows), ("aspp", AtrousPyramid)],
)
@pytest.mark.parametrize(("depth", "levels"), [(1, 0), (2, 0), (3, 1), (4, 2)])
def test_all_levels_but_the_outer_ones_are_aggregated(depth, levels, name, block):
    with torch.device("meta"):
        network = SnakeUNet(1, 1, width=8, depth=depth, aggregation=name)
    found = [m for m in network.modules() if isinstance(m, block)]
    assert len(found) == 2 * levels  # on the way down and up


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_depths_keep_the_size(depth, images):
    network = SnakeUNet(1, 3, width=2, depth=depth, kernel=3)
    assert network(images[..., :16]).shape == (2, 3, 16, 16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 0}, "a depth of 1 to 5"),
        ({"depth": 6}, "a depth of 1 to 5"),
        ({"width": 0}, "a width above 0"),
        ({"extend": -1.0}, "not negative"),
        ({"aggregation": "sum"}, "expected an aggregation of mit"),
    ],
)
def test_impossible_networks(settings, message):
    with pytest.raises(ModelError, match=message):
        SnakeUNet(1, 1, **{"width": 2, **settings})


def test_it_learns_a_winding_vessel():
    torch.manual_seed(0)
    column = torch.arange(32)
    row = (16 + 8 * torch.sin(column / 4)).round().long()
    vessel = torch.zeros(1, 1, 32, 32)
    vessel[..., row, column] = 1.0
    image = 0.5 * vessel + 0.5 * torch.rand(vessel.shape)
    network = SnakeUNet(1, 1, width=4, kernel=5)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        loss = F.binary_cross_entropy_with_logits(network(image), vessel)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 5


def test_folded_pixels_are_channels(images):
    folded = SnakeUNet(1, 2, width=4, depth=2, kernel=3, fold=2).eval()
    plain = SnakeUNet(4, 8, width=4, depth=2, kernel=3).eval()
    plain.load_state_dict(folded.state_dict())
    with torch.no_grad():
        expected = F.pixel_shuffle(plain(F.pixel_unshuffle(images, 2)), 2)
        torch.testing.assert_close(folded(images), expected)
    assert expected.shape == (len(images), 2, *images.shape[-2:])
    with pytest.raises(ModelError, match="fold of 2"):
        SnakeUNet(1, 1, width=4, fold=3)
