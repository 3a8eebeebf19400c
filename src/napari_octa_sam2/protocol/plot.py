"""Pictures of a run of the click or the automatic protocol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.protocol.clicks import CAP, CLICKS, LEVELS
from napari_octa_sam2.protocol.records import (
    AUTO_CLDICE,
    AUTO_DICE,
    FRANGI_DICE,
    TaskReport,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart.
MEAN, SINGLE, TARGET = "#0072B2", "#56B4E9", "#D55E00"
LEVEL_COLOURS = ("#009E73", "#E69F00", "#CC79A7")
# What is drawn beside the Dice of masks that were found without a prompt.
BESIDE: dict[str, dict[str, Any]] = {
    AUTO_CLDICE: {"label": "clDice", "color": "#009E73", "marker": "^"},
    FRANGI_DICE: {"label": "Dice, Frangi filter", "color": "#999999", "marker": "x"},
}
COLUMNS = 3


def draw(tasks: Sequence[TaskReport], *, title: str) -> Figure:
    """Return a figure with a panel a task: Dice against clicks, of slices, or found.

    Parameters
    ----------
    tasks : sequence of TaskReport
        Those without samples, and speed, are left out.
    title : str
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = [task for task in tasks if task.has_curves]
    followed = [task for task in tasks if any(s.slices for s in task.samples)]
    found = [task for task in tasks if task.has_found]
    count = len(curves) + len(followed) + bool(curves) + len(found)
    rows = max(1, math.ceil(count / COLUMNS))
    figure = Figure(figsize=(4 * COLUMNS, 3.1 * rows), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    _draw_key(figure, found)
    panels = iter(figure.subplots(rows, COLUMNS, squeeze=False).ravel().tolist())
    for task in curves:
        _draw_curves(next(panels), task)
    for task in followed:
        _draw_slices(next(panels), task)
    if curves:
        _draw_clicks_needed(next(panels), curves)
    for task in found:
        _draw_found(next(panels), task)
    for left in panels:
        left.set_axis_off()
    return figure


def _draw_key(figure: Figure, found: Sequence[TaskReport]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=MEAN, lw=2, label="mean"),
        Line2D([], [], color=SINGLE, lw=1, marker="o", ms=4, label="single values"),
        Line2D([], [], color=TARGET, lw=2, label="target"),
    ]
    for style in BESIDE.values() if found else ():
        handles.append(Line2D([], [], ls="", ms=4, **style))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False
    )


def _draw_curves(axes: Axes, task: TaskReport) -> None:
    last = max(CLICKS)
    single = np.array([_curve(s.detail["dice"], last) for s in task.samples])
    clicks = np.arange(last + 1)
    known = ~np.isnan(single).any(0)
    axes.plot(clicks, single.T, color=SINGLE, lw=0.6, alpha=0.7)
    axes.plot(
        clicks[known], single.mean(0)[known], color=MEAN, lw=2, marker="o", ms=3.5
    )
    judged = task.judged[0]
    if target := task.targets.get(judged):
        at = int(judged.partition("@")[2])
        axes.plot(at, target.value, "_", color=TARGET, ms=16, mew=2.5)
    _label(axes, task, "Dice", "clicks" + " after the class prompt" * bool(known[0]))
    axes.set(xlim=(-0.4, last + 0.4), ylim=(0, 1))


def _curve(dice: Sequence[float | None], last: int) -> list[float]:
    """Return Dice after 0 to `last` clicks; where fewer were due, the last stays."""
    values = [math.nan if value is None else value for value in dice]
    return [values[min(k, len(values) - 1)] for k in range(last + 1)]


def _draw_slices(axes: Axes, task: TaskReport) -> None:
    for row, sample in enumerate(task.samples):
        values = list(sample.slices.values())
        axes.plot(values, [row] * len(values), "o", color=SINGLE, ms=4, alpha=0.7)
        axes.plot(sample.values["dice"], row, "|", color=MEAN, ms=12, mew=2.5)
    if target := task.targets.get("dice"):
        axes.axvline(target.value, color=TARGET, lw=1.5)
    _label(axes, task, None, "Dice of a slice; bar: mean")
    axes.set(xlim=(0, 1))
    axes.set_yticks(range(len(task.samples)), [s.name for s in task.samples])
    axes.invert_yaxis()


def _draw_found(axes: Axes, task: TaskReport) -> None:
    values = np.array(task.figure(AUTO_DICE).values)
    order = np.argsort(values)
    places = np.arange(1, len(order) + 1)
    for key, style in BESIDE.items():
        beside = np.array(task.figure(key).values)[order]
        axes.plot(places, beside, ls="", ms=3, alpha=0.7, **style)
    axes.plot(places, values[order], "o", color=SINGLE, ms=3.5)
    axes.axhline(float(values.mean()), color=MEAN, lw=1.5)
    if target := task.targets.get(AUTO_DICE):
        axes.axhline(target.value, color=TARGET, lw=1.5)
    _label(axes, task, "Dice", "images, the worst first")
    axes.set(ylim=(0, 1))
    axes.locator_params("x", integer=True)


def _draw_clicks_needed(axes: Axes, tasks: Sequence[TaskReport]) -> None:
    width = 0.8 / len(LEVELS)
    places = np.arange(len(tasks))
    for number, (level, colour) in enumerate(zip(LEVELS, LEVEL_COLOURS, strict=True)):
        means = [task.figure(f"noc@{level:.2f}").mean for task in tasks]
        shifted = places + (number - (len(LEVELS) - 1) / 2) * width
        axes.barh(shifted, means, width, color=colour, label=f"Dice {level:.2f}")
    axes.set_yticks(places, [task.label for task in tasks])
    axes.invert_yaxis()
    axes.set(xlim=(0, CAP), xlabel=f"clicks needed ({CAP}: not reached)")
    axes.set_title("number of clicks (NoC), mean", fontsize="medium", loc="left")
    axes.legend(
        frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1)
    )
    _tidy(axes)


def _label(axes: Axes, task: TaskReport, y: str | None, x: str) -> None:
    words: dict[str, Any] = {"xlabel": x}
    axes.set(**words | ({"ylabel": y} if y else {}))
    part = "" if task.complete else f" of {task.available}"
    axes.set_title(
        f"{task.label} (n = {len(task.samples)}{part})", fontsize="medium", loc="left"
    )
    _tidy(axes)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize="small")
