"""Picture of a run of the review protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from napari_octa_sam2.protocol.review.records import Review, Reviews
from napari_octa_sam2.protocol.review.reviewer import GOAL
from napari_octa_sam2.protocol.review.strategies import TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart; line and marker
# tell the strategies apart without any colour.
STYLES: dict[str, dict[str, Any]] = {
    "queue": {"color": "#0072B2", "ls": "-", "marker": "o"},
    "uniform": {"color": "#D55E00", "ls": "--", "marker": "s"},
    "in order": {"color": "#E69F00", "ls": "-.", "marker": "^"},
    "worst": {"color": "#999999", "ls": ":", "marker": "x"},
}
Curve = Callable[[Review, int], float]


def draw(tasks: Sequence[Reviews], *, title: str) -> Figure:
    """Return a figure: mean Dice against slices visited, and against clicks, a task.

    Parameters
    ----------
    tasks : sequence of Reviews
        Those without reviews are left out.
    title : str
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [task for task in tasks if task.reviews]
    rows = max(1, len(shown))
    figure = Figure(figsize=(9, 0.6 + 3 * rows), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    panels = figure.subplots(rows, 2, squeeze=False, sharey=True).tolist()
    for (by_visits, by_clicks), task in zip(panels, shown, strict=False):
        most = max(review.visits for review in task.reviews)
        _draw(by_visits, task, Review.dice_after, range(1, most + 1))
        most = max(review.clicks for review in task.reviews)
        _draw(by_clicks, task, Review.dice_within, range(1, most + 1))
        samples = len(task.by(task.strategies[0]))
        heading = f"{task.title} (n = {samples})"
        by_visits.set_title(heading, fontsize="medium", loc="left")
        by_visits.set(xlabel="slices visited", ylabel="Dice over the volume")
        by_clicks.set(xlabel="clicks (without painting)")
    if shown:
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=5, frameon=False
        )
    return figure


def _draw(axes: Axes, task: Reviews, curve: Curve, places: range) -> None:
    """Draw the mean over the samples; one that is done keeps its last Dice."""
    from matplotlib.ticker import MaxNLocator

    for name in task.strategies:
        means = [fmean(curve(r, x) for r in task.by(name)) for x in places]
        every = max(1, len(places) // 12)
        axes.plot(
            places, means, **STYLES[name], ms=4, markevery=every, label=TITLES[name]
        )
    axes.axhline(GOAL, color="#000000", lw=0.8, label=f"goal, {GOAL:.2f}")
    axes.set(ylim=(0, 1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize="small")
