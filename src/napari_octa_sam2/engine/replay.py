"""A project done once more by the network, without a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_octa_sam2.engine.record import run_record
from napari_octa_sam2.engine.results import SliceResult
from napari_octa_sam2.engine.segment import Confidence, Segmentation
from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.errors import ModelError, OctaError, ReadError, VolumeError
from napari_octa_sam2.model.loading import LoadedModel, load_model
from napari_octa_sam2.project.document import Document
from napari_octa_sam2.project.locks import protected
from napari_octa_sam2.project.store import About, read_project
from napari_octa_sam2.prompts import Prompt
from napari_octa_sam2.volume.identity import fingerprint
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume

Event = Mapping[str, Any]
MASKS = ("answer", "visit")  # events with what the network answered


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
        The weights, where they are not found by the name that the journal knows.
    device : str
        By default the one of the journal.
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
        If the weights are not those of the journal, or the device is not there.
    """
    about, noted = read_project(Path(path))
    _require_volume(about, volume)
    with _malformed(path):
        events = _whole(noted)
        network = _Network(volume, _given(model, events), device)
    kept, made = Document(about.shape), _Replayed(volume, network)
    complete = True
    with _threads_as_they_are():
        for done, event in enumerate(events, start=1):
            with _malformed(path):
                kept.follow(event)
                made.follow(event)
            if progress is not None:
                progress(done, len(events))
            if cancelled is not None and cancelled():
                complete = done == len(events)
                break
    different = tuple(
        index
        for index in range(about.shape[0])
        if not np.array_equal(kept.labels(index), made.document.labels(index))
    )
    return Replay(made.segmentation(complete), different)


class _Network:
    """Opens sessions as the journal tells of them.

    Parameters
    ----------
    volume : OctaVolume
    given : LoadedModel, optional
        Taken where its weights are those of the journal.
    device : str
    """

    def __init__(
        self, volume: OctaVolume, given: LoadedModel | None, device: str
    ) -> None:
        self.notes: list[str] = []
        self._volume, self._device = volume, device
        self._loaded = {} if given is None else {given.sha256: given}

    def open(self, name: str, record: Event) -> Session:
        """Return a new session with the model, precision and mode of a record.

        Raises
        ------
        ModelError
            If the weights are others, or the device is not there.
        """
        if threads := record["threads"]:
            torch.set_num_threads(threads)  # sums may be taken in another order else
        return Session(
            self._volume.data,
            self._model(name, record["model"]["sha256"]),
            device=record["device"] if self._device == "auto" else self._device,
            precision=record["precision"],
            attention=record["attention"],
            notify=self.notes.append,
        )

    def _model(self, name: str, sha256: str) -> LoadedModel:
        if sha256 not in self._loaded:
            model = load_model(name)
            _require_weights(model, [sha256])
            self._loaded[sha256] = model
        return self._loaded[sha256]


class _Replayed:
    """A document whose engine-made labels are made anew."""

    def __init__(self, volume: OctaVolume, network: _Network) -> None:
        self.document = Document(volume.shape)
        self._volume, self._network = volume, network
        self._session: Session | None = None
        self._visits: Iterator[SliceResult] = iter(())
        self._step = 0
        self._confidence: dict[tuple[int, int], float] = {}

    def follow(self, event: Event) -> None:
        """Do what an event tells of."""
        match event["do"]:
            case "open":
                self._session = self._network.open(event["model"], event["record"])
                self._visits = iter(())
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
                self._step = event["step"]
                for result in self._visits:
                    self._write(result, self._step)
                    break
            case "ended":
                # Another device may need more slices than there were.
                for result in () if event["cancelled"] else self._visits:
                    self._write(result, self._step)
            case "labels" if event.get("by") == "engine":
                pass
            case _:
                self.document.follow(event)

    def segmentation(self, complete: bool) -> Segmentation:
        """Return what was made."""
        prompts = self.document.prompts
        found = self._confidence
        return Segmentation(
            LabelSet(
                self.document.volume(),
                {o.id: o.name for o in prompts.objects},
                {o.id: o.cls for o in prompts.objects},
            ),
            self._volume.geometry,
            tuple(Confidence(*key, found[key]) for key in sorted(found)),
            {
                **({} if self._session is None else run_record(self._session)),
                "volume": self._volume.describe(),
                "prompts": prompts.to_json(),
                "complete": complete,
                "slices": [0, len(self._volume.data) - 1],
                "notes": self._network.notes,
            },
        )

    @property
    def _engine(self) -> Session:
        if self._session is None:
            raise ValueError("an answer comes before a model")
        return self._session

    def _write(self, result: SliceResult, step: int) -> None:
        index = result.slice
        safe = protected(self.document.prompts, index)
        content = result.written(self.document.labels(index), safe)
        self.document.write(index, content, step, by_engine=True)
        self._confidence |= {(index, o): c for o, c in result.confidence.items()}


def _whole(events: Sequence[Event]) -> list[Event]:
    """Return the events without masks that a crash came between and their labels."""
    whole: list[Event] = []
    for event in [*events, {"do": "resume"}]:
        if event["do"] == "resume" and whole and whole[-1]["do"] in MASKS:
            whole.pop()
        whole.append(event)
    return whole[:-1]


def _given(
    model: str | Path | LoadedModel | None, events: Sequence[Event]
) -> LoadedModel | None:
    """Return a model that was asked for, if its weights were used."""
    if model is None:
        return None
    loaded = model if isinstance(model, LoadedModel) else load_model(model)
    used = [e["record"]["model"]["sha256"] for e in events if e["do"] == "open"]
    _require_weights(loaded, used)
    return loaded


def _require_weights(model: LoadedModel, used: Sequence[str]) -> None:
    if used and model.sha256 not in used:
        expected = " or ".join(f"{sha256[:12]}…" for sha256 in dict.fromkeys(used))
        raise ModelError(
            f"expected weights with SHA-256 {expected}, as the project was made with, "
            f"found {model.sha256[:12]}… in {model.name}"
        )


def _require_volume(about: About, volume: OctaVolume) -> None:
    if about.fingerprint != fingerprint(volume.data):
        raise VolumeError(
            f"expected the volume that the project {about.name} is of, "
            f"{about.shape} voxels from {about.source or 'an unnamed source'}, found "
            f"another one of {tuple(volume.shape)} voxels in {volume.name}"
        )


@contextmanager
def _malformed(path: str | Path) -> Iterator[None]:
    """Say of what a journal should not hold that it is malformed."""
    try:
        yield
    except (ModelError, ReadError):
        raise
    except (AttributeError, LookupError, OctaError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ReadError(f"{path}: the journal is malformed ({reason})") from error


@contextmanager
def _threads_as_they_are() -> Iterator[None]:
    """Leave the number of threads as it was before."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
