"""Plots of figures: by slice, by diameter, between graders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.metrics.report.dress import (
    SIZE,
    dress,
    fine,
    legend,
    literal,
    named_unit,
)
from napari_octa_sam2.metrics.results import pretty_unit
from napari_octa_sam2.palette import LIGHT, SKY, VERMILION, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from napari_octa_sam2.metrics.agreement.bland_altman import BlandAltman

MOST_OBJECTS = 6  # curves that a reader can follow
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (8, 2)))
MARKS = 12  # on a curve
BINS = 24
SHORT = 6  # name that is not turned, in characters
MOST_NAMES = 13  # that there is room for


def draw_slice_dice(
    axes: Axes,
    slices: Sequence[int],
    dice: Mapping[str, Sequence[float]],
    *,
    look: Look = LIGHT,
) -> None:
    """Draw the Dice of each slice, a curve an object.

    Of more than six objects, those with the lowest mean are shown.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    slices : sequence of int
    dice : mapping of str to sequence of float
        By the name of the object, one value a slice; nan where there is none.
    look : Look
    """
    from matplotlib.lines import Line2D

    known = {n: v for n, v in dice.items() if np.isfinite(v).any()}
    worst = sorted(known, key=lambda name: float(np.nanmean(known[name])))[
        :MOST_OBJECTS
    ]
    handles = []
    for number, name in enumerate(n for n in known if n in worst):
        style: dict[str, Any] = {
            "color": look.lines[number % len(look.lines)],
            "ls": DASHES[number],
            "marker": MARKERS[number],
            "ms": 3,
            "lw": 1.1,
        }
        values = np.asarray(known[name], float)
        axes.plot(slices, values, **style, markevery=_marked(values, number))
        handles.append(Line2D([], [], **style, label=literal(name)))
    if left := len(known) - len(worst):
        handles.append(Line2D([], [], ls="", label=f"and {left} with a higher mean"))
    axes.set(xlabel="slice (index)", ylabel="Dice (0 to 1)", ylim=(0, 1.02))
    dress(axes, look)
    if handles:
        legend(axes, handles, look)
    else:
        _say_nothing(axes, "no slice has a Dice", look)


def draw_diameters(
    axes: Axes,
    diameters: np.ndarray,
    lengths: np.ndarray,
    *,
    unit: str = "mm",
    look: Look = LIGHT,
) -> None:
    """Draw how much vessel there is of each diameter, and the mean along the length.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    diameters, lengths : numpy.ndarray
        Of pieces of the centre line, shape ``(pieces,)``, in `unit`.
    unit : {"mm", "pixel"}
        Diameters in mm are told in micrometres.
    look : Look
    """
    factor, small = fine(unit)
    kept = np.isfinite(diameters) & (lengths > 0)
    values, weights = diameters[kept] * factor, lengths[kept]
    if values.size:
        mean = float(np.average(values, weights=weights))
        axes.hist(
            values,
            BINS,
            weights=weights,
            color=SKY,
            edgecolor=look.ground,
            linewidth=0.4,
        )
        _draw_mean(axes, mean, small, look)
    else:
        _say_nothing(axes, "no vessel", look)
    axes.set(xlabel=named_unit("diameter", small), ylabel=named_unit("length", unit))
    dress(axes, look)


def draw_bland_altman(
    axes: Axes,
    agreement: BlandAltman,
    *,
    name: str = "",
    unit: str = "",
    look: Look = LIGHT,
) -> None:
    """Draw differences of two graders against their means, with bias and limits.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    agreement : BlandAltman
    name, unit : str
        Of what was measured.
    look : Look
    """
    from matplotlib.lines import Line2D

    axes.axhline(0, color=look.faint, lw=0.6)
    axes.plot(*agreement.points.T, "o", ms=3.4, mfc="none", mec=look.ink, mew=0.8)
    lines = (
        ("upper limit", agreement.upper, "--", VERMILION),
        ("bias", agreement.bias, "-", look.lines[0]),
        ("lower limit", agreement.lower, "-.", VERMILION),
    )
    handles = []
    for title, found, dash, colour in lines:
        if not np.isfinite(found.value):
            continue
        axes.axhspan(found.low, found.high, color=colour, alpha=0.14, lw=0)
        axes.axhline(found.value, color=colour, ls=dash, lw=1.2)
        text = f"{title} {found.value:.3g} ({found.low:.3g} to {found.high:.3g})"
        handles.append(Line2D([], [], color=colour, ls=dash, lw=1.2, label=text))
    what = f" of {literal(name)}" if name else ""
    axes.set_xlabel(named_unit(f"mean{what}", unit))
    axes.set_ylabel(named_unit(f"difference{what}", unit))
    dress(axes, look)
    axes.grid(False)
    if handles:
        legend(axes, handles, look, columns=1)
    else:
        _say_nothing(axes, agreement.why_not, look)


def draw_dice_matrix(
    axes: Axes, names: Sequence[str], dice: np.ndarray, *, look: Look = LIGHT
) -> None:
    """Draw the Dice of each pair of graders, with its number in each cell.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    names : sequence of str
        Of the graders.
    dice : numpy.ndarray
        Shape ``(graders, graders)``; nan where there is none.
    look : Look
    """
    import matplotlib as mpl

    colours = mpl.colormaps["cividis"].with_extremes(bad=look.line)
    axes.imshow(np.ma.masked_invalid(dice), cmap=colours, vmin=0, vmax=1)
    size = min(SIZE, 44 / max(len(names), 1))
    for (row, column), value in np.ndenumerate(dice):
        known = np.isfinite(value)
        ink = ("white" if value < 0.6 else "black") if known else look.ink
        text = f"{value:.2f}" if known else "n/a"
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=size)
    shown = [literal(name, 14) for name in names]
    short = max(map(len, shown), default=0) <= SHORT
    turn: dict[str, Any] = {} if short else {"rotation": 35, "ha": "right"}
    axes.set_xticks(range(len(names)), shown, **turn)
    axes.set_yticks(range(len(names)), shown)
    axes.set_xlabel("Dice (0 to 1)")
    dress(axes, look)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def draw_dots(
    axes: Axes,
    names: Sequence[str],
    values: Mapping[str, Sequence[float]],
    *,
    name: str = "",
    unit: str = "",
    most: float = math.inf,
    look: Look = LIGHT,
) -> None:
    """Draw the values of subjects or objects as dots, a line of text each.

    Of more than thirteen they are sorted by the first series, without their names.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    names : sequence of str
        Of the subjects, from top to bottom.
    values : mapping of str to sequence of float
        By the name of the series, one value a subject; nan where there is none. One
        series alone is shown with its mean.
    name, unit : str
        Of the values.
    most : float
        That a value can be; the axis ends there.
    look : Look
    """
    table = np.array([np.asarray(own, float) for own in values.values()])
    if not np.isfinite(table).any():
        _say_nothing(axes, "nothing to compare", look)
        axes.set_axis_off()
        return
    named = len(names) <= MOST_NAMES
    order = np.arange(len(names)) if named else np.argsort(-table[0])
    places = np.arange(len(names))
    for number, (series, own) in enumerate(zip(values, table, strict=True)):
        colour = look.lines[number % len(look.lines)]
        marker = MARKERS[number % len(MARKERS)]
        style: dict[str, Any] = {"ls": "", "ms": 4.5, "mew": 0, "color": colour}
        axes.plot(
            own[order], places, marker, label=literal(series), clip_on=False, **style
        )
    if len(table) == 1:
        _draw_mean(axes, float(np.nanmean(table[0])), unit, look)
    for place in np.flatnonzero(~np.isfinite(table[:, order]).any(0)):
        axes.annotate(
            "n/a",
            (0.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            color=look.faint,
            fontsize=SIZE - 1,
        )
    shown = [literal(text, 14) for text in names] if named else []
    axes.set_yticks(places if named else [], shown)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(named_unit(name, unit))
    axes.margins(x=0.12)
    axes.set_xlim(right=min(axes.get_xlim()[1], most))
    dress(axes, look)
    axes.grid(bool(named), axis="y", color=look.line, linewidth=0.5)
    if not named:
        axes.set_ylabel(f"{len(names)} by value")
    if len(table) > 1:
        legend(axes, axes.get_lines(), look, columns=3)


def _draw_mean(axes: Axes, mean: float, unit: str, look: Look) -> None:
    """Draw a line at the mean, and the mean above it."""
    axes.axvline(mean, color=VERMILION, lw=1.3, zorder=0.9)
    axes.annotate(
        f" mean {mean:.3g} {pretty_unit(unit)}".rstrip(),
        (mean, 1),
        xycoords=("data", "axes fraction"),
        va="bottom",
        ha="center",
        color=look.ink,
        fontsize=SIZE - 0.5,
    )


def _marked(values: np.ndarray, offset: int) -> list[int]:
    """Return which points of a curve get a marker: some, and all that stand alone."""
    known = np.flatnonzero(np.isfinite(values))
    padded = np.pad(np.isfinite(values), 1)
    alone = known[~padded[known] & ~padded[known + 2]]
    step = max(1, len(known) // MARKS)
    return sorted({*known[(offset * 2) % step :: step].tolist(), *alone.tolist()})


def _say_nothing(axes: Axes, text: str, look: Look) -> None:
    axes.text(
        0.5,
        0.5,
        text,
        transform=axes.transAxes,
        ha="center",
        va="center",
        color=look.faint,
        fontsize=SIZE,
    )
