"""Scenes: stacks of slices with truth, and the samples of a data set that hold them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


@dataclass(frozen=True, eq=False)
class Scene:
    """A stack of slices and the objects in it.

    Parameters
    ----------
    images : numpy.ndarray
        Floats in 0..1, shape ``(depth, slow, fast)``, or ``(depth, 3, slow, fast)``
        where each slice is a composite of three.
    instances : numpy.ndarray
        Labels of single objects, shape ``(depth, slow, fast)``, 0 for background.
    classes : mapping of str to numpy.ndarray
        Boolean masks of whole classes (`prompts.SEGMENTABLE`), same shape; those for
        which there is truth.
    labelled : numpy.ndarray, optional
        Which slices have truth, boolean ``(depth,)``; by default all.
    alike : bool
        Whether the slices show the same structures (projections of one scan) rather
        than neighbouring depths.
    """

    images: np.ndarray
    instances: np.ndarray
    classes: dict[str, np.ndarray]
    labelled: np.ndarray | None = None
    alike: bool = False


@dataclass(frozen=True, eq=False)
class Sample:
    """One entry of a data set, read when it is needed.

    Parameters
    ----------
    name : str
        Unique in its data set, such as ``"10301"`` or ``"10301 RV 08"``.
    subject : str
        Whom it is of: training and validation never share a subject.
    files : tuple of Path
        What it is read from; hashed into the record of a training.
    read : callable
        Returns the scene.

    Notes
    -----
    `read` raises `ReadError` with the file's name where a file is damaged, or where
    image and mask differ in size.
    """

    name: str
    subject: str
    files: tuple[Path, ...]
    read: Callable[[], Scene]


class Source(Protocol):
    """Anything that draws scenes."""

    def draw(self, rng: np.random.Generator, turn: int) -> Scene:
        """Return a scene; the same generator state and turn give the same scene.

        Parameters
        ----------
        rng : numpy.random.Generator
        turn : int
            Running number of the draw, of which a source that keeps costly scenes
            makes its choice.
        """
        ...


def normalised(
    data: np.ndarray, window: tuple[float, float] = (0.5, 99.8)
) -> np.ndarray:
    """Return `data` scaled as the engine scales a volume, once as a whole.

    Parameters
    ----------
    data : numpy.ndarray
    window : tuple of float
        Percentiles of the grey values that become 0 and 1.
    """
    from napari_octa_sam2.engine.frames import intensity_window

    low, high = intensity_window(data, window)
    scaled = (data.astype(np.float32) - low) / (high - low)
    clipped = np.clip(np.nan_to_num(scaled, posinf=1.0), 0, 1)
    return np.asarray(clipped, np.float32)
