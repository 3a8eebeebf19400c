"""From a volume to labels without a prompt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_octa_sam2.automatic.cleaning import Cleaning
from napari_octa_sam2.automatic.finding import find, find_everything
from napari_octa_sam2.automatic.maps import Maps, expected_ious
from napari_octa_sam2.automatic.prompting import prompts_from
from napari_octa_sam2.automatic.settings import FindSettings
from napari_octa_sam2.engine.promptless import Predictor, probabilities
from napari_octa_sam2.engine.segment import segment
from napari_octa_sam2.errors import ModelError, PromptError, VolumeError
from napari_octa_sam2.model.appearance import Appearance
from napari_octa_sam2.model.loading import LoadedModel, build_network
from napari_octa_sam2.model.promptless.config import NetworkConfig
from napari_octa_sam2.model.promptless.model import PromptlessModel, load_promptless
from napari_octa_sam2.model.promptless.network import PromptlessNetwork
from napari_octa_sam2.volume.octa_volume import LabelSet, OctaVolume

SIDE = 40


@pytest.fixture
def scan() -> OctaVolume:
    """Three slices with two bright vessels; the second ends on the last slice."""
    data = np.zeros((3, SIDE, SIDE), np.uint8)
    data[:, 5:9, 2:38] = 200
    data[:2, 20:24, 2:20] = 200
    return OctaVolume(data)


def vessels(scan: OctaVolume) -> np.ndarray:
    return scan.data > 100


def settings(**changes: object) -> FindSettings:
    plain = {"RV": Cleaning(), "FAZ": Cleaning()}
    return replace(FindSettings(cleaning=plain), **changes)  # type: ignore[arg-type]


# --- the network at work


def test_what_is_bright_is_a_vessel(finder: PromptlessModel, scan: OctaVolume) -> None:
    found = find(scan, settings(), model=finder, device="cpu")
    assert found.complete
    assert found.labels.names == {1: "RV"}
    assert found.labels.classes == {1: "RV"}
    np.testing.assert_array_equal(found.labels.data == 1, vessels(scan))
    assert found.record["model"] == {"name": "bright", "sha256": ""}
    assert found.record["automatic"]["cleaning"]["RV"]["threshold"] == 0.5
    # sigmoid(4) inside, sigmoid(-4) outside: no network is surer of it
    inside, outside = 1 / (1 + np.exp(-4)), 1 / (1 + np.exp(4))
    for row in found.confidence:
        pixels = np.count_nonzero(vessels(scan)[row.slice])
        rest = SIDE * SIDE - pixels
        expected = inside * pixels / (pixels + outside * rest)
        assert row.confidence == pytest.approx(expected, abs=2e-3)


def test_slices_outside_the_range_stay_empty(
    finder: PromptlessModel, scan: OctaVolume
) -> None:
    found = find(scan, settings(), model=finder, slices=range(1, 2), device="cpu")
    assert not found.labels.data[[0, 2]].any()
    assert {row.slice for row in found.confidence} == {1}
    with pytest.raises(PromptError):
        find(scan, settings(), model=finder, slices=range(2, 9), device="cpu")


def test_separate_vessels_keep_their_ids_through_the_slices(
    finder: PromptlessModel, scan: OctaVolume
) -> None:
    found = find(scan, settings(separate=True, least=20), model=finder, device="cpu")
    assert found.labels.names == {1: "RV 1", 2: "RV 2"}
    assert (found.labels.data[:, 5:9, 2:38] == 1).all()
    assert (found.labels.data[:2, 20:24, 2:20] == 2).all()
    assert {(r.slice, r.object) for r in found.confidence} == {
        *((0, 1), (0, 2), (1, 1), (1, 2), (2, 1)),
    }


def test_classes_lie_side_by_side(finder: PromptlessModel, scan: OctaVolume) -> None:
    wanted = settings(classes=("RV", "FAZ"))
    found = find(scan, wanted, model=finder, device="cpu")
    np.testing.assert_array_equal(found.labels.data == 1, vessels(scan))
    np.testing.assert_array_equal(found.labels.data == 2, ~vessels(scan))


def test_vessels_are_found_within_a_map_alone(
    finder: PromptlessModel, scan: OctaVolume
) -> None:
    within = np.zeros((SIDE, SIDE), bool)
    within[:10] = True
    found = find(scan, settings(), model=finder, within=within, device="cpu")
    np.testing.assert_array_equal(found.labels.data == 1, vessels(scan) & within)
    # what lies outside the map is not missed
    assert all(row.confidence > 0.9 for row in found.confidence)
    for wrong in (within[:5], within.astype(np.uint8)):
        with pytest.raises(VolumeError, match="vessel map"):
            find(scan, settings(), model=finder, within=wrong, device="cpu")


def test_it_can_be_stopped_and_tells_how_far_it_is(
    finder: PromptlessModel, scan: OctaVolume
) -> None:
    told: list[tuple[int, int]] = []
    found = find(
        scan,
        settings(),
        model=finder,
        device="cpu",
        progress=lambda done, total: told.append((done, total)),
        cancelled=lambda: len(told) == 2,
    )
    assert told == [(1, 3), (2, 3)]
    assert not found.complete
    assert found.labels.data[:2].any((1, 2)).all()
    assert not found.labels.data[2].any()


def test_a_class_that_the_network_does_not_know_is_refused(
    finder: PromptlessModel, scan: OctaVolume
) -> None:
    with pytest.raises(PromptError, match="bright finds RV, FAZ"):
        find(scan, settings(classes=("vein",)), model=finder, device="cpu")


def test_eight_views_are_averaged(scan: OctaVolume) -> None:
    torch.manual_seed(1)
    config = NetworkConfig("block-unet", ("RV",), {"channels": [4, 8]})
    model = PromptlessModel(PromptlessNetwork(config).eval(), "random")
    image = torch.rand(1, 1, 31, 37)
    expected = np.zeros((31, 37))
    for turns in range(4):
        for mirrored in (False, True):
            seen = np.rot90(image[0, 0].numpy(), turns)
            seen = seen[:, ::-1] if mirrored else seen
            one = probabilities(model, torch.from_numpy(seen.copy())[None, None])
            back = one[0, 0][:, ::-1] if mirrored else one[0, 0]
            expected += np.rot90(back, -turns) / 8
    found = probabilities(model, image, views=8)[0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found - probabilities(model, image)[0, 0]).max() > 1e-4
    with pytest.raises(VolumeError, match="1 or 8 views"):
        Predictor(scan.data, model, device="cpu", views=4)


def test_three_maps_are_the_channels_of_every_slice() -> None:
    torch.manual_seed(2)
    config = NetworkConfig("block-unet", ("RV",), {"channels": [4, 8]})
    look = Appearance((0.0, 100.0), composite=("OPL_BM", "ILM_OPL", "FULL"))
    network = PromptlessNetwork(config, 3).eval()
    model = PromptlessModel(network, "maps", appearance=look)
    data = np.random.default_rng(0).random((3, 24, 24)).astype(np.float32)
    data[0, 0, 0], data[0, 0, 1] = 0.0, 1.0
    predictor = Predictor(data, model, device="cpu", precision="fp32")
    with torch.inference_mode():
        expected = network(torch.from_numpy(data[[2, 1, 0]])[None]).sigmoid()[0, 0]
    for index in range(3):
        found = predictor.on_slice(index)["RV"]
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)
    with pytest.raises(ModelError, match="expected a volume of three slices"):
        Predictor(data[:2], model, device="cpu")


# --- from probabilities to objects


def test_the_more_special_class_lies_over_the_other() -> None:
    wanted = FindSettings(
        ("vessel", "RV", "artery"),
        {name: Cleaning() for name in ("vessel", "RV", "artery")},
    )
    maps = Maps(wanted, (1, 4, 4))
    probability = np.zeros((3, 4, 4), np.float32)
    probability[0, :3], probability[1, :2], probability[2, :1] = 0.99, 0.8, 0.6
    maps.take(0, dict(zip(wanted.classes, probability, strict=True)))
    labels = maps.objects(1).labels[0]
    assert labels[:, 0].tolist() == [3, 2, 1, 0]


def test_of_two_equals_the_more_probable_wins() -> None:
    wanted = FindSettings(
        ("artery", "vein"), {name: Cleaning() for name in ("artery", "vein")}
    )
    maps = Maps(wanted, (1, 1, 3))
    artery, vein = np.array([[0.9, 0.6, 0.4]]), np.array([[0.7, 0.8, 0.3]])
    maps.take(0, {"artery": artery, "vein": vein})
    assert maps.objects(1).labels[0, 0].tolist() == [1, 2, 0]


def test_the_expected_iou_is_that_of_drawn_truths() -> None:
    rng = np.random.default_rng(0)
    probability = rng.uniform(0, 1, (60, 60))
    labels = np.where(probability > 0.5, 7, 0)
    (expected,) = expected_ious(probability, labels, [7]).values()
    draws = []
    for _ in range(200):
        truth = rng.random(probability.shape) < probability
        draws.append((truth & (labels > 0)).sum() / (truth | (labels > 0)).sum())
    assert expected == pytest.approx(np.mean(draws), abs=0.005)


def test_what_is_missed_belongs_to_the_nearest_object() -> None:
    labels = np.array([[1, 0, 0, 0, 2]])
    probability = np.array([[1.0, 0.4, 0.0, 0.0, 1.0]])
    found = expected_ious(probability, labels, [1, 2])
    assert found == {1: pytest.approx(1 / 1.4), 2: pytest.approx(1.0)}
    nothing = expected_ious(np.full((2, 2), 0.2), np.zeros((2, 2), int), [1])
    assert nothing == {1: pytest.approx(0.8)}


# --- prompts of what was found


def drawn() -> LabelSet:
    data = np.zeros((3, 20, 20), np.uint8)
    data[0, 2:5, 2:18] = 1
    data[1, 2:5, 2:10] = 1
    data[1:, 12:16, 4:16] = 2
    return LabelSet(data, {1: "upper", 2: "lower"}, {1: "artery", 2: "vein"})


def test_an_object_is_prompted_where_most_of_it_is_seen() -> None:
    found = prompts_from(drawn(), kind="centres")
    assert [(o.id, o.name, o.cls) for o in found.objects] == [
        (1, "upper", "artery"),
        (2, "lower", "vein"),
    ]
    assert [(p.object, p.slice) for p in found.prompts] == [(1, 0), (2, 1)]
    for prompt in found.prompts:
        for row, col in prompt.points:
            assert drawn().data[prompt.slice, int(row), int(col)] == prompt.object


def test_slices_can_be_chosen() -> None:
    found = prompts_from(drawn(), kind="mask", at=[1, 2])
    places = [(p.object, p.slice) for p in found.prompts]
    assert places == [(1, 1), (2, 1), (2, 2)]
    with pytest.raises(PromptError, match="from 0 to 2"):
        prompts_from(drawn(), at=[3])
    with pytest.raises(PromptError, match="found none on any slice"):
        prompts_from(LabelSet(np.zeros((2, 8, 8), np.uint8)))


@pytest.fixture(scope="module")
def sam() -> LoadedModel:
    torch.manual_seed(0)
    return LoadedModel(build_network("octa-nano.yaml", input_size=64), "small", "")


def test_what_was_found_is_followed_as_any_prompt(
    finder: PromptlessModel, sam: LoadedModel, scan: OctaVolume
) -> None:
    found = find(scan, settings(), model=finder, slices=range(1, 2), device="cpu")
    prompts = prompts_from(found.labels, kind="mask", at=[1])
    done = segment(scan, prompts, model=sam, device="cpu")
    assert done.complete
    np.testing.assert_array_equal(done.labels.data[1] == 1, vessels(scan)[1])
    assert done.labels.classes == {1: "RV"}


def test_everything_is_looked_for_on_one_slice(
    sam: LoadedModel, scan: OctaVolume
) -> None:
    with pytest.raises(PromptError, match="one slice at a time"):
        find_everything(scan, model=sam, device="cpu")
    found = find_everything(scan, model=sam, slices=range(1, 2), device="cpu")
    assert found.complete
    assert set(found.labels.classes.values()) <= {"other"}
    assert not found.labels.data[[0, 2]].any()
    assert {row.object for row in found.confidence} == set(found.labels.names)


def test_models_that_are_prompted_are_no_finders() -> None:
    with pytest.raises(ModelError, match="a model that is prompted"):
        load_promptless("octa-nano")
    with pytest.raises(ModelError, match="no such file"):
        load_promptless("nothing.safetensors")
