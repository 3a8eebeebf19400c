from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_octa_sam2 import read_labels, segment
from napari_octa_sam2.engine.segment import Segmentation
from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.errors import ModelError, PromptError
from napari_octa_sam2.model.loading import LoadedModel
from napari_octa_sam2.prompts import Prompt, PromptObject, PromptSet
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import OctaVolume

SHAPE = (5, 40, 48)


@pytest.fixture(scope="session")
def model(tiny_model: LoadedModel) -> LoadedModel:
    return tiny_model


@pytest.fixture
def volume() -> OctaVolume:
    data = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)
    return OctaVolume(data, ScanGeometry((0.01, 0.02, 0.03), "mm"), name="scan")


@pytest.fixture
def prompts() -> PromptSet:
    return PromptSet(
        (PromptObject(2, "vein 1", "vein"), PromptObject(7, "fovea", "FAZ")),
        (
            Prompt(2, 2, ((20, 24),), (1,)),
            Prompt(7, 2, box=(5, 6, 30, 31)),
            Prompt(2, 2, ((3, 4),), (0,)),
        ),
    )


def test_labels_are_those_of_the_session(model, volume, prompts) -> None:
    done = segment(volume, prompts, model=model)
    session = Session(volume.data, model)
    session.set_prompts(2, 2, [prompts.prompts[0], prompts.prompts[2]])
    session.set_prompts(7, 2, [prompts.prompts[1]])
    expected = np.zeros(SHAPE, np.uint8)
    for result in session.propagate("both"):
        result.write_into(expected[result.slice])
    assert expected.any()
    np.testing.assert_array_equal(done.labels.data, expected)
    assert done.labels.data.dtype == np.uint8
    assert done.labels.names == {2: "vein 1", 7: "fovea"}
    assert done.labels.classes == {2: "vein", 7: "FAZ"}
    assert [row[:2] for row in done.confidence] == [
        (index, label) for index in range(5) for label in (2, 7)
    ]
    assert all(0 <= row.confidence <= 1 for row in done.confidence)
    assert done.complete


def test_large_ids_need_two_bytes(model, volume) -> None:
    prompts = PromptSet(prompts=(Prompt(300, 0, ((20, 24),), (1,)),))
    done = segment(volume, prompts, model=model, slices=range(1))
    assert done.labels.data.dtype == np.uint16
    assert set(np.unique(done.labels.data)) <= {0, 300}


def test_only_slices_in_range_are_labelled(model, volume, prompts) -> None:
    done = segment(volume, prompts, model=model, slices=range(3, 5))
    whole = segment(volume, prompts, model=model)
    assert not done.labels.data[:3].any()
    np.testing.assert_array_equal(done.labels.data[3:], whole.labels.data[3:])
    assert done.record["slices"] == [3, 4]
    assert {row.slice for row in done.confidence} == {3, 4}


def test_direction_is_followed(model, volume, prompts) -> None:
    done = segment(volume, prompts, model=model, direction="backward")
    assert {row.slice for row in done.confidence} == {0, 1, 2}


def test_progress_counts_the_stops(model, volume, prompts) -> None:
    told: list[tuple[int, int]] = []
    segment(volume, prompts, model=model, progress=lambda *counts: told.append(counts))
    assert told == [(n, 5) for n in range(1, 6)]


def test_a_cancelled_work_keeps_what_is_done(model, volume, prompts) -> None:
    told: list[int] = []
    done = segment(
        volume,
        prompts,
        model=model,
        progress=lambda count, total: told.append(count),
        cancelled=lambda: len(told) == 2,
    )
    assert not done.complete
    assert {row.slice for row in done.confidence} == {2, 3}
    assert done.labels.data[2].any()


def test_record_says_how_to_repeat_it(model, volume, prompts) -> None:
    record = segment(
        volume, prompts, model=model, device="cpu", precision="fp32"
    ).record
    assert json.loads(json.dumps(record)) == record
    assert record["model"] == {
        "name": "random",
        "sha256": "",
        "input_size": 128,
        "refinement": False,
    }
    assert (record["device"], record["precision"]) == ("cpu", "fp32")
    assert record["versions"]["torch"] == torch.__version__
    assert set(record["versions"]) == {"napari-octa-sam2", "torch", "sam2", "numpy"}
    assert record["volume"] == volume.describe()
    assert record["direction"] == "both"
    assert record["slices"] == [0, 4]
    assert PromptSet.from_json(record["prompts"]).to_json() == prompts.to_json()


@pytest.mark.parametrize("suffix", [".ome.zarr", ".nii.gz", ".tif", ".npy"])
def test_labels_survive_the_file(
    model, volume, prompts, tmp_path: Path, suffix: str
) -> None:
    done: Segmentation = segment(volume, prompts, model=model)
    path = done.write(tmp_path / f"labels{suffix}")
    labels, geometry = read_labels(path)
    np.testing.assert_array_equal(labels.data, done.labels.data)
    assert labels.names == done.labels.names
    assert labels.classes == done.labels.classes
    assert geometry == volume.geometry


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slices": range(3, 9)}, "from 0 to 4.*found 3 to 8"),
        ({"slices": range(3, 3)}, "found 3 to 2"),
        ({"slices": range(0, 4, 2)}, "range of slices"),
        ({"prompts": PromptSet()}, "no prompt"),
        ({"prompts": PromptSet(prompts=(Prompt(1, 5, ((1, 1),), (1,)),))}, "0 to 4"),
        ({"prompts": PromptSet(prompts=(Prompt(1, 0, ((50, 1),), (1,)),))}, "outside"),
        (
            {"prompts": PromptSet(prompts=(Prompt(1, 0, absent=True),))},
            "no positive prompt",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_model_is_loaded(
    volume, prompts, change, message
) -> None:
    arguments = {"prompts": prompts, "model": "no such model"} | change
    with pytest.raises(PromptError, match=message):
        segment(volume, **arguments)


def test_an_unknown_model_or_device_is_refused(model, volume, prompts) -> None:
    with pytest.raises(ModelError, match="no such model"):
        segment(volume, prompts, model="no such model")
    with pytest.raises(ModelError, match="device"):
        segment(volume, prompts, model=model, device="cuda:7")
