"""Prompts of every kind in the picture of a segmentation."""

from __future__ import annotations

import numpy as np
import pytest

from napari_octa_sam2.metrics.segmentation.evaluation import evaluate
from napari_octa_sam2.overview import write_overview
from napari_octa_sam2.prompts import Prompt, PromptSet, Scribble
from napari_octa_sam2.volume import LabelSet, OctaVolume, ScanGeometry

LINE = ((4.0, 4.0), (10.0, 20.0), (25.0, 28.0))


@pytest.fixture
def scan():
    volume = OctaVolume(np.zeros((3, 32, 32), np.uint8), ScanGeometry(), "scan")
    labels = np.zeros(volume.shape, np.uint8)
    labels[1, 8:20, 8:20] = 1
    return volume, LabelSet(labels)


@pytest.mark.parametrize(
    ("prompt", "key"),
    [
        (Prompt(1, 1, scribbles=(Scribble(LINE),)), "positive scribble"),
        (Prompt(1, 1, scribbles=(Scribble(LINE, 0),)), "negative scribble"),
        (Prompt(1, 1, polygon=LINE), None),
        (Prompt(1, 1, box=(4, 4, 25, 28)), None),
    ],
)
def test_what_was_drawn_is_seen(scan, tmp_path, prompt, key):
    plain = PromptSet(prompts=(Prompt(1, 1, absent=True),))
    shown = PromptSet(prompts=(prompt,))
    before, after = (
        write_overview(tmp_path / f"{name}.svg", *scan, prompts=given).read_text()
        for name, given in (("plain", plain), ("shown", shown))
    )
    assert after.count("<path") > before.count("<path")
    for kind in ("positive scribble", "negative scribble"):
        assert (kind in after) == (kind == key)


def test_dice_is_written_beside_objects_and_slices(scan, tmp_path):
    volume, labels = scan
    truth = LabelSet(labels.data.copy())
    truth.data[1, 8:20, 14:20] = 0
    truth.data[2, :2, :2] = 2  # missed
    evaluation = evaluate(labels.data, truth.data, geometry=volume.geometry)
    path = tmp_path / "picture.svg"
    write_overview(path, *scan, truth=truth, evaluation=evaluation)
    text = path.read_text("utf-8")
    assert "Dice of each object" in text
    assert "slice 1   Dice 0.67" in text
    assert "slice 2   Dice 0.00" in text
