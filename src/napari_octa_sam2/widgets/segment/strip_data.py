"""What the confidence strip shows, where slices lie in it, and its colours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from napari_octa_sam2.errors import VolumeError

# From orange to blue, which stay apart for readers who are colour-blind; both ends are
# dark enough for a white background and light enough for a black one.
RAMP = {
    0.0: (203, 75, 22),
    0.4: (240, 146, 56),
    0.65: (246, 211, 122),
    0.85: (126, 188, 214),
    1.0: (38, 116, 184),
}
NICE = (1, 2, 5)


@dataclass(frozen=True, eq=False)
class StripRow:
    """One object.

    Parameters
    ----------
    id : int
    name : str
    colour : (red, green, blue, alpha)
        From 0 to 1.
    confidence : numpy.ndarray
        Confidence on each slice, 0 to 1, nan where unknown; shape ``(depth,)``.
    prompted, locked, absent : frozenset of int
        Slices with prompts; slices that were verified; slices with an empty mask.
    agreement : numpy.ndarray, optional
        Agreement of the way out and the way back, as `confidence`. The colour of a cell
        is that of the lower of the two.
    """

    id: int
    name: str
    colour: tuple[float, float, float, float]
    confidence: np.ndarray
    prompted: frozenset[int] = frozenset()
    locked: frozenset[int] = frozenset()
    absent: frozenset[int] = frozenset()
    agreement: np.ndarray | None = None

    @property
    def certainty(self) -> np.ndarray:
        """The lower of confidence and agreement."""
        if self.agreement is None:
            return self.confidence
        return np.fmin(self.confidence, self.agreement)

    def describe(self, index: int) -> str:
        """Return what is known of a slice, in words."""
        values = {"confidence": self.confidence, "agreement": self.agreement}
        known = [
            f"{name} {array[index]:.0%}"
            for name, array in values.items()
            if array is not None and not math.isnan(array[index])
        ]
        marks = ("prompted", "locked", "absent")
        said = [mark for mark in marks if index in getattr(self, mark)]
        facts = ", ".join([*known, *said]) or "not visited yet"
        return f"{self.name}, slice {index}\n{facts}"


@dataclass(frozen=True, eq=False)
class StripData:
    """What a strip shows.

    Parameters
    ----------
    depth : int
        Slices of the volume.
    rows : tuple of StripRow
        The objects, from top to bottom.
    current : int
        The slice that is shown in the viewer.
    spacing_mm : float, optional
        Distance of two slices.

    Raises
    ------
    VolumeError
        If a row has not one value a slice.
    """

    depth: int
    rows: tuple[StripRow, ...]
    current: int = 0
    spacing_mm: float | None = None

    def __post_init__(self) -> None:
        for row in self.rows:
            for values in (row.confidence, row.agreement):
                if values is not None and values.shape != (self.depth,):
                    raise VolumeError(
                        f"{row.name}: expected a value for each of {self.depth} "
                        f"slices, found an array of shape {values.shape}"
                    )


@dataclass(frozen=True)
class Scale:
    """Where slices lie: `depth` of them from pixel `left` on, `width` pixels in all."""

    left: int
    width: int
    depth: int

    def slices_at(self, x: float) -> range:
        """Return the slices under a pixel: one, or several where they are narrow."""
        column = min(max(int(x) - self.left, 0), self.width - 1)
        first = column * self.depth // self.width
        return range(first, max(first + 1, (column + 1) * self.depth // self.width))

    def centre(self, index: int) -> float:
        """Return the middle of a slice, or of the pixel that it shares with others."""
        if self.depth <= self.width:
            return self.left + (index + 0.5) * self.width / self.depth
        behind = -(-(index + 1) * self.width // self.depth)  # rounded up
        return self.left + behind - 0.5

    def columns(self, values: np.ndarray) -> np.ndarray:
        """Return the least known value under each pixel; `values` ``(rows, depth)``."""
        starts = np.arange(self.width) * self.depth // self.width
        if self.depth <= self.width:
            return values[:, starts]
        least: np.ndarray = np.fmin.reduceat(values, starts, axis=1)
        return least

    def tick_step(self, apart: float) -> int:
        """Return the step of round slice numbers at least `apart` pixels apart."""
        decade = 1
        while True:
            for nice in NICE:
                if nice * decade * self.width / self.depth >= apart:
                    return nice * decade
            decade *= 10


def confidence_colours(values: np.ndarray) -> np.ndarray:
    """Return the colours of confidences as RGBA, uint8; transparent for nan."""
    known = np.nan_to_num(values)
    channels = np.array(list(RAMP.values())).T
    colours = [np.interp(known, list(RAMP), channel) for channel in channels]
    opacity = np.where(np.isnan(values), 0.0, 255.0)
    return np.stack([*colours, opacity], -1).round().astype(np.uint8)
