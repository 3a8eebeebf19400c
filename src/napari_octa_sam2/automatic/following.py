"""From what was found on a few slices to prompts, which SAM 2 follows as usual."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_octa_sam2.automatic.finding import find
from napari_octa_sam2.automatic.prompting import MOST, prompts_of
from napari_octa_sam2.automatic.settings import FindSettings
from napari_octa_sam2.automatic.tracking import where_found
from napari_octa_sam2.engine.segment import Segmentation, segment
from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.model.loading import DEFAULT_MODEL, LoadedModel
from napari_octa_sam2.model.promptless.model import DEFAULT_PROMPTLESS, PromptlessModel
from napari_octa_sam2.prompts import PromptObject, PromptSet
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume


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
        As for `prompts_from`.
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


def prompts_from(
    labels: LabelSet,
    *,
    kind: str = "midpoints",
    at: Sequence[int] = (),
    most: int = MOST,
    negatives: int = 0,
) -> PromptSet:
    """Return prompts of the objects that were found.

    Parameters
    ----------
    labels : LabelSet
        Shape ``(depth, slow, fast)``.
    kind : str
        One of `automatic.prompting.KINDS`.
    at : sequence of int
        Slices to prompt on; by default, for each object the one that shows most of it.
    most, negatives : int
        As for `automatic.prompting.prompts_of`.

    Raises
    ------
    PromptError
        If nothing was found there, a slice lies outside, or a setting is none.
    """
    depth = len(labels.data)
    if outside := [index for index in at if not 0 <= index < depth]:
        raise PromptError(
            f"expected slices from 0 to {depth - 1} to prompt on, found {outside[0]}"
        )
    shown = labels.data if not at else labels.data[list(at)]
    ids = [int(i) for i in np.unique(shown) if i]
    if not ids:
        where = f"on slice {', '.join(map(str, at))}" if at else "on any slice"
        raise PromptError(
            f"expected objects to make prompts of, found none {where}; look on other "
            "slices, or lower the threshold or the smallest area"
        )
    places = dict.fromkeys(at, ids) if at else _best_slices(labels.data, ids)
    prompts = [
        prompt
        for index, wanted in sorted(places.items())
        for prompt in prompts_of(
            np.where(np.isin(labels.data[index], wanted), labels.data[index], 0),
            index,
            kind=kind,
            most=most,
            negatives=negatives,
        )
    ]
    objects = [
        PromptObject(i, labels.names.get(i, ""), labels.classes.get(i, "other"))
        for i in ids
    ]
    return PromptSet(tuple(objects), tuple(prompts))


def _best_slices(labels: np.ndarray, ids: Sequence[int]) -> dict[int, list[int]]:
    """Return for each slice the objects of which it shows most."""
    counts = np.stack(
        [np.bincount(plane.ravel(), minlength=max(ids) + 1) for plane in labels]
    )
    best: dict[int, list[int]] = {}
    for number in ids:
        best.setdefault(int(counts[:, number].argmax()), []).append(number)
    return best
