"""Promptless models: a network with its identity, in a file that tells all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.files import file_sha256, write_whole
from napari_octa_sam2.model.appearance import GREY, Appearance
from napari_octa_sam2.model.download import fetch
from napari_octa_sam2.model.promptless.config import NetworkConfig
from napari_octa_sam2.model.promptless.network import PromptlessNetwork
from napari_octa_sam2.model.registry import PROMPTLESS, get_entry, model_names

KEY = "napari-octa-sam2 promptless"
DEFAULT_PROMPTLESS = "octa-auto"
SUFFIX = ".safetensors"


@dataclass(frozen=True, eq=False)
class PromptlessModel:
    """A promptless network with its identity.

    Parameters
    ----------
    network : PromptlessNetwork
        In evaluation mode.
    name : str
        Registry name, or the file's name.
    sha256 : str
        Hash of the file's bytes; empty for random weights.
    appearance : Appearance
        How the network wants slices to look.
    """

    network: PromptlessNetwork
    name: str
    sha256: str = ""
    appearance: Appearance = GREY

    @property
    def classes(self) -> tuple[str, ...]:
        """What it tells apart, in the order of its outputs."""
        return self.network.config.classes


def channels_of(look: Appearance) -> int:
    """Return the number of channels of slices that look so."""
    return 3 if look.composite or look.colours else 1


def load_promptless(name_or_path: str | Path = DEFAULT_PROMPTLESS) -> PromptlessModel:
    """Load a promptless model of the registry, or one that `train` wrote.

    Raises
    ------
    ModelError
        If there is none, or the file is damaged, of another version or of a model
        that has to be prompted.
    """
    text = str(name_or_path)
    if text in model_names(PROMPTLESS):
        entry = get_entry(text)
        return _read(fetch(entry), entry.name, entry.sha256 or "")
    file = Path(text).expanduser()
    if text in model_names() or not file.is_file():
        found = "a model that is prompted" if text in model_names() else "no such file"
        raise ModelError(
            f"expected a promptless model, {', '.join(model_names(PROMPTLESS))} or a "
            f"file that `train` wrote; found {found}: {text!r}"
        )
    return _read(file, file.stem, "")


def is_promptless(name_or_path: str | Path) -> bool:
    """Return whether a name or a file is of a promptless model."""
    known = str(name_or_path) in model_names(PROMPTLESS)
    return known or _about(Path(name_or_path).expanduser()) is not None


def write_promptless(
    file: Path, config: NetworkConfig, look: Appearance, weights: Mapping[str, Tensor]
) -> None:
    """Write a promptless model, in half precision.

    Parameters
    ----------
    file : Path
        Ends in ``.safetensors``.
    config : NetworkConfig
    look : Appearance
    weights : mapping of str to Tensor
        The network's state.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    from safetensors.torch import save

    about = {"network": asdict(config), "appearance": asdict(look)}
    held = {key: _half(value).cpu().contiguous() for key, value in weights.items()}
    write_whole(file, save(held, {KEY: json.dumps(about)}))


def _half(weight: Tensor) -> Tensor:
    return weight.half() if weight.is_floating_point() else weight


def _about(file: Path) -> dict[str, Any] | None:
    from safetensors import SafetensorError, safe_open

    if file.suffix != SUFFIX:
        return None
    try:
        with safe_open(file, "pt") as opened:
            text = (opened.metadata() or {}).get(KEY)
        return None if text is None else dict(json.loads(text))
    except (OSError, SafetensorError, ValueError, TypeError):
        return None


def _read(file: Path, name: str, sha256: str) -> PromptlessModel:
    from safetensors.torch import load_file

    about = _about(file)
    if about is None:
        raise ModelError(
            f"{file}: expected a promptless model, found another or a damaged file; "
            "train one with a recipe that has a network, such as s3-octa"
        )
    config, look = _parsed(file, about)
    network = PromptlessNetwork(config, channels_of(look))
    state = {key: _single(value) for key, value in load_file(file).items()}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(
            f"{file} does not fit the {config.kind} that it says it is; get it again"
        ) from error
    return PromptlessModel(network.eval(), name, sha256 or file_sha256(file), look)


def _single(weight: Tensor) -> Tensor:
    return weight.float() if weight.is_floating_point() else weight


def _parsed(file: Path, about: Mapping[str, Any]) -> tuple[NetworkConfig, Appearance]:
    try:
        network, look = about["network"], about["appearance"]
        return (
            NetworkConfig(
                network["kind"], tuple(network["classes"]), dict(network["settings"])
            ),
            Appearance(
                tuple(look["window"]), look["colours"], tuple(look["composite"])
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{file} was written by another version ({error}); train it again, or use "
            "the version that wrote it"
        ) from error
