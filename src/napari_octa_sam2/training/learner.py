"""Networks in training: which weights change, and how they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Learner(nn.Module):
    """A network some of whose weights are trained, in groups.

    Attributes
    ----------
    groups : dict
        Name to learning rate and weights.
    keys : frozenset of str
        What training changes, by its name in `state_dict`.
    batch_statistics : bool
        Whether batch normalisation learns from the clips of a step.
    """

    groups: dict[str, tuple[float, list[Any]]]
    keys: frozenset[str]
    batch_statistics: bool

    def parameters_of(self, memory: bool) -> list[nn.Parameter]:
        """Return the trained weights of the memory, or all the others."""
        return [] if memory else [w for _, group in self.groups.values() for w in group]

    def set_training(self, mode: bool) -> None:
        """Switch between training and use."""
        self.train(mode)
        if not self.batch_statistics:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def weights(self) -> dict[str, Tensor]:
        """Return what training changes, by its name in `state_dict`."""
        state = self.state_dict()
        return {key: state[key] for key in sorted(self.keys)}

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Put back what `weights` returned."""
        state = self.state_dict()
        for key, value in weights.items():
            state[key].copy_(value)

    def changing(self) -> Iterable[str]:
        """Yield the names of what training changes."""
        yield from (n for n, p in self.named_parameters() if p.requires_grad)
        if self.batch_statistics:
            kept = ("running_mean", "running_var", "num_batches_tracked")
            yield from (n for n, _ in self.named_buffers() if n.endswith(kept))


def seed_all(*numbers: int) -> None:
    """Seed PyTorch's generators by several numbers."""
    state = 0
    for number in numbers:
        state = (state * 1_000_003 + number + 1) % (2**63 - 1)
    torch.manual_seed(state)
