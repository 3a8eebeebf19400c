"""Convolutions beside the blocks of the image encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from napari_octa_sam2.model.adapters.config import AdapterConfig
from napari_octa_sam2.model.adapters.med2d import Med2dAdapter
from napari_octa_sam2.model.adapters.places import find_blocks
from napari_octa_sam2.model.adapters.state import BESIDE, check_fit
from napari_octa_sam2.model.snake import MultiViewSnakeConv


class ConvPair(nn.Module):
    """Two convolutions through few channels, whose second starts at zero.

    Where the block halves its picture, the few channels are pooled as the block's own
    shortcut is.

    Parameters
    ----------
    block : sam2.modeling.backbones.hieradet.MultiScaleBlock
        That it goes beside.
    config : AdapterConfig
    """

    def __init__(self, block: Any, config: AdapterConfig) -> None:
        super().__init__()
        channels, rank, outputs = block.dim, config.rank, block.dim_out
        self.down: nn.Module
        self.up: nn.Module
        if config.kind == "snake":
            self.down = MultiViewSnakeConv(channels, rank)
            self.up = MultiViewSnakeConv(rank, outputs)
            last = self.up.fuse
        else:
            self.down = nn.Conv2d(channels, rank, 3, padding=1)
            self.up = last = nn.Conv2d(rank, outputs, 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        stride = block.q_stride
        self.pool = nn.MaxPool2d(stride, stride) if stride else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.scale = config.scale

    def forward(self, x: Tensor) -> Tensor:
        """Return what is added to the block's output, channels last as its input."""
        few = self.pool(self.down(x.permute(0, 3, 1, 2)))
        added: Tensor = self.scale * self.up(self.dropout(few))
        return added.permute(0, 2, 3, 1)


def attach(network: Any, config: AdapterConfig) -> None:
    """Put new adapters beside the blocks that `config` names.

    Raises
    ------
    ModelError
        If there are none.
    """
    for name, adapter in _built(network, config).items():
        _put(network.get_submodule(name), adapter)


def apply(network: Any, config: AdapterConfig, state: Mapping[str, Tensor]) -> None:
    """Put trained adapters beside the blocks that `config` names.

    Raises
    ------
    ModelError
        If there are none, or `state` does not fit.
    """
    built = _built(network, config)
    expected = {
        f"{name}.{BESIDE}.{key}": value
        for name, adapter in built.items()
        for key, value in adapter.state_dict().items()
    }
    check_fit(state, {key: value.shape for key, value in expected.items()})
    for key, value in expected.items():
        value.copy_(state[key])
    for name, adapter in built.items():
        _put(network.get_submodule(name), adapter)


def drop(network: Any) -> None:
    """Take all adapters out again."""
    for module in network.modules():
        for key, hook in list(module._forward_hooks.items()):
            if hook is _add:
                del module._forward_hooks[key]
                delattr(module, BESIDE)


def _built(network: Any, config: AdapterConfig) -> dict[str, nn.Module]:
    """Return new adapters by the names of the modules that they go beside."""
    adapters: dict[str, nn.Module] = {}
    for name, block in find_blocks(network, config).items():
        if config.kind == "med2d":
            adapters[f"{name}.mlp"] = Med2dAdapter(block.dim_out)
        else:
            adapters[name] = ConvPair(block, config)
    for name, adapter in adapters.items():
        module = network.get_submodule(name)
        like = next(module.parameters())
        adapter.to(like.device, like.dtype).train(module.training)
    return adapters


def _put(module: nn.Module, adapter: nn.Module) -> None:
    module.add_module(BESIDE, adapter)
    module.register_forward_hook(_add)


def _add(module: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    added: Tensor = module.get_submodule(BESIDE)(*inputs)
    return output + added.to(output.dtype)
