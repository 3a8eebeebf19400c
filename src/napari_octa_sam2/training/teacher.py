"""What a training needs to know of the kind of network it trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from napari_octa_sam2.training.config import ClipConfig
from napari_octa_sam2.training.data.clips import Clip
from napari_octa_sam2.training.data.scenes import Sample
from napari_octa_sam2.training.learner import Learner
from napari_octa_sam2.training.recipe import Phase
from napari_octa_sam2.training.stream import Share
from napari_octa_sam2.training.tally import Walked
from napari_octa_sam2.training.validation import Judged


class Walk(Protocol):
    """Clips through a network, with gradients."""

    def __call__(self, learner: Any, batch: Clip, turn: int, share: Share) -> Walked:
        """Return the losses of pass number `turn`."""
        ...


class Teacher(Protocol):
    """Makes, runs, judges and writes networks of a kind, prompted or promptless.

    Attributes
    ----------
    base : dict or None
        ``"name"`` and ``"sha256"`` of the model that is trained on, once `ready`
        was called; None where training begins from random weights.
    """

    base: dict[str, str] | None

    @property
    def stem(self) -> str:
        """Name of the files of the result."""
        ...

    def ready(self, phase: Phase, samples: Sequence[Sample]) -> Learner:
        """Return the network as it is before the first phase, set up for `phase`."""
        ...

    def clip(self, phase: Phase) -> ClipConfig:
        """Return how clips are cut."""
        ...

    def walk(self, phase: Phase) -> Walk:
        """Return how clips of a phase run through the network."""
        ...

    def judge(
        self, learner: Any, samples: Sequence[Sample], clip: ClipConfig
    ) -> Iterator[Judged]:
        """Yield how good the network is on samples, in use as users use it."""
        ...

    def write(self, file: Path, learner: Any) -> None:
        """Write the network."""
        ...
