"""What an annotation tells the engine, and takes from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from napari_octa_sam2.annotation.edits import Edit, Edits
from napari_octa_sam2.engine.results import SliceResult
from napari_octa_sam2.project.locks import protected
from napari_octa_sam2.review import ReviewTable

if TYPE_CHECKING:
    from napari_octa_sam2.project.document import Document

Event = Mapping[str, Any]


class Exchange:
    """Edits out, masks in; both are noted, so that they can be done again.

    Parameters
    ----------
    document : Document
    note : callable
        Called with an event for everything that the engine did.
    show : callable
        Called with the slices whose labels changed.
    """

    def __init__(
        self,
        document: Document,
        note: Callable[[Event], None],
        show: Callable[[Collection[int]], None],
    ) -> None:
        self.review = ReviewTable()
        self.note = note
        self._document, self._show = document, show
        self._edits = Edits()
        self._step = 0  # of the last propagation

    def compare(self, *, shown: bool) -> None:
        """Find what the engine has to be told now.

        Parameters
        ----------
        shown : bool
            Whether its answers become the masks.
        """
        document = self._document
        for edit in self._edits.note(document.prompts, document.step, shown=shown):
            self._note_given(edit)

    def take_edits(self) -> list[Edit]:
        """Return what the engine has to be told since the last call."""
        return self._edits.take()

    def resend(self, *, shown: bool) -> None:
        """Have every prompt told again, to a new session."""
        self._edits.forget()
        self.compare(shown=shown)

    def opened(self, model: str, record: Mapping[str, Any]) -> None:
        """Note which model answers from now on."""
        self.note({"do": "open", "model": model, "record": record})

    def answered(self, result: SliceResult, edit: Edit) -> None:
        """Take the answer to an edit."""
        latest = self._edits.is_latest(edit)
        shown = edit.shown and latest
        self.note(
            {
                "do": "answer",
                "object": edit.object,
                "slice": edit.slice,
                "prompts": [p.to_json() for p in edit.prompts],
                "step": edit.step,
                "shown": shown,
                "confidence": _plain(result.confidence),
            }
        )
        if shown:
            self._take(result, edit.step)
        elif latest:
            self.review.note(result.confidence, result.slice)

    def began(
        self, direction: str, slices: range, objects: Collection[int], visits: int
    ) -> None:
        """Note that a propagation begins, of at most so many visits: a step."""
        if visits:
            self._step = self._document.begin()
        span = [slices[0], slices[-1]]
        self.note(
            {
                "do": "propagate",
                "direction": direction,
                "slices": span,
                "objects": list(objects),
            }
        )

    def visited(self, result: SliceResult) -> None:
        """Take a slice of the propagation."""
        found = {"confidence": _plain(result.confidence)}
        self.note({"do": "visit", "slice": result.slice, "step": self._step, **found})
        self._take(result, self._step)

    def ended(self, *, cancelled: bool) -> None:
        """Note that the propagation has ended."""
        self.note({"do": "ended", "cancelled": cancelled})

    def checked(self, index: int, agreement: Mapping[int, float]) -> None:
        """Take how well both directions agree on a slice."""
        found = _plain(agreement)
        self.note({"do": "checked", "slice": index, "agreement": found})
        self.review.note_agreement(agreement, index)

    def forget(self, object_id: int) -> None:
        """Forget how sure the masks of an object were: its id may go to another."""
        self.note({"do": "forget", "object": object_id})
        self.review.forget(object_id)

    def remember(self, events: Collection[Event]) -> None:
        """Take confidence and agreement from what was noted before."""
        for event in events:
            if event["do"] == "forget":
                self.review.forget(event["object"])
            index = event.get("slice", 0)
            if "confidence" in event:
                self.review.note(_numbered(event["confidence"]), index)
            if "agreement" in event:
                self.review.note_agreement(_numbered(event["agreement"]), index)

    def _note_given(self, edit: Edit) -> None:
        """Know of a given mask at once how sure it is, as the engine will say."""
        last = edit.prompts[-1] if edit.prompts else None
        if last is not None and (last.gives_mask or last.absent):
            known = self.review.confidence(edit.object, edit.slice)
            if known != last.confidence:
                self.review.note({edit.object: last.confidence}, edit.slice)

    def _take(self, result: SliceResult, step: int) -> None:
        index = result.slice
        safe = protected(self._document.prompts, index)
        content = result.written(self._document.labels(index), safe)
        self._document.write(index, content, step, by_engine=True)
        self.review.note(result.confidence, index)
        self._show([index])


def _plain(values: Mapping[int, float]) -> dict[str, float]:
    return {str(o): round(v, 4) for o, v in values.items()}


def _numbered(values: Mapping[str, float]) -> dict[int, float]:
    return {int(o): v for o, v in values.items()}
