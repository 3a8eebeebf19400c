"""The weights of adapters, apart from those of the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from napari_octa_sam2.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

ATTACHED = "adapters"  # attribute of a network: the settings of those it has
BESIDE = "adapter"  # module beside a block or its feed-forward network
BIAS = ".base_layer.bias"
NAMES = {  # of PEFT, and those in files
    ".lora_A.default.weight": ".lora_down",
    ".lora_B.default.weight": ".lora_up",
    ".lokr_w1.default": ".lokr_left",
    ".lokr_w2.default": ".lokr_right",
    ".lokr_w2_a.default": ".lokr_right_up",
    ".lokr_w2_b.default": ".lokr_right_down",
}


def adapter_parameters(network: Any) -> Iterator[tuple[str, str, nn.Parameter]]:
    """Yield the parameters of attached adapters.

    Yields
    ------
    key : str
        In the network's state.
    name : str
        In files.
    parameter : torch.nn.Parameter
    """
    config = getattr(network, ATTACHED, None)
    if config is None:
        return
    names = NAMES | ({BIAS: ".bias"} if config.train_bias else {})
    for key, parameter in network.named_parameters():
        if f".{BESIDE}." in key:
            yield key, key, parameter
        for theirs, ours in names.items():
            if key.endswith(theirs):
                yield key, key.removesuffix(theirs) + ours, parameter


def check_fit(
    state: Mapping[str, Tensor], expected: Mapping[str, Sequence[int]]
) -> None:
    """Check that `state` holds exactly the weights of the `expected` shapes.

    Raises
    ------
    ModelError
        If it does not.
    """
    missing = sorted(set(expected) - set(state))
    unknown = sorted(set(state) - set(expected))
    shapes = sorted(
        key
        for key in set(state) & set(expected)
        if tuple(state[key].shape) != tuple(expected[key])
    )
    if missing or unknown or shapes:
        raise ModelError(
            f"the adapter does not fit the network and its settings: {len(missing)} "
            f"weights are missing, {len(unknown)} unknown, {len(shapes)} of another "
            f"shape (first: {(missing + unknown + shapes)[0]}); give the network and "
            "the settings it was trained with"
        )
