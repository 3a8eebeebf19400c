"""Prompts and labels of one volume, and every step that led there."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from napari_octa_sam2.prompts import PromptObject, PromptSet

Event = Mapping[str, Any]
STEPS = 200  # that can be undone
BLANK = b""


@dataclass(eq=False)
class Step:
    """What one action of the user changed.

    Parameters
    ----------
    id : int
    before, after : PromptSet
    slices : dict of int to (bytes, bytes)
        Labels of the slices that changed, before and after, as `pack` makes them.
    """

    id: int
    before: PromptSet
    after: PromptSet
    slices: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)


class Document:
    """Objects, prompts, locks and labels of one volume, with undo and redo.

    Each change is told as an event that JSON can hold; a new document that is told the
    same events is the same document, with the same history.

    Parameters
    ----------
    shape : (int, int, int)
        Of the volume, ``(depth, slow, fast)``.
    tell : callable
        Called with every event.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        tell: Callable[[dict[str, Any]], None] = lambda event: None,
    ) -> None:
        self.shape = shape
        self.prompts = PromptSet((PromptObject(1),))
        self.tell = tell
        self._steps: list[Step] = []
        self._undone: list[Step] = []
        self._begun = 0
        self._packed: dict[int, bytes] = {}

    @property
    def step(self) -> int:
        """Number of the last step begun and not undone; 0 before the first."""
        return self._steps[-1].id if self._steps else 0

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._steps)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to do again."""
        return bool(self._undone)

    def labels(self, index: int) -> np.ndarray:
        """Return a copy of the labels of a slice, ``(slow, fast)``."""
        return unpack(self._packed.get(index, BLANK), self.shape[1:])

    def labelled_slices(self) -> list[int]:
        """Return the slices that hold a label, in order."""
        return sorted(self._packed)

    def volume(self) -> np.ndarray:
        """Return the labels of all slices, ``(depth, slow, fast)``."""
        slices = {i: self.labels(i) for i in self.labelled_slices()}
        dtype = max((s.dtype for s in slices.values()), default=np.dtype(np.uint8))
        labels = np.zeros(self.shape, dtype)
        for index, content in slices.items():
            labels[index] = content
        return labels

    def copy(self) -> Document:
        """Return prompts and labels without the history, for another thread."""
        copied = Document(self.shape)
        copied.prompts, copied._packed = self.prompts, dict(self._packed)
        return copied

    def slices_of(self, step: int) -> list[int]:
        """Return the slices whose labels a step changed."""
        found = [s for s in self._steps if s.id == step]
        return sorted(found[0].slices) if found else []

    def begin(self) -> int:
        """Begin a step: what follows is undone together. Return its number."""
        self._begun += 1
        self._steps.append(Step(self._begun, self.prompts, self.prompts))
        del self._steps[:-STEPS]
        self._undone.clear()
        self.tell({"do": "begin"})
        return self._begun

    def set_prompts(self, prompts: PromptSet) -> None:
        """Make `prompts` the present ones, as part of the last step."""
        if prompts == self.prompts:
            return
        self.tell({"do": "prompts", **_difference(self.prompts, prompts)})
        self.prompts = prompts
        if self._steps:
            self._steps[-1].after = prompts

    def write(
        self,
        index: int,
        labels: np.ndarray,
        step: int | None = None,
        *,
        by_engine: bool = False,
    ) -> bool:
        """Make `labels` those of a slice; return whether they were others.

        Parameters
        ----------
        step : int, optional
            The step that led to them, by default the last one.
        by_engine : bool
            Whether the network made them, so that it can make them again.
        """
        packed = pack(labels)
        if packed == self._packed.get(index, BLANK):
            return False
        step = self.step if step is None else step
        content = base64.b64encode(packed).decode("ascii")
        event = {"do": "labels", "slice": index, "step": step, "content": content}
        self.tell(event | ({"by": "engine"} if by_engine else {}))
        self._write(index, packed, step)
        return True

    def undo(self) -> list[int] | None:
        """Take the last step back; return the slices whose labels changed.

        None if there is none.
        """
        if not self._steps:
            return None
        self.tell({"do": "undo"})
        step = self._steps.pop()
        self._undone.append(step)
        self.prompts = step.before
        return self._restore({i: before for i, (before, _) in step.slices.items()})

    def redo(self) -> list[int] | None:
        """Do the step undone last again; return the slices whose labels changed.

        None if there is none.
        """
        if not self._undone:
            return None
        self.tell({"do": "redo"})
        step = self._undone.pop()
        self._steps.append(step)
        self.prompts = step.after
        return self._restore({i: after for i, (_, after) in step.slices.items()})

    def follow(self, event: Event) -> None:
        """Do what an event tells of; events of others are left alone.

        Raises
        ------
        PromptError, KeyError, TypeError, ValueError
            If the event is malformed.
        """
        match event["do"]:
            case "begin":
                self.begin()
            case "prompts":
                self.set_prompts(_changed(self.prompts, event))
            case "labels":
                packed = base64.b64decode(event["content"], validate=True)
                unpack(packed, self.shape[1:])
                self._write(int(event["slice"]), packed, int(event["step"]))
            case "undo":
                self.undo()
            case "redo":
                self.redo()

    def _write(self, index: int, packed: bytes, number: int) -> None:
        before = self._packed.get(index, BLANK)
        for step in self._steps:
            if step.id == number:
                first, _ = step.slices.get(index, (before, BLANK))
                step.slices[index] = first, packed
        self._restore({index: packed})

    def _restore(self, slices: Mapping[int, bytes]) -> list[int]:
        for index, packed in slices.items():
            if packed:
                self._packed[index] = packed
            else:
                self._packed.pop(index, None)
        return sorted(slices)


def pack(labels: np.ndarray) -> bytes:
    """Return the labels of a slice in few bytes; none where all are zero."""
    if not labels.any():
        return BLANK
    dtype = "<u1" if labels.max() <= 255 else "<u2"
    content = np.ascontiguousarray(labels, dtype).tobytes()
    return bytes([np.dtype(dtype).itemsize]) + zlib.compress(content, 1)


def unpack(packed: bytes, shape: tuple[int, int]) -> np.ndarray:
    """Return what `pack` was given, uint8 or uint16.

    Raises
    ------
    ValueError
        If the bytes are damaged or not of `shape`.
    """
    if not packed:
        return np.zeros(shape, np.uint8)
    try:
        content = zlib.decompress(packed[1:])
        return np.frombuffer(content, f"<u{packed[0]}").reshape(shape).copy()
    except (zlib.error, TypeError) as error:
        raise ValueError(f"labels of a slice are damaged: {error}") from error


def _difference(old: PromptSet, new: PromptSet) -> dict[str, Any]:
    """Return how to come from one set to the other: the prompts kept, then new ones."""
    kept = 0
    for one, other in zip(old.prompts, new.prompts, strict=False):
        if one is not other and one != other:
            break
        kept += 1
    return {"kept": kept, "content": replace(new, prompts=new.prompts[kept:]).to_json()}


def _changed(old: PromptSet, event: Event) -> PromptSet:
    added = PromptSet.from_json(event["content"])
    return replace(added, prompts=old.prompts[: event["kept"]] + added.prompts)
