"""Where in a SAM 2 network adapters go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from torch import nn

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model.adapters.config import AdapterConfig

BLOCKS = "image_encoder.trunk.blocks"
FUSED = "qkv"  # of the image encoder: one map for queries, keys and values
PARTS = ("q", "k", "v")  # in the order of its rows
NAMES = {
    FUSED: r"\.qkv",
    "q": r"\.q_proj",
    "k": r"\.k_proj",
    "v": r"\.v_proj",
    "proj": r"\.attn\.proj|\.out_proj",
    "mlp": r"\.mlp\.layers\.\d+|\.linear[12]",
}


@dataclass(frozen=True, eq=False)
class Map:
    """A linear map of a network, or some rows of one.

    Parameters
    ----------
    name : str
        Dotted name; rows of a fused map have the name of the part below it.
    linear : torch.nn.Linear
    rows : slice
        Outputs that are meant.
    fused : str
        Name of the map whose part it is, if of one.
    """

    name: str
    linear: nn.Linear
    rows: slice
    fused: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs."""
        outputs = len(range(self.linear.out_features)[self.rows])
        return outputs, self.linear.in_features


def find_maps(network: Any, config: AdapterConfig) -> list[Map]:
    """Return the linear maps that `config` names, in the network's order.

    Raises
    ------
    ModelError
        If there are none, or a block or target is unknown.
    """
    if unknown := set(config.targets) - set(NAMES):
        raise ModelError(
            f"expected targets among {', '.join(NAMES)}, found "
            f"{', '.join(sorted(unknown))}"
        )
    chosen = _chosen(network, config)
    linears = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
        and _lies_in(name, config.within)
        and (not _lies_in(name, BLOCKS) or any(_lies_in(name, b) for b in chosen))
    }
    found = [m for item in linears.items() for m in _wanted(*item, config)]
    if not found:
        there = [t for t in NAMES if any(_is_called(name, t) for name in linears)]
        raise ModelError(
            f"expected linear maps {', '.join(config.targets)!r} within "
            f"{config.within!r}, found {', '.join(there) or 'none of any name'}; "
            "choose other targets, or another part of the network"
        )
    return found


def find_blocks(network: Any, config: AdapterConfig) -> dict[str, Any]:
    """Return the blocks of the image encoder that `config` names, by dotted name.

    Raises
    ------
    ModelError
        If there are none.
    """
    chosen = _chosen(network, config)
    found = {n: b for n, b in chosen.items() if _lies_in(n, config.within)}
    if not found:
        raise ModelError(
            f"expected blocks of the image encoder within {config.within!r}, found "
            f"none; {config.kind!r} goes beside {BLOCKS!r}"
        )
    return found


def _chosen(network: Any, config: AdapterConfig) -> dict[str, Any]:
    """Return the blocks of the image encoder that `config` does not leave out."""
    blocks = {
        name: module
        for name, module in network.named_modules()
        if re.fullmatch(rf"{re.escape(BLOCKS)}\.\d+", name)
    }
    if outside := sorted(set(config.blocks) - set(range(len(blocks)))):
        raise ModelError(
            f"expected blocks from 0 to {len(blocks) - 1}, of which the image encoder "
            f"is made, found {', '.join(map(str, outside))}"
        )
    wanted = {f"{BLOCKS}.{i}" for i in config.blocks} or set(blocks)
    return {name: block for name, block in blocks.items() if name in wanted}


def _wanted(name: str, linear: nn.Linear, config: AdapterConfig) -> list[Map]:
    if any(_is_called(name, target) for target in config.targets):
        return [Map(name, linear, slice(None))]
    if not _is_called(name, FUSED):
        return []
    third = linear.out_features // len(PARTS)
    return [
        Map(f"{name}.{part}", linear, slice(i * third, (i + 1) * third), name)
        for i, part in enumerate(PARTS)
        if part in config.targets
    ]


def _is_called(name: str, target: str) -> bool:
    return re.search(rf"({NAMES[target]})$", name) is not None


def _lies_in(name: str, part: str) -> bool:
    return f"{name}.".startswith(f"{part}." if part else "")
