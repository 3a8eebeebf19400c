"""Training of promptless networks: every pixel's classes, where there is truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from napari_octa_sam2.engine.promptless import as_seen, probabilities
from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.metrics.segmentation.overlap import dice, iou
from napari_octa_sam2.model.appearance import Appearance
from napari_octa_sam2.model.promptless.model import (
    PromptlessModel,
    channels_of,
    load_promptless,
    write_promptless,
)
from napari_octa_sam2.model.promptless.network import PromptlessNetwork
from napari_octa_sam2.prompts import SEGMENTABLE
from napari_octa_sam2.training.config import ClipConfig, TrainedConfig
from napari_octa_sam2.training.data.clips import Clip
from napari_octa_sam2.training.data.scenes import Sample
from napari_octa_sam2.training.learner import Learner
from napari_octa_sam2.training.losses import Criterion
from napari_octa_sam2.training.recipe import Phase, Recipe, look_of
from napari_octa_sam2.training.stream import Share
from napari_octa_sam2.training.tally import Tally, Walked, dice_of
from napari_octa_sam2.training.validation import Judged, compared

NETWORK = "network"  # the only part that there is to train


class PromptlessLearner(Learner):
    """A promptless network in training.

    Parameters
    ----------
    network : PromptlessNetwork
    config : TrainedConfig
    look : Appearance

    Raises
    ------
    TrainingError
        If another part than the whole network is to be trained, or an adapter.
    """

    def __init__(
        self, network: PromptlessNetwork, config: TrainedConfig, look: Appearance
    ) -> None:
        super().__init__()
        if set(config.parts) != {NETWORK} or config.adapter.kind != "none":
            raise TrainingError(
                "a promptless network is trained as a whole: expected a learning rate "
                f"for {NETWORK} alone and no adapter, found "
                f"{', '.join(config.parts) or 'none'} and {config.adapter.kind}; set "
                "trained.parts"
            )
        self.network, self.look = network, look
        self.batch_statistics = config.batch_statistics
        self.groups = {NETWORK: (config.parts[NETWORK], list(network.parameters()))}
        self.keys = frozenset(self.changing())


@dataclass(frozen=True)
class PromptlessWalk:
    """Clips through a promptless network."""

    criterion: Criterion

    def __call__(
        self, learner: PromptlessLearner, batch: Clip, turn: int, share: Share
    ) -> Walked:
        """Return the losses of a pass."""
        own = [SEGMENTABLE.index(name) for name in learner.network.config.classes]
        truth = batch.classes.transpose(1, 2).flatten(0, 1)[:, own]
        known = batch.known.flatten(0, 1)[:, own]
        images = batch.images.flatten(0, 1)
        seen = as_seen(images, learner.look, learner.network.channels)
        logits = learner.network(seen)
        tally = Tally()
        with torch.no_grad():
            tally.dice["whole"].append(dice_of(logits[known] > 0, truth[known]))
        return tally.walked(self.criterion.of_classes(logits, truth, known))


class PromptlessTeacher:
    """As `training.teacher.Teacher`.

    Parameters
    ----------
    recipe : Recipe
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.base: dict[str, str] | None = None

    @property
    def stem(self) -> str:
        """Name of the files of the result."""
        name = self.recipe.name
        return name if self.base is None else f"{self.base['name']}-{name}"

    @property
    def classes(self) -> tuple[str, ...]:
        """What the network tells apart."""
        if self.recipe.network is not None:
            return self.recipe.network.classes
        return load_promptless(self.recipe.model).classes

    def ready(self, phase: Phase, samples: Sequence[Sample]) -> PromptlessLearner:
        """Return the network as it is before the first phase, set up for `phase`."""
        look = look_of(phase)
        if self.recipe.network is not None:
            network = PromptlessNetwork(self.recipe.network, channels_of(look))
        else:
            model = load_promptless(self.recipe.model)
            network = model.network
            if channels_of(look) != network.channels:
                raise TrainingError(
                    f"{model.name} sees slices of {network.channels} channels: "
                    f"expected data of as many, found {channels_of(look)}; set "
                    "data.as_channels"
                )
            self.base = {"name": model.name, "sha256": model.sha256}
        return PromptlessLearner(network, phase.trained, look)

    def clip(self, phase: Phase) -> ClipConfig:
        """Return how clips are cut: without objects to be prompted."""
        return replace(phase.clip, objects=0)

    def walk(self, phase: Phase) -> PromptlessWalk:
        """Return how clips of a phase run through the network."""
        return PromptlessWalk(Criterion(phase.loss, prompted=False))

    def judge(
        self, learner: PromptlessLearner, samples: Sequence[Sample], clip: ClipConfig
    ) -> Iterator[Judged]:
        """Yield how well each class of each sample is found."""
        model = PromptlessModel(learner.network, self.recipe.name, "", learner.look)
        learner.network.eval()
        for sample in samples:
            yield from _judged(model, sample, clip)
        learner.set_training(True)

    def write(self, file: Path, learner: PromptlessLearner) -> None:
        """Write the network, in half precision."""
        network = learner.network
        write_promptless(file, network.config, learner.look, network.state_dict())


def _judged(
    model: PromptlessModel, sample: Sample, clip: ClipConfig
) -> Iterator[Judged]:
    scene = sample.read()
    depth = len(scene.images)
    known = np.ones(depth, bool) if scene.labelled is None else scene.labelled
    wanted = [
        name
        for name in model.classes
        if name in scene.classes and (not clip.labels or name in clip.labels)
    ]
    if not wanted or not known.any():
        return
    slices = [int(z) for z in np.flatnonzero(known)]
    device = next(model.network.parameters()).device
    images = torch.from_numpy(scene.images[slices]).to(device)
    images = images[:, None] if images.ndim == 3 else images
    found = probabilities(model, images)
    for name in wanted:
        truth = scene.classes[name][slices]
        if not truth.any():
            continue
        masks = found[:, model.classes.index(name)] > 0.5
        each = [
            (dice(mask, real), iou(mask, real))
            for mask, real in zip(masks, truth, strict=True)
            if mask.any() or real.any()
        ]
        first = int(np.flatnonzero(truth.any((1, 2)))[0])
        picture = compared(scene.images[slices[first]], masks[first], truth[first])
        means = np.mean(each, 0)
        yield Judged(sample.name, name, float(means[0]), float(means[1]), picture)
