"""What the promptless networks have in common."""

from __future__ import annotations

import pytest
import torch

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model.promptless.network import (
    ARCHITECTURES,
    NetworkConfig,
    PromptlessNetwork,
    count_parameters,
)

SMALL = {
    "block-unet": {"channels": (4, 8)},
    "snake-unet": {"width": 4, "kernel": 3},
    "unet": {"channels": (4, 8, 16), "num_res_units": 1},
    "segresnet": {"init_filters": 8, "blocks_down": (1, 1, 1)},
    "flexible-unet": {},
    "swin-unetr": {"feature_size": 12, "depths": (1, 1, 1, 1)},
    "dints": {"channel_mul": 0.125, "num_blocks": 2, "num_depths": 3},
}
CLASSES = ("RV", "FAZ")


def small(kind, channels=1):
    torch.manual_seed(0)
    config = NetworkConfig(kind, CLASSES, SMALL[kind])
    return PromptlessNetwork(config, channels)


def test_all_architectures_are_tested():
    assert SMALL.keys() == ARCHITECTURES.keys()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_odd_sizes_give_logits_and_gradients_everywhere(kind, channels):
    network = small(kind, channels)
    logits = network(torch.rand(2, channels, 45, 61))
    assert logits.shape == (2, 2, 45, 61)
    assert logits.dtype == torch.float32
    logits.square().mean().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None]
    assert without == []
    assert all(p.grad.isfinite().all() for p in network.parameters())
    moved = sum(p.grad.abs().max() > 0 for p in network.parameters())
    assert moved > 0.7 * len(list(network.parameters()))


@torch.inference_mode()
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_reduced_precision_gives_full_precision_logits(kind):
    network = small(kind).eval()
    images = torch.rand(1, 1, 45, 61)
    with torch.autocast("cpu", torch.bfloat16):
        reduced = network(images)
    full = network(images)
    assert reduced.dtype == torch.float32
    assert (reduced - full).abs().mean() < 0.1 * full.std() + 0.02


@torch.inference_mode()
@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (17, 16), (31, 40)])
@pytest.mark.parametrize("kind", ["block-unet", "snake-unet", "segresnet"])
def test_any_size(kind, shape):
    assert small(kind).eval()(torch.rand(1, 1, *shape)).shape == (1, 2, *shape)


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["snake-unet", "unet"])
def test_the_border_is_repeated(kind):
    network = small(kind).eval()
    images = torch.rand(1, 1, 45, 61)
    wide = images[..., [*range(45), *[44] * 3], :][..., [*range(61), *[60] * 3]]
    torch.testing.assert_close(network(images), network(wide)[..., :45, :61])


def test_slices_can_be_bigger_than_those_of_training():
    network = small("block-unet").eval()
    with torch.inference_mode():
        part = network(torch.rand(1, 1, 304, 304))
    assert part.shape == (1, 2, 304, 304)
    assert part.isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "transformer"}, r"block-unet, .*dints, found 'transformer'"),
        ({"classes": ()}, "found none"),
        ({"classes": ("RV", "RV")}, "different classes of .*, found RV, RV"),
        ({"classes": ("lesion",)}, "found lesion"),
    ],
)
def test_impossible_configurations(settings, message):
    with pytest.raises(ModelError, match=message):
        NetworkConfig(**settings)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("block-unet", {"width": 8}),
        ("block-unet", {"channels": 8}),
        ("snake-unet", {"width": "wide"}),
        ("snake-unet", {"heads": 8}),
    ],
)
def test_impossible_settings(kind, settings):
    with pytest.raises(ModelError, match=f"cannot build a {kind} with .*{{'"):
        PromptlessNetwork(NetworkConfig(kind, settings=settings))


def test_parameters_are_counted():
    network = small("block-unet")
    count = sum(value.numel() for value in network.state_dict().values())
    buffers = sum(buffer.numel() for buffer in network.buffers())
    assert count_parameters(network) == count - buffers
