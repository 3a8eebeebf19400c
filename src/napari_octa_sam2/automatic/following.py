"""From what was found on a few slices to prompts, which SAM 2 follows as usual."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from napari_octa_sam2.automatic.finding import find
from napari_octa_sam2.automatic.prompting import prompts_from
from napari_octa_sam2.automatic.settings import FindSettings
from napari_octa_sam2.automatic.tracking import where_found
from napari_octa_sam2.engine.segment import Segmentation, segment
from napari_octa_sam2.model.loading import DEFAULT_MODEL, LoadedModel
from napari_octa_sam2.model.promptless.model import DEFAULT_PROMPTLESS, PromptlessModel
from napari_octa_sam2.volume.octa_volume import OctaVolume


def follow(
    volume: OctaVolume,
    settings: FindSettings | None = None,
    *,
    kind: str = "mask",
    at: Sequence[int] = (),
    finder: str | Path | PromptlessModel = DEFAULT_PROMPTLESS,
    model: str | Path | LoadedModel = DEFAULT_MODEL,
    slices: range | None = None,
    direction: str = "both",
    device: str = "auto",
    precision: str = "auto",
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Segmentation:
    """Find objects without a click, prompt SAM 2 with them, and follow them.

    What is followed is dropped from slices on which next to nothing of it was found
    (`automatic.tracking.where_found`).

    Parameters
    ----------
    volume : OctaVolume
    settings : FindSettings, optional
        What is looked for; by default every large vessel by itself.
    kind, at
        As for `automatic.prompting.prompts_from`.
    finder : str, Path or PromptlessModel
        As `model` of `automatic.finding.find`.
    model, slices, direction, device, precision, progress, cancelled
        As for `engine.segment.segment`.

    Returns
    -------
    Segmentation
        Its record holds the prompts, and under ``"automatic"`` how they were found.

    Raises
    ------
    PromptError, ModelError
        As `find`, `prompts_from` and `segment`.
    """
    settings = settings or FindSettings(separate=True)
    found = find(
        volume,
        settings,
        model=finder,
        slices=slices,
        device=device,
        precision=precision,
        cancelled=cancelled,
    )
    done = segment(
        volume,
        prompts_from(found.labels, kind=kind, at=at),
        model=model,
        direction=direction,
        slices=slices,
        device=device,
        precision=precision,
        progress=progress,
        cancelled=cancelled,
    )
    kept = where_found(done.labels.data, found.labels.data, least=settings.least)
    how = {key: found.record[key] for key in ("model", "automatic")}
    return replace(
        done,
        labels=replace(done.labels, data=kept),
        record=done.record | {"automatic": {**how, "kind": kind, "at": list(at)}},
    )
