"""Adapters beside the frozen weights of real, small SAM 2 networks."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from napari_octa_sam2.engine.encoder import ready_encoder
from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model.adapters import (
    AdapterConfig,
    adapter_state,
    apply_adapters,
    attach,
    drop,
)
from napari_octa_sam2.model.loading import build_network
from napari_octa_sam2.model.snake import MultiViewSnakeConv, SnakeConv

TRUNK = "image_encoder.trunk.blocks"
KINDS = {
    "lora": AdapterConfig("lora", rank=4, alpha=6.0, dropout=0.1),
    "lora on q and v": AdapterConfig(
        "lora", rank=4, targets=("q", "v", "proj"), within="", train_bias=True
    ),
    "lora on all": AdapterConfig(
        "lora", targets=("qkv", "q", "k", "v", "proj", "mlp"), within=""
    ),
    "lokr": AdapterConfig("lokr", rank=4, alpha=6.0, targets=("qkv", "mlp")),
    "lokr on v": AdapterConfig("lokr", rank=64, targets=("v",), train_bias=True),
    "locon": AdapterConfig("locon", rank=4, alpha=6.0, dropout=0.1),
    "snake": AdapterConfig("snake", rank=4, alpha=6.0, blocks=(0, 1, 2)),
    "med2d": AdapterConfig("med2d"),
}
MERGED = [name for name, config in KINDS.items() if config.kind.startswith("lo")]
MERGED.remove("locon")


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(0)
    return build_network("octa-nano.yaml", input_size=64)


@pytest.fixture
def network(base):
    return copy.deepcopy(base)


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def config(request):
    return request.param


def answer(network, size=64):
    """Run encoder, memory attention and decoder, and return all that they say."""
    torch.manual_seed(1)
    image = torch.randn(2, 3, size, size)
    fine, finer, coarse = network.forward_image(image)["backbone_fpn"]
    cells, channels = coarse[0, 0].numel(), coarse.shape[1]
    tokens = coarse.flatten(2).permute(2, 0, 1)
    memory = torch.randn(cells, 2, 32)
    seen = network.memory_attention(
        curr=tokens,
        curr_pos=torch.randn(cells, 2, channels),
        memory=memory,
        memory_pos=torch.randn_like(memory),
    )
    points = {
        "point_coords": torch.rand(2, 1, 2) * size,
        "point_labels": torch.ones(2, 1, dtype=torch.int32),
    }
    heads = network._forward_sam_heads(
        seen.permute(1, 2, 0).view_as(coarse), points, None, [fine, finer], True
    )
    return [fine, finer, coarse, seen, *heads[:3]]


def assert_equal_answers(found, expected, tolerance=0.0):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def assert_same_weights(network, base):
    found, expected = network.state_dict(), base.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def trained(network, config, seed=2):
    """Attach adapters, and set their weights at random as if trained."""
    keys = attach(network, config)
    torch.manual_seed(seed)
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        for key in keys:
            parameters[key].add_(torch.randn_like(parameters[key]) * 0.05)
    return keys


@torch.no_grad()
def test_a_new_adapter_changes_nothing(network, base, config):
    attach(network, config)
    assert_equal_answers(answer(network), answer(base), 1e-6)


@torch.no_grad()
def test_a_trained_one_answers_the_same_once_applied(network, base, config):
    trained(network, config)
    applied = copy.deepcopy(base)
    apply_adapters(applied, config, adapter_state(network))
    expected, found = answer(network), answer(applied)
    assert_equal_answers(found, expected, 1e-5)
    assert not torch.allclose(expected[0], answer(base)[0], atol=1e-3)


@torch.no_grad()
def test_dropped_leaves_exactly_the_base(network, base, config):
    trained(network, config)
    drop(network)
    assert_same_weights(network, base)
    assert_equal_answers(answer(network), answer(base))
    assert adapter_state(network) == {}
    attach(network, config)  # there is room for others


@pytest.mark.parametrize("kind", ["locon", "snake", "med2d"])
def test_an_applied_convolution_can_be_dropped(network, base, kind):
    trained(network, KINDS[kind])
    applied = copy.deepcopy(base)
    apply_adapters(applied, KINDS[kind], adapter_state(network))
    drop(applied)
    assert_same_weights(applied, base)


@pytest.mark.parametrize("name", MERGED)
def test_the_merged_weight_is_pefts(network, base, name):
    trained(network, KINDS[name])
    applied = copy.deepcopy(base)
    apply_adapters(applied, KINDS[name], adapter_state(network))
    layers = {n: m for n, m in network.named_modules() if hasattr(m, "merge")}
    for key, layer in layers.items():
        layer.merge()
        for end in ("weight", "bias"):
            found = rows(applied, key, end)
            expected = getattr(layer.base_layer, end)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        assert not torch.equal(rows(applied, key, "weight"), rows(base, key, "weight"))
    assert layers


def rows(network, name, end):
    """Return the weight or bias of a map, or of one of the three parts of one."""
    whole, _, part = name.rpartition(".")
    if part in ("q", "k", "v"):
        return getattr(network.get_submodule(whole), end).chunk(3)["qkv".index(part)]
    return getattr(network.get_submodule(name), end)


@pytest.mark.parametrize("kind", ["lora", "lokr"])
def test_keys_of_a_fused_map_stay_untouched_without_a_target(network, base, kind):
    config = AdapterConfig(kind, rank=4, targets=("q", "v"), train_bias=True)
    trained(network, config)
    state = adapter_state(network)
    applied = copy.deepcopy(base)
    apply_adapters(applied, config, state)
    assert not any(".k." in key for key in state)
    for block, before in zip(
        applied.image_encoder.trunk.blocks, base.image_encoder.trunk.blocks, strict=True
    ):
        for name in ("weight", "bias"):
            q, k, v = getattr(block.attn.qkv, name).chunk(3)
            q0, k0, v0 = getattr(before.attn.qkv, name).chunk(3)
            assert torch.equal(k, k0)
            assert not torch.isclose(q, q0).all()
            assert not torch.isclose(v, v0).all()


def test_only_adapters_get_gradients_when_the_rest_is_frozen(network, config):
    network.requires_grad_(False)
    keys = trained(network, config)
    sum(part.float().square().mean() for part in answer(network)).backward()
    learning = {
        key for key, value in network.named_parameters() if value.grad is not None
    }
    assert learning == set(keys)


def test_nothing_is_frozen(network, config):
    network.memory_encoder.requires_grad_(False)
    attach(network, config)
    for key, value in network.named_parameters():
        assert value.requires_grad == (not key.startswith("memory_encoder.")), key


def test_new_adapters_are_in_the_mode_of_the_network(network, config):
    attach(network, config)
    assert not any(module.training for module in network.modules())


@torch.no_grad()
def test_they_run_in_bfloat16_and_are_copied_with_the_network(network, config):
    trained(network, config)
    twin = copy.deepcopy(network)
    assert_equal_answers(answer(twin), answer(network))
    drop(twin)
    assert adapter_state(network)
    assert adapter_state(twin) == {}
    half = ready_encoder(network.image_encoder, torch.bfloat16)
    image = torch.randn(1, 3, 64, 64)
    expected = network.image_encoder(image)["backbone_fpn"]
    assert {level.dtype for level in half.trunk(image.bfloat16())} == {torch.bfloat16}
    with torch.autocast("cpu", torch.bfloat16):
        cast = network.image_encoder(image)["backbone_fpn"]
    for found in (half(image.bfloat16())["backbone_fpn"], cast):
        for one, other in zip(found, expected, strict=True):
            assert (one.float() - other).norm() < 0.05 * other.norm()


@torch.no_grad()
def test_a_copy_is_merged_for_inference_in_the_middle_of_training(network):
    config = KINDS["lora on q and v"]
    trained(network, config)
    merged = copy.deepcopy(network)
    drop(merged)
    apply_adapters(merged, config, adapter_state(network))
    assert_equal_answers(answer(merged), answer(network), 1e-5)


def test_names_are_those_of_the_network(network):
    attach(network, AdapterConfig("lora", blocks=(3,), targets=("qkv",)))
    state = adapter_state(network)
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    wide = network.image_encoder.trunk.blocks[3].dim
    outputs = 3 * network.image_encoder.trunk.blocks[3].dim_out
    assert shapes == {
        f"{TRUNK}.3.attn.qkv.lora_down": (8, wide),
        f"{TRUNK}.3.attn.qkv.lora_up": (outputs, 8),
    }
    assert all(value.is_contiguous() for value in state.values())


@pytest.mark.parametrize(
    ("targets", "within", "expected"),
    [
        (("qkv",), "image_encoder", 10),
        (("qkv", "proj"), "image_encoder.trunk", 20),
        (("mlp",), "image_encoder", 20),
        (("q",), "image_encoder", 10),
        (("q", "v"), "memory_attention", 2 * 2 * 2),
        (("proj",), "memory_attention", 2 * 2),
        (("q", "k", "v", "proj"), "sam_mask_decoder", 4 * (2 * 3 + 1)),
        (("mlp",), "sam_mask_decoder", 2 * 2),
        (("proj",), "", 10 + 2 * 2 + 2 * 3 + 1),
    ],
)
def test_targets_and_part_choose_the_maps(network, targets, within, expected):
    names = attach(network, AdapterConfig("lora", targets=targets, within=within))
    assert len(names) == 2 * expected
    assert all(name.startswith(within) for name in names)
    assert len({type(m) for m in network.modules() if hasattr(m, "base_layer")}) == 1


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"targets": ("fc",)}, "qkv, q, k"),
        ({"within": "memory_attention"}, "q, k, v, proj, mlp"),
        ({"within": "image_encoder.nec"}, "none of any name"),
        ({"blocks": (0, 10)}, "from 0 to 9"),
        ({"rank": 0}, "at least 1"),
        ({"kind": "snake", "within": "sam_mask_decoder"}, "none"),
        ({"kind": "locon", "blocks": (-1,)}, "found -1"),
    ],
)
def test_settings_that_fit_nothing_are_refused(network, base, wrong, hint):
    config = replace(AdapterConfig("lora"), **wrong)
    with pytest.raises(ModelError, match=hint):
        attach(network, config)
    with pytest.raises(ModelError, match=hint):
        apply_adapters(network, config, {})
    assert_same_weights(network, base)


def test_a_state_that_does_not_fit_changes_nothing(network, base, config):
    trained(network, config)
    state = adapter_state(network)
    first = next(iter(state))
    for wrong, hint in (
        ({k: v for k, v in state.items() if k != first}, "1 weights are missing"),
        (state | {"more": torch.zeros(1)}, "1 unknown"),
        (state | {first: state[first][None]}, "1 of another shape"),
    ):
        fresh = copy.deepcopy(base)
        with pytest.raises(ModelError, match=hint):
            apply_adapters(fresh, config, wrong)
        assert_same_weights(fresh, base)


def test_adapters_are_not_put_beside_others(network, config):
    attach(network, config)
    for act in (attach, lambda n, c: apply_adapters(n, c, {})):
        with pytest.raises(ModelError, match="drop them first"):
            act(network, config)


def test_none_is_nothing(network, base):
    assert attach(network, AdapterConfig()) == []
    apply_adapters(network, AdapterConfig(), {})
    drop(network)
    assert_same_weights(network, base)
    with pytest.raises(ModelError, match="1 unknown"):
        apply_adapters(network, AdapterConfig(), {"x": torch.zeros(1)})


@pytest.mark.parametrize(
    ("size", "millions"), [("t", 0.581), ("s", 0.777), ("b+", 1.351)]
)
def test_parameters_of_sam_octa2s_lora(size, millions):
    network = build_network(f"configs/sam2.1/sam2.1_hiera_{size}.yaml")
    attach(network, AdapterConfig("lora", rank=32))
    found = sum(value.numel() for value in adapter_state(network).values())
    assert round(found / 1e6, 3) == millions


def test_applying_needs_no_peft(network, tmp_path):
    trained(network, KINDS["lora"])
    file = tmp_path / "adapter.pt"
    torch.save(adapter_state(network), file)
    code = f"""
import sys, torch
from napari_octa_sam2.model.adapters import AdapterConfig, apply_adapters
from napari_octa_sam2.model.loading import build_network
network = build_network("octa-nano.yaml", input_size=64)
apply_adapters(network, {KINDS["lora"]!r}, torch.load({str(file)!r}))
assert "peft" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_peft_there_is_a_reason(network, base, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ModelError, match="install peft"):
        attach(network, KINDS["lora on q and v"])
    assert_same_weights(network, base)


def test_blocks_limit_what_lies_beside_them(network):
    keys = attach(network, AdapterConfig("locon", blocks=(1, 4)))
    assert {key.removeprefix(f"{TRUNK}.").split(".")[0] for key in keys} == {"1", "4"}


def test_scale_is_alpha_by_rank(network, base):
    config = AdapterConfig("locon", rank=4, alpha=4.0, blocks=(9,))
    trained(network, config)
    state = adapter_state(network)
    moved = []
    for alpha in (4.0, 8.0):
        fresh = copy.deepcopy(base)
        apply_adapters(fresh, replace(config, alpha=alpha), state)
        x = torch.randn(1, 4, 4, 256, generator=torch.Generator().manual_seed(0))
        block, before = (n.image_encoder.trunk.blocks[9] for n in (fresh, base))
        moved.append(block(x) - before(x))
    torch.testing.assert_close(moved[1], 2 * moved[0], rtol=1e-4, atol=1e-6)
    assert moved[0].abs().max() > 0


def straight(conv):
    """Let a snake go straight on."""
    for parameter in conv.steps[1].parameters():
        torch.nn.init.zeros_(parameter)
    return conv


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (12, 17)])
@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_a_straight_snake_is_a_plain_convolution(axis, shape):
    torch.manual_seed(0)
    conv = straight(SnakeConv(3, 8, axis=axis))
    x = torch.randn(2, 3, *shape)
    padding = (4, 0) if axis == "rows" else (0, 4)
    plain = F.conv2d(x, conv.conv.weight, conv.conv.bias, padding=padding)
    torch.testing.assert_close(conv(x), F.relu(conv.norm(plain)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("tap", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("extend", [2.0, 4.0, 1.0])
@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_steps_add_up_outwards_from_the_centre(axis, extend, tap):
    conv = straight(SnakeConv(1, 1, kernel=5, extend=extend, axis=axis))
    torch.nn.init.constant_(conv.steps[1].bias, float(torch.atanh(torch.tensor(0.5))))
    torch.nn.init.zeros_(conv.conv.weight)
    torch.nn.init.zeros_(conv.conv.bias)
    conv.conv.weight.data.view(-1)[2 + tap] = 1.0
    conv.norm = torch.nn.Identity()
    x = torch.rand(1, 1, 20, 20)
    across = abs(tap) * extend * 0.5
    if across % 1:
        shifted = (
            at(x, axis, tap, int(across)) + at(x, axis, tap, int(across) + 1)
        ) / 2
    else:
        shifted = at(x, axis, tap, int(across))
    torch.testing.assert_close(conv(x), shifted, rtol=0, atol=1e-4)


def at(x, axis, along, across):
    """Return the picture seen from `along` and `across` pixels away, zeros outside."""
    down, right = (along, across) if axis == "rows" else (across, along)
    wide = F.pad(x, (20, 20, 20, 20))
    return wide[..., 20 + down : 40 + down, 20 + right : 40 + right]


def test_snakes_learn_where_to_go():
    torch.manual_seed(0)
    conv = MultiViewSnakeConv(3, 8)
    conv(torch.randn(1, 3, 16, 16)).square().mean().backward()
    for view in (conv.rows, conv.columns):
        assert view.steps[0].weight.grad.abs().max() > 0
    assert conv(torch.randn(2, 3, 5, 7)).shape == (2, 8, 5, 7)


def test_a_snake_has_a_middle():
    with pytest.raises(ModelError, match="odd"):
        SnakeConv(1, 1, kernel=4)
