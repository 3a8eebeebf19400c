"""Drawing functions of figures, for the dock, the report and the documentation alike.

Each draws on axes that it is given, in the colours of a `Look`, and touches no state
of matplotlib beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_octa_sam2.metrics.report.overlays import (
    draw_centre_line,
    draw_enface,
    draw_faz,
    draw_regions,
)
from napari_octa_sam2.metrics.report.plots import (
    draw_bland_altman,
    draw_diameters,
    draw_dice_matrix,
    draw_dots,
    draw_slice_dice,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Picture",
    "draw_bland_altman",
    "draw_centre_line",
    "draw_diameters",
    "draw_dice_matrix",
    "draw_dots",
    "draw_enface",
    "draw_faz",
    "draw_regions",
    "draw_slice_dice",
]


@dataclass(frozen=True)
class Picture:
    """A picture of a report.

    Parameters
    ----------
    caption : str
    draw : callable
        Draws it on the axes that it is given.
    """

    caption: str
    draw: Callable[[Axes], None]
