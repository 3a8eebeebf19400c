"""What the simulated annotator does on the clips of a step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.training import simulate
from napari_octa_sam2.training.config import PromptConfig, PromptKind


@dataclass(frozen=True)
class Interaction:
    """What the simulated annotator does on the clips of a step.

    Parameters
    ----------
    kind : {"click", "clicks", "box", "mask"}
        Prompt of objects that are not asked for as a whole class.
    slices : tuple of int
        Slices of the clip that are prompted, the first among them.
    rounds : int
        Rounds of corrections on the first slice, each seeing the mask before it.
    late : int, optional
        Slice of the clip (not 0) that gets one round of corrections.
    mask_round : int, optional
        The round that has the mask before as only prompt.
    """

    kind: PromptKind
    slices: tuple[int, ...] = (0,)
    rounds: int = 0
    late: int | None = None
    mask_round: int | None = None

    @classmethod
    def draw(
        cls, frames: int, config: PromptConfig, rng: np.random.Generator
    ) -> Interaction:
        """Return a random interaction for clips of `frames` slices."""
        rounds = simulate.draw_rounds(config, rng)
        slices = simulate.prompt_slices(frames, config, rng)
        others = [t for t in range(1, frames) if t not in slices]
        late = frames > 2 and bool(others) and rng.random() < config.late
        return cls(
            kind=simulate.draw_kind(config, frames, rng),
            slices=slices,
            rounds=rounds,
            late=int(rng.choice(others)) if late else None,
            mask_round=int(rng.integers(rounds))
            if config.mask_rounds and rounds > 1
            else None,
        )
