"""From a volume and prompts to labels: what the shell and Python both call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from napari_octa_sam2.engine.plan import slice_range
from napari_octa_sam2.engine.record import peak_memory_mb, run_record
from napari_octa_sam2.engine.results import SliceResult, label_dtype
from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.model.loading import DEFAULT_MODEL, LoadedModel, load_model
from napari_octa_sam2.prompts import PromptSet
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume
from napari_octa_sam2.volume.writers import write_labels


class Confidence(NamedTuple):
    """Confidence in the mask of an object on a slice, 0 to 1."""

    slice: int
    object: int
    confidence: float


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Labels of a volume, and how they came about.

    Parameters
    ----------
    labels : LabelSet
        Ids of the objects, shape ``(depth, slow, fast)``, uint8 or uint16.
    geometry : ScanGeometry
        Spacing of the volume.
    confidence : tuple of Confidence
        One a visited slice and object, by slice, then object.
    record : dict
        Model, versions, device, settings and prompts: what is needed to repeat it,
        ready for JSON. ``"complete"`` is False where the work was cancelled.
    """

    labels: LabelSet
    geometry: ScanGeometry
    confidence: tuple[Confidence, ...]
    record: dict[str, Any]

    @property
    def complete(self) -> bool:
        """Whether every slice of the range was visited."""
        return bool(self.record["complete"])

    def write(self, path: str | Path) -> Path:
        """Write the labels with the record as metadata; the suffix is the format.

        Raises
        ------
        WriteError
            As `napari_octa_sam2.volume.writers.write_labels`.
        """
        return write_labels(
            path,
            self.labels.data,
            self.geometry,
            names=self.labels.names,
            classes=self.labels.classes,
            metadata=self.record,
        )


def segment(
    volume: OctaVolume,
    prompts: PromptSet,
    *,
    model: str | Path | LoadedModel = DEFAULT_MODEL,
    direction: str = "both",
    slices: range | None = None,
    device: str = "auto",
    precision: str = "auto",
    attention: str = "exact",
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Segmentation:
    """Segment the prompted objects on every slice.

    Parameters
    ----------
    volume : OctaVolume
    prompts : PromptSet
        Slices are indices into ``volume.data``, whatever ``volume.first_slice``.
    model : str, Path or LoadedModel
        A name or checkpoint for `load_model`, or its result.
    direction : {"both", "forward", "backward"}
        Forward is towards higher indices.
    slices : range, optional
        Contiguous slices to label; by default all. Prompts outside of it count.
    device, precision : str
        As for `napari_octa_sam2.engine.device.choose_compute`.
    attention : {"exact", "pooled"}
        As for `Session`.
    progress : callable, optional
        Called with the stops done and their total.
    cancelled : callable, optional
        Asked after each stop; once it is True, what is done is returned.

    Returns
    -------
    Segmentation

    Raises
    ------
    PromptError
        If a prompt lies outside the volume, an object has none, or `slices` does not
        lie in the volume.
    ModelError
        If the model or the device is not there.
    """
    prompts.require_usable(volume.shape)
    slice_range(slices, len(volume.data))
    if not isinstance(model, LoadedModel):
        model = load_model(model)
    began = time.perf_counter()
    notes: list[str] = []
    session = Session(
        volume.data,
        model,
        device=device,
        precision=precision,
        attention=attention,
        notify=notes.append,
    )
    largest = max(o.id for o in prompts.objects)
    labels = np.zeros(volume.shape, label_dtype(largest))
    found: dict[tuple[int, int], float] = {}
    complete = False
    for result in _work(session, prompts, direction, slices, progress):
        result.write_into(labels[result.slice])
        found |= {(result.slice, o): c for o, c in result.confidence.items()}
        if cancelled is not None and cancelled():
            break
    else:
        complete = True
    settings = {
        "complete": complete,
        "direction": direction,
        "slices": [slices[0], slices[-1]] if slices else [0, len(volume.data) - 1],
        "seconds": round(time.perf_counter() - began, 2),
        "peak_memory_mb": peak_memory_mb(),
        "notes": notes,
    }
    return Segmentation(
        labels=LabelSet(
            labels,
            {o.id: o.name for o in prompts.objects},
            {o.id: o.cls for o in prompts.objects},
        ),
        geometry=volume.geometry,
        confidence=tuple(Confidence(*key, found[key]) for key in sorted(found)),
        record={
            **run_record(session),
            "volume": volume.describe(),
            "prompts": prompts.to_json(),
            **settings,
        },
    )


def _work(
    session: Session,
    prompts: PromptSet,
    direction: str,
    slices: range | None,
    progress: Callable[[int, int], None] | None,
) -> Iterator[SliceResult]:
    """Yield the answer to each prompted slice in range, then each stop on the way."""
    span = slice_range(slices, len(session.data))
    for (object_id, index), given in prompts.by_slice().items():
        result = session.set_prompts(object_id, index, given)
        if index in span:
            yield result
    total = len(session.plan(direction, slices))
    for done, result in enumerate(session.propagate(direction, slices), start=1):
        if progress is not None:
            progress(done, total)
        yield result
