"""The promptless networks by name, and what each tells apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.prompts import SEGMENTABLE

if TYPE_CHECKING:
    from torch import nn

_ROOM = "napari_octa_sam2.model.promptless"


@dataclass(frozen=True)
class Architecture:
    """A network that can be built.

    Parameters
    ----------
    title : str
        What users read.
    home : str
        Module of this room and the function or class in it that is called with the
        number of channels, that of classes, and the settings.
    multiple : int
        What the sides of its input are multiples of.
    source : str
        Paper, or library.
    """

    title: str
    home: str
    multiple: int
    source: str

    def maker(self) -> Callable[..., nn.Module]:
        """Return what builds the network."""
        module, _, name = self.home.partition(":")
        found: Callable[..., nn.Module] = getattr(
            import_module(f"{_ROOM}.{module}"), name
        )
        return found


_MONAI = "MONAI (Cardoso et al., 2022)"

ARCHITECTURES: dict[str, Architecture] = {
    "block-unet": Architecture(
        "U-net on blocks of 2 x 2 pixels",
        "block_unet:BlockUNetClasses",
        1,
        "Ronneberger et al., U-Net, MICCAI 2015",
    ),
    "snake-unet": Architecture(
        "Snake-convolution U-net of S3-OCTA",
        "snake_unet:SnakeUNet",
        32,
        "Qi et al., ICCV 2023; S3-OCTA",
    ),
    "unet": Architecture(
        "U-Net with residual units", "monai_networks:unet", 16, _MONAI
    ),
    "segresnet": Architecture("SegResNet", "monai_networks:segresnet", 8, _MONAI),
    "flexible-unet": Architecture(
        "U-Net with an EfficientNet encoder", "monai_networks:flexible_unet", 32, _MONAI
    ),
    "swin-unetr": Architecture(
        "Swin UNETR v2", "monai_networks:swin_unetr", 32, _MONAI
    ),
    "dints": Architecture("DiNTS", "monai_networks:dints", 32, _MONAI),
}


@dataclass(frozen=True)
class NetworkConfig:
    """Which network, and what it tells apart.

    Parameters
    ----------
    kind : str
        One of `ARCHITECTURES`.
    classes : tuple of str
        Of `prompts.SEGMENTABLE`, in the order of the network's outputs.
    settings : mapping
        What the architecture takes besides.

    Raises
    ------
    ModelError
        If the kind or a class is unknown, or a class is named twice.
    """

    kind: str = "block-unet"
    classes: tuple[str, ...] = ("RV",)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in ARCHITECTURES:
            raise ModelError(
                f"expected a network of {', '.join(ARCHITECTURES)}, found {self.kind!r}"
            )
        known = set(self.classes) <= set(SEGMENTABLE)
        if not self.classes or not known or len(set(self.classes)) < len(self.classes):
            raise ModelError(
                f"expected different classes of {', '.join(SEGMENTABLE)}, found "
                f"{', '.join(self.classes) or 'none'}"
            )
