"""How a network wants slices to look: grey window, colours, or three maps at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from napari_octa_sam2.errors import ModelError

WINDOW = (0.5, 99.8)
SLABS = ("FULL", "ILM_OPL", "OPL_BM")  # order of the maps in a volume of projections
# The maps of DILabHelmholtzOCT, by OpenCV's names, as far as matplotlib has them.
COLOURS = (
    *("autumn", "bone", "cividis", "cool", "hot", "hsv", "inferno", "jet", "magma"),
    *("ocean", "pink", "plasma", "rainbow", "viridis", "winter", "spring", "summer"),
    *("twilight_shifted", "twilight", "turbo"),
)


@dataclass(frozen=True)
class Appearance:
    """What is done to slices before they reach a network.

    Parameters
    ----------
    window : (float, float)
        Percentiles of the volume's grey values that become 0 and 1.
    colours : str
        One of `COLOURS` that grey values are shown in; empty for grey.
    composite : tuple of str
        Three of `SLABS`: every slice is seen with the others, as the channels of one
        image. Empty for single slices.

    Raises
    ------
    ModelError
        If the colours or maps are unknown.
    """

    window: tuple[float, float] = WINDOW
    colours: str = ""
    composite: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.colours and self.colours not in COLOURS:
            raise ModelError(
                f"expected colours of {', '.join(COLOURS)}, found {self.colours!r}"
            )
        if self.composite and sorted(self.composite) != sorted(SLABS):
            raise ModelError(
                f"expected the three of {', '.join(SLABS)}, found "
                f"{', '.join(self.composite)}"
            )
        if self.colours and self.composite:
            raise ModelError(
                "expected colours of a grey image or three maps, found both; leave out "
                "one of them"
            )

    def slices_of(self, index: int, depth: int) -> list[int]:
        """Return the slices that make the image of slice `index`.

        Raises
        ------
        ModelError
            If three maps are wanted, and the volume has another number of slices.
        """
        if not self.composite:
            return [index]
        if depth != len(SLABS):
            raise ModelError(
                f"this model sees the projections {', '.join(self.composite)} at once: "
                f"expected a volume of three slices ({', '.join(SLABS)}), found "
                f"{depth}; open the projection maps of a subject"
            )
        return [SLABS.index(name) for name in self.composite]


GREY = Appearance()


def appearance_of(network: Any) -> Appearance:
    """Return how a network wants slices to look; grey unless it says otherwise."""
    found = getattr(network, "appearance", GREY)
    assert isinstance(found, Appearance)
    return found


@cache
def colour_table(name: str) -> np.ndarray:
    """Return red, green and blue of 256 grey values, shape ``(256, 3)``, 0 to 1.

    The maps are matplotlib's; of OpenCV's, Parula and Deepgreen are not among them.
    """
    from matplotlib import colormaps

    table: np.ndarray = colormaps[name](np.arange(256))[:, :3].astype(np.float32)
    return table
