"""What all pictures share: colours, sizes, names, legends and scale bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.metrics.results import pretty_unit
from napari_octa_sam2.palette import Look
from napari_octa_sam2.volume.geometry import ScanGeometry

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

SIZE = 7.0  # of text, in points
LONGEST = 16  # name in a legend, in characters
MICROMETRES = 1000  # in a millimetre


def dress(axes: Axes, look: Look) -> None:
    """Give axes with a plot the colours of `look` and small text."""
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set(color=look.faint, linewidth=0.6)
    axes.tick_params(
        colors=look.faint,
        labelcolor=look.ink,
        labelsize=SIZE - 0.5,
        width=0.6,
        length=2.5,
    )
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=look.ink, fontsize=SIZE)
    axes.grid(True, axis="y", color=look.line, linewidth=0.5)
    axes.set_axisbelow(True)


def named_unit(name: str, unit: str) -> str:
    """Return the label of an axis."""
    return f"{name} ({pretty_unit(unit)})" if unit else name


def fine(unit: str) -> tuple[float, str]:
    """Return the factor and the unit in which small lengths are told."""
    return (MICROMETRES, "um") if unit == "mm" else (1.0, unit)


def literal(name: str, longest: int = LONGEST) -> str:
    """Return a name as matplotlib shows it letter by letter, and short enough."""
    short = name if len(name) <= longest else name[: longest - 1].rstrip() + "…"
    # "$" begins a formula, and a legend leaves out what begins with "_".
    return " " * short.startswith("_") + drawable(short).replace("$", r"\$")


def drawable(text: str) -> str:
    """Return a text in which a box stands for what the font of the pictures lacks."""
    glyphs = _glyphs()
    return "".join(c if ord(c) in glyphs else "□" for c in " ".join(text.split()))


def legend(axes: Axes, handles: Sequence[Artist], look: Look, columns: int = 2) -> None:
    """Put a legend above the axes; it grows to the left, where the labels are."""
    axes.legend(
        handles=list(handles),
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=columns,
        frameon=False,
        labelcolor=look.ink,
        fontsize=SIZE - 0.5,
        handlelength=1.8,
        borderaxespad=0.2,
        borderpad=0,
        labelspacing=0.3,
        columnspacing=1.2,
    )


def nice_length(extent: float) -> float:
    """Return the largest 1, 2 or 5 times a power of ten up to a quarter of `extent`."""
    power = 10.0 ** math.floor(math.log10(extent / 4))
    return max(f * power for f in (1, 2, 5) if f * power <= extent / 4)


def draw_scale_bar(axes: Axes, geometry: ScanGeometry) -> None:
    """Draw a bar of a round length into the lower left of an image."""
    factor, unit = fine(geometry.unit)
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    pixel = geometry.spacing[2] * factor
    length = nice_length((right - left) * pixel)
    if unit == "um" and length >= MICROMETRES:
        length, pixel, unit = length / MICROMETRES, pixel / MICROMETRES, "mm"
    start, level = left + 0.05 * (right - left), bottom + 0.06 * (top - bottom)
    ends = [start, start + length / pixel]
    for width, colour in ((3.2, "black"), (1.8, "white")):
        axes.plot(ends, [level] * 2, color=colour, lw=width, solid_capstyle="butt")
    axes.annotate(
        f"{length:g} {pretty_unit(unit)}",
        (start, level),
        xytext=(0, 2.5),
        textcoords="offset points",
        ha="left",
        va="bottom",
        **on_image(),
    )


def on_image(size: float = SIZE) -> dict[str, Any]:
    """Return what makes text readable on an image, be it bright or dark."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=1.6, foreground="black")]
    return {"color": "white", "fontsize": size, "path_effects": halo}


def colour_bar(
    axes: Axes, colours: Colormap, norm: Normalize, label: str, look: Look
) -> None:
    """Put a colour bar to the right of the axes."""
    from matplotlib.cm import ScalarMappable

    place = axes.inset_axes((1.03, 0.0, 0.045, 1.0))
    bar = axes.figure.colorbar(ScalarMappable(norm, colours), cax=place)
    bar.outline.set_visible(False)
    place.tick_params(labelsize=SIZE - 0.5, labelcolor=look.ink, width=0.5, length=2)
    place.tick_params(color=look.faint)
    bar.set_label(label, color=look.ink, fontsize=SIZE)


def bounds(values: np.ndarray) -> tuple[float, float]:
    """Return the least and greatest known value, a little apart if they are one."""
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
    return float(low), float(max(high, low + 1e-9 + 1e-6 * abs(low)))


@cache
def _glyphs() -> frozenset[int]:
    """Return the characters that the font of the pictures has."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())
