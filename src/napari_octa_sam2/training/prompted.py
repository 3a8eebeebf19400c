"""Training of SAM 2 networks, which are prompted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from napari_octa_sam2.files import write_whole
from napari_octa_sam2.model.appearance import appearance_of
from napari_octa_sam2.model.class_points import ask_by_points
from napari_octa_sam2.model.loading import (
    LoadedModel,
    build_network,
    build_refinement,
    find_config,
    load_model,
)
from napari_octa_sam2.model.refinement import RefinementHead
from napari_octa_sam2.model.tuned import HEAD, Origin, put_weights, write_tuned
from napari_octa_sam2.training.config import ClipConfig, FitConfig, PromptConfig
from napari_octa_sam2.training.data.clips import Clip
from napari_octa_sam2.training.data.scenes import Sample
from napari_octa_sam2.training.interaction import Interaction
from napari_octa_sam2.training.losses import Criterion
from napari_octa_sam2.training.parts import Trained
from napari_octa_sam2.training.recipe import Phase, Recipe, look_of
from napari_octa_sam2.training.stream import INTERACTION, PROMPTS, Share, generator
from napari_octa_sam2.training.tally import Walked
from napari_octa_sam2.training.validation import Judged, judge
from napari_octa_sam2.training.walk import walk

INPUT_STEP = 32  # sides of the input are multiples of it
CHECKPOINT_SUFFIXES = (".pt", ".pth", ".safetensors")


@dataclass(frozen=True)
class PromptedWalk:
    """Clips, with prompts of a simulated annotator, through a SAM 2 network."""

    prompts: PromptConfig
    criterion: Criterion
    config: FitConfig

    def __call__(
        self, learner: Trained, batch: Clip, turn: int, share: Share
    ) -> Walked:
        """Return the losses of pass number `turn`."""
        config = self.config
        frames, objects = batch.images.shape[1], batch.masks.shape[1]
        interaction = generator(config.seed, INTERACTION, turn)
        return walk(
            learner.parts,
            batch,
            Interaction.draw(frames, self.prompts, interaction),
            self.prompts,
            self.criterion,
            [
                generator(config.seed, PROMPTS, number, index)
                for number in share.numbers(config, turn)
                for index in range(objects)
            ],
            checkpointing=config.checkpointing,
        )


class PromptedTeacher:
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
        return name if self.base is None else f"{_bare(self.base['name'])}-{name}"

    def ready(self, phase: Phase, samples: Sequence[Sample]) -> Trained:
        """Return the network as it is before the first phase, set up for `phase`."""
        recipe = self.recipe
        if recipe.model:
            model = load_base(recipe)
            fitting = _input_size(phase.clip, model.input_size, samples)
            if fitting != model.input_size:
                model = load_base(replace(recipe, input_size=fitting))
            self.base = {"name": model.name, "sha256": model.sha256}
            network, head = model.network, model.refinement
        else:
            network = build_network(recipe.config, input_size=phase.clip.size or None)
            head = build_refinement(recipe.config)
        if recipe.new_head and head is None:
            head = RefinementHead(recipe.new_head)
        network.appearance = look_of(phase)
        if recipe.class_points and not getattr(network, "classes", ()):
            ask_by_points(network, recipe.class_points)
        trained = Trained(network, head, phase.trained, dense=bool(phase.loss.classes))
        if phase.clip.repeats:
            trained.keep_features(phase.fit.feature_mb)
        return trained

    def clip(self, phase: Phase) -> ClipConfig:
        """Return how clips are cut."""
        return phase.clip

    def walk(self, phase: Phase) -> PromptedWalk:
        """Return how clips of a phase run through the network."""
        return PromptedWalk(
            phase.prompts, Criterion(phase.loss, prompted=True), phase.fit
        )

    def judge(
        self, learner: Trained, samples: Sequence[Sample], clip: ClipConfig
    ) -> Iterator[Judged]:
        """Yield how good the network is on samples, prompted by class or a click."""
        return judge(as_used(self.recipe, learner), samples, clip)

    def write(self, file: Path, learner: Trained) -> None:
        """Write the network: what was trained of it, or all of one from scratch.

        That is in half precision, with its configuration beside it.
        """
        if self.base is not None:
            before = load_base(self.recipe)
            changed = learner.changed(before.network, before.refinement)
            write_tuned(file, changed, origin_of(self.recipe, learner, before))
            return
        from safetensors.torch import save

        whole = learner.network.state_dict()
        if learner.refinement is not None:
            head = learner.refinement.state_dict()
            whole |= {HEAD + key: value for key, value in head.items()}
        halves = {
            key: (value.half() if value.is_floating_point() else value)
            .cpu()
            .contiguous()
            for key, value in whole.items()
        }
        write_whole(file, save(halves))
        config = find_config(self.recipe.config).read_text("utf-8")
        write_whole(file.with_suffix(".yaml"), config)


def load_base(recipe: Recipe) -> LoadedModel:
    """Return the model that a recipe fine-tunes, as it was, at the size of its use."""
    return load_model(
        recipe.model,
        config=recipe.config or None,
        input_size=recipe.input_size or None,
    )


def as_used(recipe: Recipe, trained: Trained) -> LoadedModel:
    """Return a network in training as users would load it."""
    if not recipe.model:
        network = build_network(recipe.config).to(_device(trained))
        network.load_state_dict(trained.network.state_dict())
        return LoadedModel(network, recipe.name, "", trained.refinement)
    base = load_base(recipe)
    origin = origin_of(recipe, trained, base)
    changed = trained.changed(base.network, base.refinement)
    head = put_weights(
        Path(recipe.name), origin, base.network, base.refinement, changed
    )
    for part in (base.network, head):
        if part is not None:
            part.to(_device(trained))
    return LoadedModel(base.network, recipe.name, "", head)


def origin_of(recipe: Recipe, trained: Trained, base: LoadedModel) -> Origin:
    """Return what fine-tuned weights say of themselves."""
    head = () if base.refinement is not None else recipe.new_head
    return Origin(
        base=recipe.model,
        base_sha256=base.sha256,
        config=recipe.config,
        input_size=recipe.input_size,
        adapter=trained.config.adapter,
        head=head,
        appearance=appearance_of(trained.network),
        class_points=getattr(trained.network, "class_points", {}),
    )


def _input_size(clip: ClipConfig, whole: int, samples: Sequence[Sample]) -> int:
    """Return the side of the input at which clips are seen as slices will be."""
    if clip.size or not clip.crop or not samples:
        return clip.size or whole
    side: int = max(samples[0].read().images.shape[-2:])
    return max(2, round(clip.native * whole / side / INPUT_STEP)) * INPUT_STEP


def _device(trained: Trained) -> torch.device:
    device: torch.device = next(trained.network.parameters()).device
    return device


def _bare(name: str) -> str:
    """Return a model's name without the suffix that a checkpoint has."""
    suffix = next((s for s in CHECKPOINT_SUFFIXES if name.endswith(s)), "")
    return name.removesuffix(suffix)
