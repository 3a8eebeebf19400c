"""The settings of adapters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class AdapterConfig:
    """Small weights that are trained beside frozen ones.

    Parameters
    ----------
    kind : {"none", "lora", "lokr", "locon", "snake", "med2d"}
        Low-rank or Kronecker updates of linear maps, which merge into them; pairs of
        convolutions, of snake convolutions, or SAM-Med2D's adapters beside the blocks
        of the image encoder, which can be dropped.
    rank : int
        Inner width of an update; ``"med2d"`` has its own.
    alpha : float
        Scale of the update is ``alpha / rank``, but for ``"med2d"``.
    dropout : float
        Probability, while training, that an input of a low-rank update, a row of a
        Kronecker update or a value between two convolutions is left out.
    targets : tuple of str
        Linear maps that are adapted: ``"q"``, ``"k"``, ``"v"``, each by itself even
        where one map holds all three, that map as a whole (``"qkv"``), the output of
        the attention (``"proj"``), or both layers of the feed-forward network
        (``"mlp"``).
    within : str
        Part of the network that is adapted, by its dotted name; empty for all.
    blocks : tuple of int
        Blocks of the image encoder that are adapted; empty for all.
    train_bias : bool
        Whether the biases of adapted maps are trained as well.
    """

    kind: Literal["none", "lora", "lokr", "locon", "snake", "med2d"] = "none"
    rank: int = 8
    alpha: float = 8.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("qkv",)
    within: str = "image_encoder"
    blocks: tuple[int, ...] = ()
    train_bias: bool = False

    @property
    def scale(self) -> float:
        """Factor of the update."""
        return self.alpha / self.rank
