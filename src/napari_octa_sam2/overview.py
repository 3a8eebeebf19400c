"""One picture of a segmentation, to show and to check."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from napari_octa_sam2.errors import WriteError
from napari_octa_sam2.metrics.report.dress import nice_length
from napari_octa_sam2.metrics.results import Results
from napari_octa_sam2.palette import (
    DARK,
    OBJECTS_BESIDE,
    PREDICTION,
    TRUTH,
    VERMILION,
)
from napari_octa_sam2.prompts import PromptSet
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
STYLE = DARK.style()
CLICK = {"ls": "", "ms": 7, "mec": "black", "mew": 0.8, "clip_on": False}
POSITIVE: dict[str, Any] = CLICK | {"marker": "P", "mfc": "white"}
NEGATIVE: dict[str, Any] = CLICK | {"marker": "X", "mfc": VERMILION}
SCRIBBLE: dict[str, Any] = {"lw": 1.8, "solid_capstyle": "round"}
LINES = (VERMILION, "white")  # negative, positive
SLICES = 6


def check_picture(path: str | Path) -> Path:
    """Return `path` if a picture can be written with its suffix.

    Raises
    ------
    WriteError
        If the suffix is none of `SUFFIXES`.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise WriteError(
            f"{path}: expected a picture that ends in {', '.join(SUFFIXES)}, found "
            f"{path.name!r}; pick one of these formats"
        )
    return path


def write_overview(
    path: str | Path,
    volume: OctaVolume,
    labels: LabelSet,
    *,
    truth: LabelSet | None = None,
    prompts: PromptSet | None = None,
    evaluation: Results | None = None,
    title: str | None = None,
) -> Path:
    """Draw the labels on the en-face projection and on a few slices.

    Parameters
    ----------
    path : path
        Ends in one of `SUFFIXES`.
    volume : OctaVolume
    labels : LabelSet
        On the grid of the volume.
    truth : LabelSet, optional
        Drawn in a second colour on the slices.
    prompts : PromptSet, optional
        Drawn on their slices; prompted slices are shown first.
    evaluation : Results, optional
        Of `evaluate`: its Dice values are written beside objects and slices.
    title : str, optional
        By default the name of the volume.

    Raises
    ------
    WriteError
        If the suffix is unknown or the file cannot be written.
    """
    import matplotlib as mpl

    path = check_picture(path)
    shown = choose_slices(labels, truth, prompts)
    with mpl.rc_context(cast(Any, STYLE)):
        figure, enface, panels = _layout(len(shown))
        _draw_enface(enface, volume, labels, evaluation, title or volume.name)
        for axes, index in zip(panels, shown, strict=True):
            _draw_slice(axes, volume, index, labels, truth, prompts, evaluation)
        _draw_key(figure, truth, prompts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=160)
        except OSError as error:
            raise WriteError(
                f"cannot write the picture {path}: {error.strerror}; choose a folder "
                "that you may write to"
            ) from error
    return path


def choose_slices(
    labels: LabelSet,
    truth: LabelSet | None = None,
    prompts: PromptSet | None = None,
    count: int = SLICES,
) -> list[int]:
    """Return up to `count` slices worth showing, in order.

    Prompted slices, then slices spread evenly over the labelled (or true) depth.
    """
    filled = np.any(labels.data, axis=(1, 2))
    if truth is not None:
        filled = np.logical_or(filled, np.any(truth.data, axis=(1, 2)))
    asked = sorted({p.slice for p in prompts.prompts}) if prompts else []
    chosen = _spread(asked, count)
    candidates = [int(i) for i in np.flatnonzero(filled) if i not in chosen]
    chosen += _spread(candidates, count - len(chosen))
    return sorted(chosen) or [len(filled) // 2]


def _spread(values: Sequence[int], count: int) -> list[int]:
    if len(values) <= count:
        return list(values)
    # cell centres: the ends of an object show little
    at = (np.arange(count) + 0.5) * len(values) / count
    return [values[int(i)] for i in at]


def _layout(count: int) -> tuple[Figure, Axes, list[Axes]]:
    """Return a figure with a large panel on the left and `count` small ones."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = 1 if count <= 2 else 2
    columns = math.ceil(count / rows)
    side = 5.2 / rows  # inches
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.12)
    figure = Figure(figsize=(side * (rows + columns) + 0.8, 7.0), layout=layout)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows, columns + 1, width_ratios=[rows] + [1] * columns)
    places = [grid[row, 1 + column] for row in range(rows) for column in range(columns)]
    enface = figure.add_subplot(grid[:, 0])
    return figure, enface, [figure.add_subplot(place) for place in places[:count]]


def _draw_enface(
    axes: Axes,
    volume: OctaVolume,
    labels: LabelSet,
    evaluation: Results | None,
    title: str,
) -> None:
    from matplotlib.patches import Patch

    _draw_image(axes, np.nan_to_num(volume.data).max(0), volume.geometry)
    objects = evaluation.at("object") if evaluation else ()
    dice = {row.labels["object"]: row["dice"] for row in objects}
    handles = []
    for number, label in enumerate(int(i) for i in np.unique(labels.data) if i):
        colour = OBJECTS_BESIDE[number % len(OBJECTS_BESIDE)]
        _fill(axes, (labels.data == label).any(0), colour)
        name = labels.names.get(label, f"object {label}")
        score = f"  {dice[label]:.2f}" if label in dice else ""
        handles.append(Patch(color=colour, label=name + score))
    _draw_scale_bar(axes, volume.geometry, volume.shape[2])
    axes.set_title(title, fontsize=13, loc="left", pad=20, weight="bold")
    axes.text(
        0,
        1.012,
        _subtitle(volume),
        transform=axes.transAxes,
        color=DARK.faint,
        va="bottom",
    )
    if handles:
        heading = "Dice of each object" if dice else None
        _legend(axes, handles, heading, loc="upper left", bbox_to_anchor=(-0.02, 0.0))


def _subtitle(volume: OctaVolume) -> str:
    depth, slow, fast = volume.shape
    text = f"en-face maximum of {depth} slices"
    if volume.geometry.known:
        _, row, column = volume.geometry.spacing
        text += f", {slow * row:.3g} x {fast * column:.3g} mm"
    return text


def _draw_slice(
    axes: Axes,
    volume: OctaVolume,
    index: int,
    labels: LabelSet,
    truth: LabelSet | None,
    prompts: PromptSet | None,
    evaluation: Results | None,
) -> None:
    _draw_image(axes, volume.data[index], volume.geometry)
    if truth is not None:
        _outline(axes, truth.data[index], TRUTH, 1.4)
    _outline(axes, labels.data[index], PREDICTION, 0.8)
    for prompt in prompts.prompts if prompts else ():
        if prompt.slice != index:
            continue
        for (row, column), positive in zip(prompt.points, prompt.labels, strict=True):
            axes.plot(column, row, **(POSITIVE if positive else NEGATIVE))
        for scribble in prompt.scribbles:
            rows, columns = zip(*scribble.path, strict=True)
            axes.plot(columns, rows, **SCRIBBLE, color=LINES[scribble.label])
        if prompt.polygon is not None:
            _draw_polygon(axes, prompt.polygon)
        if prompt.box is not None:
            _draw_box(axes, prompt.box)
    name = volume.slice_names[index] if volume.slice_names else f"slice {index}"
    rows = evaluation.at("slice", slice=index) if evaluation else ()
    text = "   ".join([name, *(f"Dice {row['dice']:.2f}" for row in rows)])
    axes.set_title(text, fontsize=9.5, loc="left", pad=4)


def _draw_image(axes: Axes, image: np.ndarray, geometry: ScanGeometry) -> None:
    finite = image[np.isfinite(image)]
    low, high = np.percentile(finite, (1, 99.7)) if finite.size else (0, 1)
    _, row, column = geometry.spacing
    axes.imshow(
        image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=row / column
    )
    axes.set_axis_off()


def _fill(axes: Axes, mask: np.ndarray, colour: str) -> None:
    from matplotlib.colors import to_rgb

    tint = np.zeros((*mask.shape, 4))
    tint[mask] = (*to_rgb(colour), 0.35)
    axes.imshow(tint, aspect=axes.get_aspect(), interpolation="nearest")
    _contour(axes, mask, colour, 1.0)


def _outline(axes: Axes, labels: np.ndarray, colour: str, width: float) -> None:
    for label in np.unique(labels):
        if label:
            _contour(axes, labels == label, colour, width)


def _contour(axes: Axes, mask: np.ndarray, colour: str, width: float) -> None:
    # A margin of background closes the contour of what touches the border.
    padded = np.pad(mask.astype(float), 1)
    rows, columns = (np.arange(-1, n + 1) for n in mask.shape)
    axes.contour(columns, rows, padded, [0.5], colors=colour, linewidths=width)


def _draw_box(axes: Axes, box: tuple[float, float, float, float]) -> None:
    top, left, bottom, right = box
    corners = ((top, left), (top, right), (bottom, right), (bottom, left))
    _draw_polygon(axes, corners)


def _draw_polygon(axes: Axes, vertices: Sequence[tuple[float, float]]) -> None:
    from matplotlib.patches import Polygon

    outline = [(column, row) for row, column in vertices]
    axes.add_patch(Polygon(outline, fill=False, ec="white", ls="--"))


def _draw_scale_bar(axes: Axes, geometry: ScanGeometry, columns: int) -> None:
    if not geometry.known:
        return
    pixel = geometry.spacing[2] * 1000
    length = nice_length(columns * pixel)
    width, margin = length / pixel, 0.04 * columns
    bottom = axes.get_ylim()[0] - margin
    axes.plot([margin, margin + width], [bottom, bottom], color="white", lw=3)
    axes.annotate(
        f"{length:g} µm",
        (margin + width / 2, bottom),
        xytext=(0, 5),
        textcoords="offset points",
        color="white",
        ha="center",
        va="bottom",
    )


def _draw_key(
    figure: Figure, truth: LabelSet | None, prompts: PromptSet | None
) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=PREDICTION, lw=1.5, label="prediction")]
    if truth is not None:
        handles.append(Line2D([], [], color=TRUTH, lw=1.5, label="truth"))
    clicks = {c for p in prompts.prompts for c in p.labels} if prompts else set()
    for positive in sorted(clicks, reverse=True):
        style = POSITIVE if positive else NEGATIVE
        kind = "positive" if positive else "negative"
        handles.append(Line2D([], [], label=f"{kind} click", **style))
    given = prompts.prompts if prompts else ()
    for label in sorted({s.label for p in given for s in p.scribbles}, reverse=True):
        kind = "positive" if label else "negative"
        line = Line2D([], [], **SCRIBBLE, color=LINES[label], label=f"{kind} scribble")
        handles.append(line)
    _legend(figure, handles, None, loc="outside lower right")


def _legend(
    parent: Axes | Figure, handles: Sequence[Artist], title: str | None, **place: Any
) -> None:
    legend = parent.legend(
        handles=list(handles),
        title=title,
        ncols=min(4, len(handles)),
        frameon=False,
        labelcolor=DARK.ink,
        alignment="left",
        handlelength=1.4,
        **place,
    )
    legend.get_title().set_color(DARK.faint)
