"""The bundled model on two real subjects a task, where they are there."""

from __future__ import annotations

import pytest

from napari_octa_sam2.model.loading import load_model
from napari_octa_sam2.protocol.run import run_clicks

TASKS = ("faz-enface", "rv-enface-3mm", "faz-sequence", "rv-sequence-1")


@pytest.mark.slow
def test_the_bundled_model_on_real_subjects(realdata):
    report = run_clicks(realdata, load_model(), tasks=TASKS, subjects=2)
    assert report.complete
    means = {task.name: task.figure(task.judged[0]).mean for task in report.tasks}
    counts = {task.name: len(task.samples) for task in report.tasks}
    assert (counts["faz-enface"], counts["rv-enface-3mm"]) == (2, 2)
    assert (counts["faz-sequence"] >= 1, counts["rv-sequence-1"] >= 7) == (True, True)
    assert means["faz-enface"] > 0.75
    assert means["rv-enface-3mm"] > 0.83
    assert means["faz-sequence"] > 0.5
    assert means["rv-sequence-1"] > 0.6
