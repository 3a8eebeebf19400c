"""What the engine has to be told after prompts changed."""

from __future__ import annotations

from dataclasses import dataclass

from napari_octa_sam2.prompts import Prompt, PromptSet

Place = tuple[int, int]  # object, slice


@dataclass(frozen=True)
class Edit:
    """The prompts that an object now has on a slice.

    Parameters
    ----------
    object, slice : int
    prompts : tuple of Prompt
    serial : int
        Grows with every edit; the answer to an older one of the same place is stale.
    step : int
        Of the document.
    shown : bool
        Whether the answer becomes the mask; not where that is known already, such as
        after an undo.
    """

    object: int
    slice: int
    prompts: tuple[Prompt, ...]
    serial: int
    step: int
    shown: bool


class Edits:
    """Compares prompts with those that the engine was told last."""

    def __init__(self) -> None:
        self._told: dict[Place, list[Prompt]] = {}
        self._latest: dict[Place, int] = {}
        self._serial = 0
        self._waiting: dict[Place, Edit] = {}

    def note(self, prompts: PromptSet, step: int, *, shown: bool) -> list[Edit]:
        """Queue what changed since the last call, by object and slice; return that."""
        groups = prompts.by_slice()
        noted = []
        for place in sorted({*groups, *self._told}):
            if groups.get(place) != self._told.get(place):
                self._serial += 1
                self._latest[place] = self._serial
                given = tuple(groups.get(place, ()))
                edit = Edit(*place, given, self._serial, step, shown)
                self._waiting[place] = edit
                noted.append(edit)
        self._told = groups
        return noted

    def take(self) -> list[Edit]:
        """Return what was queued since the last call, the latest of each place."""
        taken, self._waiting = self._waiting, {}
        return list(taken.values())

    def is_latest(self, edit: Edit) -> bool:
        """Whether no later edit concerns the same object and slice."""
        return self._latest[edit.object, edit.slice] == edit.serial

    def forget(self) -> None:
        """Have everything told again, to another engine."""
        self._told, self._waiting = {}, {}
