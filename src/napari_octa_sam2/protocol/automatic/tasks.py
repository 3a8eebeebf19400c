"""What is looked for without a prompt, and which figures stand for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from napari_octa_sam2.metrics.segmentation.overlap import dice
from napari_octa_sam2.metrics.segmentation.topology import cldice
from napari_octa_sam2.protocol.frangi import best_dice
from napari_octa_sam2.protocol.records import (
    AUTO_CLDICE,
    AUTO_DICE,
    FRANGI_DICE,
    Sample,
    Target,
)
from napari_octa_sam2.protocol.targets import EN_FACE
from napari_octa_sam2.protocol.tasks import EnFaceTask, Find

ABOVE = "above Frangi"  # 1 or 0; the mean is the share of images
RIVALLED = "RV"  # the class of vessels that a ridge filter finds
ABOVE_LEAST = {"rv-enface-3mm": 0.95, "rv-enface-6mm": 0.95}


@dataclass(frozen=True)
class FindTask:
    """Find everything of a class on en-face images.

    Parameters
    ----------
    name, title : str
    find : callable
        Returns the samples of a folder by split.
    cls : str
        What is looked for, and what the truth shows.
    targets : mapping of str to Target
        By figure.
    """

    name: str
    title: str
    find: Find
    cls: str
    targets: Mapping[str, Target] = field(default_factory=dict)

    @classmethod
    def of(cls, task: EnFaceTask) -> FindTask:
        """Return the task without clicks: same images, same targets."""
        keys = {"dice": AUTO_DICE, "cldice": AUTO_CLDICE}
        targets = {keys[kind]: Target(value) for kind, value in task.least.items()}
        if task.name in ABOVE_LEAST:
            targets[ABOVE] = Target(ABOVE_LEAST[task.name])
        return cls(task.name, task.title, task.find, task.cls, targets)

    @property
    def prompts(self) -> str:
        """How objects are prompted, in words."""
        return f"none, {self.cls} is looked for"

    @property
    def judged(self) -> tuple[str, ...]:
        """Keys of the figures that stand for the task."""
        if self.cls == "FAZ":
            return (AUTO_DICE,)  # a disc has no centre line worth the name
        both = (AUTO_DICE, AUTO_CLDICE)
        return (*both, ABOVE) if self.cls == RIVALLED else both

    def judge(
        self, found: np.ndarray, image: np.ndarray, truth: np.ndarray, name: str
    ) -> Sample:
        """Return the figures of a mask that was found on an image.

        Parameters
        ----------
        found, truth : numpy.ndarray of bool
            Shape ``(slow, fast)``; the truth is not empty.
        image : numpy.ndarray
        name : str
        """
        values = {AUTO_DICE: dice(found, truth)}
        if AUTO_CLDICE in self.judged:
            values[AUTO_CLDICE] = cldice(found, truth)
        if ABOVE in self.judged:
            values[FRANGI_DICE] = best_dice(image, truth)
            values[ABOVE] = float(values[AUTO_DICE] > values[FRANGI_DICE])
        return Sample(name, values)


TASKS = tuple(FindTask.of(task) for task in EN_FACE)
