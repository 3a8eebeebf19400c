"""Scripted annotations that wait to be killed; what they did goes to stdout.

``python faults.py CHECKPOINT`` reads lines of JSON with ``seed`` and ``network`` from
stdin. For each it forks a child, which works on a new project without a window, as
fast as it can. ``python faults.py CHECKPOINT window`` does it once in a real viewer.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from driver import Driver, begun, random_action, tissue

from napari_octa_sam2.project.document import Document
from napari_octa_sam2.project.store import read_project

ACTIONS = 400


def digest(document: Document) -> str:
    """Return a hash of prompts, objects, locks and labels."""
    text = json.dumps(document.prompts.to_json(), sort_keys=True)
    content = document.volume().astype(np.uint16).tobytes()
    return hashlib.sha256(text.encode() + content).hexdigest()


def report(**content: Any) -> None:
    """Print a line, so that it is out before anything else happens."""
    os.write(1, json.dumps(content).encode() + b"\n")


def confirm(project: Any) -> None:
    """Report what there is: whoever reads this relies on it."""
    _, events = read_project(project.path)
    report(events=len(events), digest=digest(project.document))


def work(seed: int, checkpoint: str, model: Any) -> None:
    """Do random things without a window, and report each before and after."""
    from napari.components import ViewerModel

    data, viewer = tissue(), ViewerModel()
    project = begun(data)
    driver = Driver(viewer, viewer.add_image(data, name="tissue"), project)
    report(pid=os.getpid(), path=str(project.path))
    if model is not None:
        driver.open(checkpoint, model)
    rng = np.random.default_rng(seed)
    for number in range(ACTIONS):
        report(before=number)
        random_action(driver, rng, network=driver.is_open)
        confirm(project)


def serve(checkpoint: str) -> None:
    """Fork a child for every line of stdin."""
    from napari.components import ViewerModel

    from napari_octa_sam2.model.loading import load_model

    ViewerModel()  # what is imported here, no child has to import
    model = load_model(checkpoint)
    report(ready=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        if (pid := os.fork()) == 0:
            work(wanted["seed"], checkpoint, model if wanted["network"] else None)
            os._exit(0)
        os.waitpid(pid, 0)
        report(gone=pid)


def in_window(checkpoint: str) -> None:
    """Work in the dock of a real viewer, with its worker thread."""
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(show=True)
    viewer.add_image(tissue(), name="tissue")
    _, dock = viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Segment")
    dock.source.model = checkpoint
    rng = np.random.default_rng(1)
    dock.commands.run("click")
    annotation = dock.annotation
    project = annotation.project
    report(pid=os.getpid(), path=str(project.path))

    def settle(seconds: float = 60.0) -> None:
        until = time.monotonic() + seconds
        while dock.runner.busy and time.monotonic() < until:
            QApplication.processEvents()
            time.sleep(0.001)

    settle()
    for number in range(ACTIONS):
        report(before=number)
        index, row, col = (int(rng.integers(0, n)) for n in annotation.data.shape)
        viewer.dims.set_current_step(0, index)
        name = str(rng.choice(["click", "new", "lock", "undo", "redo", "propagate"]))
        if name == "click":
            annotation.points.add([index, row, col])
        else:
            dock.commands.run(name)
        settle()
        confirm(project)


if __name__ == "__main__":
    (in_window if "window" in sys.argv else serve)(sys.argv[1])
