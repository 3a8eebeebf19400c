"""The settings of a training, as a recipe's file and ``--set`` give them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from napari_octa_sam2.errors import TrainingError
from napari_octa_sam2.model.adapters.config import AdapterConfig
from napari_octa_sam2.prompts import SEGMENTABLE
from napari_octa_sam2.training.data.effects import check_effects

PromptKind = Literal["click", "clicks", "box", "mask"]
Placing = Literal["random", "components", "centroids", "keypoints"]


@dataclass(frozen=True)
class DataConfig:
    """What is learned from.

    Parameters
    ----------
    mix : mapping of str to float
        Share of each source: ``"given"`` (the data sets that are named),
        ``"phantom volumes"`` and ``"phantom projections"`` (synthetic).
    projections : tuple of str
        Slabs of an OCTA-500 subject that make a sample, in order.
    as_channels : bool
        Whether the projections are the three channels of one slice, rather than three
        slices.
    colours : str
        Pseudo-colours that grey slices are shown in (`model.appearance.COLOURS`).
    field_of_view : {"", "3M", "6M"}
        Field of view to which OCTA-500 is limited; empty for both.
    holdout : {"official", "fraction", "folds", "none"}
        How subjects are held out for validation: by the official ids of OCTA-500, at
        random, one of several folds, or not at all.
    fraction : float
        Share of the subjects held out by ``"fraction"``.
    folds, fold : int
        Number of folds, and which of them is held out.
    subjects : int
        Largest number of subjects to train on, chosen at random; 0 for all.
    seed : int
        Of the choice of subjects and of the hold-out.
    window : tuple of float
        Percentiles of the grey values that become 0 and 1.
    """

    mix: dict[str, float] = field(default_factory=lambda: {"given": 1.0})
    projections: tuple[str, ...] = ("ILM_OPL",)
    as_channels: bool = False
    colours: str = ""
    field_of_view: Literal["", "3M", "6M"] = ""
    holdout: Literal["official", "fraction", "folds", "none"] = "official"
    fraction: float = 0.2
    folds: int = 10
    fold: int = 0
    subjects: int = 0
    seed: int = 42
    window: tuple[float, float] = (0.5, 99.8)


@dataclass(frozen=True)
class ClipConfig:
    """How clips are cut.

    Parameters
    ----------
    frames : int
        Slices in a clip, but no more than the samples of given data have. Beside
        synthetic volumes, scenes with one slice give clips of that slice repeated with
        fresh noise, as the projections of one scan look alike.
    least_frames : int
        Fewest slices, if the number is drawn anew for every step; 0 for always
        `frames`.
    crop : bool
        Whether a clip is a window of the slices; else they are scaled to `native`.
    native : int
        Side of the clip in pixels, at which masks are refined.
    size : int
        Side of the network's input, to which the clip is scaled; 0 scales it as the
        model scales whole slices of the data.
    objects : int
        Objects followed in a clip; without any, a clip teaches the classes alone.
    labels : tuple of str
        Classes that objects are taken from; all that have truth if empty.
    zoom : tuple of float
        Smallest and largest magnification, drawn evenly in its logarithm: pixels
        of other scanners, and of other fields.
    tilt : float
        Largest rotation besides quarter turns, in degrees.
    quarter_turns, mirror : bool
        Whether clips are turned by quarters, and mirrored, at random.
    max_stride : int
        Largest step between two slices of the clip; 0 for as far as they reach.
    whole : float
        Share of objects that are a whole class, asked for by name.
    pieces : float
        Share of the others that are one connected piece: of all large vessels, as
        data sets outline them, or else of the FAZ.
    absent : float
        Share of whole classes that may be absent from the clip.
    min_area : int
        Smallest area of a single object on the first slice, in pixels of the clip.
    effects : mapping of str to float
        Share of clips that each of `training.data.effects.EFFECTS` changes; one draw
        serves all slices of a clip.
    """

    frames: int = 1
    least_frames: int = 0
    crop: bool = True
    native: int = 160
    size: int = 256
    objects: int = 4
    labels: tuple[str, ...] = ()
    zoom: tuple[float, float] = (0.85, 2.0)
    tilt: float = 15.0
    quarter_turns: bool = True
    mirror: bool = True
    max_stride: int = 2
    whole: float = 0.5
    pieces: float = 0.5
    absent: float = 0.15
    min_area: int = 24
    effects: dict[str, float] = field(default_factory=lambda: {"scanner": 1.0})

    def __post_init__(self) -> None:
        check_effects(self.effects)
        if unknown := sorted(set(self.labels) - set(SEGMENTABLE)):
            raise TrainingError(
                f"expected classes of {', '.join(SEGMENTABLE)}, found {unknown[0]!r}"
            )
        if self.frames < 1 or self.native < 16 or self.objects < 0:
            raise TrainingError(
                "expected at least one slice, 16 pixels a side and no negative number "
                f"of objects in a clip, found {self.frames}, {self.native} and "
                f"{self.objects}"
            )

    @property
    def repeats(self) -> bool:
        """Whether the same slices come again unchanged."""
        still = self.zoom == (1.0, 1.0) and self.tilt == 0
        return still and not self.crop and not any(self.effects.values())

    def draw_frames(self, rng: np.random.Generator) -> int:
        """Return the number of slices in the clips of a step."""
        return int(rng.integers(self.least_frames or self.frames, self.frames + 1))


@dataclass(frozen=True)
class PromptConfig:
    """How the simulated annotator prompts an object.

    Parameters
    ----------
    kinds : mapping of str to float
        Share of the first prompts that are one ``"click"``, several ``"clicks"``, a
        ``"box"`` or a ``"mask"``.
    positives, negatives : (int, int)
        Fewest and most clicks of each sign where there are several.
    placing : {"random", "components", "centroids", "keypoints"}
        Where clicks go: random pixels; one in every connected component of at least
        `least_area` pixels, and one beside it where clicks are negative, before
        random pixels; the same, but at the pixel nearest to its centroid; or ends and
        bifurcations of the mask's skeleton before random pixels.
    deepest : float
        Share of first clicks that are the pixel farthest from the border.
    ring : (int, int)
        Distance band around the object, in pixels, in which negative clicks lie.
    least_area : int
        Smallest component that is clicked on, in pixels.
    box_jitter : float
        Largest shift of a side of a box, as a share of the image's side.
    box_of : {"object", "largest"}
        Whether a box holds all of the object or its largest component.
    box_moves : {"sides", "whole"}
        Whether each side of a box is moved by itself, or the box as a whole.
    corrections : tuple of float
        Probabilities of 0, 1, 2 … rounds of corrections on the first slice.
    clicks_a_round : tuple of int
        Number of clicks of a round, one of these at random.
    correct_at : {"centre", "random"}
        Whether corrections go to the centre of the largest error, or to random wrong
        pixels.
    mask_rounds : bool
        Whether one random round and the last have the mask before as only prompt.
    slices : (int, int)
        Fewest and most prompted slices of a clip: the first, the last, the middle.
    every : int
        Prompts every n-th slice instead, if above 0.
    late : float
        Share of clips with one correction click on a later slice.
    absent_mask : bool
        Whether an object that is absent from a prompted slice is shown as an empty
        mask there; else the slice goes without a prompt.
    same_points : bool
        Whether all prompted slices get the points of the first.
    """

    kinds: dict[PromptKind, float] = field(
        default_factory=lambda: {"click": 0.5, "clicks": 0.2, "box": 0.2, "mask": 0.1}
    )
    positives: tuple[int, int] = (2, 5)
    negatives: tuple[int, int] = (0, 0)
    placing: Placing = "random"
    deepest: float = 0.5
    ring: tuple[int, int] = (3, 9)
    least_area: int = 20
    box_jitter: float = 0.02
    box_of: Literal["object", "largest"] = "object"
    box_moves: Literal["sides", "whole"] = "sides"
    corrections: tuple[float, ...] = (0.3, 0.3, 0.25, 0.15)
    clicks_a_round: tuple[int, ...] = (1,)
    correct_at: Literal["centre", "random"] = "centre"
    mask_rounds: bool = False
    slices: tuple[int, int] = (1, 1)
    every: int = 0
    late: float = 0.25
    absent_mask: bool = False
    same_points: bool = False


@dataclass(frozen=True)
class TrainedConfig:
    """What is trained.

    Parameters
    ----------
    parts : mapping of str to float
        Learning rate of each part that is trained; the rest stays as it is. The parts
        are ``"adapters"``, ``"refinement"``, ``"mask_decoder"``, ``"prompt_encoder"``,
        ``"memory"``, ``"neck"``, ``"encoder"`` and ``"network"`` (all of SAM 2).
    adapter : AdapterConfig
    batch_statistics : bool
        Whether batch normalisation learns from the clips of a step, as it must from
        scratch; fine-tuning on a few clips keeps the statistics it has.
    """

    parts: dict[str, float]
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    batch_statistics: bool = False


@dataclass(frozen=True)
class LossConfig:
    """Weight of each loss, by name.

    Parameters
    ----------
    shown : mapping of str to float
        On the masks as the user sees them, at the slice's own resolution: the mask
        losses of `training.losses`, and ``"iou_l1"``, ``"iou_mse"``,
        ``"iou_soft_mse"`` (of the predicted IoU) and ``"object_score"``.
    grid : mapping of str to float
        The same on the decoder's own grid, of every pass.
    classes : mapping of str to float
        Mask losses of whole classes, on what the refinement head and the encoder see;
        none for a network without a head.
    click_weight : float
        How many times more pixels near a click weigh in the ``"bce"`` of `shown`.
    """

    shown: dict[str, float] = field(default_factory=lambda: {"dice": 1.0})
    grid: dict[str, float] = field(default_factory=dict)
    classes: dict[str, float] = field(default_factory=dict)
    click_weight: float = 1.0


@dataclass(frozen=True)
class FitConfig:
    """How long, and how, weights are fitted.

    Parameters
    ----------
    steps : int
        Optimiser steps; 0 where `epochs` or `minutes` say how long.
    epochs : float
        Passes over the training samples, each drawn once on average.
    minutes : float
        Budget of training time; the schedule ends with it. Whichever of the three
        ends first ends the training.
    clips : int
        Clips a step, in each process.
    accumulate : int
        Passes of `clips` whose gradients make one step.
    optimiser : {"adamw", "adam", "prodigy"}
    schedule : {"constant", "cosine", "decay", "multistep"}
        Of the learning rates after the warm-up: to `floor` along a cosine, by `gamma`
        an epoch, or by `gamma` at each of `milestones` (epochs).
    warmup : int
        Steps over which the learning rates rise from 0.
    gamma : float
    milestones : tuple of int
    floor : float
        Share of the learning rates below which no schedule goes.
    weight_decay : float
    clip_norm : float
        Largest norm of the gradient; 0 does not clip.
    separate_updates : bool
        Whether the loss of prompted slices moves all but the memory, and the loss of
        the other slices the memory alone.
    average : float
        Decay a step of the moving average of the weights that is the result, less in
        the first steps; 0 takes the weights themselves.
    precision : {"fp32", "bf16", "fp16"}
        Of the passes through the network; weights and losses are float32.
    checkpointing : bool
        Whether activations are computed again in the backward pass, slice by slice,
        which takes longer and a fraction of the memory.
    feature_mb : float
        Memory, in units of 10^6 bytes, for the features of slices that come again
        unchanged to an encoder that is not trained; 0 makes them anew every time.
    seed : int
    workers : int
        Processes that prepare clips; 0 prepares them in this one.
    save_every : float
        Seconds between two checkpoints.
    validate_every : int
        Steps between two validations; 0 validates at the beginning and at the end.
    patience : int
        Validations without a better one after which training stops; 0 never.
    trackers : tuple of str
        ``"wandb"`` or ``"mlflow"``, besides the CSV files and TensorBoard.
    """

    steps: int = 0
    epochs: float = 0
    minutes: float = 0
    clips: int = 1
    accumulate: int = 1
    optimiser: Literal["adamw", "adam", "prodigy"] = "adamw"
    schedule: Literal["constant", "cosine", "decay", "multistep"] = "cosine"
    warmup: int = 0
    gamma: float = 0.98
    milestones: tuple[int, ...] = ()
    floor: float = 0.01
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    separate_updates: bool = False
    average: float = 0.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    checkpointing: bool = False
    feature_mb: float = 2000.0
    seed: int = 0
    workers: int = 1
    save_every: float = 60.0
    validate_every: int = 0
    patience: int = 0
    trackers: tuple[Literal["wandb", "mlflow"], ...] = ()

    def __post_init__(self) -> None:
        if not (self.steps > 0 or self.epochs > 0 or self.minutes > 0):
            raise TrainingError(
                "expected to know how long to train; give fit.steps, fit.epochs or "
                "fit.minutes"
            )
        if self.clips < 1 or self.accumulate < 1:
            raise TrainingError(
                "expected at least one clip a step and one pass, found fit.clips "
                f"{self.clips} and fit.accumulate {self.accumulate}"
            )
