"""Make the pictures of the documentation from real runs: `tox run -e docs-pictures`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import napari
import numpy as np
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_octa_sam2 import Eye, Subject, measure, read_volume
from napari_octa_sam2.demo import PHANTOM, annotate, run_demo, vessels_and_faz
from napari_octa_sam2.layers import labels_layer, volume_layers
from napari_octa_sam2.metrics.definitions import DEFINITIONS
from napari_octa_sam2.metrics.report.gallery import pictures_of_scan
from napari_octa_sam2.metrics.report.layout import Page
from napari_octa_sam2.metrics.report.pdf import draw_page
from napari_octa_sam2.metrics.report.planes import planes
from napari_octa_sam2.metrics.report.provenance import provenance
from napari_octa_sam2.model.loading import load_model
from napari_octa_sam2.training.folder import ROOT_VARIABLE
from napari_octa_sam2.volume import LabelSet, OctaVolume, ScanGeometry
from napari_octa_sam2.volume.phantom import (
    PhantomConfig,
    make_enface,
    make_phantom,
)
from napari_octa_sam2.widgets.train.data import LayerPair

IMAGES = Path(__file__).parent / "images"
PATIENCE = 600.0
ANNOTATED = 4  # slices of a phantom
SEED, SIDE, FIELD = 20_260, 304, 3.0  # of a synthetic projection; pixels and mm
STEPS = 60
SMALL = "clip.native=128 fit.clips=1 fit.workers=0 fit.validate_every=20"
DICE = {"prompted_dice": "-", "tracked_dice": "--", "class_dice": ":"}


def wait(until: Callable[[], bool]) -> None:
    """Let the viewer work until something is so."""
    began = time.monotonic()
    while not until():
        if time.monotonic() - began > PATIENCE:
            raise TimeoutError("the viewer did not get there")
        QApplication.processEvents()
        time.sleep(0.01)


def settle() -> None:
    """Let the viewer lay out and draw what has changed."""
    began = time.monotonic()
    wait(lambda: time.monotonic() - began > 1)


def segment_dock() -> None:
    """Annotate a phantom as the demo does, propagate, review; both themes."""
    phantom = make_phantom(PhantomConfig(seed=3))
    volume = phantom.volume
    truth = vessels_and_faz(volume.labels["objects"], volume.geometry.spacing[0])
    prompts = annotate(truth, load_model().classes)
    viewer = napari.Viewer()
    viewer.window.resize(1400, 1000)
    ((data, arguments, _), *_) = volume_layers(phantom.volume)
    viewer.add_image(data, **arguments, contrast_limits=(0, 160))
    _, widget = viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Segment")
    widget.commands.run("click")
    widget.annotation.set_prompts(prompts)
    wait(lambda: not widget.runner.busy)
    low = min(p.slice for p in prompts.prompts) - 6
    high = max(p.slice for p in prompts.prompts) + 6
    widget.propagation.span.slices = range(max(0, low), min(len(data), high + 1))
    widget.commands.run("propagate")
    wait(lambda: "Propagated" in widget.status.text())
    vessels = (truth.data == 1).sum((1, 2))
    widget.go_to(int(vessels.argmax()), 1)
    viewer.reset_view()
    for command in ("lock", "doubtful"):
        widget.commands.run(command)
        wait(lambda: not widget.runner.busy)
    for theme, name in (("dark", "segment"), ("light", "segment-light")):
        viewer.theme = theme
        settle()
        path = str(IMAGES / f"{name}.png")
        viewer.screenshot(path, canvas_only=False, flash=False)
    viewer.theme = "dark"
    viewer.close()


def annotated_phantom(viewer: napari.Viewer, seed: int) -> LayerPair:
    """Show a phantom whose slices with the largest vessels have labels."""
    volume = make_phantom(PhantomConfig(seed=seed)).volume
    truth = vessels_and_faz(volume.labels["objects"], volume.geometry.spacing[0])
    areas = (truth.data == 1).sum((1, 2))
    few = np.zeros_like(truth.data)
    chosen = areas.argsort()[-ANNOTATED:]
    few[chosen] = truth.data[chosen]
    ((data, arguments, _), *_) = volume_layers(volume)
    image = viewer.add_image(data, **arguments, contrast_limits=(0, 160))
    drawn = LabelSet(few, truth.names, truth.classes)
    data, arguments, _ = labels_layer(drawn, volume.geometry, f"{volume.name} labels")
    labels = viewer.add_labels(data, **arguments, opacity=0.5)
    viewer.dims.set_current_step(0, int(areas.argmax()))
    return LayerPair(image, labels, "RV")


def train_dock() -> None:
    """Fine-tune the bundled model on slices of two phantoms, for a minute."""
    viewer = napari.Viewer()
    viewer.window.resize(1250, 1200)
    pairs = [annotated_phantom(viewer, seed) for seed in (4, 3)]
    pairs[0].image.visible = pairs[0].labels.visible = False
    _, widget = viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Train")
    wait(lambda: not widget.runner.busy)
    for pair in pairs:
        widget.data.sources.add(pair)
    widget.recipe.unit.setCurrentText("steps")
    widget.recipe.amount.setValue(STEPS)
    widget.recipe.settings.setText(SMALL)
    widget.start()
    state = widget.training.state
    wait(lambda: state.text().startswith(("Finished", "Failed")))
    viewer.reset_view()
    wait(lambda: widget.training.picture.height() > 50)
    settle()
    widget.verticalScrollBar().setValue(widget.run.y())
    settle()
    shot = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False))
    shot.convert("RGB").save(IMAGES / "train.png", optimize=True)
    viewer.close()


def automatic_dock() -> None:
    """Find large vessels and the FAZ of a synthetic projection, one by one."""
    viewer = napari.Viewer()
    viewer.window.resize(1400, 1000)
    image, _, _ = make_enface(SEED, SIDE, FIELD)
    geometry = ScanGeometry((1.0, *[FIELD / SIDE] * 2), "mm")
    volume = OctaVolume(image[None], geometry, name="synthetic")
    ((data, arguments, _), *_) = volume_layers(volume)
    viewer.add_image(data, **arguments)
    viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Segment")
    _, widget = viewer.window.add_plugin_dock_widget(
        "napari-octa-sam2", "Automatic", tabify=True
    )
    wait(lambda: not widget.runner.busy)
    for name, box in widget.classes.boxes.items():
        box.setChecked(name in ("RV", "FAZ"))
    widget.classes.separate.setChecked(True)
    wait(lambda: not widget.runner.busy)
    widget.find_here()
    wait(lambda: not widget.runner.busy)
    viewer.reset_view()
    widget.parent().raise_()
    settle()
    shot = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False))
    shot.convert("RGB").save(IMAGES / "automatic-dock.png", optimize=True)
    viewer.close()


def measure_dock() -> None:
    """Measure what the demo segments, and compare it with the truth of the phantom."""
    viewer = napari.Viewer()
    viewer.window.resize(1500, 1080)
    with TemporaryDirectory() as folder:
        made = run_demo(folder)
        volume = read_volume(made.files["volume"])
    phantom = make_phantom(PHANTOM).volume
    truth = vessels_and_faz(phantom.labels["objects"], phantom.geometry.spacing[0])
    ((data, arguments, _), *_) = volume_layers(volume)
    viewer.add_image(data, **arguments, contrast_limits=(0, 160))
    for labels, name in ((truth, "truth"), (made.segmentation.labels, "labels")):
        data, arguments, _ = labels_layer(labels, volume.geometry, name)
        viewer.add_labels(data, **arguments, visible=name == "labels")
    _, widget = viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Measure")
    choice = widget.choice
    choice.layers.labels.layer = viewer.layers["labels"]
    choice.layers.reference.layer = viewer.layers["truth"]
    choice.eye.laterality.setCurrentIndex(1)  # OD
    for act in (widget.compare, widget.measure):
        act()
        wait(lambda: not widget.runner.busy)
    for box in widget.showing.boxes.values():
        box.setChecked(True)
    vessels = (made.segmentation.labels.data == 1).sum((1, 2))
    viewer.dims.set_current_step(0, int(vessels.argmax()))
    viewer.reset_view()
    settle()
    busy = (widget.showing.drawer, widget.showing.plot.painter)
    wait(lambda: not any(runner.busy for runner in busy))
    settle()
    shot = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False))
    shot.convert("RGB").save(IMAGES / "measure.png", optimize=True)
    viewer.close()


def report_page() -> None:
    """Draw the page that the demo writes."""
    with TemporaryDirectory() as folder:
        made = run_demo(folder)
        volume = read_volume(made.files["volume"])
    labels = {"labels": made.segmentation.labels}
    subject = Subject("phantom", labels, volume.geometry, image=volume.data)
    results = measure(subject, eye=Eye("OD"))
    pictures = tuple(pictures_of_scan(planes(subject, results), results))
    title = "Vessels and FAZ"
    page = Page(title, subject.name, results, pictures, provenance(), DEFINITIONS)
    draw_page(page).savefig(IMAGES / "report.png", dpi=110)


def overview() -> None:
    """Run the demo and keep its picture."""
    with TemporaryDirectory() as folder:
        done = run_demo(folder)
        with Image.open(done.files["overview"]) as picture:
            small = picture.convert("RGB").resize(
                (round(picture.width * 0.6), round(picture.height * 0.6)),
                Image.Resampling.LANCZOS,
            )
        small.save(IMAGES / "overview.png", optimize=True)


def training_curves() -> None:
    """Draw how the bundled model was trained, from the logs that ship with it."""
    import json

    import matplotlib.pyplot as plt

    from napari_octa_sam2.model.loading import resource

    curves = json.loads(resource("weights/octa-nano.json").read_text())["curves"]
    figure, axes = plt.subplots(1, 2, figsize=(10.5, 3), layout="constrained")
    for phase, curve in curves.items():
        hours = np.array(curve["hours"])
        (line,) = axes[0].plot(hours, np.array(curve["loss"], float), label=phase)
        for key, style in DICE.items():
            dice = np.array(curve[key], float)  # None becomes nan
            axes[1].plot(hours, dice, style, color=line.get_color())
    axes[0].set(xlabel="hours of training", ylabel="loss", ylim=(0, None))
    axes[1].set(xlabel="hours of training", ylabel="Dice", ylim=(0, 1))
    title = "prompted (line), followed (dashes), class prompt (dots)"
    axes[1].set_title(title, fontsize="medium")
    figure.legend(loc="outside right", frameon=False, fontsize="small")
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(IMAGES / "octa-nano-training.png", dpi=130)


def quality_curve() -> None:
    """Draw the bundled model's Dice on real images against hours of training."""
    import json

    import matplotlib.pyplot as plt

    from napari_octa_sam2.model.loading import resource

    record = json.loads(resource("weights/octa-nano.json").read_text())
    after, curves = record["after_phases"], record["curves"]
    hours = [0.0, *(curves[phase]["hours"][-1] for phase in after)]
    figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
    for task, mark in zip(next(iter(after.values()))["dice"], "osD^v", strict=True):
        dice = [values["dice"][task][0] for values in after.values()]
        (line,) = ax.plot(hours[1:], dice, label=task)
        for hour, value, phase in zip(hours[1:], dice, after.values(), strict=True):
            face = line.get_color() if phase["head"] else "white"
            ax.plot(hour, value, mark, color=line.get_color(), markerfacecolor=face)
    ax.set(xlabel="hours of training, two CPU threads", ylabel="mean Dice")
    ax.legend(frameon=False, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(IMAGES / "octa-nano-quality.png", dpi=130)


if __name__ == "__main__":
    os.environ["NAPARI_OCTA_SAM2_PROJECTS"] = mkdtemp()
    os.environ[ROOT_VARIABLE] = mkdtemp()
    IMAGES.mkdir(exist_ok=True)
    training_curves()
    quality_curve()
    overview()
    segment_dock()
    automatic_dock()
    train_dock()
    measure_dock()
    report_page()
