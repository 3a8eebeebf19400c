"""Prompts and labels of one volume, and every step that led there."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from napari_octa_sam2.project.packing import BLANK, pack, unpack
from napari_octa_sam2.prompts import PromptObject, PromptSet

Event = Mapping[str, Any]
STEPS = 200  # that can be undone


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

    @property
    def is_empty(self) -> bool:
        """Whether it changed nothing."""
        is_same = all(before == after for before, after in self.slices.values())
        return is_same and self.before == self.after


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
        self._undone_before: list[Step] = []  # when the last step began
        self._begun = 0
        self._packed: dict[int, bytes] = {}

    @property
    def step(self) -> int:
        """Number of the last step begun and not undone; 0 before the first."""
        return self._steps[-1].id if self._steps else 0

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return not all(step.is_empty for step in self._steps)

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
        self.tell({"do": "begin"})
        self._begun += 1
        self._steps.append(Step(self._begun, self.prompts, self.prompts))
        del self._steps[:-STEPS]
        self._undone_before, self._undone = self._undone, []
        return self._begun

    def abandon(self) -> list[int]:
        """Take the step just begun back, as if it had never been.

        Return the slices whose labels changed.
        """
        self.tell({"do": "abandon"})
        if not self._steps:
            return []
        self._undone, self._undone_before = self._undone_before, []
        return self._take_back(self._steps.pop())

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
            The step that led to them, by default the last one. To undo a later step
            does not undo them.
        by_engine : bool
            Whether the network made them, so that it can make them again.

        Raises
        ------
        ValueError
            If there is no such slice, or a label is not from 0 to 65535.
        """
        self._require_slice(index)
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
        """Take the last step that changed something back.

        Return the slices whose labels changed; None if there is no such step.
        """
        if not self.can_undo:
            return None
        self.tell({"do": "undo"})
        while self._steps[-1].is_empty:
            self._steps.pop()
        step = self._steps.pop()
        self._undone.append(step)
        return self._take_back(step)

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
            case "abandon":
                self.abandon()
            case "prompts":
                self.set_prompts(_changed(self.prompts, event))
            case "labels":
                packed = base64.b64decode(event["content"], validate=True)
                unpack(packed, self.shape[1:])
                self._require_slice(event["slice"])
                self._write(event["slice"], packed, int(event["step"]))
            case "undo":
                self.undo()
            case "redo":
                self.redo()

    def _require_slice(self, index: int) -> None:
        if not 0 <= index < self.shape[0]:
            raise ValueError(
                f"expected a slice from 0 to {self.shape[0] - 1}, found {index}"
            )

    def _take_back(self, step: Step) -> list[int]:
        self.prompts = step.before
        return self._restore({i: before for i, (before, _) in step.slices.items()})

    def _write(self, index: int, packed: bytes, number: int) -> None:
        """Write labels that the step `number` led to; it may have been long ago.

        Steps since then that changed the slice keep what they changed there: in what
        they restore, only the pixels that are written now are others.
        """
        present = self._packed.get(index, BLANK)
        owner = next((s for s in reversed(self._steps) if s.id <= number), None)
        begun_since = 0 if owner is None else owner.id + 1
        later = [s for s in self._steps if s.id >= begun_since]
        since = [s for s in (*later, *reversed(self._undone)) if index in s.slices]
        if owner is not None:
            earlier = since[0].slices[index][0] if since else present
            before, after = owner.slices.get(index, (earlier, earlier))
            changed = self._overlaid(after, present, packed) if since else packed
            owner.slices[index] = before, changed
        for step in since:
            before, after = step.slices[index]
            step.slices[index] = (
                self._overlaid(before, present, packed),
                self._overlaid(after, present, packed),
            )
        self._restore({index: packed})

    def _overlaid(self, state: bytes, old: bytes, new: bytes) -> bytes:
        """Return the labels `state` with the pixels in which `new` is not `old`."""
        shape = self.shape[1:]
        was, now = unpack(old, shape), unpack(new, shape)
        return pack(np.where(was != now, now, unpack(state, shape)))

    def _restore(self, slices: Mapping[int, bytes]) -> list[int]:
        for index, packed in slices.items():
            if packed:
                self._packed[index] = packed
            else:
                self._packed.pop(index, None)
        return sorted(slices)


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
    if not 0 <= event["kept"] <= len(old.prompts):
        raise ValueError(
            f"expected at most {len(old.prompts)} prompts to keep, found "
            f"{event['kept']}"
        )
    return replace(added, prompts=old.prompts[: event["kept"]] + added.prompts)
