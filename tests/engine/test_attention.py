"""Attention in blocks against the plain formula."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from napari_octa_sam2.engine.attention import (
    BlockedAttention,
    Run,
    attend,
    blocked_attention,
)


def plain(queries, keys, values, weights=None):
    logits = queries.double() @ keys.double().T / queries.shape[-1] ** 0.5
    if weights is not None:
        logits = logits + weights.double().log()
    return (logits.softmax(-1) @ values.double()).float()


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)]
)
def test_runs_together_are_one_attention(dtype, error):
    queries, keys, values = random(1500, 16), random(5003, 16, seed=1), random(5003, 8)
    runs = [
        Run(keys[a:b].to(dtype), values[a:b].to(dtype))
        for a, b in ((0, 4096), (4096, 5000), (5000, 5003))
    ]
    found = attend(queries, runs)
    assert found.dtype == torch.float32
    assert (found - plain(queries, keys, values)).abs().max() < error


def test_a_run_may_count_several_times():
    queries, keys, values = random(7, 16), random(20, 16, seed=1), random(20, 4)
    weights = torch.cat([torch.full((15,), 4.0), torch.ones(5)])
    runs = [Run(keys[:15], values[:15], 4.0), Run(keys[15:], values[15:])]
    torch.testing.assert_close(
        attend(queries, runs), plain(queries, keys, values, weights)
    )


@pytest.mark.parametrize("scale", [60.0, -60.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_beyond_the_range_of_an_exponential(scale, dtype):
    """All far above zero, or all far below."""
    queries, keys = random(6, 16).abs() * scale, random(40, 16, seed=1).abs() + 1
    values = random(40, 4)
    found = attend(queries, [Run(keys.to(dtype), values.to(dtype))])
    assert torch.isfinite(found).all()
    if dtype == torch.float32:
        torch.testing.assert_close(
            found, plain(queries, keys, values), rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("shape", [(64, 2, 49, 60), (1, 3, 1100, 900), (2, 1, 1, 4096)])
def test_blocks_of_heads_are_the_fused_attention(shape):
    batch, heads, rows, keys = shape
    q = random(batch, heads, rows, 8)
    k, v = random(batch, heads, keys, 8, seed=1), random(batch, heads, keys, 8, seed=2)
    torch.testing.assert_close(
        blocked_attention(q, k, v), F.scaled_dot_product_attention(q, k, v)
    )


def test_many_heads_beyond_the_range_fall_back_to_the_fused_attention():
    q = random(3, 2, 5, 8).abs() * 100
    k, v = random(3, 2, 7, 8, seed=1).abs() + 1, random(3, 2, 7, 8)
    torch.testing.assert_close(
        blocked_attention(q, k, v), F.scaled_dot_product_attention(q, k, v)
    )


def test_only_plain_attention_is_replaced(monkeypatch):
    q = random(1, 1, 4, 8)
    mask = torch.zeros(4, 4, dtype=torch.bool).fill_diagonal_(True)
    with BlockedAttention():
        found = F.scaled_dot_product_attention(q, q, q, mask)
        causal = F.scaled_dot_product_attention(q, q, q, is_causal=True)
    torch.testing.assert_close(found, q)
    torch.testing.assert_close(causal[..., 0, :], q[..., 0, :])


def test_the_kernel_of_other_devices_gives_what_blocks_do():
    """What runs on CUDA, here on the CPU: padded values, and weights of runs."""
    from napari_octa_sam2.engine.memory_layers import Layer
    from napari_octa_sam2.model.loading import build_network

    torch.manual_seed(0)
    network = build_network("octa-nano.yaml", input_size=128)
    layer = Layer(network.memory_attention.layers[0], torch.float32)
    queries = random(2, 64, 128)
    runs = [
        [
            Run(random(50, 128, seed=i), random(50, 32, seed=i + 1), 4.0),
            Run(random(3, 128, seed=i + 2), random(3, 32, seed=i + 3)),
        ]
        for i in (0, 10)
    ]
    with torch.inference_mode():
        blocks = torch.stack(
            [attend(q, own) for q, own in zip(queries, runs, strict=True)]
        )
        expected = F.linear(blocks, *layer.joined)
        found = layer.out(layer._fused(queries, runs))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
