"""What the Automatic dock asks for and gets; no window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_octa_sam2.automatic.candidates import REFINED, EverythingSettings
from napari_octa_sam2.automatic.settings import FindSettings
from napari_octa_sam2.volume import OctaVolume

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_octa_sam2.automatic.finding import SliceFinder
    from napari_octa_sam2.engine.segment import Confidence, Segmentation
    from napari_octa_sam2.model.promptless.model import PromptlessModel

Progress = Callable[[int, int], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True, eq=False)
class Request:
    """What is looked for, and where.

    Parameters
    ----------
    image : napari.layers.Image
    volume : OctaVolume
        Its data.
    model : str
        Name or file.
    slices : range
    settings : FindSettings, optional
        None where everything is looked for.
    within : numpy.ndarray of bool, optional
        Where vessels are, shape ``(slow, fast)``.
    filters : dict, optional
        Of `EverythingSettings`, where they are not those that suit the model.
    """

    image: Image
    volume: OctaVolume
    model: str
    slices: range
    settings: FindSettings | None = None
    within: np.ndarray | None = None
    filters: dict[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Found:
    """What was found.

    Parameters
    ----------
    request : Request
    labels : numpy.ndarray
        Of the slices of the request, shape ``(slices, slow, fast)``.
    names, classes : dict
        By id.
    confidence : tuple of Confidence
    record : dict
        What is needed to find it again.
    used : EverythingSettings, optional
    """

    request: Request
    labels: np.ndarray
    names: dict[int, str]
    classes: dict[int, str]
    confidence: tuple[Confidence, ...]
    record: dict[str, Any] = field(default_factory=dict)
    used: EverythingSettings | None = None

    @property
    def text(self) -> str:
        """What users read."""
        span = self.request.slices
        where = f"Slice {span[0]}" if len(span) == 1 else f"Slices {span[0]}-{span[-1]}"
        count = np.bincount(self.labels.ravel())
        there = {int(i) for i in np.flatnonzero(count) if i}
        if not there:
            return f"{where}: nothing was found."
        named = {self.names[i] for i in there}
        what = ", ".join(sorted(named)) if len(named) <= 4 else f"{len(named)} objects"
        pixels = int(count[1:].sum())
        sure = [
            c.confidence
            for c in self.confidence
            if (self.labels[c.slice - span[0]] == c.object).any()
        ]
        mean = f"{np.mean(sure):.0%}" if sure else "unknown"
        text = f"{where}: {what}; {pixels:,} pixels; expected IoU {mean}."
        whole = self.record.get("complete", True)
        return text if whole else f"{text} Stopped before the end."


class Finder:
    """Finds what is asked for; keeps the model, and what it saw of one slice.

    For one thread at a time.
    """

    def __init__(self) -> None:
        self._models: dict[tuple[str, int], Any] = {}
        self._finder: SliceFinder | None = None

    def classes(self, model: str) -> tuple[str, ...]:
        """Return the classes that a promptless model tells apart.

        Raises
        ------
        ModelError
            If there is no such model.
        """
        return self._promptless(model).classes

    def find(self, request: Request, progress: Progress, cancelled: Cancelled) -> Found:
        """Find what a request asks for.

        One slice is looked at once; other settings act on what was seen there.

        Raises
        ------
        OctaError
            As `automatic.finding.find` and `find_everything`.
        """
        if request.settings is None:
            return self._everything(request, progress, cancelled)
        finder = self._finder_for(request)
        span, within = request.slices, request.within
        done = finder.find(request.settings, span, within, progress, cancelled)
        return _found(request, done)

    def _finder_for(self, request: Request) -> SliceFinder:
        from napari_octa_sam2.automatic.finding import SliceFinder

        assert request.settings is not None
        model, views = self._promptless(request.model), request.settings.views
        known = self._finder
        if known is None or not (
            known.volume.data is request.volume.data
            and known.model is model
            and known.views == views
        ):
            self._finder = known = SliceFinder(request.volume, model, views=views)
        return known

    def _everything(
        self, request: Request, progress: Progress, cancelled: Cancelled
    ) -> Found:
        from napari_octa_sam2.automatic.finding import find_everything
        from napari_octa_sam2.model.loading import load_model

        def load() -> Any:
            return load_model(
                request.model,
                progress=lambda done, total: progress(done, total or 0),
                cancelled=cancelled,
            )

        model = self._kept(request.model, load)
        usual = EverythingSettings() if model.refinement is None else REFINED
        used = replace(usual, **(request.filters or {}))
        found = find_everything(
            request.volume,
            used,
            model=model,
            slices=request.slices,
            progress=progress,
            cancelled=cancelled,
        )
        return replace(_found(request, found), used=used)

    def _promptless(self, name: str) -> PromptlessModel:
        from napari_octa_sam2.model.promptless.model import load_promptless

        model: PromptlessModel = self._kept(name, lambda: load_promptless(name))
        return model

    def _kept(self, name: str, load: Callable[[], Any]) -> Any:
        """Return a model; a file that was written anew is read anew."""
        file = Path(name).expanduser()
        key = name, file.stat().st_mtime_ns if file.is_file() else 0
        if key not in self._models:
            self._models = {key: load()}
        return self._models[key]


def _found(request: Request, segmentation: Segmentation) -> Found:
    labels, span = segmentation.labels, request.slices
    return Found(
        request,
        labels.data[span.start : span.stop],
        dict(labels.names),
        dict(labels.classes),
        segmentation.confidence,
        segmentation.record,
    )
