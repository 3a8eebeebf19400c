"""What `segment --auto` does: find without a click, and follow what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from napari_octa_sam2.cli.console import progress, say

if TYPE_CHECKING:
    from napari_octa_sam2.automatic.settings import FindSettings
    from napari_octa_sam2.engine.segment import Segmentation
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
OPTIONS = (
    *("finder", "separate", "within", "threshold", "min_area", "fill_holes"),
    *("smooth", "views", "region", "strips", "follow", *OF_FOLLOWING),
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
    slices: range | None
    device: str
    precision: str

    @property
    def everything(self) -> bool:
        """Whether SAM 2's everything mode is asked for."""
        return Wanted.everything in self.wanted

    def settings(self) -> FindSettings:
        """Return what is looked for, with the user's values of the cleaning."""
        from napari_octa_sam2.automatic.cleaning import DEFAULTS, REGION
        from napari_octa_sam2.automatic.maps import VESSELS
        from napari_octa_sam2.automatic.settings import FindSettings

        known = dict(DEFAULTS) | (dict.fromkeys(VESSELS, REGION) if self.region else {})
        cleaning = {cls: replace(known[cls], **self.changes) for cls in self.wanted}
        return FindSettings(self.wanted, cleaning, self.separate, views=self.views)


def find(
    scan: OctaVolume,
    request: Request,
    load: Callable[[], Any],
    stopped: Callable[[], bool],
) -> Segmentation:
    """Return what is found in a volume, with the values that were used on stderr.

    `load` returns the SAM 2 network that the everything mode takes.
    """
    from napari_octa_sam2.automatic import finding

    if request.everything:
        if len(request.wanted) > 1:
            raise typer.BadParameter("everything cannot be asked for beside classes")
        with progress("points") as tell:
            return finding.find_everything(
                scan,
                model=load(),
                slices=request.slices,
                device=request.device,
                precision=request.precision,
                progress=tell,
                cancelled=stopped,
            )
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


def write_strips(
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
        regions = find(scan, replace(request, within=None), lambda: None, stopped)
    first, last = done.record["slices"]
    for index in range(first, last + 1):
        write_strips(folder, scan, index, regions.labels, done.labels)


def follow(
    scan: OctaVolume,
    request: Request,
    kind: str,
    at: Sequence[int],
    direction: str,
    load: Callable[[], Any],
    stopped: Callable[[], bool],
) -> Segmentation:
    """Return what is found, prompted by `kind` on the slices `at`, and followed."""
    from napari_octa_sam2.automatic import following
    from napari_octa_sam2.automatic.prompting import KINDS

    if kind not in KINDS:
        raise typer.BadParameter(f"expected {', '.join(KINDS)} for --follow")
    if request.everything:
        raise typer.BadParameter("everything cannot be followed, classes can")
    settings = request.settings()
    _tell_values(settings)
    with progress("slices") as tell:
        return following.follow(
            scan,
            settings,
            kind=kind,
            at=at,
            finder=request.finder,
            model=load(),
            slices=request.slices,
            direction=direction,
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
