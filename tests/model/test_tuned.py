"""Fine-tuned models, and what a network is shown and asked."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_octa_sam2.engine.frames import (
    coloured,
    intensity_window,
    network_input,
    normalise,
    windowed,
)
from napari_octa_sam2.engine.session import Session
from napari_octa_sam2.errors import ModelError, PromptError
from napari_octa_sam2.model.adapters import AdapterConfig, adapter_state, attach
from napari_octa_sam2.model.appearance import (
    COLOURS,
    GREY,
    SLABS,
    Appearance,
    appearance_of,
    colour_table,
)
from napari_octa_sam2.model.class_points import SIDE, ask_by_points
from napari_octa_sam2.model.loading import (
    LoadedModel,
    file_sha256,
    load_model,
)
from napari_octa_sam2.model.tuned import (
    ADAPTER,
    HEAD,
    KEY,
    Origin,
    read_origin,
    write_tuned,
)
from napari_octa_sam2.prompts import Prompt

CLICK = Prompt(1, 1, ((20, 24),), (1,))
LORA = AdapterConfig("lora", rank=4, alpha=8, targets=("q", "v"))
POINTS = {"RV": (150.0, 50.0), "FAZ": (50.0, 150.0)}


@pytest.fixture
def data() -> np.ndarray:
    """Three slices of 40 x 50 pixels."""
    return np.random.default_rng(0).integers(0, 255, (3, 40, 50), dtype=np.uint8)


def logits(model: LoadedModel, data: np.ndarray, prompt: Prompt = CLICK) -> np.ndarray:
    session = Session(data, model, device="cpu", precision="fp32")
    return np.asarray(session.add(prompt).logits[1])


def origin_of(base: Path, **values: object) -> Origin:
    return replace(Origin(str(base), file_sha256(base)), **values)  # type: ignore[arg-type]


@pytest.fixture
def tuned(stock: Path, tmp_path: Path) -> Path:
    """Adapters of `stock` that change its answers, alone in a file."""
    network = load_model(stock).network
    attach(network, LORA)
    stirred(network)
    weights = {ADAPTER + k: v for k, v in adapter_state(network).items()}
    path = tmp_path / "tuned.safetensors"
    write_tuned(path, weights, origin_of(stock, adapter=LORA))
    return path


def stirred(network: torch.nn.Module) -> None:
    """Give adapters weights as if they had been trained."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "lora_" in name:
                weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))


def test_merged_weights_answer_as_the_trained_ones(
    stock: Path, tuned: Path, data: np.ndarray
) -> None:
    base = load_model(stock)
    before = logits(base, data)
    trained = copy.deepcopy(base.network)
    attach(trained, LORA)
    stirred(trained)
    expected = logits(replace(base, network=trained.eval()), data)
    loaded = load_model(tuned)
    found = logits(loaded, data)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(found - before).max() > 0.01
    assert (loaded.name, loaded.sha256) == ("tuned", file_sha256(tuned))
    # what was trained alone is in the file
    assert tuned.stat().st_size < stock.stat().st_size / 20
    assert all(key.startswith(ADAPTER) for key in load_file(tuned))


def test_parts_and_a_head_of_its_own_are_put_in(
    stock: Path, tmp_path: Path, data: np.ndarray
) -> None:
    from napari_octa_sam2.model.refinement import RefinementHead

    torch.manual_seed(2)
    head = RefinementHead((8, 16)).eval()
    torch.nn.init.constant_(head.last.bias, 1000.0)
    weights = {HEAD + k: v for k, v in head.state_dict().items()}
    weights["no_mem_embed"] = torch.full_like(
        load_model(stock).network.no_mem_embed, 3.0
    )
    file = tmp_path / "head.safetensors"
    write_tuned(file, weights, origin_of(stock, head=(8, 16), input_size=64))
    model = load_model(file)
    assert (logits(model, data) > 500).all()
    assert model.input_size == 64
    assert (model.network.no_mem_embed == 3).all()
    assert load_model(file, refinement=False).refinement is None
    assert load_model(file, input_size=96).input_size == 96


def test_what_it_says_of_itself_is_read_back(stock: Path, tmp_path: Path) -> None:
    origin = origin_of(
        stock,
        adapter=replace(LORA, blocks=(1, 2)),
        head=(8, 16),
        appearance=Appearance((1.0, 99.0), composite=SLABS),
        class_points=POINTS,
    )
    file = tmp_path / "own.safetensors"
    write_tuned(file, {"no_mem_embed": torch.zeros(1, 1, 128)}, origin)
    found = read_origin(file)
    assert found is not None
    points = {name: tuple(place) for name, place in found.class_points.items()}
    assert replace(found, class_points=points) == origin
    assert not list(tmp_path.glob("*.part"))


def test_other_files_are_no_fine_tuned_models(stock: Path, tmp_path: Path) -> None:
    assert read_origin(stock) is None
    plain = tmp_path / "plain.safetensors"
    save_file({"a": torch.zeros(1)}, plain)
    assert read_origin(plain) is None
    plain.write_bytes(b"nothing")
    assert read_origin(plain) is None
    assert read_origin(tmp_path / "missing.safetensors") is None


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"colour": 1}'])
def test_one_of_another_version_is_told(text: str, tmp_path: Path) -> None:
    file = tmp_path / "future.safetensors"
    save_file({"a": torch.zeros(1)}, file, {KEY: text})
    with pytest.raises(ModelError, match="written by another version"):
        load_model(file)


@pytest.mark.parametrize(
    "change", [{"base": "missing.pt"}, {"base_sha256": "0" * 64}, {"base": "octa-nano"}]
)
def test_the_base_must_be_the_one_it_was_trained_on(
    tuned: Path, tmp_path: Path, change: dict[str, str]
) -> None:
    origin = read_origin(tuned)
    assert origin is not None
    file = tmp_path / "other.safetensors"
    write_tuned(file, load_file(tuned), replace(origin, **change))  # type: ignore[arg-type]
    message = "missing.pt" if change.get("base") == "missing.pt" else "was trained on"
    with pytest.raises(ModelError, match=message):
        load_model(file)


@pytest.mark.parametrize(
    "weights",
    [
        {"no_such_weight": torch.zeros(1)},
        {"no_mem_embed": torch.zeros(1, 1, 7)},
        {HEAD + "last.bias": torch.zeros(1)},
        {ADAPTER + "image_encoder.lora_up": torch.zeros(1)},
    ],
)
def test_weights_of_another_network_are_refused(
    stock: Path, tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    file = tmp_path / "other.safetensors"
    write_tuned(file, weights, origin_of(stock))
    with pytest.raises(ModelError):
        load_model(file)


# --- classes by clicks


def test_a_class_is_asked_for_by_its_click(stock: Path, data: np.ndarray) -> None:
    plain, asked = load_model(stock), load_model(stock)
    with pytest.raises(PromptError, match="cannot be asked for every RV"):
        logits(plain, data, Prompt(1, 1, whole="RV"))
    ask_by_points(asked.network, POINTS)
    assert asked.classes == ("RV", "FAZ")
    _, rows, cols = data.shape
    answers = []
    for name, (x, y) in POINTS.items():
        naming = Prompt(1, 1, ((y / SIDE * rows, x / SIDE * cols),), (1,))
        answers.append(logits(asked, data, Prompt(1, 1, whole=name)))
        np.testing.assert_allclose(answers[-1], logits(plain, data, naming), atol=1e-4)
    assert np.abs(answers[0] - answers[1]).max() > 0.01
    # clicks of the annotator mean what they always did
    np.testing.assert_array_equal(logits(asked, data), logits(plain, data))
    with pytest.raises(PromptError, match="every vein"):
        logits(asked, data, Prompt(1, 1, whole="vein"))


def test_clicks_that_name_nothing_are_refused(stock: Path, checkpoint: Path) -> None:
    with pytest.raises(ModelError, match="found 'nerve'"):
        ask_by_points(load_model(stock).network, {"nerve": (1, 1)})
    with pytest.raises(ModelError, match="asked for classes by their name"):
        ask_by_points(load_model(checkpoint).network, POINTS)


# --- how slices look


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """What networks are shown."""
    from napari_octa_sam2.engine.passes import Passes

    seen: list[torch.Tensor] = []
    encode = Passes.encode

    def listed(self: Passes, images: torch.Tensor) -> object:
        seen.append(images)
        return encode(self, images)

    monkeypatch.setattr(Passes, "encode", listed)
    return seen


def test_three_maps_are_the_channels_of_one_image(
    stock: Path, data: np.ndarray, shown: list[torch.Tensor]
) -> None:
    model = load_model(stock)
    order = ("OPL_BM", "FULL", "ILM_OPL")
    look = Appearance((2.0, 98.0), composite=order)
    model.network.appearance = look
    logits(model, data)
    low, high = np.percentile(data, (2, 98))
    maps = data[[SLABS.index(name) for name in order]].astype(np.float32)
    stacked = torch.from_numpy((maps - low) / (high - low)).clamp(0, 1)[None]
    expected = network_input(stacked.float(), 128)
    assert expected.shape == (1, 3, 128, 128)
    torch.testing.assert_close(shown[0], expected)


def test_a_head_reads_the_mean_of_the_maps(
    checkpoint: Path, data: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it did in training."""
    from napari_octa_sam2.model.refinement import RefinementHead

    read: list[torch.Tensor] = []
    own = RefinementHead.read

    def listed(self: RefinementHead, images: torch.Tensor) -> object:
        read.append(images)
        return own(self, images)

    monkeypatch.setattr(RefinementHead, "read", listed)
    model = load_model(checkpoint)
    model.network.appearance = Appearance(composite=SLABS)
    logits(replace(model, refinement=RefinementHead((8, 16)).eval()), data)
    window = intensity_window(data)
    mean = torch.cat([windowed(image, window) for image in data], 1).mean(1)
    torch.testing.assert_close(read[0], mean[:, None])


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_maps_are_three_slices(stock: Path, depth: int) -> None:
    model = load_model(stock)
    model.network.appearance = Appearance(composite=SLABS)
    volume = np.zeros((depth, 40, 50), np.uint8)
    with pytest.raises(ModelError, match=f"a volume of three slices .* found {depth}"):
        logits(model, volume, Prompt(1, 0, ((20, 24),), (1,)))


def test_grey_is_shown_in_colours(
    stock: Path, data: np.ndarray, shown: list[torch.Tensor]
) -> None:
    model = load_model(stock)
    model.network.appearance = Appearance(colours="viridis")
    logits(model, data)
    image = windowed(data[1], intensity_window(data))
    torch.testing.assert_close(shown[0], network_input(coloured(image, "viridis"), 128))
    assert not torch.allclose(shown[0], network_input(image, 128))


def test_colours_are_those_of_the_table() -> None:
    grey = torch.tensor([[[[0.0, 1.0, 51 / 255]]]])
    found = coloured(grey, "hot")
    assert found.shape == (1, 3, 1, 3)
    table = colour_table("hot")
    np.testing.assert_array_equal(found[0, :, 0].T, table[[0, 255, 51]])
    for name in COLOURS:
        table = colour_table(name)
        assert table.shape == (256, 3)
        assert 0 <= table.min() < table.max() <= 1


def test_grey_is_the_same_in_all_channels() -> None:
    image = torch.rand(2, 1, 9, 9)
    torch.testing.assert_close(normalise(image), normalise(image.expand(-1, 3, -1, -1)))
    assert network_input(image, 32).shape == (2, 3, 32, 32)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"colours": "parula"}, "expected colours of"),
        ({"composite": ("FULL",)}, "expected the three of"),
        ({"composite": ("FULL", "ILM_OPL", "CHOROID")}, "expected the three of"),
        ({"composite": ("FULL", "FULL", "OPL_BM")}, "expected the three of"),
        ({"composite": SLABS, "colours": "hot"}, "found both"),
    ],
)
def test_looks_that_make_no_sense_are_refused(
    values: dict[str, object], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        Appearance(**values)  # type: ignore[arg-type]


def test_a_network_is_shown_grey_unless_it_says_otherwise(stock: Path) -> None:
    network = load_model(stock).network
    assert appearance_of(network) == GREY
    assert GREY.slices_of(4, 9) == [4]
    network.appearance = Appearance(colours="hot")
    assert appearance_of(network).colours == "hot"


def test_a_tuned_model_brings_its_looks_and_clicks(stock: Path, tmp_path: Path) -> None:
    look = Appearance(composite=SLABS)
    file = tmp_path / "maps.safetensors"
    weights = {"no_mem_embed": torch.zeros(1, 1, 128)}
    write_tuned(file, weights, origin_of(stock, appearance=look, class_points=POINTS))
    model = load_model(file)
    assert appearance_of(model.network) == look
    assert model.classes == ("RV", "FAZ")
    # and so does one that was trained on it
    second = tmp_path / "second.safetensors"
    write_tuned(second, weights, origin_of(file, class_points=POINTS))
    model = load_model(second)
    assert appearance_of(model.network) == GREY
    assert model.classes == ("RV", "FAZ")
