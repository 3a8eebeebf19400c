"""Everything in a slice is what SAM 2's own mask generator finds in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from napari_octa_sam2.automatic.candidates import different
from napari_octa_sam2.automatic.everything import (
    Everything,
    EverythingSettings,
    Found,
    as_labels,
)
from napari_octa_sam2.engine.frames import intensity_window, network_input, windowed
from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.errors import PromptError
from napari_octa_sam2.model.loading import LoadedModel, load_model
from napari_octa_sam2.model.refinement import FAINT, RefinementHead
from napari_octa_sam2.prompts import SEGMENTABLE, Prompt

SIDE = 32  # of the decoder's grid: what is sifted there is what is seen
# Weights are random: masks are neither sure nor stable, so that the bars are low.
LOOSE = EverythingSettings(
    points_per_side=6,
    batch=10,
    least_iou=0.0,
    least_stability=0.0,
    stability_offset=0.02,
    most_overlap=1.0,
    min_area=1,
    most_area=1.0,
    overlap="box",
)


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    """Two slices with patches of eight grey values."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 8, (2, 8, 8)) * 36
    return np.kron(coarse, np.ones((1, 4, 4))).astype(np.uint8)


@pytest.fixture(scope="module")
def model(stock: Path) -> LoadedModel:
    return load_model(stock)


@pytest.fixture
def everything(data: np.ndarray, model: LoadedModel) -> Everything:
    return Everything(data, model, device="cpu", precision="fp32")


def box_nms(boxes: Any, scores: Any, _: Any, iou_threshold: float) -> torch.Tensor:
    """Stand in for torchvision's, pixel by pixel and box by box."""
    kept: list[int] = []
    for i in scores.argsort(descending=True, stable=True).tolist():
        own = painted(boxes[i])
        ious = ((own & b).sum() / (own | b).sum() for b in map(painted, boxes[kept]))
        if all(iou <= iou_threshold for iou in ious):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)


def painted(box: Any) -> np.ndarray:
    left, top, right, bottom = box.int().tolist()
    image = np.zeros((SIDE, SIDE), bool)
    image[top : bottom + 1, left : right + 1] = True
    return image


class Replaced(torch.nn.Module):
    """A step that returns its input, or what is given."""

    def __init__(self, given: torch.Tensor | None, *_: Any) -> None:
        super().__init__()
        self.given = given

    def forward(self, x: Any) -> Any:
        return x if self.given is None else self.given


@pytest.fixture
def generator(
    data: np.ndarray, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """SAM 2's mask generator on slice 1, less what it takes from torchvision."""
    names = ("", ".ops", ".ops.boxes", ".transforms")
    for name in names:
        monkeypatch.setitem(
            sys.modules, f"torchvision{name}", ModuleType(f"torchvision{name}")
        )
    boxes = sys.modules["torchvision.ops.boxes"]
    boxes.batched_nms, boxes.box_area = box_nms, None  # type: ignore[attr-defined]
    window = intensity_window(data)
    seen = network_input(windowed(data[1], window), model.input_size)[0]
    for name in ("Normalize", "Resize", "ToTensor"):
        given = seen if name == "ToTensor" else None
        monkeypatch.setattr(
            sys.modules["torchvision.transforms"],
            name,
            partial(Replaced, given),
            raising=False,
        )
    monkeypatch.setattr(torch.jit, "script", lambda module: module)
    before = set(sys.modules)
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

    def generate(**settings: Any) -> list[dict[str, Any]]:
        made = SAM2AutomaticMaskGenerator(model.network, **settings)
        sizes = [(SIDE // reduced, SIDE // reduced) for reduced in (1, 2, 4)]
        made.predictor._bb_feat_sizes = sizes  # it knows those of 1024 pixels alone
        found: list[dict[str, Any]] = made.generate(np.repeat(data[1][..., None], 3, 2))
        return found

    yield generate
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("most_overlap", [1.0, 0.7])
@pytest.mark.parametrize("sifted", [(), ("score",), ("stability",)])
def test_masks_are_those_of_sam_2(
    generator: Callable[..., list[dict[str, Any]]],
    everything: Everything,
    sifted: tuple[str, ...],
    most_overlap: float,
) -> None:
    loose = everything.on_slice(1, LOOSE)
    bars = {kind: np.median([getattr(f, kind) for f in loose]) for kind in sifted}
    settings = replace(
        LOOSE,
        least_iou=bars.get("score", 0.0),
        least_stability=bars.get("stability", 0.0),
        most_overlap=most_overlap,
    )
    truth = generator(
        points_per_side=LOOSE.points_per_side,
        points_per_batch=7,
        pred_iou_thresh=settings.least_iou,
        stability_score_thresh=settings.least_stability,
        stability_score_offset=LOOSE.stability_offset,
        box_nms_thresh=most_overlap,
    )

    found = everything.on_slice(1, settings)

    truth = [t for t in truth if t["segmentation"].any()]
    truth.sort(key=lambda t: -t["predicted_iou"])
    assert len(found) == len(truth) > 0
    assert (len(found) < len(loose)) == bool(sifted or most_overlap < 1)
    for ours, theirs in zip(found, truth, strict=True):
        assert np.array_equal(ours.mask, theirs["segmentation"])
        assert ours.score == pytest.approx(theirs["predicted_iou"], abs=1e-4)
        assert ours.stability == pytest.approx(theirs["stability_score"], abs=1e-4)
        (x, y), *_ = theirs["point_coords"]
        assert ours.point == pytest.approx((y, x))


@pytest.fixture(scope="module")
def refined(checkpoint: Path) -> LoadedModel:
    """A small octa-nano with a refinement head, both of random weights."""
    torch.manual_seed(1)
    model = load_model(checkpoint)
    return replace(model, refinement=RefinementHead((8, 8)).eval())


def test_refined_masks_are_those_of_clicks(refined: LoadedModel) -> None:
    rng = np.random.default_rng(2)
    data = rng.integers(0, 255, (1, 40, 52), dtype=np.uint8)
    settings = replace(LOOSE, overlap="mask")

    found = Everything(data, refined, device="cpu").on_slice(0, settings)

    session = Session(data, refined, device="cpu")
    shown: dict[tuple[float, float], list[Found]] = {}
    for each in found:
        shown.setdefault(each.point, []).append(each)
    assert len(shown) > 10
    for point, objects in shown.items():
        logits = session.set_prompts(1, 0, [Prompt(1, 0, (point,), (1,))]).logits[1]
        # a click shows the best of three masks
        (same,) = [f for f in objects if np.array_equal(f.mask, logits > 0)]
        inner, outer = (logits > 0.02).sum(), (logits > -0.02).sum()
        assert same.score == same.stability == pytest.approx(inner / outer)


def test_a_head_says_which_points_are_worth_it(refined: LoadedModel) -> None:
    data = np.random.default_rng(2).integers(0, 255, (1, 40, 52), dtype=np.uint8)
    everything = Everything(data, refined, device="cpu")
    with torch.inference_mode():
        refined.refinement.classes.bias.fill_(FAINT)
        window = intensity_window(data, (0.5, 99.8))
        classes = refined.refinement.read(windowed(data[0], window)).classes[0]
    vessels = (classes[SEGMENTABLE.index("RV")] > FAINT).numpy()
    assert vessels.any()
    assert not vessels.all()

    found = everything.on_slice(0, replace(LOOSE, classes=("RV",)))

    assert found
    assert all(vessels[int(row), int(col)] for row, col in (f.point for f in found))
    assert everything.usual.classes
    assert everything.usual.least_iou < EverythingSettings().least_iou


def test_areas_have_bounds(everything: Everything) -> None:
    areas = sorted(f.mask.sum() for f in everything.on_slice(0, LOOSE))
    low, high = areas[len(areas) // 3], areas[len(areas) // 2]
    settings = replace(LOOSE, min_area=int(low), most_area=float(high) / SIDE**2)

    found = everything.on_slice(0, settings)

    wanted = [area for area in areas if low <= area <= high]
    assert sorted(f.mask.sum() for f in found) == wanted
    assert 0 < len(wanted) < len(areas)


def test_work_is_told_and_can_be_stopped(everything: Everything) -> None:
    steps: list[tuple[int, int]] = []

    found = everything.on_slice(
        0, LOOSE, progress=lambda *step: steps.append(step), cancelled=lambda: False
    )

    assert found
    assert steps == [(10, 36), (20, 36), (30, 36), (36, 36)]
    steps.clear()
    stopped = everything.on_slice(
        0,
        LOOSE,
        progress=lambda *step: steps.append(step),
        cancelled=lambda: len(steps) == 2,
    )
    assert stopped == []
    assert steps == [(10, 36), (20, 36)]


def test_sam_2_has_its_own_settings(everything: Everything) -> None:
    assert everything.usual == EverythingSettings()
    # random weights are never sure
    assert everything.on_slice(0, replace(everything.usual, points_per_side=4)) == []


def test_a_slice_that_is_not_there_is_refused(everything: Everything) -> None:
    with pytest.raises(PromptError, match="from 0 to 1, found 2"):
        everything.on_slice(2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("points_per_side", 0),
        ("batch", 0),
        ("min_area", 0),
        ("least_iou", 1.1),
        ("least_stability", -0.1),
        ("most_overlap", 2.0),
        ("most_area", -1.0),
        ("stability_offset", -1.0),
        ("overlap", "circle"),
        ("classes", ("RV", "nerve")),
    ],
)
def test_settings_are_checked(name: str, value: Any) -> None:
    with pytest.raises(PromptError, match=f"expected .*{name}"):
        EverythingSettings(**{name: value})


def bars(*spans: tuple[int, int]) -> np.ndarray:
    """Masks of one row of a slice of 3 x 20 pixels, from a column to another."""
    masks = np.zeros((len(spans), 3, 20), bool)
    for mask, (first, last) in zip(masks, spans, strict=True):
        mask[1, first:last] = True
    return masks


def test_of_two_that_overlap_the_better_one_stays() -> None:
    masks = bars((0, 10), (2, 12), (11, 20))  # IoU of the first two 8 / 12
    scores = np.array([0.5, 0.9, 0.7])
    assert different(masks, scores, 0.6, "mask") == [1, 2]
    assert different(masks, scores, 0.7, "mask") == [1, 2, 0]


def test_masks_differ_where_boxes_are_alike() -> None:
    down = np.eye(8, dtype=bool)
    masks = np.stack([down, down[::-1]])
    scores = np.array([0.8, 0.9])
    assert different(masks, scores, 0.5, "mask") == [1, 0]
    assert different(masks, scores, 0.5, "box") == [1]


def test_labels_go_to_the_higher_score() -> None:
    masks = bars((0, 6), (4, 10), (5, 8))
    found = [
        Found(mask, score, 1.0, (1.0, 1.0))
        for mask, score in zip(masks, (0.6, 0.9, 0.3), strict=True)
    ]

    labels, names, _ = as_labels(found, (3, 20))

    assert labels.dtype == np.uint16
    assert labels[1, :12].tolist() == [2] * 4 + [1] * 6 + [0] * 2
    assert not labels[[0, 2]].any()
    assert names == {1: "object 1", 2: "object 2"}
    assert as_labels([], (3, 20))[1] == {}
