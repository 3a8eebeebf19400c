"""One interaction with one object on one slice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.prompts.checks import problems, problems_inside
from napari_octa_sam2.prompts.fields import Vertex, integer, vertices
from napari_octa_sam2.prompts.masks import decode_mask, encode_mask, polygon_mask
from napari_octa_sam2.prompts.scribbles import Scribble

KINDS = ("points", "labels", "scribbles", "box", "mask", "polygon", "absent", "whole")
KEYS = {"object", "slice", *KINDS, "confidence"}


@dataclass(frozen=True, eq=False)
class Prompt:
    """One interaction.

    Parameters
    ----------
    object : int
        Id of the object.
    slice : int
        Index along the propagation axis.
    points : tuple of (row, col)
        In pixels of the original slice; integers are pixel centres.
    labels : tuple of int
        One a point: 1 positive, 0 negative.
    box : (row0, col0, row1, col1), optional
    mask : numpy.ndarray of bool, optional
        Shape ``(slow, fast)``; taken as the mask of the slice. Excludes the others.
    absent : bool
        The object is not on this slice. Excludes the others.
    whole : str, optional
        One of `SEGMENTABLE`: everything of that class on this slice, such as all
        large vessels. Points, scribbles and a box may come with it.
    scribbles : tuple of Scribble
        Drawn lines, given to the network as clicks along them.
    polygon : tuple of (row, col), optional
        Outline of the object, three vertices at least; what it encloses is taken as
        the mask of the slice. Excludes the others.
    confidence : float
        How sure whoever gave the mask, or said absent, is of it, 0 to 1: 1 for what
        somebody drew, less for what a network found without being asked.

    Raises
    ------
    PromptError
        If the record holds nothing, or things that exclude each other.
    """

    object: int
    slice: int
    points: tuple[Vertex, ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: np.ndarray | None = None
    absent: bool = False
    whole: str | None = None
    scribbles: tuple[Scribble, ...] = ()
    polygon: tuple[Vertex, ...] | None = None
    confidence: float = 1.0

    def __post_init__(self) -> None:
        if problem := next(problems(self), None):
            raise PromptError(f"{self._where}: {problem}")

    @property
    def clicks(self) -> tuple[tuple[float, float, int], ...]:
        """Points, then those of the scribbles, as ``(row, col, label)``."""
        points = zip(self.points, self.labels, strict=True)
        along = (click for scribble in self.scribbles for click in scribble.clicks)
        return (*((row, col, label) for (row, col), label in points), *along)

    @property
    def gives_mask(self) -> bool:
        """Whether the mask of the slice is given, as such or by its outline."""
        return self.mask is not None or self.polygon is not None

    @property
    def positive(self) -> bool:
        """Whether the prompt says where the object is, not only where it is not."""
        return (
            1 in (*self.labels, *(s.label for s in self.scribbles))
            or self.box is not None
            or self.whole is not None
            or self.polygon is not None
            or (self.mask is not None and bool(self.mask.any()))
        )

    def given(self, shape: tuple[int, int]) -> np.ndarray | None:
        """Return the mask that is given for the slice, if one is.

        Parameters
        ----------
        shape : (slow, fast)
            Rows and columns of the slice.

        Returns
        -------
        numpy.ndarray of bool, optional
            Of a polygon, the pixels whose centres lie inside.
        """
        if self.polygon is not None:
            return polygon_mask(self.polygon, shape)
        return self.mask

    def __eq__(self, other: Any) -> bool:
        """Two prompts are equal if the prompt file holds them the same."""
        return isinstance(other, Prompt) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        mask = None if self.mask is None else (self.mask.shape, self.mask.tobytes())
        where = (self.object, self.slice)
        asked = (self.whole, self.points, self.labels, self.scribbles, self.box)
        given = (mask, self.polygon, self.absent, self.confidence)
        return (*where, *asked, *given)

    @property
    def _where(self) -> str:
        return f"object {self.object}, slice {self.slice}"

    def check_inside(self, shape: tuple[int, int, int]) -> None:
        """Raise `PromptError` unless the prompt lies in a volume of `shape`."""
        depth, slow, fast = shape
        if not 0 <= self.slice < depth:
            raise PromptError(
                f"{self._where}: expected a slice from 0 to {depth - 1} of this volume"
            )
        if problem := next(problems_inside(self, slow, fast), None):
            raise PromptError(f"{self._where}: {problem}")

    def to_json(self) -> dict[str, Any]:
        """Return the record as the prompt file holds it."""
        record: dict[str, Any] = {"object": self.object, "slice": self.slice}
        if self.points:
            record["points"] = [list(p) for p in self.points]
            record["labels"] = list(self.labels)
        if self.scribbles:
            record["scribbles"] = [s.to_json() for s in self.scribbles]
        if self.box is not None:
            record["box"] = list(self.box)
        if self.mask is not None:
            record["mask"] = encode_mask(self.mask)
        if self.polygon is not None:
            record["polygon"] = [list(v) for v in self.polygon]
        if self.absent:
            record["absent"] = True
        if self.whole is not None:
            record["whole"] = self.whole
        if self.confidence < 1:
            record["confidence"] = self.confidence
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Prompt:
        """Return the prompt of one record of the prompt file."""
        if unknown := set(record) - KEYS:
            raise PromptError(
                f"unknown keys {sorted(unknown)} in a prompt; expected {sorted(KEYS)}"
            )
        try:
            box, mask = record.get("box"), record.get("mask")
            polygon = record.get("polygon")
            if box is not None:
                row0, col0, row1, col1 = (float(x) for x in box)
                box = (row0, col0, row1, col1)
            return cls(
                object=integer(record["object"]),
                slice=integer(record["slice"]),
                points=vertices(record.get("points", ())),
                labels=tuple(integer(x) for x in record.get("labels", ())),
                box=box,
                mask=None if mask is None else decode_mask(mask),
                absent=bool(record.get("absent", False)),
                whole=record.get("whole"),
                scribbles=tuple(map(Scribble.from_json, record.get("scribbles", ()))),
                polygon=None if polygon is None else vertices(polygon),
                confidence=float(record.get("confidence", 1.0)),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, PromptError):
                raise
            raise PromptError(
                f"malformed prompt {json.dumps(record, default=str)[:200]}: "
                f"{type(error).__name__} {error}"
            ) from error
