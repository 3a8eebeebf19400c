"""Low-rank (LoRA) and Kronecker (LoKr) updates of linear maps.

Training uses PEFT; to merge trained updates into the weights needs their algebra only.

References
----------
Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022; Yeh et al.,
"Navigating Text-To-Image Customization: From LyCORIS Fine-Tuning to Model Evaluation",
ICLR 2024.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model.adapters.config import AdapterConfig
from napari_octa_sam2.model.adapters.places import Map, find_maps
from napari_octa_sam2.model.adapters.state import check_fit


class SplitMap(nn.Module):
    """A fused map of queries, keys and values as three, to be adapted one by one."""

    def __init__(self, fused: nn.Linear) -> None:
        super().__init__()
        weights = fused.weight.chunk(3)
        biases = [None] * 3 if fused.bias is None else fused.bias.chunk(3)
        self.q, self.k, self.v = (
            _linear(weight, bias, fused)
            for weight, bias in zip(weights, biases, strict=True)
        )
        self.train(fused.training)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the fused map does."""
        return torch.cat([self.q(x), self.k(x), self.v(x)], -1)

    def fused(self) -> nn.Linear:
        """Return the map it was made of."""
        parts = self.q, self.k, self.v
        bias = None if self.q.bias is None else torch.cat([p.bias for p in parts])
        return _linear(torch.cat([p.weight for p in parts]), bias, self.q)


def attach(network: Any, config: AdapterConfig) -> None:
    """Let PEFT wrap the maps that `config` names, and those alone.

    Raises
    ------
    ModelError
        If there are none.
    """
    maps, peft = find_maps(network, config), import_peft()
    for name, fused in {m.fused: m.linear for m in maps if m.fused}.items():
        _replace(network, name, SplitMap(fused))
    # PEFT freezes all that is not its own
    before = [(p, p.requires_grad) for p in network.parameters()]
    settings = _settings(peft, config, [m.name for m in maps])
    peft.inject_adapter_in_model(settings, network)
    for parameter, trained in before:
        parameter.requires_grad_(trained)
    for m in maps:
        layer = network.get_submodule(m.name).train(m.linear.training)
        if config.train_bias and m.linear.bias is not None:
            bias = layer.base_layer.bias.requires_grad_(True)
            layer.register_buffer("bias_before", bias.detach().clone(), False)


def drop(network: Any) -> None:
    """Take PEFT's layers out again."""
    for name, module in list(network.named_modules()):
        if isinstance(base := getattr(module, "base_layer", None), nn.Linear):
            if (before := getattr(module, "bias_before", None)) is not None:
                base.bias.data.copy_(before)
            _replace(network, name, base)
    for name, module in list(network.named_modules()):
        if isinstance(module, SplitMap):
            _replace(network, name, module.fused())
    del network.peft_config


@torch.no_grad()
def apply(network: Any, config: AdapterConfig, state: Mapping[str, Tensor]) -> None:
    """Merge trained updates into the weights.

    Raises
    ------
    ModelError
        If there is nowhere to put them, or `state` does not fit.
    """
    maps = find_maps(network, config)
    shapes = {m.name: _shapes(m, config) for m in maps}
    check_fit(
        state, {f"{name}.{n}": s for name in shapes for n, s in shapes[name].items()}
    )
    for m in maps:
        weight, bias = m.linear.weight, m.linear.bias
        own = {n: state[f"{m.name}.{n}"].to(weight.device) for n in shapes[m.name]}
        weight[m.rows] += (config.scale * _update(own)).to(weight.dtype)
        if "bias" in own:
            bias[m.rows] = own["bias"].to(bias.dtype)


def _update(own: Mapping[str, Tensor]) -> Tensor:
    """Return the update of a weight, without its scale."""
    factors = {name: value.float() for name, value in own.items()}
    if "lora_up" in own:
        return factors["lora_up"] @ factors["lora_down"]
    right = factors.get("lokr_right")
    if right is None:
        right = factors["lokr_right_up"] @ factors["lokr_right_down"]
    return torch.kron(factors["lokr_left"], right)


def _shapes(m: Map, config: AdapterConfig) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a map's trained weights."""
    (rows, columns), rank = m.shape, config.rank
    shapes: dict[str, tuple[int, ...]] = {}
    if config.kind == "lora":
        shapes = {"lora_down": (rank, columns), "lora_up": (rows, rank)}
    else:
        (up, high), (left, wide) = _factors(rows), _factors(columns)
        shapes = {"lokr_left": (up, left)}
        if 2 * rank < max(high, wide):
            shapes |= {"lokr_right_up": (high, rank), "lokr_right_down": (rank, wide)}
        else:
            shapes |= {"lokr_right": (high, wide)}
    if config.train_bias and m.linear.bias is not None:
        shapes["bias"] = (rows,)
    return shapes


def _factors(n: int) -> tuple[int, int]:
    """Return the two factors of a number that are nearest to each other."""
    low = next(d for d in range(isqrt(n), 0, -1) if n % d == 0)
    return low, n // low


def _settings(peft: Any, config: AdapterConfig, names: list[str]) -> Any:
    if config.kind == "lora":
        return peft.LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            lora_dropout=config.dropout,
            target_modules=names,
        )
    return peft.LoKrConfig(
        r=config.rank,
        alpha=config.alpha,
        rank_dropout=config.dropout,
        target_modules=names,
    )


def import_peft() -> Any:
    """Import PEFT, also where torchvision is there and cannot be imported.

    PEFT imports transformers, which does without a torchvision that is absent, but not
    without one that was built for another torch.
    """
    try:
        import_module("torchvision")
    except (ImportError, RuntimeError):
        sys.modules["torchvision"] = None  # type: ignore[assignment]
    try:
        return import_module("peft")
    except (ImportError, RuntimeError) as error:
        raise ModelError(
            "expected PEFT, with which low-rank adapters are trained, but it cannot be "
            f"imported ({error}); install peft"
        ) from error
    finally:
        if sys.modules["torchvision"] is None:
            del sys.modules["torchvision"]


def _linear(weight: Tensor, bias: Tensor | None, like: nn.Linear) -> nn.Linear:
    """Return a linear map of copies of weights, as trainable as `like`."""
    rows, columns = weight.shape
    linear = nn.Linear(columns, rows, bias is not None, device="meta")
    linear.weight = nn.Parameter(weight.detach().clone(), like.weight.requires_grad)
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().clone(), like.bias.requires_grad)
    return linear.train(like.training)


def _replace(network: Any, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
