"""The networks that a promptless model can be: settings, parameters, time."""

from __future__ import annotations

import inspect
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model.promptless.config import ARCHITECTURES, NetworkConfig


@dataclass(frozen=True)
class Example:
    """An architecture with settings that users may want to know the price of.

    Parameters
    ----------
    kind : str
        One of `ARCHITECTURES`.
    size : str
        Name of the settings; empty for the architecture's own.
    settings : mapping
    timed : bool
        False if nobody wants to wait for a slice, or has the memory for the weights.
    """

    kind: str
    size: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    timed: bool = True

    @property
    def label(self) -> str:
        """Kind and size."""
        return f"{self.kind} {self.size}".strip()


def examples(kind: str | None = None) -> list[Example]:
    """Return each architecture, or one, with its own settings or in its named sizes."""
    from napari_octa_sam2.model.promptless.snake_unet import SIZES

    sized = {
        "snake-unet": [
            Example("snake-unet", size, settings, timed=size != "l")
            for size, settings in SIZES.items()
        ]
    }
    kinds = ARCHITECTURES if kind is None else [kind]
    return [each for name in kinds for each in sized.get(name, [Example(name)])]


def describe(kind: str) -> dict[str, Any]:
    """Return what an architecture is, and its settings where none are given."""
    found = ARCHITECTURES[kind]
    parameters = list(inspect.signature(found.maker()).parameters.values())
    return {
        "name": kind,
        "title": found.title,
        "source": found.source,
        "multiple": found.multiple,
        "settings": {p.name: p.default for p in parameters[2:]},
    }


def measure(example: Example) -> dict[str, Any]:
    """Return the parameters of a network and the time of a slice, ready for JSON.

    With one channel in, one class and random weights; of a few slices, the median.
    ``milliseconds`` is None if it is not timed; of a network that cannot be built
    here, ``missing`` says why, and both figures are None.
    """
    from napari_octa_sam2.model.promptless.network import count_parameters

    row: dict[str, Any] = {
        "name": example.kind,
        "size": example.size,
        "title": ARCHITECTURES[example.kind].title,
        "parameters": None,
        "milliseconds": None,
        "missing": None,
    }
    try:
        network = _build(example)
    except ModelError as error:
        return row | {"missing": str(error)}
    row["parameters"] = count_parameters(network)
    if example.timed:
        row["milliseconds"] = _milliseconds(network, example.label)
    return row


def _build(example: Example) -> Any:
    import torch

    from napari_octa_sam2.model.promptless.network import PromptlessNetwork

    config = NetworkConfig(example.kind, settings=dict(example.settings))
    with torch.device("cpu" if example.timed else "meta"):
        return PromptlessNetwork(config).eval()


def _milliseconds(network: Any, name: str) -> float:
    from napari_octa_sam2.model.promptless.model import PromptlessModel
    from napari_octa_sam2.protocol.automatic.speed import slice_seconds

    model = PromptlessModel(network, name)
    return 1000 * statistics.median(slice_seconds(model, passes=3))
