"""The dock's talk with the engine: edits out, masks in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QTimer

from napari_octa_sam2.widgets.segment.worker import (
    Answered,
    Began,
    Check,
    Checked,
    Ended,
    EngineRunner,
    Message,
    Open,
    Opened,
    Prefetch,
    Prepare,
    Preview,
    Propagate,
    Response,
    Visited,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_octa_sam2.annotation import Annotation
    from napari_octa_sam2.annotation.exchange import Exchange
    from napari_octa_sam2.widgets.segment.dock import SegmentWidget

REFRESH_MS = 50
DOWNLOAD_MS = 200
IDLE_MS = 300  # on a slice, until those around it are encoded
AHEAD = (0, 1, -1, 2, -2)


class Conversation:
    """Sends what the user did to the engine, and applies what comes back.

    Parameters
    ----------
    dock : SegmentWidget
    """

    def __init__(self, dock: SegmentWidget) -> None:
        self.dock = dock
        self.runner = EngineRunner(self._respond)
        self.classes: tuple[str, ...] | None = None  # of the model, once loaded
        self.propagating = False
        self._opened: tuple[int, str, str, str] | None = None
        self._is_due = False
        self._refresh = self._timer(REFRESH_MS, self._refresh_due)
        self._download = self._timer(DOWNLOAD_MS, self._show_download, repeat=True)
        self._idle = self._timer(IDLE_MS, self._prefetch)

    @property
    def _annotation(self) -> Annotation | None:
        return self.dock.annotation

    @property
    def _engine(self) -> Exchange | None:
        return None if self._annotation is None else self._annotation.engine

    def prepare(self) -> None:
        """Have the chosen model in memory before the first click, if it is here."""
        if self._opened is None:
            self.runner.submit(Prepare(self.dock.source.model))

    def open_session(self) -> None:
        """Load the model for the present image, unless that is under way or done."""
        annotation, source = self._annotation, self.dock.source
        if annotation is None:
            return
        wanted = (id(annotation), source.model, source.device, source.attention)
        if wanted == self._opened:
            return
        # another model shall show its own masks; what was kept of this one stays
        another = self._opened is not None and self._opened[0] == id(annotation)
        self._opened = wanted
        self.classes = None
        self.dock.show_class()
        self.dock.say("Loading the model …")
        self._download.start()
        self.runner.submit(Open(annotation.data, *wanted[1:]))
        annotation.engine.resend(
            shown=another or not annotation.document.labelled_slices()
        )
        self.send_edits()

    def send_edits(self) -> None:
        """Tell the engine what changed, the slice on screen first."""
        annotation = self._annotation
        if annotation is not None:
            shown = annotation.shown_slice
            edits = annotation.engine.take_edits()
            for edit in sorted(edits, key=lambda e: e.slice != shown):
                self.runner.submit(Preview(edit))

    def propagate(self, direction: str, slices: range) -> None:
        """Follow the objects that are not locked, as one step of the history."""
        if (annotation := self._annotation) is not None:
            self._begin("Propagating …")
            free = tuple(o.id for o in annotation.objects.values() if not o.locked)
            self.runner.submit(Propagate(direction, slices, free))

    def check(self, slices: range) -> None:
        """Follow objects back from their ends, and compare."""
        if (annotation := self._annotation) is not None:
            self._begin("Following objects back from their ends …")
            copied = annotation.document.copy()
            self.runner.submit(Check(slices, tuple(annotation.objects), copied))

    def cancel(self) -> None:
        """Stop the propagation or download after what is being computed now."""
        if self.runner.busy:
            self.runner.cancel()
            self.dock.say("Stopping after this slice …")

    def close(self) -> None:
        """End the session; what was computed is kept."""
        self.runner.close()
        self._opened = self.classes = None
        self._ended()

    def moved(self) -> None:
        """Note that another slice is on screen."""
        self._idle.start()

    def refresh(self) -> None:
        """Draw the labels of the slice on screen: now, or soon if just done."""
        self._is_due = self._refresh.isActive()
        if not self._is_due:
            self._refresh_labels()
            self._refresh.start()

    def _respond(self, response: Response) -> None:
        match response:
            case Answered():
                self._answered(response)
            case Began(request, slices):
                self.dock.propagation.set_steps(slices)
                if engine := self._engine:
                    engine.began(
                        request.direction, request.slices, request.objects, slices
                    )
            case Visited():
                self._visited(response)
            case Checked():
                self._checked(response)
            case Ended():
                if not response.checked and (engine := self._engine):
                    engine.ended(cancelled=response.cancelled)
                self._ended()
                self.dock.say(response.text)
            case Opened():
                self._download.stop()
                self._ended()
                self._opened_with(response)
            case Message():
                self._show_message(response)

    def _opened_with(self, opened: Opened) -> None:
        record = opened.record
        if self._annotation is not None:
            self._annotation.labels.metadata["record"] = record
            self._annotation.engine.opened(opened.request.model, record)
        self.classes = opened.classes
        self.dock.show_class()
        self.dock.say(f"Ready: {record['model']['name']} on {record['device']}.")

    def _answered(self, answered: Answered) -> None:
        if (annotation := self._annotation) is None:
            return
        result = answered.result
        annotation.engine.answered(result, answered.edit)
        self._show(result.slice)
        if not answered.edit.shown:
            return
        sure = ", ".join(f"{c:.0%}" for c in result.confidence.values())
        self.dock.say(f"Slice {result.slice}: confidence {sure or 'none'}")

    def _visited(self, visited: Visited) -> None:
        if (annotation := self._annotation) is None:
            return
        annotation.engine.visited(visited.result)
        self._show(visited.result.slice)
        self.dock.show_progress("Slice", visited.result.slice, visited.number)

    def _checked(self, checked: Checked) -> None:
        if (annotation := self._annotation) is None:
            return
        annotation.engine.checked(checked.slice, checked.agreement)
        self.dock.propagation.set_steps(checked.steps)
        self.dock.show_progress("Compared slice", checked.slice, checked.number)

    def _show(self, index: int) -> None:
        if self._annotation is not None and index == self._annotation.shown_slice:
            self.refresh()

    def _show_message(self, message: Message) -> None:
        if message.failed in ("Propagate", "Check"):
            self._ended()
        if message.failed == "Open":
            self._opened = None
            self._download.stop()
            self._ended()
        if message.failed:
            show_error(message.text)
            self.dock.say(message.text)
        else:
            show_info(message.text)

    def _begin(self, text: str) -> None:
        self.send_edits()
        self.propagating = True
        self.dock.propagation.set_running(True)
        self.dock.say(text)

    def _ended(self) -> None:
        self.propagating = False
        self.dock.propagation.set_running(False)
        self._refresh_labels()
        self.dock.show_state()

    def _refresh_due(self) -> None:
        if self._is_due:
            self._is_due = False
            self._refresh_labels()

    def _refresh_labels(self) -> None:
        if self._annotation is not None:
            self._annotation.labels.refresh()
            self.dock.show_review_soon()

    def _prefetch(self) -> None:
        """Have the slices around the one shown ready for a click."""
        if self._annotation is not None and not self.runner.busy:
            shown = self._annotation.shown_slice
            self.runner.submit(Prefetch(tuple(shown + step for step in AHEAD)))

    def _show_download(self) -> None:
        if self.runner.download is not None:
            done, total = self.runner.download
            share = f"{done / total:.0%} of " if total else ""
            self.dock.propagation.set_running(False, cancellable=True)
            self.dock.say(
                f"Downloading the model: {share}{(total or done) / 1e6:.0f} MB"
            )

    def _timer(
        self, interval: int, action: Callable[[], None], repeat: bool = False
    ) -> QTimer:
        timer = QTimer(self.dock, singleShot=not repeat, interval=interval)
        timer.timeout.connect(action)
        return timer
