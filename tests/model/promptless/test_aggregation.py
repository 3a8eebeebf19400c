"""Blocks that let pixels see far, against PyTorch's own attention."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch
from torch import nn

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model.promptless.aggregation import (
    AGGREGATIONS,
    AtrousPyramid,
    MixTransformer,
    WindowAttention,
    aggregated,
)

FAR = 1e-7


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def seen_from(block, x, row, column):
    """Return how much each pixel of `x` matters to one pixel of the result."""
    x = x.clone().requires_grad_()
    block(x)[0, :, row, column].square().sum().backward()
    return x.grad[0].abs().amax(0)


@pytest.mark.parametrize("channels", [16, 20, 7])
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (19, 30)])
@pytest.mark.parametrize("kind", AGGREGATIONS)
def test_channels_and_any_size_are_kept(kind, shape, channels):
    block = aggregated(kind, channels)
    x = torch.randn(2, channels, *shape)
    features = block(x)
    assert features.shape == x.shape
    torch.testing.assert_close(block(x[1:]), features[1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["mit", "aspp"])
def test_every_pixel_sees_the_whole_picture(kind):
    seen = seen_from(aggregated(kind, 8), torch.randn(1, 8, 21, 34), 0, 0)
    assert seen.min() > 0


def test_windows_see_half_a_window_beyond_and_never_around_the_border():
    seen = seen_from(aggregated("swint", 8), torch.randn(1, 8, 32, 32), 0, 0)
    # 4 pixels into the shifted window, which plain windows of 8 had filled
    assert seen[:8, :8].min() > FAR
    assert seen[8:].max() == seen[:, 8:].max() == 0
    seen = seen_from(aggregated("swint", 8), torch.randn(1, 8, 32, 32), 12, 12)
    assert seen[8:24, 8:24].min() > FAR
    assert seen.count_nonzero() == 16 * 16


def only_attention(block):
    """Let the feed-forward network say nothing, and have other norms than at first."""
    nn.init.zeros_(block.feed_forward[-1].weight)
    nn.init.zeros_(block.feed_forward[-1].bias)
    nn.init.normal_(block.before_attention.weight)
    nn.init.normal_(block.before_attention.bias)
    return block


def test_without_reduction_the_mix_transformer_is_plain_attention():
    block = only_attention(MixTransformer(16, reduction=1))
    plain = nn.MultiheadAttention(16, 8, bias=False, batch_first=True)
    plain.in_proj_weight.data = torch.cat(
        [block.query.weight, block.key_value.weight]
    ).data[..., 0, 0]
    plain.out_proj.weight.data = block.project.weight.data[..., 0, 0]
    x = torch.randn(2, 16, 6, 9)
    tokens = nn.functional.layer_norm(
        x.flatten(2).mT,
        (16,),
        block.before_attention.weight,
        block.before_attention.bias,
    )
    attended = plain(tokens, tokens, tokens)[0].mT.reshape(x.shape)
    torch.testing.assert_close(block(x), x + attended, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 4), (3, 2), (1, 4)])
def test_a_window_is_plain_attention_with_a_bias_by_distance(shape):
    rows, columns = shape
    block = only_attention(WindowAttention(16, window=4, shift=0))
    nn.init.normal_(block.position)
    plain = nn.MultiheadAttention(16, 8, batch_first=True)
    plain.in_proj_weight.data = block.query_key_value.weight.data
    plain.in_proj_bias.data = block.query_key_value.bias.data
    plain.out_proj.load_state_dict(block.project.state_dict())
    places = [(r, c) for r in range(rows) for c in range(columns)]
    apart = [[(r - s + 3) * 7 + c - d + 3 for s, d in places] for r, c in places]
    x = torch.randn(1, 16, *shape)
    tokens = block.before_attention(x.flatten(2).mT)
    attended, _ = plain(tokens, tokens, tokens, attn_mask=block.position[:, apart])
    expected = x + attended.mT.reshape(x.shape)
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("shift", "borders"), [(0, (0, 4, 8, 11)), (2, (0, 2, 6, 10, 11))]
)
def test_windows_are_looked_at_one_by_one(shift, borders):
    block = WindowAttention(8, window=4, shift=shift)
    alone = WindowAttention(8, window=4, shift=0)
    alone.load_state_dict(block.state_dict())
    windows = [slice(*border) for border in pairwise(borders)]
    x = torch.randn(2, 8, 11, 11)
    features = block(x)
    for rows, columns in product(windows, windows):
        torch.testing.assert_close(
            alone(x[..., rows, columns]),
            features[..., rows, columns],
            rtol=1e-4,
            atol=1e-5,
        )


def test_atrous_convolutions_reach_as_far_as_their_rates():
    block = AtrousPyramid(1, rates=(2, 5))
    x = torch.zeros(1, 1, 21, 21)
    x[..., 10, 10] = 1.0
    for view, rate in zip(block.views[1:], (2, 5), strict=True):
        moved = (view[0](x) - view[0].bias)[0, 0].abs() > 1e-6
        reached = [10 - rate, 10, 10 + rate]
        expected = torch.cartesian_prod(torch.tensor(reached), torch.tensor(reached))
        assert torch.equal(moved.nonzero(), expected)


def test_an_unknown_aggregation():
    with pytest.raises(ModelError, match="expected an aggregation of mit, swint, aspp"):
        aggregated("mean", 8)
