"""What `segment --auto` does: find without a click, and follow what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from napari_octa_sam2.cli.console import progress, refuse, say
from napari_octa_sam2.prompts import PromptSet

if TYPE_CHECKING:
    from napari_octa_sam2.automatic.settings import FindSettings
    from napari_octa_sam2.engine.segment import Segmentation
    from napari_octa_sam2.model.loading import LoadedModel
    from napari_octa_sam2.volume.octa_volume import OctaVolume

PANEL = "Without a click"


class Wanted(StrEnum):
    """What can be found without a prompt."""

    RV = "RV"
    artery = "artery"
    vein = "vein"
    capillary = "capillary"
    vessel = "vessel"
    FAZ = "FAZ"
    everything = "everything"


class Views(StrEnum):
    """How often a slice is looked at, turned and mirrored."""

    one = "1"
    eight = "8"


Auto = Annotated[
    list[Wanted] | None,
    typer.Option(
        case_sensitive=False,
        help="Find this without a prompt; may be repeated. vessel: all vessels.",
        rich_help_panel=PANEL,
    ),
]
Finder = Annotated[
    str,
    typer.Option(metavar="NAME|PATH", help="Promptless model.", rich_help_panel=PANEL),
]
Separate = Annotated[
    bool,
    typer.Option(
        help="Every connected vessel is an object of its own.", rich_help_panel=PANEL
    ),
]
Within = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Map of the vessels from above; they are found nowhere else.",
        rich_help_panel=PANEL,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=0.99,
        help="Least probability (default: 0.5).",
        rich_help_panel=PANEL,
    ),
]
Pixels = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Drop smaller pieces, in pixels (default: by class).",
        rich_help_panel=PANEL,
    ),
]
Holes = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Fill holes up to so many pixels (default: by class).",
        rich_help_panel=PANEL,
    ),
]
Smooth = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="Smooth by a Gaussian of so many pixels (default: by class).",
        rich_help_panel=PANEL,
    ),
]
LookAgain = Annotated[
    Views,
    typer.Option(
        help="8: turned and mirrored as well, slower and a little better.",
        rich_help_panel=PANEL,
    ),
]
Region = Annotated[
    bool,
    typer.Option(
        help="Make masks of vessels as SAM-OCTA2's sparse annotation makes regions.",
        rich_help_panel=PANEL,
    ),
]
Strips = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Write the layers as SAM-OCTA2's panels as well: region, overlays, layer.",
        rich_help_panel=PANEL,
    ),
]
Follow = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="Prompt SAM 2 with what is found, and follow it through the slices: "
        "midpoints, bifurcations, ends, 'key points', centres, box or mask.",
        rich_help_panel=PANEL,
    ),
]
At = Annotated[
    list[int] | None,
    typer.Option(
        metavar="SLICE",
        help="Slice to prompt on with --follow; may be repeated (default: for each "
        "object the one that shows most of it).",
        rich_help_panel=PANEL,
    ),
]
SavePrompts = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write the prompts of --follow, to correct them in the viewer.",
        rich_help_panel=PANEL,
    ),
]
OF_FOLLOWING = ("at", "save_prompts")
OF_FINDING = ("strips", "within")
OPTIONS = (
    *("finder", "separate", "threshold", "min_area", "fill_holes", "smooth"),
    *("views", "region", "follow", *OF_FINDING, *OF_FOLLOWING),
)


@dataclass(frozen=True)
class Request:
    """The options of `segment --auto`."""

    wanted: tuple[str, ...]
    finder: str
    separate: bool
    within: Path | None
    region: bool
    changes: dict[str, Any]
    views: int
    strips: Path | None
    follow: str | None
    at: tuple[int, ...]
    save_prompts: Path | None
    slices: range | None
    direction: str
    device: str
    precision: str

    def settings(self) -> FindSettings:
        """Return what is looked for, with the user's values of the cleaning."""
        from napari_octa_sam2.automatic.cleaning import DEFAULTS, REGION
        from napari_octa_sam2.automatic.maps import VESSELS
        from napari_octa_sam2.automatic.settings import FindSettings

        known = dict(DEFAULTS) | (dict.fromkeys(VESSELS, REGION) if self.region else {})
        cleaning = {cls: replace(known[cls], **self.changes) for cls in self.wanted}
        return FindSettings(self.wanted, cleaning, self.separate, views=self.views)


def check_options(context: typer.Context, auto: Any, follow: str | None) -> None:
    """Refuse options that do not go together.

    Raises
    ------
    typer.BadParameter
        If one of them was given.
    """
    if not auto:
        refuse(context, OPTIONS, "goes with --auto alone")
    elif follow is None:
        refuse(context, OF_FOLLOWING, "goes with --follow alone")
    else:
        refuse(context, OF_FINDING, "does not go with --follow")


def changes(
    threshold: float | None,
    min_area: int | None,
    fill_holes: int | None,
    smoothing: float | None,
) -> dict[str, float]:
    """Return the values of the post-processing that the user gave."""
    values = {
        "threshold": threshold,
        "min_area": min_area,
        "fill_holes": fill_holes,
        "smoothing": smoothing,
    }
    return {key: value for key, value in values.items() if value is not None}


def run(
    scan: OctaVolume,
    request: Request,
    load: Callable[[], LoadedModel],
    stopped: Callable[[], bool],
) -> Segmentation:
    """Do what is asked for, and write prompts or strips where they are wanted.

    `load` returns the SAM 2 network, which is not always needed.
    """
    if request.follow is not None:
        done = _follow(scan, request, request.follow, load, stopped)
        if request.save_prompts is not None:
            PromptSet.from_json(done.record["prompts"]).write(request.save_prompts)
        return done
    if Wanted.everything in request.wanted:
        return _everything(scan, request, load, stopped)
    done = _find(scan, request, stopped)
    if request.strips is not None:
        _write_strips(request.strips, scan, request, done, stopped)
    return done


def _everything(
    scan: OctaVolume,
    request: Request,
    load: Callable[[], LoadedModel],
    stopped: Callable[[], bool],
) -> Segmentation:
    from napari_octa_sam2.automatic.finding import find_everything

    if len(request.wanted) > 1:
        raise typer.BadParameter("everything cannot be asked for beside classes")
    with progress("points") as tell:
        return find_everything(
            scan,
            model=load(),
            slices=request.slices,
            device=request.device,
            precision=request.precision,
            progress=tell,
            cancelled=stopped,
        )


def _find(
    scan: OctaVolume, request: Request, stopped: Callable[[], bool]
) -> Segmentation:
    from napari_octa_sam2.automatic import finding

    settings = request.settings()
    _tell_values(settings)
    within = None if request.within is None else read_map(request.within)
    with progress("slices") as tell:
        return finding.find(
            scan,
            settings,
            model=request.finder,
            slices=request.slices,
            within=within,
            device=request.device,
            precision=request.precision,
            progress=tell,
            cancelled=stopped,
        )


def _write_strips(
    folder: Path,
    scan: OctaVolume,
    request: Request,
    done: Segmentation,
    stopped: Callable[[], bool],
) -> None:
    """Write what was found as the panels of SAM-OCTA2."""
    from napari_octa_sam2.automatic.strips import write_strips

    regions = done
    if request.within is not None:
        regions = _find(scan, replace(request, within=None), stopped)
    first, last = done.record["slices"]
    for index in range(first, last + 1):
        write_strips(folder, scan, index, regions.labels, done.labels)


def _follow(
    scan: OctaVolume,
    request: Request,
    kind: str,
    load: Callable[[], LoadedModel],
    stopped: Callable[[], bool],
) -> Segmentation:
    from napari_octa_sam2.automatic import following
    from napari_octa_sam2.automatic.prompting import KINDS

    if kind not in KINDS:
        raise typer.BadParameter(f"expected {', '.join(KINDS)} for --follow")
    if Wanted.everything in request.wanted:
        raise typer.BadParameter("everything cannot be followed, classes can")
    settings = request.settings()
    _tell_values(settings)
    with progress("slices") as tell:
        return following.follow(
            scan,
            settings,
            kind=kind,
            at=request.at,
            finder=request.finder,
            model=load(),
            slices=request.slices,
            direction=request.direction,
            device=request.device,
            precision=request.precision,
            progress=tell,
            cancelled=stopped,
        )


def _tell_values(settings: FindSettings) -> None:
    for cls, used in settings.plain()["cleaning"].items():
        say(f"{cls}: " + ", ".join(f"{key} {value}" for key, value in used.items()))


def read_map(path: Path) -> np.ndarray:
    """Return where an image or labels of one slice are not zero."""
    from napari_octa_sam2.volume.readers import read_labels

    labels, _ = read_labels(path)
    return np.asarray(labels.data.any(0))
