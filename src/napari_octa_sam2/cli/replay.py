"""What the command segment does with a project."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from napari_octa_sam2.cli.console import progress, say, stop_on_signal
from napari_octa_sam2.errors import ReadError

if TYPE_CHECKING:
    from napari_octa_sam2.engine.replay import Replay
    from napari_octa_sam2.model.loading import LoadedModel
    from napari_octa_sam2.volume.octa_volume import OctaVolume


def source_of(project: Path) -> Path:
    """Return the volume that a project was begun with.

    Raises
    ------
    ReadError
        If it is not there any more.
    """
    from napari_octa_sam2.project.store import read_project

    source = read_project(project)[0].source
    if source is None or not Path(source).exists():
        raise ReadError(
            f"{project}: expected the volume that it was begun with, found "
            + ("no name of it" if source is None else f"nothing at {source}")
            + "; name it: segment VOLUME --replay PROJECT"
        )
    return Path(source)


def run_replay(
    project: Path,
    scan: OctaVolume,
    model: Callable[[], LoadedModel] | None,
    device: str,
) -> Replay:
    """Do a project once more, and show how far that is; Ctrl-C stops it."""
    with stop_on_signal() as stopped:
        network = None if model is None else model()
        from napari_octa_sam2.engine.replay import replay as run

        with progress("events") as tell:
            return run(
                project,
                scan,
                model=network,
                device=device,
                progress=tell,
                cancelled=stopped,
            )


def verdict(again: Replay, project: Path, as_json: bool) -> dict[str, Any]:
    """Say whether labels are those of a project; return it for JSON."""
    different = list(again.different)
    if different:
        say(
            f"warning: the labels of {len(different)} slices are not those of "
            f"{project.name} bit for bit: {_spans(different)}"
        )
    elif not as_json:
        typer.echo(f"the labels are those of {project.name}, bit for bit")
    return {
        "project": str(project),
        "identical": not different,
        "different": different,
    }


def _spans(slices: Sequence[int]) -> str:
    """Return slices in order as text, such as ``1, 4-6``."""
    spans: list[list[int]] = []
    for index in slices:
        if spans and index == spans[-1][-1] + 1:
            spans[-1][1:] = [index]
        else:
            spans.append([index])
    return ", ".join("-".join(map(str, span)) for span in spans)
