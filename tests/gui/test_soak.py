"""Hundreds of interactions in the dock: no warning, no error, no growth."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
from napari.utils.notifications import NotificationSeverity, notification_manager

from napari_octa_sam2.engine.device import return_free_memory
from napari_octa_sam2.project import store

resource = pytest.importorskip("resource")

STATM = Path("/proc/self/statm")
INTERACTIONS = 500
GROWTH = 60e6  # bytes, over the second half: journal, history, caches of Qt and napari
WAIT_MS = 60_000


def resident() -> int:
    """Return the bytes of memory that the process has now."""
    gc.collect()
    return_free_memory()
    return int(STATM.read_text().split()[1]) * resource.getpagesize()


@pytest.fixture
def errors():
    """Notifications of errors, as they come."""
    found: list[str] = []

    def keep(notification):
        if notification.severity >= NotificationSeverity.ERROR:
            found.append(notification.message)

    notification_manager.notification_ready.connect(keep)
    yield found
    notification_manager.notification_ready.disconnect(keep)


@pytest.fixture
def dock(make_napari_viewer, checkpoint):
    """The dock on six noisy slices of 64 x 64 pixels, with the small network."""
    viewer = make_napari_viewer(show=True)
    rng = np.random.default_rng(2)
    viewer.add_image(rng.integers(0, 255, (6, 64, 64), dtype=np.uint8), name="noise")
    _, widget = viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Segment")
    widget.source.model = str(checkpoint)
    yield widget
    widget.close()


def interact(dock, rng):
    """Do something that a user may do; propagations are rare and short."""
    viewer, annotation = dock.viewer, dock.annotation
    index, row, col = (int(rng.integers(0, n)) for n in (6, 64, 64))
    action = rng.choice(
        [
            *("move", "click", "polarity", "undo", "redo", "new", "next", "remove"),
            *("lock", "propagate"),
        ],
        p=[0.26, 0.22, 0.12, 0.14, 0.08, 0.05, 0.05, 0.03, 0.03, 0.02],
    )
    if action == "move":
        viewer.dims.set_current_step(0, index)
    elif action == "click":
        shown = annotation.shown_slice
        if (annotation.current, shown) not in annotation.prompts().locks:
            annotation.points.add([shown, row, col])
    elif action == "new" and len(annotation.objects) >= 3:
        dock.commands.run("remove")
    elif action == "propagate":
        if any(p.positive for p in annotation.prompts().prompts):
            dock.commands.run("propagate")
    else:
        dock.commands.run(str(action))


@pytest.mark.slow
@pytest.mark.skipif(not STATM.exists(), reason="memory is told by Linux only")
def test_a_long_session_stays_as_it_began(qtbot, dock, errors):
    rng = np.random.default_rng(6)
    dock.commands.run("click")

    def settle():
        qtbot.waitUntil(lambda: not dock.runner.busy, timeout=WAIT_MS)

    held = []
    for number in range(1, INTERACTIONS + 1):
        interact(dock, rng)
        qtbot.wait(1)
        if number % 25 == 0:
            settle()
        if number % (INTERACTIONS // 2) == 0:
            held.append(resident())
    settle()
    annotation = dock.annotation
    assert errors == []
    assert not dock.runner.busy
    assert not dock.conversation.propagating
    assert held[1] - held[0] < GROWTH, held

    shown = np.asarray(annotation.labels.data).copy()
    prompts = annotation.prompts()
    path = annotation.project.path
    dock.close()
    resumed = store.resume(path)
    np.testing.assert_array_equal(resumed.document.volume(), shown)
    assert resumed.document.prompts == prompts
    resumed.close()
