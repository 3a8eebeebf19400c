"""Prompt records and their file format.

A `Prompt` is one interaction with one object on one slice. Several prompts on the
same slice are successive interactions, in order: each refines the mask of the one
before, as SAM 2 is trained for. So the same file gives the same masks in the
viewer and in the shell.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.volume.geometry import AXES

VERSION = 1
# "capillary" is the mesh between the large vessels, "vessel" all of them together.
CLASSES = ("RV", "artery", "vein", "capillary", "vessel", "FAZ", "other")
SEGMENTABLE = CLASSES[:-1]


@dataclass(frozen=True)
class PromptObject:
    """An object to segment: its label value, name and class (one of `CLASSES`)."""

    id: int
    name: str = ""
    cls: str = "other"

    def __post_init__(self) -> None:
        if not 1 <= self.id <= 65535:
            raise PromptError(f"expected an object id from 1 to 65535, found {self.id}")
        if self.cls not in CLASSES:
            raise PromptError(
                f"object {self.id}: expected a class of {', '.join(CLASSES)}, "
                f"found {self.cls!r}"
            )
        if not self.name:
            object.__setattr__(self, "name", f"object {self.id}")


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
        large vessels. Points and a box may come with it.

    Raises
    ------
    PromptError
        If the record holds nothing, or things that exclude each other.
    """

    object: int
    slice: int
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: np.ndarray | None = None
    absent: bool = False
    whole: str | None = None

    def __post_init__(self) -> None:
        where = f"object {self.object}, slice {self.slice}"
        if len(self.points) != len(self.labels):
            raise PromptError(
                f"{where}: expected one label a point, found {len(self.points)} "
                f"points and {len(self.labels)} labels"
            )
        if any(label not in (0, 1) for label in self.labels):
            raise PromptError(f"{where}: expected labels 0 or 1, found {self.labels}")
        if self.box is not None:
            row0, col0, row1, col1 = self.box
            if not (row0 < row1 and col0 < col1):
                raise PromptError(
                    f"{where}: expected a box (row0, col0, row1, col1) with "
                    f"row0 < row1 and col0 < col1, found {self.box}"
                )
        numbers = [c for p in self.points for c in p] + list(self.box or ())
        if not all(math.isfinite(n) for n in numbers):
            raise PromptError(f"{where}: expected finite coordinates, found {numbers}")
        if self.whole is not None and self.whole not in SEGMENTABLE:
            raise PromptError(
                f"{where}: expected a class of {', '.join(SEGMENTABLE)}, "
                f"found {self.whole!r}"
            )
        asked = bool(self.points) or self.box is not None or self.whole is not None
        kinds = [asked, self.mask is not None]
        if sum([*kinds, self.absent]) != 1:
            raise PromptError(
                f"{where}: expected points, a box, a class, a mask or absent; found "
                + ("none of them" if not any([*kinds, self.absent]) else "several")
            )

    @property
    def positive(self) -> bool:
        """Whether the prompt says where the object is, not only where it is not."""
        return (
            1 in self.labels
            or self.box is not None
            or self.whole is not None
            or (self.mask is not None and bool(self.mask.any()))
        )

    def __eq__(self, other: Any) -> bool:
        """Two prompts are equal if the prompt file holds them the same."""
        return isinstance(other, Prompt) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        mask = None if self.mask is None else (self.mask.shape, self.mask.tobytes())
        where = (self.object, self.slice)
        asked = (self.whole, self.points, self.labels, self.box)
        return (*where, *asked, mask, self.absent)

    def check_inside(self, shape: tuple[int, int, int]) -> None:
        """Raise `PromptError` unless the prompt lies in a volume of `shape`."""
        depth, slow, fast = shape
        where = f"object {self.object}, slice {self.slice}"
        if not 0 <= self.slice < depth:
            raise PromptError(
                f"{where}: expected a slice from 0 to {depth - 1} of this volume"
            )
        for row, col in self.points:
            if not (-0.5 <= row <= slow - 0.5 and -0.5 <= col <= fast - 0.5):
                raise PromptError(
                    f"{where}: the point (row {row:g}, col {col:g}) lies outside the "
                    f"image of {slow} x {fast} pixels; move or delete it"
                )
        if self.box is not None:
            row0, col0, row1, col1 = self.box
            if row1 < 0 or col1 < 0 or row0 > slow - 1 or col0 > fast - 1:
                raise PromptError(
                    f"{where}: the box {self.box} lies outside the image of "
                    f"{slow} x {fast} pixels; move or delete it"
                )
        if self.mask is not None and self.mask.shape != (slow, fast):
            raise PromptError(
                f"{where}: expected a mask of shape {(slow, fast)}, "
                f"found {self.mask.shape}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the record as the prompt file holds it."""
        record: dict[str, Any] = {"object": self.object, "slice": self.slice}
        if self.points:
            record["points"] = [list(p) for p in self.points]
            record["labels"] = list(self.labels)
        if self.box is not None:
            record["box"] = list(self.box)
        if self.mask is not None:
            record["mask"] = encode_mask(self.mask)
        if self.absent:
            record["absent"] = True
        if self.whole is not None:
            record["whole"] = self.whole
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Prompt:
        """Return the prompt of one record of the prompt file."""
        shape = {"points", "labels", "box", "mask", "absent", "whole"}
        known = {"object", "slice", *shape}
        if unknown := set(record) - known:
            raise PromptError(
                f"unknown keys {sorted(unknown)} in a prompt; expected {sorted(known)}"
            )
        try:
            points = tuple((float(r), float(c)) for r, c in record.get("points", ()))
            box = record.get("box")
            if box is not None:
                row0, col0, row1, col1 = (float(x) for x in box)
                box = (row0, col0, row1, col1)
            mask = record.get("mask")
            return cls(
                object=_integer(record["object"]),
                slice=_integer(record["slice"]),
                points=points,
                labels=tuple(_integer(x) for x in record.get("labels", ())),
                box=box,
                mask=None if mask is None else decode_mask(mask),
                absent=bool(record.get("absent", False)),
                whole=record.get("whole"),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, PromptError):
                raise
            raise PromptError(
                f"malformed prompt {json.dumps(record, default=str)[:200]}: "
                f"{type(error).__name__} {error}"
            ) from error


@dataclass(frozen=True)
class PromptSet:
    """Objects and their prompts, in the order in which they were given."""

    objects: tuple[PromptObject, ...] = ()
    prompts: tuple[Prompt, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        ids = [o.id for o in self.objects]
        if doubles := sorted({i for i in ids if ids.count(i) > 1}):
            raise PromptError(f"object ids {doubles} occur more than once")
        missing = {p.object for p in self.prompts} - set(ids)
        if missing:
            objects = (*self.objects, *(PromptObject(i) for i in sorted(missing)))
            object.__setattr__(self, "objects", objects)

    def by_slice(self) -> dict[tuple[int, int], list[Prompt]]:
        """Return the prompts of each ``(object, slice)``, in order."""
        groups: dict[tuple[int, int], list[Prompt]] = {}
        for prompt in self.prompts:
            groups.setdefault((prompt.object, prompt.slice), []).append(prompt)
        return groups

    def require_usable(self, shape: tuple[int, int, int]) -> None:
        """Raise `PromptError` unless every object can be segmented in `shape`."""
        if not self.prompts:
            raise PromptError("no prompt: click on an object or add prompts first")
        for prompt in self.prompts:
            prompt.check_inside(shape)
        for obj in self.objects:
            if not any(p.positive for p in self.prompts if p.object == obj.id):
                raise PromptError(
                    f"object {obj.id} ({obj.name}) has no positive prompt: click on it "
                    "on a slice where it is seen, or remove the object"
                )

    def to_json(self) -> dict[str, Any]:
        """Return the content of the prompt file."""
        return {
            "version": VERSION,
            "axes": list(AXES),
            "objects": [
                {"id": o.id, "name": o.name, "class": o.cls} for o in self.objects
            ],
            "prompts": [p.to_json() for p in self.prompts],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PromptSet:
        """Return the prompts of a decoded prompt file."""
        if not isinstance(content, Mapping):
            raise PromptError(
                f"expected a JSON object with 'prompts', found {type(content).__name__}"
            )
        if content.get("version") != VERSION:
            raise PromptError(
                f"expected a prompt file of version {VERSION}, "
                f"found {content.get('version')!r}"
            )
        if list(content.get("axes", AXES)) != list(AXES):
            raise PromptError(
                f"expected axes {list(AXES)}, found {content.get('axes')!r}"
            )
        try:
            objects = tuple(
                PromptObject(
                    id=_integer(o["id"]),
                    name=str(o.get("name", "")),
                    cls=str(o.get("class", "other")),
                )
                for o in content.get("objects", ())
            )
            prompts = tuple(Prompt.from_json(p) for p in content.get("prompts", ()))
        except (KeyError, TypeError, AttributeError) as error:
            raise PromptError(
                f"malformed prompt file: {type(error).__name__} {error}"
            ) from error
        return cls(objects, prompts)

    def write(self, path: str | Path) -> None:
        """Write the prompt file; an existing one is replaced in one step."""
        path = Path(path)
        partial = path.with_name(path.name + ".part")
        partial.write_text(json.dumps(self.to_json(), indent=1) + "\n", "utf-8")
        partial.replace(path)

    @classmethod
    def read(cls, path: str | Path) -> PromptSet:
        """Read a prompt file.

        Raises
        ------
        PromptError
            If the file is missing, empty, no JSON, or not as the format says.
        """
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PromptError(f"cannot read the prompt file {path}: {error}") from error
        if not text.strip():
            raise PromptError(f"{path}: the prompt file is empty")
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise PromptError(
                f"{path}: not valid JSON at line {error.lineno}, column {error.colno}: "
                f"{error.msg}"
            ) from error
        try:
            return cls.from_json(content)
        except PromptError as error:
            raise PromptError(f"{path}: {error}") from error


def encode_mask(mask: np.ndarray) -> dict[str, list[int]]:
    """Return a mask as row-major run lengths, the first run being background."""
    flat = np.asarray(mask, bool).ravel()
    changes = np.flatnonzero(np.diff(flat, prepend=False, append=not flat[-1]))
    counts = np.diff(changes, prepend=0)
    return {"size": list(mask.shape), "counts": counts.tolist()}


def decode_mask(record: Mapping[str, Iterable[int]]) -> np.ndarray:
    """Return the mask of `encode_mask`."""
    rows, cols = (int(n) for n in record["size"])
    counts = np.asarray(list(record["counts"]), int)
    if rows < 1 or cols < 1 or (counts < 0).any() or counts.sum() != rows * cols:
        raise PromptError(
            f"expected run lengths that add up to {rows} x {cols} pixels, "
            f"found {int(counts.sum())}"
        )
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(rows, cols)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value:
        raise TypeError(f"expected an integer, found {value!r}")
    return int(value)
