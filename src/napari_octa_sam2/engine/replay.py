"""A project done once more by the network, without a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_octa_sam2.engine.record import run_record
from napari_octa_sam2.engine.results import SliceResult
from napari_octa_sam2.engine.segment import Segmentation
from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.errors import ModelError, ReadError, VolumeError
from napari_octa_sam2.model.loading import LoadedModel, load_model
from napari_octa_sam2.project.document import Document
from napari_octa_sam2.project.locks import protected
from napari_octa_sam2.project.store import About, read_project
from napari_octa_sam2.prompts import Prompt
from napari_octa_sam2.volume.identity import fingerprint
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume

Event = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Replay:
    """Labels made again, and how far they are those of the project.

    Parameters
    ----------
    segmentation : Segmentation
    different : tuple of int
        Slices whose labels are not bit for bit those of the project.
    """

    segmentation: Segmentation
    different: tuple[int, ...]


def replay(
    path: str | Path,
    volume: OctaVolume,
    *,
    model: str | Path | LoadedModel | None = None,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Replay:
    """Do what a project's journal tells of once more.

    What the user drew, painted, locked and took back is done as it was written down;
    every mask that the network made is made anew.

    Parameters
    ----------
    path : str or Path
        The project.
    volume : OctaVolume
        What it is of.
    model : str, Path or LoadedModel, optional
        By default the one of the journal, by its name.
    device : str
        By default the one of the journal, where it is there.
    progress : callable, optional
        Called with the events done and their number.
    cancelled : callable, optional
        Asked after each event; once it is True, what is done is returned.

    Raises
    ------
    ReadError
        If `path` is no project, or its journal is malformed.
    VolumeError
        If `volume` is not what the project is of.
    ModelError
        If the weights are not those of the journal.
    """
    about, events = read_project(Path(path))
    _require_volume(about, volume)
    kept, made = Document(about.shape), _Replayed(volume, model, device)
    complete = False
    try:
        for done, event in enumerate(events, start=1):
            kept.follow(event)
            made.follow(event)
            if progress is not None:
                progress(done, len(events))
            if cancelled is not None and cancelled():
                break
        else:
            complete = True
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, VolumeError):
            raise
        raise ReadError(f"{path}: the journal is malformed ({error})") from error
    different = tuple(
        index
        for index in range(about.shape[0])
        if not np.array_equal(kept.labels(index), made.document.labels(index))
    )
    return Replay(made.segmentation(complete), different)


class _Replayed:
    """A document whose engine-made labels are made anew."""

    def __init__(
        self, volume: OctaVolume, model: str | Path | LoadedModel | None, device: str
    ) -> None:
        self.document = Document(volume.shape)
        self._volume, self._model, self._device = volume, model, device
        self._session: Session | None = None
        self._visits: Iterator[SliceResult] = iter(())
        self._record: dict[str, Any] = {}

    def follow(self, event: Event) -> None:
        """Do what an event tells of."""
        match event["do"]:
            case "open":
                self._open(event["model"], event["record"])
            case "answer":
                prompts = [Prompt.from_json(p) for p in event["prompts"]]
                result = self._engine.set_prompts(
                    event["object"], event["slice"], prompts
                )
                if event["shown"]:
                    self._write(result, event["step"])
            case "propagate":
                first, last = event["slices"]
                self._visits = self._engine.propagate(
                    event["direction"],
                    range(first, last + 1),
                    objects=event["objects"],
                    only_stale=True,
                    only_changed=True,
                )
            case "visit":
                self._write(next(self._visits), event["step"])
            case "ended":
                if not event["cancelled"]:
                    next(self._visits, None)
            case "labels" if event.get("by") == "engine":
                pass
            case _:
                self.document.follow(event)

    def segmentation(self, complete: bool) -> Segmentation:
        """Return what was made."""
        prompts = self.document.prompts
        return Segmentation(
            LabelSet(
                self.document.volume(),
                {o.id: o.name for o in prompts.objects},
                {o.id: o.cls for o in prompts.objects},
            ),
            self._volume.geometry,
            (),
            {
                **self._record,
                "volume": self._volume.describe(),
                "prompts": prompts.to_json(),
                "complete": complete,
                "slices": [0, len(self._volume.data) - 1],
                "notes": [],
            },
        )

    @property
    def _engine(self) -> Session:
        if self._session is None:
            raise ValueError("an answer comes before a model")
        return self._session

    def _open(self, name: str, record: Mapping[str, Any]) -> None:
        threads = record.get("threads")
        if threads:
            torch.set_num_threads(threads)  # sums may be taken in another order else
        chosen = name if self._model is None else self._model
        model = chosen if isinstance(chosen, LoadedModel) else load_model(chosen)
        if model.sha256 != record["model"]["sha256"]:
            raise ModelError(
                f"expected weights with SHA-256 {record['model']['sha256'][:12]}…, as "
                f"the project was made with, found {model.sha256[:12]}… in {model.name}"
            )
        self._session = Session(
            self._volume.data,
            model,
            device=record["device"] if self._device == "auto" else self._device,
            precision=record["precision"],
            attention=record["attention"],
        )
        self._record = run_record(self._session)

    def _write(self, result: SliceResult, step: int) -> None:
        index = result.slice
        safe = protected(self.document.prompts, index)
        content = result.written(self.document.labels(index), safe)
        self.document.write(index, content, step, by_engine=True)


def _require_volume(about: About, volume: OctaVolume) -> None:
    found: Sequence[int] = volume.shape
    if about.fingerprint != fingerprint(volume.data):
        raise VolumeError(
            f"expected the volume that the project {about.name} is of, "
            f"{about.shape} voxels from {about.source or 'an unnamed source'}, found "
            f"another one of {tuple(found)} voxels in {volume.name}"
        )
