"""The clips of every step, the same whoever cuts them and wherever it begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.training.config import ClipConfig, FitConfig
from napari_octa_sam2.training.data.clips import Clip, cut_clip
from napari_octa_sam2.training.data.scenes import Source

SCENES_TRIED = 60
# what a generator is for, beside the seed and a number
FRAMES, CLIP, PROMPTS, INTERACTION = range(4)


def generator(seed: int, purpose: int, *numbers: int) -> np.random.Generator:
    """Return the generator of one purpose, such as the prompts of clip number 12."""
    return np.random.default_rng([seed, purpose, *numbers])


@dataclass(frozen=True)
class Share:
    """Which clips of a step a process works on.

    Parameters
    ----------
    rank, world : int
        Number of the process, and of all processes.
    """

    rank: int = 0
    world: int = 1

    def numbers(self, config: FitConfig, turn: int) -> range:
        """Return the running numbers of this process's clips in a pass."""
        first = (turn * self.world + self.rank) * config.clips
        return range(first, first + config.clips)


class ClipStream(torch.utils.data.IterableDataset[tuple[Tensor, ...]]):
    """Batches of clips, pass after pass, as the fields of `Clip`.

    What a pass holds depends on its number alone, so that a training that is resumed,
    or shared by several processes, sees the clips of an unbroken one.

    Parameters
    ----------
    start : int
        Number of the first pass.
    """

    def __init__(
        self,
        source: Source,
        clip: ClipConfig,
        config: FitConfig,
        start: int,
        share: Share,
    ) -> None:
        self.source, self.clip, self.config = source, clip, config
        self.start, self.share = start, share

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        info = torch.utils.data.get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        if info is not None:
            torch.set_num_threads(1)
        turn = self.start + first
        while True:
            batch = self.batch(turn)
            yield tuple(getattr(batch, field.name) for field in fields(Clip))
            turn += step

    def batch(self, turn: int) -> Clip:
        """Return the clips of pass number `turn`."""
        frames = self.clip.draw_frames(generator(self.config.seed, FRAMES, turn))
        numbers = self.share.numbers(self.config, turn)
        return Clip.stacked([self._cut(number, frames) for number in numbers])

    def _cut(self, number: int, frames: int) -> Clip:
        rng = generator(self.config.seed, CLIP, number)
        for _ in range(SCENES_TRIED):
            clip = cut_clip(self.source.draw(rng, number), self.clip, rng, frames)
            if clip is not None:
                return clip
        wanted = ", ".join(self.clip.labels) or "an object"
        raise TrainingError(
            f"expected {wanted} of at least {self.clip.min_area} pixels in the data, "
            f"found none in {SCENES_TRIED} samples; check the labels, or lower "
            "clip.min_area"
        )
