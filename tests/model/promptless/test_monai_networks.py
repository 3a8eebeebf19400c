"""MONAI's networks for slices."""

from __future__ import annotations

import sys

import pytest
import torch

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model.promptless import monai_networks
from napari_octa_sam2.model.promptless.network import (
    ARCHITECTURES,
    NetworkConfig,
    PromptlessNetwork,
    count_parameters,
)

SMALL = {
    "unet": {"channels": (4, 8, 16), "num_res_units": 1},
    "segresnet": {"init_filters": 8, "blocks_down": (1, 1, 1)},
    "flexible-unet": {"backbone": "resnet10"},
    "swin-unetr": {"feature_size": 12, "depths": (1, 1, 1, 1)},
    "dints": {"channel_mul": 0.125, "num_blocks": 2, "num_depths": 3},
}
MAKERS = {kind: ARCHITECTURES[kind].maker() for kind in SMALL}


@pytest.mark.parametrize("kind", SMALL)
def test_logits_have_the_size_of_the_slices(kind):
    side = ARCHITECTURES[kind].multiple
    network = MAKERS[kind](3, 2, **SMALL[kind])
    logits = network(torch.rand(2, 3, 2 * side, 3 * side))
    assert logits.shape == (2, 2, 2 * side, 3 * side)
    assert logits.min() < 0  # no probabilities


def test_building_prints_nothing(capsys):
    for kind, make in MAKERS.items():
        make(1, 1, **SMALL[kind])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("kind", "smaller", "larger"),
    [
        ("unet", {"num_res_units": 1}, {"num_res_units": 2}),
        ("unet", {"channels": (4, 8, 16)}, {"channels": (4, 8, 32)}),
        ("segresnet", {"blocks_down": (1, 1)}, {"blocks_down": (1, 2)}),
        ("segresnet", {"blocks_down": (1, 1)}, {"blocks_down": (1, 1, 1, 1)}),
        (
            "flexible-unet",
            {"backbone": "efficientnet-b0"},
            {"backbone": "efficientnet-b1"},
        ),
        ("swin-unetr", {"depths": (1, 1, 1, 1)}, {"depths": (1, 1, 1, 2)}),
        ("dints", {"num_blocks": 2}, {"num_blocks": 4}),
        ("dints", {"num_depths": 2}, {"num_depths": 3}),
    ],
)
def test_settings_reach_the_network(kind, smaller, larger):
    counts = []
    for settings in (smaller, larger):
        network = MAKERS[kind](1, 1, **{**SMALL[kind], **settings})
        counts.append(count_parameters(network))
    assert counts[0] < counts[1]


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("unet", {"channels": (4,) * 6}, "expected channels of 2 to 5 levels, found 6"),
        ("unet", {"channels": ()}, "expected channels of 2 to 5 levels, found 0"),
        ("segresnet", {"blocks_down": (1,) * 5}, "2 to 4 levels, found 5"),
        ("segresnet", {"init_filters": 12}, "cannot build a segresnet"),
        ("flexible-unet", {"backbone": "vgg"}, "cannot build a flexible-unet"),
        ("swin-unetr", {"depths": (1, 1)}, "expected 4 depths, found 2"),
        ("swin-unetr", {"feature_size": 13}, "cannot build a swin-unetr"),
        ("dints", {"num_depths": 5}, "2 to 4 levels, found 5"),
        ("unet", {"pretrained": True}, "cannot build a unet"),
    ],
)
def test_impossible_settings(kind, settings, message):
    with pytest.raises(ModelError, match=message):
        PromptlessNetwork(NetworkConfig(kind, settings=settings))


@pytest.mark.parametrize("kind", SMALL)
def test_monai_is_asked_for(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "monai", None)
    with pytest.raises(ModelError, match=r"expected MONAI .*octa-sam2\[monai\]$"):
        MAKERS[kind](1, 1)


def test_swin_unetr_needs_einops_too(monkeypatch):
    monkeypatch.setitem(sys.modules, "einops", None)
    with pytest.raises(ModelError, match="expected einops for the network SwinUNETR"):
        monai_networks.swin_unetr(1, 1)
