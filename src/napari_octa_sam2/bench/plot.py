"""The picture of a benchmark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.bench.records import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_octa_sam2.bench.report import Report

# Okabe and Ito's palette, which colour-blind readers can tell apart.
REFERENCE, ENGINE, LIGHT, PEAK = "#E69F00", "#0072B2", "#56B4E9", "#000000"
STYLES = ("-", "--", ":", "-.")
COLUMNS = 2


def draw(report: Report) -> Figure:
    """Return a figure with a panel for each case that was measured."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    by_case: dict[str, list[Row]] = {}
    for row in report.rows:
        by_case.setdefault(row.case, []).append(row)
    chosen = [
        (draw_case, by_case[c]) for c, draw_case in PANELS.items() if c in by_case
    ]
    columns = min(COLUMNS, max(1, len(chosen)))
    lines = max(1, math.ceil(len(chosen) / columns))
    figure = Figure(figsize=(7 * columns, 3.6 * lines), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(report.headline(), fontsize="small", wrap=True)
    panels = figure.subplots(lines, columns, squeeze=False).ravel().tolist()
    for axes, (draw_case, rows) in zip(panels, chosen, strict=False):
        draw_case(axes, rows)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize="small")
    for axes in panels[len(chosen) :]:
        axes.set_axis_off()
    _key(figure)
    return figure


def _key(figure: Figure) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(color=REFERENCE, label="reference"),
        Patch(color=ENGINE, label="engine"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)


def _bars(
    axes: Axes,
    rows: Sequence[Row],
    names: tuple[str, str],
    label: str,
    title: str,
    colours: tuple[str, str] = (REFERENCE, ENGINE),
) -> None:
    """Draw two bars a row, with the factor between them beside."""
    places = range(len(rows))
    for shift, name, colour in zip((-0.2, 0.2), names, colours, strict=True):
        values = [row.figures.get(name) or np.nan for row in rows]
        axes.barh([p + shift for p in places], values, 0.4, color=colour)
    for place, row in zip(places, rows, strict=True):
        one, other = (row.figures.get(name) for name in names)
        if one and other:
            factor = one / other if "frames" not in label else other / one
            text = f"  {factor:.{0 if factor >= 10 else 1}f} x"
            axes.text(max(one, other), place, text, va="center", fontsize="small")
    axes.set_yticks(places, [_name(row) for row in rows])
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel(label)
    axes.set_title(title, fontsize="medium", loc="left")


def _name(row: Row) -> str:
    return ", ".join(
        str(value) if isinstance(value, str) else f"{key} {value}"
        for key, value in row.point.items()
    )


def _speed(axes: Axes, rows: Sequence[Row]) -> None:
    names = ("reference [s/slice]", "engine [s/slice]")
    _bars(axes, rows, names, "time [s/slice]", "a slice, memory bank full")


def _clicks(axes: Axes, rows: Sequence[Row]) -> None:
    names = ("reference [ms]", "engine [ms]")
    _bars(axes, rows, names, "time [ms], median", "answer to a click")
    axes.set_xscale("log")


def _second_pass(axes: Axes, rows: Sequence[Row]) -> None:
    names = ("reference, all slices [s]", "engine [s]")
    _bars(axes, rows, names, "time [s]", "second pass after a correction")


def _absent(axes: Axes, rows: Sequence[Row]) -> None:
    names = ("all present [s/slice]", "some absent [s/slice]")
    title = "engine: all objects present (dark), some absent (light)"
    _bars(axes, rows, names, "time [s/slice]", title, (ENGINE, LIGHT))


def _gpu(axes: Axes, rows: Sequence[Row]) -> None:
    names = ("reference [frames/s]", "engine [frames/s]")
    _bars(axes, rows, names, "speed [frames/s]", "GPU")


def _training(axes: Axes, rows: Sequence[Row]) -> None:
    names = ("without checkpointing [GB]", "with checkpointing [GB]")
    title = "training step: all activations kept (light), computed again (dark)"
    _bars(axes, rows, names, "peak memory [GB]", title, (LIGHT, ENGINE))


def _metrics(axes: Axes, rows: Sequence[Row]) -> None:
    names = ("reference [s]", "time [s]")
    title = "metrics: the usual way (light), here (dark)"
    _bars(axes, rows, names, "time [s]", title, (LIGHT, ENGINE))
    axes.set_xscale("log")


def _memory(axes: Axes, rows: Sequence[Row]) -> None:
    groups = sorted({(int(r.point["input"]), int(r.point["objects"])) for r in rows})
    for (size, objects), style in zip(groups, cycle(STYLES), strict=False):
        chosen = [
            r for r in rows if (r.point["input"], r.point["objects"]) == (size, objects)
        ]
        slices = [int(r.point["slices"]) for r in chosen]
        for who, colour in (("reference", REFERENCE), ("engine", ENGINE)):
            values = [r.figures[f"{who} [MB]"] or np.nan for r in chosen]
            axes.plot(slices, values, style, color=colour, lw=1.5)
            for row, x, y in zip(chosen, slices, values, strict=True):
                hollow = who == "reference" and row.raw.get("reference_extrapolated")
                axes.plot(x, y, "o", color=colour, mfc="white" if hollow else colour)
        axes.plot([], [], style, color="0.4", label=_of(size, objects))
    axes.set(xlabel="slices", ylabel="peak memory [MB]")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    title = "peak over model and volume; hollow: extrapolated"
    axes.set_title(title, fontsize="medium", loc="left")
    axes.legend(frameon=False, fontsize="small")


def _of(size: int, objects: int) -> str:
    return f"input {size}, {objects} object{'s' if objects > 1 else ''}"


def _roofline(axes: Axes, rows: Sequence[Row]) -> None:
    places = np.arange(len(rows))
    shares = [100 * (row.figures["share of peak"] or np.nan) for row in rows]
    colours = [ENGINE if row.point["run"] == "engine" else REFERENCE for row in rows]
    axes.barh(places, shares, 0.7, color=colours)
    axes.axvline(100, color=PEAK, lw=1)
    names = [
        f"{r.point['stage']}, {_of(int(r.point['input']), int(r.point['objects']))}"
        for r in rows
    ]
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlabel("share of the peak of a matrix product [%]")
    axes.set_title("stages", fontsize="medium", loc="left")


PANELS: dict[str, Callable[[Any, Sequence[Row]], None]] = {
    "speed": _speed,
    "clicks": _clicks,
    "second-pass": _second_pass,
    "absent": _absent,
    "memory": _memory,
    "roofline": _roofline,
    "gpu": _gpu,
    "training": _training,
    "metrics": _metrics,
}
