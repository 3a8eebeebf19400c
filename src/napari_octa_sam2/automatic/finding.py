"""From a volume to labels without a click: what shell, viewer and Python all call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.automatic.everything import (
    Everything,
    EverythingSettings,
    as_labels,
)
from napari_octa_sam2.automatic.maps import Maps
from napari_octa_sam2.automatic.settings import FindSettings
from napari_octa_sam2.engine.device import Compute
from napari_octa_sam2.engine.plan import slice_range
from napari_octa_sam2.engine.promptless import Predictor
from napari_octa_sam2.engine.record import compute_record, peak_memory_mb
from napari_octa_sam2.engine.segment import Confidence, Segmentation
from napari_octa_sam2.errors import PromptError, VolumeError
from napari_octa_sam2.model.loading import DEFAULT_MODEL, LoadedModel, load_model
from napari_octa_sam2.model.promptless.model import (
    DEFAULT_PROMPTLESS,
    PromptlessModel,
    load_promptless,
)
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume

Progress = Callable[[int, int], None]


def find(
    volume: OctaVolume,
    settings: FindSettings | None = None,
    *,
    model: str | Path | PromptlessModel = DEFAULT_PROMPTLESS,
    slices: range | None = None,
    within: np.ndarray | None = None,
    device: str = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Segmentation:
    """Find whole classes on every slice, without a prompt.

    Parameters
    ----------
    volume : OctaVolume
    settings : FindSettings, optional
    model : str, Path or PromptlessModel
        A name or file for `load_promptless`, or its result.
    slices : range, optional
        Contiguous slices to look at; by default all.
    within : numpy.ndarray, optional
        Where vessels are seen from above, bool ``(slow, fast)``: they are looked for
        nowhere else, as in SAM-OCTA2's sparse annotation.
    device, precision : str
        As for `engine.device.choose_compute`.
    progress : callable, optional
        Called with the slices done and their number.
    cancelled : callable
        Asked after each slice; once it is True, what is done is returned.

    Returns
    -------
    Segmentation
        The confidence in a mask is the IoU that is to be expected of it
        (`automatic.maps.expected_ious`).

    Raises
    ------
    PromptError
        If the network does not know a class, or the slices do not lie in the volume.
    VolumeError
        If `within` does not fit the volume.
    ModelError
        If the model or the device is not there.
    """
    settings = settings or FindSettings()
    if not isinstance(model, PromptlessModel):
        model = load_promptless(model)
    finder = SliceFinder(
        volume, model, views=settings.views, device=device, precision=precision
    )
    span = slice_range(slices, len(volume.data))
    return finder.find(settings, span, within, progress, cancelled)


class SliceFinder:
    """Finds whole classes, and remembers what the network saw of the last slice.

    So other settings act on the same slice without the network.

    Parameters
    ----------
    volume : OctaVolume
    model : PromptlessModel
    views, device, precision
        As for `engine.promptless.Predictor`.
    """

    def __init__(
        self,
        volume: OctaVolume,
        model: PromptlessModel,
        *,
        views: int = 1,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        self.volume, self.model, self.views = volume, model, views
        self._predictor = Predictor(
            volume.data, model, device=device, precision=precision, views=views
        )
        self._seen: tuple[int, dict[str, np.ndarray]] | None = None

    def find(
        self,
        settings: FindSettings,
        span: range,
        within: np.ndarray | None = None,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Segmentation:
        """Find on the slices `span`; parameters, result and errors as for `find`.

        The views are those of the finder.
        """
        volume, model = self.volume, self.model
        settings.require_known(model.name, model.classes)
        _require_fit(within, volume)
        began = time.perf_counter()
        maps = Maps(settings, (len(span), *volume.shape[1:]))
        for number, index in enumerate(span):
            maps.take(number, self._look(index), within)
            if progress is not None:
                progress(number + 1, len(span))
            if cancelled():
                break
        done = number + 1
        found = maps.objects(done)
        whole = np.zeros(volume.shape, found.labels.dtype)
        whole[span.start : span.stop] = found.labels
        return Segmentation(
            labels=LabelSet(whole, found.names, found.classes),
            geometry=volume.geometry,
            confidence=tuple(
                Confidence(span[number], object_id, round(value, 4))
                for number, each in enumerate(found.sure[:done])
                for object_id, value in sorted(each.items())
            ),
            record=_record(volume, model, self._predictor.compute, span, began)
            | {
                "automatic": settings.plain() | {"within": within is not None},
                "complete": done == len(span),
            },
        )

    def _look(self, index: int) -> dict[str, np.ndarray]:
        if self._seen is None or self._seen[0] != index:
            self._seen = index, self._predictor.on_slice(index)
        return self._seen[1]


def find_everything(
    volume: OctaVolume,
    settings: EverythingSettings | None = None,
    *,
    model: str | Path | LoadedModel = DEFAULT_MODEL,
    slices: range | None = None,
    device: str = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Segmentation:
    """Find whatever SAM 2 takes for an object on one slice.

    Parameters
    ----------
    volume : OctaVolume
    settings : EverythingSettings, optional
        By default those that suit the model (`Everything.usual`).
    model : str, Path or LoadedModel
        A SAM 2 network, as for `engine.segment.segment`.
    slices, device, precision, progress, cancelled
        As for `find`.

    Raises
    ------
    PromptError
        If the slices do not lie in the volume, or there are several of them.
    ModelError
        If the model or the device is not there.
    """
    span = slice_range(slices, len(volume.data))
    if len(span) != 1:
        raise PromptError(
            f"everything is looked for on one slice at a time: expected one, found "
            f"{len(span)}; give a range such as 240:240"
        )
    if not isinstance(model, LoadedModel):
        model = load_model(model)
    began = time.perf_counter()
    finder = Everything(volume.data, model, device=device, precision=precision)
    settings = settings or finder.usual
    found = finder.on_slice(
        span.start, settings, progress=progress, cancelled=cancelled
    )
    plane, names, scores = as_labels(found, volume.shape[1:])
    labels = np.zeros(volume.shape, plane.dtype)
    labels[span.start] = plane
    stopped = cancelled()
    return Segmentation(
        labels=LabelSet(labels, names, dict.fromkeys(names, "other")),
        geometry=volume.geometry,
        confidence=tuple(
            Confidence(span.start, number, min(1.0, max(0.0, score)))
            for number, score in scores.items()
        ),
        record=_record(volume, model, finder.compute, span, began)
        | {
            "automatic": {"classes": ["everything"], **asdict(settings)},
            "complete": not stopped,
        },
    )


def _record(
    volume: OctaVolume,
    model: PromptlessModel | LoadedModel,
    compute: Compute,
    span: range,
    began: float,
) -> dict[str, Any]:
    return {
        **compute_record(compute),
        "model": {"name": model.name, "sha256": model.sha256},
        "volume": volume.describe(),
        "slices": [span.start, span.stop - 1],
        "seconds": round(time.perf_counter() - began, 2),
        "peak_memory_mb": peak_memory_mb(),
        "notes": [],
    }


def _require_fit(within: np.ndarray | None, volume: OctaVolume) -> None:
    if within is not None and (
        within.shape != volume.shape[1:] or within.dtype != np.bool_
    ):
        raise VolumeError(
            f"expected a vessel map of {volume.shape[1:]} pixels, true or false, found "
            f"{within.dtype} of {within.shape}; give the map of this volume"
        )
