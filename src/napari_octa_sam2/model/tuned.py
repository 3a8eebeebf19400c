"""Fine-tuned models: the weights that training changed, and what they belong to.

A file holds what was trained alone (adapters, a head, parts of the network) and, as
metadata, which model it changes. So a fine-tuned SAM 2 takes a few megabytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.files import write_whole
from napari_octa_sam2.model.adapters import AdapterConfig, apply_adapters
from napari_octa_sam2.model.appearance import GREY, Appearance
from napari_octa_sam2.model.class_points import ask_by_points

KEY = "napari-octa-sam2 fine-tuned"
ADAPTER = "adapter."  # prefix of the adapters' weights
HEAD = "refinement."


@dataclass(frozen=True)
class Origin:
    """Which model fine-tuned weights change, and how.

    Parameters
    ----------
    base : str
        Name of the model, or path of its checkpoint.
    base_sha256 : str
        Hash of its checkpoint.
    config : str
        Configuration of a base that is a file; empty if it is found by itself.
    input_size : int
        Side of the network's input.
    adapter : AdapterConfig
    head : tuple of int
        Channels of a refinement head that was trained behind a base without one.
    appearance : Appearance
        How the network wants slices to look.
    class_points : mapping
        Clicks that ask for a whole class, as `model.class_points.ask_by_points`.
    """

    base: str
    base_sha256: str
    config: str = ""
    input_size: int = 0
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    head: tuple[int, ...] = ()
    appearance: Appearance = GREY
    class_points: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def write_tuned(file: Path, weights: Mapping[str, Tensor], origin: Origin) -> None:
    """Write fine-tuned weights.

    Parameters
    ----------
    file : Path
        Ends in ``.safetensors``.
    weights : mapping of str to Tensor
        Changed weights of the network by their names in a checkpoint, of the head
        under `HEAD`, of adapters (`model.adapters.adapter_state`) under `ADAPTER`.
    origin : Origin
    """
    from safetensors.torch import save

    held = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    write_whole(file, save(held, {KEY: json.dumps(asdict(origin))}))


def read_origin(file: Path) -> Origin | None:
    """Return what the file says it changes; None if it is no fine-tuned model."""
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors":
        return None
    try:
        with safe_open(file, "pt") as opened:
            text = (opened.metadata() or {}).get(KEY)
    except (OSError, SafetensorError):
        return None
    if text is None:
        return None
    try:
        values = json.loads(text)
        return Origin(
            **values
            | {
                "adapter": _listed(AdapterConfig, values["adapter"]),
                "appearance": _listed(Appearance, values["appearance"]),
                "head": tuple(values["head"]),
            }
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{file} was written by another version ({error}); train it again, or use "
            "the version that wrote it"
        ) from error


def put_weights(
    file: Path, origin: Origin, network: Any, head: Any, state: Mapping[str, Tensor]
) -> Any:
    """Put fine-tuned weights into their base, and return the refinement head.

    Parameters
    ----------
    file : Path
        For messages.
    origin : Origin
    network : sam2.modeling.sam2_base.SAM2Base
        The base.
    head : RefinementHead or None
        That of the base.
    state : mapping of str to Tensor
        What the file holds.

    Raises
    ------
    ModelError
        If they do not fit.
    """
    if origin.head and head is None:
        from napari_octa_sam2.model.refinement import RefinementHead

        head = RefinementHead(origin.head).eval()
    own = network.state_dict()
    if head is not None:
        own |= {HEAD + key: value for key, value in head.state_dict().items()}
    adapters = {k: v for k, v in state.items() if k.startswith(ADAPTER)}
    plain = {k: v for k, v in state.items() if k not in adapters}
    wrong = [k for k, v in plain.items() if k not in own or own[k].shape != v.shape]
    if wrong:
        raise ModelError(
            f"{file.name} does not fit {origin.base}: it has no {wrong[0]} of this "
            "shape; it was trained on another network"
        )
    for key, value in plain.items():
        own[key].copy_(value)
    if adapters:
        bare = {k.removeprefix(ADAPTER): v for k, v in adapters.items()}
        apply_adapters(network, origin.adapter, bare)
    if origin.class_points and not getattr(network, "classes", ()):
        ask_by_points(network, origin.class_points)
    network.appearance = origin.appearance
    return head


def _listed(kind: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """Build a record from JSON, whose lists were tuples."""
    return kind(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    )
