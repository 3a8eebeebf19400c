"""The engine's session, as one of the runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from napari_octa_sam2.engine.results import SliceResult
from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.model.loading import LoadedModel
from napari_octa_sam2.prompts import Prompt


class EngineRun:
    """A session on one volume.

    Parameters
    ----------
    data : numpy.ndarray
        Shape ``(depth, slow, fast)``.
    model : LoadedModel
        Not to be used elsewhere: a session may change how its weights are laid out.
    device, precision, attention : str
    feature_bytes : int, optional
        As for `napari_octa_sam2.engine.session.Session`.
    """

    def __init__(
        self,
        data: np.ndarray,
        model: LoadedModel,
        *,
        device: str = "auto",
        precision: str = "auto",
        attention: str = "exact",
        feature_bytes: int | None = None,
    ) -> None:
        budget: dict[str, Any] = {}
        if feature_bytes is not None:
            budget["feature_bytes"] = feature_bytes
        self.session = Session(
            data,
            model,
            device=device,
            precision=precision,
            attention=attention,
            **budget,
        )
        self.device = self.session.compute.device
        self.precision = self.session.compute.precision

    def click(self, prompt: Prompt) -> SliceResult:
        """Answer a first click of an object on a slice."""
        return self.session.set_prompts(prompt.object, prompt.slice, [prompt])

    def follow(self, start: int | None = None) -> Iterator[SliceResult]:
        """Follow all objects from a slice on, by default the first prompted one."""
        return self.session.propagate("forward", start=start)

    def follow_changed(self) -> Iterator[SliceResult]:
        """Follow corrected objects onwards until their masks are what they were."""
        return self.session.propagate("forward", only_changed=True)

    def prefetch(self, indices: Iterable[int]) -> None:
        """Encode slices ahead of clicks on them."""
        for _ in self.session.prefetch(indices):
            pass
