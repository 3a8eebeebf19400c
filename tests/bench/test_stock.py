from __future__ import annotations

import numpy as np
import torch

from napari_octa_sam2.bench.stock import StockRun
from napari_octa_sam2.prompts import Prompt, Scribble


class Recorder:
    """Stands in for the predictor; keeps what it was asked."""

    image_size, device = 64, "cpu"

    def init_state(self, video_path):
        return "state"

    def add_new_points_or_box(self, state, *, frame_idx, obj_id, points, labels):
        self.asked = points, labels
        return frame_idx, [obj_id], torch.zeros(1, 1, 20, 30)


def test_stock_is_given_points_and_scribbles_as_x_and_y():
    recorder = Recorder()
    run = StockRun(np.zeros((3, 20, 30), np.uint8), recorder)
    line = Scribble(((2.0, 4.0), (2.0, 20.0)), 0)
    answer = run.click(Prompt(5, 1, ((7.0, 8.0),), (1,), scribbles=(line,)))
    points, labels = recorder.asked
    assert points.tolist() == [[8, 7], [4, 2], [12, 2], [20, 2]]
    assert labels.tolist() == [1, 0, 0, 0]
    assert points.dtype == np.float32
    assert (answer.slice, list(answer.logits)) == (1, [5])
