"""Adapters put into a network, saved, put back and taken out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model.adapters.config import AdapterConfig
from napari_octa_sam2.model.adapters.state import (
    ATTACHED,
    adapter_parameters,
    check_fit,
)

if TYPE_CHECKING:
    from torch import Tensor

LOW_RANK = ("lora", "lokr")


def attach(network: Any, config: AdapterConfig) -> list[str]:
    """Put new adapters into a network, which answers as before until they are trained.

    Nothing is frozen: that is left to the caller, who knows what else is trained. The
    network's own weights may be found under other names until `drop`.

    Parameters
    ----------
    network : sam2.modeling.sam2_base.SAM2Base
        Changed in place; its attribute ``adapters`` is `config` from now on.
    config : AdapterConfig

    Returns
    -------
    list of str
        Names of the adapters' parameters in the network's state, which need gradients.

    Raises
    ------
    ModelError
        If the network has adapters already, nothing is where `config` wants adapters,
        or their rank is below one.
    """
    _check_ready(network, config)
    if config.kind == "none":
        return []
    _module(config.kind).attach(network, config)
    setattr(network, ATTACHED, config)
    return [key for key, _, _ in adapter_parameters(network)]


def adapter_state(network: Any) -> dict[str, Tensor]:
    """Return the weights of a network's adapters, and the biases trained with them.

    Returns
    -------
    dict of str to Tensor
        On the CPU, contiguous; the names are those of the network's own modules and
        need no PEFT to be understood: of a map, ``lora_down`` and ``lora_up``, or
        ``lokr_left`` and ``lokr_right`` (or its factors ``lokr_right_up`` and
        ``lokr_right_down``), and ``bias``; of what is beside a block, its weights
        below ``adapter``.
    """
    return {
        name: parameter.detach().cpu().clone().contiguous()
        for _, name, parameter in adapter_parameters(network)
    }


def apply_adapters(
    network: Any, config: AdapterConfig, state: Mapping[str, Tensor]
) -> None:
    """Let a network answer with trained adapters; does not need PEFT.

    Low-rank and Kronecker updates are merged into the weights, once and for all:
    ``W += alpha / rank * up @ down``, ``W += alpha / rank * kron(left, right)``. Other
    adapters are put beside the blocks, and can be taken out by `drop`.

    Parameters
    ----------
    network : sam2.modeling.sam2_base.SAM2Base
        Without adapters; changed in place.
    config : AdapterConfig
        They were trained with.
    state : mapping of str to Tensor
        As `adapter_state` returns it.

    Raises
    ------
    ModelError
        If the network has adapters already, or weights are missing, unknown or of
        another shape. Then nothing is changed.
    """
    _check_ready(network, config)
    if config.kind == "none":
        check_fit(state, {})
        return
    _module(config.kind).apply(network, config, state)
    if config.kind not in LOW_RANK:
        setattr(network, ATTACHED, config)


def drop(network: Any) -> None:
    """Take adapters out of a network, which is again what it was without them.

    Updates that `apply_adapters` has merged stay.
    """
    config: AdapterConfig | None = getattr(network, ATTACHED, None)
    if config is not None:
        _module(config.kind).drop(network)
        delattr(network, ATTACHED)


def _module(kind: str) -> Any:
    if kind in LOW_RANK:
        from napari_octa_sam2.model.adapters import low_rank

        return low_rank
    from napari_octa_sam2.model.adapters import beside_blocks

    return beside_blocks


def _check_ready(network: Any, config: AdapterConfig) -> None:
    if (present := getattr(network, ATTACHED, None)) is not None:
        raise ModelError(
            f"expected a network without adapters, found some of kind {present.kind!r};"
            " drop them first"
        )
    if config.rank < 1:
        raise ModelError(f"expected a rank of at least 1, found {config.rank}")
