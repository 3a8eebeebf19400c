"""The Automatic dock, with real networks in a real viewer."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_octa_sam2.annotation import Edit
from napari_octa_sam2.automatic.cleaning import DEFAULTS
from napari_octa_sam2.engine import promptless
from napari_octa_sam2.model.appearance import GREY
from napari_octa_sam2.model.promptless.config import NetworkConfig
from napari_octa_sam2.model.promptless.model import write_promptless
from napari_octa_sam2.prompts import Prompt
from napari_octa_sam2.training.folder import ROOT_VARIABLE
from napari_octa_sam2.widgets.automatic import panels
from napari_octa_sam2.widgets.segment.worker import EngineRunner, Prefetch, Preview

TASK_MS = 60_000
SIDE, DEPTH = 64, 8
ROWS, COLS = slice(20, 28), slice(44, 50)  # of the vessels


@pytest.fixture(scope="module")
def scan():
    """Two bright tubes that touch no border, less bright on each further slice."""
    data = np.zeros((DEPTH, SIDE, SIDE), np.uint8)
    for index in range(DEPTH - 1):
        data[index, ROWS, 4:40] = 250 - 20 * index
        data[index, 34:60, COLS] = 250 - 20 * index
    return data


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    """A network that takes what is bright for an artery, and what is dark for a FAZ."""
    import torch

    from napari_octa_sam2.model.promptless.network import PromptlessNetwork

    config = NetworkConfig("block-unet", ("artery", "FAZ"), {"channels": [8]})
    torch.manual_seed(0)
    network = PromptlessNetwork(config)
    path = tmp_path_factory.mktemp("models") / "bright.safetensors"
    _teach(network)
    write_promptless(path, config, GREY, network.state_dict())
    return path


def _teach(network):
    """Fit the network to the brightness of random pictures."""
    import torch
    import torch.nn.functional as F

    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    network.train()
    for _ in range(120):
        smooth = F.interpolate(torch.rand(4, 1, 8, 8), size=(32, 32))
        truth = torch.cat([smooth > 0.5, smooth < 0.2], 1).float()
        loss = F.binary_cross_entropy_with_logits(network(smooth), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.fixture
def viewer(make_napari_viewer, scan):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 1000)
    viewer.add_image(
        scan,
        name="scan",
        scale=(0.003, 0.01, 0.01),
        units=("mm",) * 3,
        axis_labels=("depth", "slow", "fast"),
    )
    viewer.dims.set_current_step(0, 1)
    return viewer


@pytest.fixture
def widget(qtbot, viewer, bright):
    _, widget = viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Automatic")
    settle(qtbot, widget)
    widget.use_model(str(bright))
    settle(qtbot, widget)
    choose(widget, "artery")
    yield widget
    widget.close()
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=TASK_MS)


@pytest.fixture
def segment(qtbot, viewer, checkpoint):
    _, dock = viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Segment")
    dock.source.model = str(checkpoint)
    yield dock
    dock.close()
    qtbot.waitUntil(lambda: not dock.runner.busy, timeout=TASK_MS)


def settle(qtbot, widget):
    def is_done():
        return not widget.runner.busy and not getattr(widget, "_is_due", False)

    qtbot.waitUntil(is_done, timeout=TASK_MS)


def push(qtbot, widget, name):
    """Press a button and wait until its work is done."""
    (button,) = [b for b in widget.findChildren(QPushButton) if b.text() == name]
    widget.ensureWidgetVisible(button)
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    settle(qtbot, widget)


def choose(widget, *classes):
    for name, box in widget.classes.boxes.items():
        box.setChecked(name in classes)


def found_data(viewer):
    return viewer.layers["scan found"].data


# what is found -----------------------------------------------------------------


def test_the_dock_offers_what_the_model_knows(widget):
    known = {n for n, box in widget.classes.boxes.items() if box.isEnabled()}
    assert known == {"artery", "FAZ"}
    assert widget.classes.chosen == ("artery",)
    assert widget.cleaning.cls.currentText() == "artery"
    assert widget.cleaning.min_area.value() == DEFAULTS["artery"].min_area
    assert not widget.result.take_over.isEnabled()


def test_find_on_the_slice_shown(qtbot, viewer, widget, scan):
    push(qtbot, widget, "This slice [F9]")
    data = found_data(viewer)
    assert np.flatnonzero(data.any((1, 2))).tolist() == [1]
    truth = scan[1] > 0
    assert (data[1] > 0)[truth].mean() > 0.9
    assert (data[1] > 0).sum() < 1.3 * truth.sum()
    layer = viewer.layers["scan found"]
    assert layer.metadata["names"] == {1: "artery"}
    assert layer.metadata["classes"] == {1: "artery"}
    assert layer.metadata["record"]["automatic"]["classes"] == ["artery"]
    np.testing.assert_allclose(layer.scale, viewer.layers["scan"].scale)
    assert viewer.layers.selection.active is viewer.layers["scan"]
    pixels = f"{int((data > 0).sum()):,} pixels"
    assert widget.status.text().startswith(f"Slice 1: artery; {pixels}; expected IoU ")
    assert widget.result.take_over.isEnabled()


def test_values_act_at_once_without_the_network(qtbot, viewer, widget, monkeypatch):
    looks = []
    really = promptless.Predictor.on_slice

    def on_slice(self, index):
        looks.append(index)
        return really(self, index)

    monkeypatch.setattr(promptless.Predictor, "on_slice", on_slice)
    push(qtbot, widget, "This slice [F9]")
    before = int((found_data(viewer) > 0).sum())
    widget.cleaning.min_area.setValue(200)  # one of the two has 156 pixels
    settle(qtbot, widget)
    after = found_data(viewer)[1]
    assert after[ROWS, 10:36].any()
    assert not after[34:60].any()
    assert 0 < (after > 0).sum() < before
    widget.cleaning.restore()
    settle(qtbot, widget)
    assert (found_data(viewer) > 0).sum() == before
    widget.classes.separate.setChecked(True)
    settle(qtbot, widget)
    assert set(np.unique(found_data(viewer))) == {0, 1, 2}
    names = viewer.layers["scan found"].metadata["names"]
    assert names == {1: "artery 1", 2: "artery 2"}
    assert looks == [1]


def test_the_values_of_a_region_are_one_button_away(qtbot, viewer, widget):
    push(qtbot, widget, "This slice [F9]")
    before = found_data(viewer)[1] > 0
    widget.cleaning.set_region()
    settle(qtbot, widget)
    assert widget.cleaning.rounding.value() == 5
    assert widget.cleaning.threshold.value() == 80
    record = viewer.layers["scan found"].metadata["record"]
    assert record["automatic"]["cleaning"]["artery"]["rounding"] == 5
    after = found_data(viewer)[1] > 0
    assert (after != before).any()
    widget.cleaning.min_area.setValue(0)
    widget.cleaning.rounding.setValue(0)
    settle(qtbot, widget)
    cleaned = record_of_shown(viewer)["cleaning"]["artery"]
    assert (cleaned["min_area"], cleaned["rounding"]) == (0, 0)


def record_of_shown(viewer):
    return viewer.layers["scan found"].metadata["record"]["automatic"]


def test_a_range_is_found_with_progress(qtbot, viewer, widget):
    widget.run.span.slices = range(2, 6)
    steps = []
    widget.progressed.connect(lambda done, total: steps.append((done, total)))
    push(qtbot, widget, "Slices [Shift+F9]")
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    data = found_data(viewer)
    assert np.flatnonzero(data.any((1, 2))).tolist() == [2, 3, 4, 5]
    assert widget.status.text().startswith("Slices 2-5: artery; ")
    push(qtbot, widget, "This slice [F9]")  # in place of the range
    assert np.flatnonzero(data.any((1, 2))).tolist() == [1]


def test_a_range_is_cancelled(qtbot, viewer, widget, monkeypatch):
    go, looks = threading.Event(), []
    really = promptless.Predictor.on_slice

    def on_slice(self, index):
        looks.append(index)
        assert go.wait(20)
        return really(self, index)

    monkeypatch.setattr(promptless.Predictor, "on_slice", on_slice)
    widget.find_range()
    qtbot.waitUntil(lambda: bool(looks), timeout=TASK_MS)
    assert not widget.run.here.isEnabled()
    widget.run.cancel.click()
    go.set()
    settle(qtbot, widget)
    assert looks == [0]
    assert np.flatnonzero(found_data(viewer).any((1, 2))).tolist() == [0]
    assert "Stopped before the end." in widget.status.text()


def test_vessels_are_found_only_within_a_map(qtbot, viewer, widget):
    seen = np.zeros((SIDE, SIDE), np.uint8)
    seen[:30] = 1
    viewer.add_labels(seen, name="map")
    widget.source.within.layer = viewer.layers["map"]
    push(qtbot, widget, "This slice [F9]")
    assert found_data(viewer)[1, :30].any()
    assert not found_data(viewer)[1, 30:].any()
    viewer.add_labels(np.ones((9, 9), np.uint8), name="small")
    widget.source.within.layer = viewer.layers["small"]
    settle(qtbot, widget)
    assert "expected a map of (64, 64) pixels" in widget.status.text()


def test_a_single_image(qtbot, viewer, widget, scan):
    viewer.add_image(scan[0], name="en face")
    widget.source.image.layer = viewer.layers["en face"]
    push(qtbot, widget, "This slice [F9]")
    assert viewer.layers["en face found"].data.shape == (SIDE, SIDE)
    assert viewer.layers["en face found"].data.any()


def test_errors_are_told_in_a_sentence(qtbot, viewer, widget, notices, tmp_path):
    choose(widget)
    push(qtbot, widget, "This slice [F9]")
    assert "expected some of these, found none" in notices[-1]
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    widget.use_model(str(tmp_path / "broken.safetensors"))
    settle(qtbot, widget)
    assert "expected a promptless model" in notices[-1]
    viewer.layers.clear()
    push(qtbot, widget, "This slice [F9]")
    assert notices[-1].startswith("Open an OCTA volume first")


def test_what_was_found_goes_with_its_layer(qtbot, viewer, widget):
    push(qtbot, widget, "This slice [F9]")
    viewer.layers.remove("scan found")
    assert not widget.result.take_over.isEnabled()
    assert widget.found is None
    push(qtbot, widget, "This slice [F9]")
    assert found_data(viewer).any()


# objects -------------------------------------------------------------------------


def test_take_over_review_and_correct(qtbot, viewer, widget, segment, scan):
    widget.run.span.slices = range(DEPTH)
    push(qtbot, widget, "Slices [Shift+F9]")
    data = found_data(viewer).copy()
    push(qtbot, widget, "Take over [F12]")
    annotation = segment.annotation
    np.testing.assert_array_equal(annotation.labels.data, data)
    (found,) = annotation.objects.values()
    assert (found.id, found.name, found.cls) == (1, "artery", "artery")
    assert not viewer.layers["scan found"].visible
    assert "Took 1 object over" in widget.status.text()
    sure = {c.slice: c.confidence for c in widget.found.confidence}
    row = annotation.engine.review.row(1, DEPTH)
    np.testing.assert_allclose(row, [sure[i] for i in range(DEPTH)], atol=1e-4)
    assert annotation.marks(1).absent == {DEPTH - 1}
    worst = min(sure, key=sure.get)
    assert annotation.doubtful(1.0)[0] == (1, worst)

    # the engine says the same, in its own time, and is corrected with a click
    qtbot.waitUntil(lambda: not segment.runner.busy, timeout=TASK_MS)
    row = annotation.engine.review.row(1, DEPTH)
    np.testing.assert_allclose(row, [sure[i] for i in range(DEPTH)], atol=1e-4)
    np.testing.assert_array_equal(annotation.labels.data, data)
    annotation.drawn.set_polarity(False)
    annotation.points.add([2, 50, 46])
    qtbot.waitUntil(lambda: not segment.runner.busy, timeout=TASK_MS)
    assert not np.array_equal(annotation.labels.data[2], data[2])
    np.testing.assert_array_equal(annotation.labels.data[3], data[3])
    segment.commands.run("undo")
    segment.commands.run("undo")
    assert not annotation.labels.data.any()
    assert not annotation.prompts().prompts


def test_a_click_does_not_wait_for_masks_that_are_known(monkeypatch):
    monkeypatch.setattr(EngineRunner, "_ensure_worker", lambda self: None)
    runner = EngineRunner(lambda response: None)

    def submit(number, index, shown):
        prompts = (Prompt(number, index, absent=True),)
        edit = Edit(number, index, prompts, 1, 1, shown)
        runner.submit(Preview(edit))

    def queue():
        return [
            (r.edit.slice, r.edit.object) if isinstance(r, Preview) else r
            for r, _ in runner._inbox
        ]

    prefetch = Prefetch((1,))
    submit(1, 9, False)
    runner.submit(prefetch)
    for place in ((1, 0), (2, 0), (1, 1), (2, 1), (1, 2)):
        submit(*place, False)
    submit(2, 1, True)
    first = [(9, 1), prefetch, (1, 1), (1, 2), (1, 2)]
    assert queue() == [*first, (0, 1), (0, 2), (2, 1)]
    submit(1, 2, True)
    assert queue() == [*first, (2, 1), (2, 1), (0, 1), (0, 2)]


def test_drawn_slices_are_left_as_they_are(qtbot, viewer, widget, segment):
    annotation = segment.annotate()
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    drawn[22:26, 10:30] = 1
    annotation.scene.painted(1)[...] = drawn
    annotation._painted()
    widget.run.span.slices = range(3)
    push(qtbot, widget, "Slices [Shift+F9]")
    widget.result.only_blank.setChecked(True)
    push(qtbot, widget, "Take over [F12]")
    assert sorted(annotation.objects) == [1, 2]
    np.testing.assert_array_equal(annotation.labels.data[1], drawn)
    assert set(np.unique(annotation.labels.data[0])) == {0, 2}
    assert annotation.current == 2


def test_prompts_of_what_was_found(qtbot, viewer, widget, segment):
    widget.classes.separate.setChecked(True)
    push(qtbot, widget, "This slice [F9]")
    widget.result.kind.setCurrentText("box")
    assert not widget.result.most.isEnabled()
    push(qtbot, widget, "Make prompts [Shift+F12]")
    annotation = segment.annotation
    boxes = {p.object: (p.slice, p.box) for p in annotation.prompts().prompts}
    assert sorted(boxes) == [1, 2]
    data = found_data(viewer)[1]
    for number, (index, box) in boxes.items():
        rows, cols = np.nonzero(data == number)
        assert index == 1
        assert box == (rows.min(), cols.min(), rows.max(), cols.max())
    assert [o.name for o in annotation.objects.values()] == ["artery 1", "artery 2"]
    qtbot.waitUntil(
        lambda: annotation.labels.data[1].any() and not segment.runner.busy,
        timeout=TASK_MS,
    )
    viewer.dims.set_current_step(0, 5)
    push(qtbot, widget, "Make prompts [Shift+F12]")
    assert "Nothing was found on slice 5" in widget.status.text()


@pytest.mark.parametrize("name", ["Take over [F12]", "Make prompts [Shift+F12]"])
def test_without_the_segment_dock(qtbot, widget, name):
    push(qtbot, widget, "This slice [F9]")
    push(qtbot, widget, name)
    assert widget.status.text().startswith("Open the Segment dock first")


# everything ----------------------------------------------------------------------


def test_everything_with_its_filters(qtbot, viewer, widget, segment, checkpoint):
    widget.source.method = panels.EVERYTHING
    assert not widget.run.range.isEnabled()
    assert not widget.cleaning.isVisible()
    widget.source.model.model = str(checkpoint)
    widget.everything.suited.setChecked(False)
    widget.everything.points.setValue(4)
    widget.everything.iou.setValue(0)
    widget.everything.stability.setValue(0)
    widget.everything.most_area.setValue(100)
    push(qtbot, widget, "This slice [F9]")
    assert "Slice 1: " in widget.status.text()
    record = viewer.layers["scan found"].metadata["record"]["automatic"]
    assert record["points_per_side"] == 4
    assert record["least_iou"] == 0
    assert widget.result.take_over.isEnabled()
    push(qtbot, widget, "Take over [F12]")
    assert segment.annotation.labels.data[1].any()
    widget.source.method = panels.CLASSES
    settle(qtbot, widget)
    assert widget.source.model.model.endswith("bright.safetensors")
    assert widget.run.range.isEnabled()


# from the Train dock ---------------------------------------------------------------


def test_the_train_dock_offers_promptless_models(qtbot, viewer, widget, bright):
    _, train = viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Train")
    settle(qtbot, train)
    recipe = train.recipe
    recipe.recipe.setCurrentText("sparse-annotation")
    assert recipe.model.model == "octa-auto"
    assert recipe.other_model is None
    offered = [recipe.model.itemData(i) for i in range(recipe.model.count())]
    assert "octa-nano" not in offered
    recipe.recipe.setCurrentText("quick")
    assert recipe.model.model == "octa-nano"
    train._use(bright, True)
    assert widget.source.model.model == str(bright)
    assert train.status.text() == "The Automatic dock uses bright.safetensors now."
    train.close()
    settle(qtbot, train)


def test_a_local_model_is_chosen(qtbot, widget, bright, monkeypatch):
    monkeypatch.setattr(
        QFileDialog, "getOpenFileName", lambda *_, **__: (str(bright), "")
    )
    model = widget.source.model
    model.setCurrentIndex(model.count() - 1)
    model.activated.emit(model.count() - 1)
    assert model.model == str(bright)
    assert model.currentText() == "bright.safetensors"


def test_the_dock_closes_while_it_looks(qtbot, viewer, widget):
    widget.find_range()
    widget.close()
    qtbot.waitUntil(lambda: not widget.runner.busy, timeout=TASK_MS)
    assert "scan found" not in viewer.layers


def test_sparse_annotation(
    qtbot, viewer, widget, segment, bright, tmp_path, monkeypatch
):
    """Draw a few slices, train on them, find on the others, review: in the docks."""
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "trainings"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    annotation = segment.annotate()
    annotation.change_object(1, name="branch", cls="artery")
    for index in (1, 4):
        viewer.dims.set_current_step(0, index)
        annotation.scene.painted(index)[ROWS, 4:40] = 1
        annotation._painted()

    _, train = viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Train")
    settle(qtbot, train)
    train.data.labels.layer = annotation.labels
    train.add_layers()
    train.recipe.recipe.setCurrentText("sparse-annotation")
    train.recipe.model.model = str(bright)
    train.recipe.unit.setCurrentText("steps")
    train.recipe.amount.setValue(2)
    train.recipe.settings.setText("clip.native=32 fit.clips=2 fit.workers=0")
    push(qtbot, train, "Start [F7]")
    qtbot.waitUntil(lambda: train._shown is not None, timeout=TASK_MS)
    qtbot.waitUntil(
        lambda: train._shown is not None and train._shown.state != "running",
        timeout=3 * TASK_MS,
    )
    assert train._shown.state == "finished", train._shown.message
    weights = train._folder().weights()
    push(qtbot, train, "Use this model")
    assert widget.source.model.model == str(weights)
    train.close()
    settle(qtbot, train)
    settle(qtbot, widget)

    choose(widget, "artery")
    widget.run.span.slices = range(6)
    push(qtbot, widget, "Slices [Shift+F9]")
    widget.result.only_blank.setChecked(True)
    push(qtbot, widget, "Take over [F12]")
    assert [o.name for o in annotation.objects.values()] == ["branch", "artery"]
    labels = annotation.labels.data
    assert [set(np.unique(s)) - {0} for s in labels[:6]] == [
        *({2}, {1}, {2}, {2}, {1}, {2})
    ]
    review = annotation.engine.review
    assert [review.confidence(1, i) for i in (0, 1)] == [None, 1.0]
    assert 0 < review.confidence(2, 0) <= 1
    assert review.confidence(2, 1) is None
