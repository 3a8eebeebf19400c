from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_octa_sam2 import PromptSet, read_labels, read_volume
from napari_octa_sam2.demo import (
    annotate,
    interior_points,
    run_demo,
    vessels_and_faz,
)
from napari_octa_sam2.errors import WriteError
from napari_octa_sam2.model.loading import (
    DEFAULT_MODEL,
    LoadedModel,
    build_network,
    load_model,
)
from napari_octa_sam2.overview import check_picture, choose_slices, nice_length
from napari_octa_sam2.overview import write_overview as draw
from napari_octa_sam2.prompts import Prompt
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume
from napari_octa_sam2.volume.phantom import PhantomConfig, make_phantom

SMALL = PhantomConfig(seed=3, depth=16, size=64)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    torch.manual_seed(0)
    network = build_network("octa-nano.yaml", input_size=64)
    return LoadedModel(network, "random", "")


def test_first_clicks_lie_inside_and_apart() -> None:
    mask = np.zeros((20, 60), bool)
    mask[5:10, 2:58] = True
    points = interior_points(mask, 3)
    assert all(mask[point] for point in points)
    assert all(row == 7 or abs(row - 7) == 1 for row, _ in points)
    columns = sorted(column for _, column in points)
    assert columns[0] < 10
    assert columns[-1] > 50
    assert min(np.diff(columns)) > 10


def test_a_small_object_gets_as_many_clicks_as_it_has_pixels() -> None:
    mask = np.zeros((5, 5), bool)
    mask[2, 2] = True
    assert interior_points(mask, 3) == ((2, 2),)


def test_the_annotator_clicks_inside_and_marks_where_objects_end() -> None:
    volume = make_phantom(SMALL).volume
    labels = volume.labels["objects"]
    truth = vessels_and_faz(labels, volume.geometry.spacing[0])
    assert (truth.data > 0)[labels.data > 0].all()
    (faz,) = (number for number, cls in labels.classes.items() if cls == "FAZ")
    assert ((truth.data == 2) == (labels.data == faz)).all()
    prompts = annotate(truth)
    assert [(o.id, o.cls) for o in prompts.objects] == [(1, "RV"), (2, "FAZ")]
    for prompt in prompts.prompts:
        if prompt.absent:
            assert not (truth.data[prompt.slice] == prompt.object).any()
        for row, column in prompt.points:
            assert truth.data[prompt.slice, int(row), int(column)] == prompt.object
    for label in (1, 2):
        assert sum(p.object == label and bool(p.points) for p in prompts.prompts) > 1


def test_demo_leaves_everything_behind(model: LoadedModel, tmp_path: Path) -> None:
    made = run_demo(tmp_path / "new" / "demo", model=model, phantom=SMALL)
    assert sorted(made.files) == [
        "labels",
        "metrics",
        "overview",
        "prompts",
        "record",
        "report",
        "volume",
    ]
    volume = read_volume(made.files["volume"])
    np.testing.assert_array_equal(volume.data, make_phantom(SMALL).volume.data)
    prompts = PromptSet.read(made.files["prompts"])
    prompts.require_usable(volume.shape)
    labels, geometry = read_labels(made.files["labels"])
    np.testing.assert_array_equal(labels.data, made.segmentation.labels.data)
    assert geometry == volume.geometry
    with made.files["metrics"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    dice = [r for r in rows if r["level"] == "object" and r["figure"] == "dice"]
    assert [row["object"] for row in dice] == [str(o.id) for o in prompts.objects]
    assert [row["class"] for row in dice] == [o.cls for o in prompts.objects]
    record = json.loads(made.files["record"].read_text())
    assert record["prompts"] == prompts.to_json()
    assert made.files["overview"].read_bytes().startswith(b"\x89PNG")
    run_demo(tmp_path / "new" / "demo", model=model, phantom=SMALL)


def test_demo_says_why_it_cannot_write(model: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match="expected a folder"):
        run_demo(tmp_path / "file", model=model, phantom=SMALL)


@pytest.mark.slow
def test_bundled_model_finds_the_objects(tmp_path: Path) -> None:
    made = run_demo(tmp_path, model=load_model(DEFAULT_MODEL))
    assert made.evaluation.only("all")["dice"] > 0.65
    assert all(row["dice"] > 0.6 for row in made.evaluation.at("object"))


@pytest.mark.parametrize(
    ("extent", "length"), [(3000, 500), (6000, 1000), (8000, 2000), (100, 20), (7, 1)]
)
def test_scale_bar_is_a_round_length(extent: float, length: float) -> None:
    assert nice_length(extent) == length


def test_prompted_slices_are_shown_first_then_labelled_ones() -> None:
    data = np.zeros((40, 4, 4), np.uint8)
    data[10:30] = 1
    prompts = PromptSet(prompts=(Prompt(1, 12, ((1, 1),), (1,)),))
    shown = choose_slices(LabelSet(data), prompts=prompts, count=4)
    assert len(shown) == 4
    assert 12 in shown
    assert all(10 <= index < 30 for index in shown)
    assert choose_slices(LabelSet(np.zeros((9, 4, 4), np.uint8))) == [4]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
@pytest.mark.parametrize("depth", [1, 9])
def test_overview_draws_any_number_of_slices(
    tmp_path: Path, suffix: str, depth: int
) -> None:
    data = np.random.default_rng(0).random((depth, 24, 30)).astype(np.float32)
    data[0, 0, 0] = np.nan
    labels = np.zeros(data.shape, np.uint8)
    labels[:, 5:15, 5:30] = 3
    volume = OctaVolume(data, ScanGeometry((0.1, 0.1, 0.1), "mm"))
    prompts = PromptSet(
        prompts=(
            Prompt(3, 0, ((8, 8), (20, 20)), (1, 0)),
            Prompt(3, 0, box=(4, 4, 16, 20)),
        )
    )
    path = draw(
        tmp_path / f"picture{suffix}",
        volume,
        LabelSet(labels, {3: "vein 1"}),
        truth=LabelSet(np.roll(labels, 1, 1)),
        prompts=prompts,
    )
    assert path.stat().st_size > 1000
    if suffix == ".svg":
        text = path.read_text("utf-8")
        for word in ("vein 1", "500 µm", "negative click", "truth", "slice 0"):
            assert word in text


def test_overview_without_spacing_has_no_scale_bar(tmp_path: Path) -> None:
    volume = OctaVolume(np.eye(16, dtype=np.uint8)[None])
    path = tmp_path / "picture.svg"
    draw(path, volume, LabelSet(np.zeros((1, 16, 16), np.uint8)))
    assert "µm" not in path.read_text("utf-8")


def test_overview_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"\.png, \.pdf, \.svg"):
        check_picture(tmp_path / "picture.docx")
