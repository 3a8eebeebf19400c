"""How scenes are drawn: from a list, of several sources, out of a pool.

Which scene a draw gives depends on the generator and the number of the draw alone,
so that a training that is resumed sees what an unbroken one would have seen.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.training.data.scenes import Sample, Scene, Source


class Drawn:
    """The samples of data sets, drawn at random.

    Parameters
    ----------
    samples : sequence of Sample
    cache_mb : float
        Memory for scenes that were read, in MiB; those that were not drawn for
        longest go first.

    Raises
    ------
    TrainingError
        If there are no samples.
    """

    def __init__(self, samples: Sequence[Sample], *, cache_mb: float = 1024) -> None:
        if not samples:
            raise TrainingError(
                "expected samples to draw from, found none; name a data set with images"
                " and labels, or hold fewer subjects out"
            )
        self.samples = tuple(samples)
        self._room = int(cache_mb * 2**20)
        self._scenes: OrderedDict[int, Scene] = OrderedDict()

    def draw(self, rng: np.random.Generator, turn: int) -> Scene:
        """Return the scene of one of the samples.

        Raises
        ------
        ReadError
            If it cannot be read.
        """
        return self._read(int(rng.integers(len(self.samples))))

    def _read(self, index: int) -> Scene:
        if index in self._scenes:
            self._scenes.move_to_end(index)
            return self._scenes[index]
        scene = self.samples[index].read()
        self._scenes[index] = scene
        while sum(map(_bytes, self._scenes.values())) > self._room:
            self._scenes.popitem(last=False)
        return scene


class Pool:
    """Scenes that are costly to make, each drawn about `reuse` times.

    Scene number k is made with a generator of its own, seeded with ``(seed, k)``. In
    turn t, one of the scenes t // reuse to t // reuse + size - 1 is drawn.

    Parameters
    ----------
    source : Source
    size : int
        Scenes held at a time.
    reuse : int
        Draws after which the oldest is replaced.
    seed : int
    """

    def __init__(self, source: Source, *, size: int, reuse: int, seed: int = 0) -> None:
        self.source, self.size, self.reuse, self.seed = source, size, reuse, seed
        self._scenes: dict[int, Scene] = {}

    def draw(self, rng: np.random.Generator, turn: int) -> Scene:
        """Return one of the scenes held in this turn."""
        held = range(turn // self.reuse, turn // self.reuse + self.size)
        number = int(rng.choice(held))
        self._scenes = {k: s for k, s in self._scenes.items() if k in held}
        if number not in self._scenes:
            own = np.random.default_rng([self.seed, number])
            self._scenes[number] = self.source.draw(own, number)
        return self._scenes[number]


@dataclass(frozen=True)
class Mixture:
    """Sources drawn with given probabilities.

    Each source's turns are counted by its share, so that a pool of which every third
    scene comes keeps its scenes three times as long.
    """

    sources: tuple[tuple[Source, float], ...]

    def draw(self, rng: np.random.Generator, turn: int) -> Scene:
        """Return a scene of one of the sources."""
        weights = np.array([weight for _, weight in self.sources], float)
        shares = weights / weights.sum()
        choice = int(rng.choice(len(shares), p=shares))
        return self.sources[choice][0].draw(rng, int(turn * shares[choice]))


def _bytes(scene: Scene) -> int:
    masks = sum(mask.nbytes for mask in scene.classes.values())
    return scene.images.nbytes + scene.instances.nbytes + masks
