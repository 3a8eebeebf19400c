"""What the Train dock asks for: data, recipe and settings; no window, no network."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.layers import as_slices, image_slices
from napari_octa_sam2.model.registry import PROMPTED, PROMPTLESS, model_names
from napari_octa_sam2.training.folder import trainings_root

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_octa_sam2.training.plan import Plan
    from napari_octa_sam2.training.recipe import Recipe

PARTS = (
    "adapters",
    "refinement",
    "mask_decoder",
    "prompt_encoder",
    "memory",
    "neck",
    "encoder",
)
UNITS = ("minutes", "epochs", "steps")
RATE = 1e-4  # of a part that the recipe leaves as it is
COUNTED = ("subjects", "samples", "slices", "objects")


@dataclass(frozen=True)
class LayerPair:
    """An image and the labels drawn on it.

    Parameters
    ----------
    image : napari.layers.Image
    labels : napari.layers.Labels
    cls : str
        Class of the labels that do not say their own.
    """

    image: Image
    labels: Labels
    cls: str

    @property
    def text(self) -> str:
        """What users read."""
        return f"{self.image.name} + {self.labels.name} ({self.cls})"

    def snapshot(self) -> Snapshot:
        """Return what is there now; the user goes on drawing.

        Raises
        ------
        VolumeError
            If the image cannot be segmented.
        TrainingError
            If the labels are of several resolutions.
        """
        if self.labels.multiscale:
            raise TrainingError(
                f"{self.labels.name}: expected labels of one resolution, found "
                "several; open the finest one as a layer of its own"
            )
        return Snapshot(
            image_slices(self.image),
            as_slices(np.array(self.labels.data)),
            dict(self.labels.metadata.get("classes", {})),
            self.cls,
            self.image.name,
        )


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Images and labels ``(depth, slow, fast)`` as they were when they were taken."""

    images: np.ndarray
    labels: np.ndarray
    known: Mapping[int, str]
    cls: str
    name: str

    def write(self, folder: Path, number: int) -> Path:
        """Write the slices that have labels as truth; return the file.

        Raises
        ------
        TrainingError
            If labels and images do not fit, or no slice has labels.
        """
        from napari_octa_sam2.training.data.formats import write_annotated

        present = np.unique(self.labels[self.labels != 0]).tolist()
        plain = re.sub(r"[^\w.-]+", "_", self.name).strip("._") or "volume"
        labelled = np.flatnonzero(self.labels.any(axis=(1, 2))).tolist()
        if not labelled:
            raise TrainingError(
                f"{self.name}: expected slices with labels, found none; annotate one "
                "first"
            )
        return write_annotated(
            folder / f"{number:02d}-{plain}.npz",
            self.images,
            self.labels,
            classes={int(i): self.known.get(int(i), self.cls) for i in present},
            labelled=labelled,
            name=self.name,
            subject=self.name,
        )


@dataclass(frozen=True)
class Request:
    """Everything that makes a training what it is.

    Parameters
    ----------
    recipe : str
    model : str or None
        Name or checkpoint; None for the recipe's own.
    data : tuple of LayerPair or Path
    overrides : tuple of str
        As `training.recipe.read_recipe` takes them.
    """

    recipe: str
    model: str | None
    data: tuple[LayerPair | Path, ...]
    overrides: tuple[str, ...]

    @property
    def has_layers(self) -> bool:
        """Whether it is of layers, which may change without notice."""
        return any(isinstance(source, LayerPair) for source in self.data)


@dataclass(frozen=True, eq=False)
class Checked:
    """A request that was looked at, and the folder that its training would have."""

    request: Request
    plan: Plan
    folder: Path


def new_folder(recipe: str) -> Path:
    """Return the folder of a training that begins now; it is not made."""
    return trainings_root() / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}_{recipe}"


def check(
    request: Request,
    snapshots: Sequence[Snapshot],
    folder: Path,
    progress: Callable[[int, int], None],
) -> Checked:
    """Write layers into `folder`, read all data and look for problems.

    Parameters
    ----------
    request : Request
    snapshots : sequence of Snapshot
        Of the layers in `request`, in order.
    folder : Path
    progress : callable
        Called with the samples looked at, and with how many there are.

    Raises
    ------
    TrainingError
        As `training.plan.make_plan`; nothing is left in `folder` then.
    """
    from napari_octa_sam2.training.plan import make_plan

    given = [source for source in request.data if isinstance(source, Path)]
    try:
        given += [s.write(folder / "data", n) for n, s in enumerate(snapshots, 1)]
        plan = make_plan(
            request.recipe,
            model=request.model,
            given=given,
            overrides=request.overrides,
            progress=progress,
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Checked(request, plan, folder)


def recipe_kind(recipe: Recipe) -> str:
    """Return the kind of the models that a recipe can begin with."""
    is_promptless = recipe.model in model_names(PROMPTLESS)
    return PROMPTLESS if is_promptless or recipe.network is not None else PROMPTED


def own_rates(recipe: Recipe) -> dict[str, float]:
    """Return the learning rate of each part that a recipe trains, the highest."""
    rates: dict[str, float] = {}
    for phase in recipe.phases:
        for part, rate in phase.trained.parts.items():
            rates[part] = max(rate, rates.get(part, 0.0))
    return rates


def own_budget(recipe: Recipe) -> tuple[float, str]:
    """Return how long the last phase of a recipe trains, and the unit."""
    fit = recipe.phases[-1].fit
    return next((getattr(fit, u), u) for u in UNITS if getattr(fit, u))


def chosen_parts(recipe: Recipe, parts: Sequence[str]) -> list[str]:
    """Return the settings that train `parts`, where the recipe trains others."""
    rates = own_rates(recipe)
    changed = [part for part in PARTS if (part in parts) != (part in rates)]
    return [
        f"trained.parts.{part}={'null' if part in rates else RATE}" for part in changed
    ]


def chosen_budget(recipe: Recipe, amount: float, unit: str) -> list[str]:
    """Return the settings of a budget that is not the recipe's own."""
    if (amount, unit) == own_budget(recipe):
        return []
    return [f"fit.{u}={amount:g}" if u == unit else f"fit.{u}=0" for u in UNITS]


def chosen_labels(recipe: Recipe, labels: Sequence[str]) -> list[str]:
    """Return the setting of the classes to learn, where it is not the recipe's."""
    if set(labels) == set(recipe.phases[0].clip.labels):
        return []
    return [f"clip.labels=[{','.join(labels)}]"]


def report(plan: Plan) -> str:
    """Return what was found in the data, as HTML."""
    parts = [_table(plan.counts)] if plan.counts else []
    for problem in sorted(plan.problems, key=lambda p: not p.fatal):
        word = "Prevents the start" if problem.fatal else "Note"
        where = f"<i>{escape(problem.file)}</i><br>" if problem.file else ""
        text = escape(problem.text.removeprefix(f"{problem.file}: "))
        parts.append(f"<p><b>{word}:</b> {where}{text}</p>")
    return "".join(parts) or "<p>Synthetic data alone: nothing to check.</p>"


def verdict(plan: Plan) -> str:
    """Return in a sentence whether training can start."""
    fatal = sum(problem.fatal for problem in plan.problems)
    if fatal:
        return f"{fatal} problem{'s prevent' if fatal > 1 else ' prevents'} the start."
    notes = len(plan.problems)
    return "Ready to train" + (f", with {notes} to note." if notes else ".")


def _table(counts: Mapping[str, Mapping[str, Any]]) -> str:
    heads = "".join(f"<th align='right'>&nbsp;&nbsp;{part}</th>" for part in counts)
    rows = [f"<tr><td></td>{heads}</tr>"]
    for name in COUNTED:
        rows.append(_row(name, [str(part[name]) for part in counts.values()]))
    classes = sorted({cls for part in counts.values() for cls in part["classes"]})
    for cls in classes:
        pixels = [part["classes"].get(cls, 0) for part in counts.values()]
        rows.append(_row(f"{cls} [pixels]", [f"{n:,}" for n in pixels]))
    return f"<table>{''.join(rows)}</table>"


def _row(name: str, values: Sequence[str]) -> str:
    cells = "".join(f"<td align='right'>&nbsp;&nbsp;{value}</td>" for value in values)
    return f"<tr><td>{name}</td>{cells}</tr>"
