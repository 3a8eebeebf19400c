"""Work beside the viewer, one piece at a time, its result in the GUI thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from napari.qt.threading import create_worker
from napari.utils.notifications import show_error, show_warning

from napari_octa_sam2.errors import OctaError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """Why there is no result; `expected` where the user can do something about it."""

    text: str
    expected: bool


class TaskRunner:
    """Runs one function at a time in a thread.

    Parameters
    ----------
    say : callable
        Called with what goes on, in words.
    set_running : callable
        Called with whether something runs.
    """

    def __init__(
        self, say: Callable[[str], None], set_running: Callable[[bool], None]
    ) -> None:
        self._say, self._set_running = say, set_running
        self._worker: Any = None
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether something runs."""
        return self._worker is not None

    def start(
        self, doing: str, work: Callable[[], Any], show: Callable[[Any], None]
    ) -> None:
        """Run `work` in a thread, then `show` its result in this one.

        While something runs, nothing else is begun, and the user is told so.
        """
        if self.busy:
            self._say("Still computing; try again in a moment.")
            return
        self._say(f"{doing} …")
        self._set_running(True)
        self._worker = create_worker(_guarded, doing, work, _start_thread=False)
        self._worker.returned.connect(partial(self._returned, doing, show))
        self._worker.finished.connect(self._finished)
        self._worker.start()

    def close(self) -> None:
        """Drop what is being computed."""
        self._closed = True

    def _returned(self, doing: str, show: Callable[[Any], None], result: Any) -> None:
        if self._closed:
            return
        if isinstance(result, Failure):
            self._say(result.text)
            (show_warning if result.expected else show_error)(result.text)
            return
        self._say(f"{doing}: done.")
        show(result)

    def _finished(self) -> None:
        self._worker = None
        if not self._closed:
            self._set_running(False)


def _guarded(doing: str, work: Callable[[], Any]) -> Any:
    """Return what `work` returns, or why it does not."""
    try:
        return work()
    except OctaError as error:
        return Failure(str(error), expected=True)
    except Exception as error:
        logger.exception("%s failed", doing)
        reason = f"{type(error).__name__}: {error}"
        return Failure(f"{doing} failed unexpectedly: {reason}", expected=False)
