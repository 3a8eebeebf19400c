"""Measure how the Segment dock feels; the table goes into `docs/feel.md`.

    xvfb-run -a -s "-screen 0 1400x1000x24" python docs/stopwatch.py

A viewer a run and volume, in a process of its own, with real mouse and key events.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

PAGE = Path(__file__).with_name("feel.md")
MARKS = "<!-- stopwatch -->", "<!-- end of stopwatch -->"
THREADS = 2
TICK_MS = 5
PATIENCE = 120.0  # seconds
CLICKS, NEIGHBOURS, OBJECTS = 20, 5, 4
FOLLOWED = 32  # slices
SIZES = {"64 x 304 x 304": None, "640 x 400 x 400": (640, 400, 400)}
COLD, WARM, AHEAD = 1000.0, 60.0, 60.0  # targets in ms
GAP = 100.0
Times = list[float]


# In a process of its own: one viewer ------------------------------------------


class Stopwatch:
    """Runs the event loop, notes when it ticks, and when the canvas has drawn."""

    def __init__(self, viewer: Any) -> None:
        from qtpy.QtCore import QEventLoop, Qt, QTimer

        self.ticks: Times = []
        self.until: Callable[[], bool] = lambda: False
        self.loop = QEventLoop()
        self.timer = QTimer(interval=TICK_MS, timerType=Qt.TimerType.PreciseTimer)
        self.timer.timeout.connect(self._tick)
        self.timer.start()
        self.draws: Times = []
        viewer.window._qt_viewer.canvas.events.draw.connect(self._draw, position="last")

    def _tick(self) -> None:
        self.ticks.append(time.perf_counter())
        if self.until():
            self.loop.quit()

    def _draw(self, event: Any) -> None:
        self.draws.append(time.perf_counter())

    def wait(self, until: Callable[[], bool]) -> None:
        """Let the viewer work until something is so."""
        end = time.perf_counter() + PATIENCE
        self.until = lambda: until() or time.perf_counter() > end
        self.loop.exec()
        if not until():
            raise TimeoutError("the viewer did not get there")

    def rest(self, seconds: float) -> None:
        """Let the viewer work for some time."""
        end = time.perf_counter() + seconds
        self.wait(lambda: time.perf_counter() > end)

    def gaps(self, act: Callable[[], object], until: Callable[[], bool]) -> Times:
        """Return the milliseconds between ticks from an action until its end."""
        self.rest(0.1)
        self.ticks = self.ticks[-1:]
        act()
        self.wait(until)
        self.rest(0.5)
        return (1e3 * np.diff(self.ticks)).tolist()


@dataclass
class Scene:
    """One run with one volume; what was measured is in `found`."""

    data: np.ndarray
    truth: np.ndarray
    index: int
    opened: float  # seconds from opening the dock to W
    found: dict[str, Any] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Measure everything, in an order that a user might do it in."""
        import napari

        self.viewer = napari.Viewer()
        self.viewer.window.resize(1200, 900)
        self.image = self.viewer.add_image(self.data, contrast_limits=(0, 160))
        self.image.scale = (0.004, 0.01, 0.01)
        self.viewer.dims.set_current_step(0, self.index)
        self.watch = Stopwatch(self.viewer)
        self.open_dock()
        self.watch.rest(self.opened)
        self.cold_click()
        self.warm_clicks()
        self.neighbours()
        self.propagations()
        self.whole_volume()
        self.close_and_resume()
        return self.found

    def open_dock(self) -> None:
        dock = self.viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Segment")
        self.dock = dock[1]

    @property
    def is_idle(self) -> bool:
        return not self.dock.runner.busy

    def settle(self) -> None:
        """Wait until nothing is computed, nor about to be."""
        self.watch.wait(lambda: self.is_idle)
        self.watch.rest(0.2)
        self.watch.wait(lambda: self.is_idle)

    def note(self, what: str, values: Times) -> None:
        self.found[what] = {"ms": values, "load": os.getloadavg()[0]}

    def press(self, key: str) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        canvas = self.viewer.window._qt_viewer.canvas.native
        QTest.keyClick(canvas, getattr(Qt.Key, f"Key_{key}"))

    def click(self, row: int, col: int) -> None:
        """Click on the canvas where a pixel of the slice shown is drawn."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        canvas = self.viewer.window._qt_viewer.canvas.native
        world = np.array(self.image.data_to_world((self.index, row, col)))[-2:]
        centre = np.array(self.viewer.scene.camera.center)[-2:]
        size = np.array([canvas.height(), canvas.width()])
        y, x = (world - centre) * self.viewer.scene.camera.zoom + size / 2
        QTest.mouseMove(canvas, QPoint(round(x), round(y)))
        point = QPoint(round(x), round(y))
        QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=point)

    def places(self, index: int, count: int) -> list[tuple[int, int]]:
        """Return pixels inside the largest object of a slice."""
        from scipy.ndimage import distance_transform_edt

        largest = np.bincount(self.truth[index].ravel())[1:].argmax() + 1
        mask = np.pad(self.truth[index] == largest, 1)
        inside = distance_transform_edt(mask)[1:-1, 1:-1]
        order = np.argsort(-inside, axis=None)[::3][:count]
        return [divmod(int(i), self.data.shape[2]) for i in order]

    def until_painted(self, row: int, col: int) -> float:
        """Click; return the milliseconds until the new mask is on the canvas."""
        labels, index, sliced = self.dock.annotation.labels, self.index, []

        def slicing_done(event: Any) -> None:
            if labels.data[index].any() or self.dock.status.text().startswith("Slice"):
                sliced.append(time.perf_counter())

        labels.events.set_data.connect(slicing_done)
        self.dock.say("")
        self.watch.draws.clear()
        began = time.perf_counter()
        self.click(row, col)
        self.watch.wait(lambda: bool(sliced) and self.watch.draws[-1:] > sliced[:1])
        labels.events.set_data.disconnect(slicing_done)
        return 1e3 * (min(t for t in self.watch.draws if t > sliced[0]) - began)

    def take_back(self) -> None:
        """Undo until nothing is left on the slice shown."""
        self.settle()
        self.press("U")
        self.settle()
        if self.dock.annotation.labels.data[self.index].any():
            raise RuntimeError("expected that undo removes the mask of the only click")

    def go_to(self, index: int) -> None:
        self.index = index
        self.viewer.dims.set_current_step(0, index)

    # what is measured

    def cold_click(self) -> None:
        """Begin an annotation and click at once: the model is loaded meanwhile."""
        place = self.places(self.index, 1)[0]
        spent: Times = []

        def act() -> None:
            began = time.perf_counter()
            self.press("W")
            spent.append(1e3 * (time.perf_counter() - began))
            self.watch.rest(0.1)  # docks find their places
            self.viewer.reset_view()
            spent.append(self.until_painted(*place))

        gaps = self.watch.gaps(act, lambda: len(spent) == 2)
        self.note("begin", spent[:1])
        self.note("cold click", spent[1:])
        self.note("loading", gaps)
        self.take_back()

    def warm_clicks(self) -> None:
        found = []
        for place in self.places(self.index, CLICKS):
            found.append(self.until_painted(*place))
            self.take_back()
        self.note("warm click", found)

    def neighbours(self) -> None:
        first, found = self.index, []
        for index in range(first + 1, first + 1 + NEIGHBOURS):
            self.go_to(index)
            self.watch.rest(1)
            self.settle()
            found.append(self.until_painted(*self.places(index, 1)[0]))
            self.take_back()
        self.go_to(first)
        self.settle()
        self.note("click ahead", found)

    def propagations(self) -> None:
        depth = len(self.data)
        first = min(max(0, self.index - FOLLOWED // 2), depth - FOLLOWED)
        self.dock.propagation.span.slices = range(first, first + FOLLOWED)
        self.prompt_objects(1)
        self.note("propagate 1", self.followed())
        self.prompt_objects(OBJECTS)
        self.note(f"propagate {OBJECTS}", self.followed())
        self.prompt_objects(1)
        scroll = self.scroller()
        self.note("scroll", self.followed())
        scroll.stop()
        self.settle()

    def prompt_objects(self, count: int) -> None:
        """Have new objects with a click each, and no others."""
        annotation = self.dock.annotation
        old = list(annotation.objects)
        for place in self.places(self.index, 40 * count)[::40]:
            self.press("N")
            self.click(*place)
            self.settle()
        for object_id in old:
            annotation.select_object(object_id)
            self.dock.commands.run("remove")
        self.settle()

    def followed(self) -> Times:
        """Return the gaps of a propagation."""
        said = self.dock.status.text
        self.dock.say("")
        return self.watch.gaps(
            lambda: self.press("G"), lambda: "Propagated" in said() and self.is_idle
        )

    def scroller(self) -> Any:
        from qtpy.QtCore import QTimer

        steps = iter(range(10**6))

        def step() -> None:
            away = next(steps) % FOLLOWED - FOLLOWED // 2
            index = min(max(0, self.index + away), len(self.data) - 1)
            self.viewer.dims.set_current_step(0, index)

        timer = QTimer(interval=100)
        timer.timeout.connect(step)
        timer.start()
        return timer

    def whole_volume(self) -> None:
        """Label every slice as a propagation does, without the network."""
        from napari_octa_sam2.engine.results import SliceResult

        self.go_to(self.index)
        self.settle()
        annotation = self.dock.annotation
        (object_id,) = annotation.objects
        every = range(len(self.data))
        annotation.engine.began("both", every, [object_id], len(every))
        logit = np.where(self.truth[self.index] > 0, 5.0, -5.0).astype(np.float32)
        for index in every:
            logits = {object_id: np.roll(logit, index, axis=1)}
            known = {object_id: 0.9}
            result = SliceResult(index, logits, (object_id,), known)
            annotation.engine.visited(result)
        annotation.labels.refresh()
        self.dock.show_state()
        self.watch.rest(1)
        for what, key in {"undo": "U", "redo": "Y", "lock": "L"}.items():
            self.note(what, self.after(lambda key=key: self.press(key)))
        self.note("remove", self.after(lambda: self.dock.commands.run("remove")))
        self.note("undo of remove", self.after(lambda: self.press("U")))
        self.note("copies", self.watch.gaps(lambda: None, self.is_after(7)))

    def after(self, act: Callable[[], object]) -> Times:
        return self.watch.gaps(act, lambda: self.is_idle)

    def is_after(self, seconds: float) -> Callable[[], bool]:
        end = time.perf_counter() + seconds
        return lambda: time.perf_counter() > end and self.is_idle

    def close_and_resume(self) -> None:
        self.press("L")  # so that there is something to save
        self.note("close", self.after(self.dock.close))
        self.viewer.layers.select_all()
        self.viewer.layers.selection.discard(self.image)
        self.viewer.layers.remove_selected()
        self.open_dock()
        self.watch.rest(1)
        self.note("resume", self.after(lambda: self.dock.commands.run("resume")))
        if not self.dock.annotation.labels.data.any(axis=(1, 2)).all():
            raise RuntimeError("expected labels on every slice after resuming")
        self.dock.close()


def measure(folder: Path, number: int, opened: float) -> None:
    """Measure one volume, its dock open for some seconds; write it down as JSON."""
    with np.load(folder / f"{number}.npz") as stored:
        index = int(stored["index"])
        scene = Scene(stored["data"], stored["truth"], index, opened)
    found = scene.run()
    (folder / "found.json").write_text(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)  # what napari does when it goes is not measured


# Around them ------------------------------------------------------------------


def make_volumes(folder: Path) -> None:
    """Write the phantom, and the large volume that mirrors it in all directions."""
    from napari_octa_sam2.volume.phantom import PhantomConfig, make_phantom

    volume = make_phantom(PhantomConfig(seed=3)).volume
    labels = volume.labels["objects"]
    vessels = [i for i, cls in labels.classes.items() if cls != "FAZ"]
    truth = np.where(np.isin(labels.data, vessels), labels.data, 0)
    index = int((truth > 0).sum((1, 2)).argmax())
    for number, shape in enumerate(SIZES.values()):
        data, masks = volume.data, truth
        if shape is not None:
            pad = [(0, a - b) for a, b in zip(shape, data.shape, strict=True)]
            data, masks = (np.pad(a, pad, "reflect") for a in (data, masks))
            index += 2 * (len(volume.data) - 1) * 2
        np.savez(folder / f"{number}.npz", data=data, truth=masks, index=index)


def run(folder: Path, number: int, turn: int, opened: float) -> dict[str, Any]:
    """Measure a volume in a process of its own, with folders of its own."""
    own = folder / f"run-{number}-{turn}"
    environment = os.environ | {
        "OMP_NUM_THREADS": str(THREADS),
        "NAPARI_OCTA_SAM2_PROJECTS": str(own / "projects"),
        "NAPARI_OCTA_SAM2_CACHE": str(own / "cache"),
        "NAPARI_CONFIG": str(own / "napari.yaml"),
    }
    command = [sys.executable, __file__, "--measure", str(folder), str(number)]
    command.append(str(opened))
    subprocess.run(command, check=True, env=environment)
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found


def latency(runs: list[dict[str, Any]], what: str) -> str:
    values = [ms for run in runs for ms in run[what]["ms"]]
    if len(values) < CLICKS:
        return f"{median(values):.0f}"
    return f"{median(values):.0f}; {np.percentile(values, 95):.0f}"


def longest_gap(runs: list[dict[str, Any]], what: str) -> str:
    longest = median(max(run[what]["ms"]) for run in runs)
    usual = median(float(np.percentile(run[what]["ms"], 99)) for run in runs)
    return f"{longest:.0f}; {usual:.0f}"


ROWS: list[tuple[str, str, float, Callable[[list[dict[str, Any]], str], str]]] = [
    ("cold click", "First click, right after W", COLD, latency),
    ("warm click", "Click on a slice that was clicked on before", WARM, latency),
    ("click ahead", "Click on the next slice, encoded ahead", AHEAD, latency),
    ("begin", "Gap: W for the first time", GAP, latency),
    ("loading", "Gaps: until the first mask, the model being loaded", GAP, longest_gap),
    ("propagate 1", "Gaps: propagating 1 object", GAP, longest_gap),
    (f"propagate {OBJECTS}", f"Gaps: propagating {OBJECTS} objects", GAP, longest_gap),
    ("scroll", "Gaps: scrolling while 1 object propagates", GAP, longest_gap),
    ("undo", "Gaps: undo of all slices", GAP, longest_gap),
    ("redo", "Gaps: redo of all slices", GAP, longest_gap),
    ("lock", "Gaps: locking a slice", GAP, longest_gap),
    ("remove", "Gaps: removing an object from all slices", GAP, longest_gap),
    ("undo of remove", "Gaps: undo of that", GAP, longest_gap),
    ("copies", "Gaps: copies are saved", GAP, longest_gap),
    ("close", "Gaps: closing the dock", GAP, longest_gap),
    ("resume", "Gaps: resuming, all slices labelled", GAP, longest_gap),
]


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return what was measured as Markdown."""
    heads = " | ".join(f"{size} [ms] | load" for size in found)
    lines = [f"| what | target [ms] | {heads} |", "| --- " * (2 + 2 * len(found)) + "|"]
    for key, title, target, tell in ROWS:
        cells = [title, f"{target:.0f}"]
        for runs in found.values():
            load = median(run[key]["load"] for run in runs)
            cells += [tell(runs, key), f"{load:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def conditions(rounds: int) -> str:
    from napari_octa_sam2.bench.machine import _cpu_name

    names = ("napari-octa-sam2", "napari", "qtpy", "PyQt6", "torch", "numpy")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{_cpu_name()}, {os.cpu_count()} cores, {THREADS} threads for the network, "
        f"no GPU, canvas drawn by software; runs: {rounds}; "
        f"Python {platform.python_version()}, {versions}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="JSON file for all that was measured")
    parser.add_argument("--opened", type=float, default=1, help="seconds, until W")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        folder, number, opened = given.measure
        measure(Path(folder), int(number), float(opened))
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_volumes(folder)
        found = {
            size: [run(folder, number, i, given.opened) for i in range(given.rounds)]
            for number, size in enumerate(SIZES)
        }
    if given.keep:
        given.keep.write_text(json.dumps(found))
    begin, end = MARKS
    head, _, rest = PAGE.read_text("utf-8").partition(begin)
    tail = rest.partition(end)[2]
    made = f"{begin}\n\n{table(found)}\n\n{conditions(given.rounds)}\n\n{end}"
    PAGE.write_text(head + made + tail, "utf-8")


if __name__ == "__main__":
    main()
