from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from napari_octa_sam2.errors import ModelError
from napari_octa_sam2.model import registry
from napari_octa_sam2.model.loading import (
    build_network,
    file_sha256,
    load_model,
    load_weights,
    resource,
)
from napari_octa_sam2.model.registry import get_entry, model_names

NANO = "octa-nano.yaml"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return build_network(NANO, input_size=64)


def same_weights(first, second):
    other = second.state_dict()
    return all(torch.equal(v, other[k]) for k, v in first.state_dict().items())


@pytest.mark.parametrize("layout", ["sam2", "plain", "safetensors"])
def test_a_local_checkpoint_with_its_configuration_beside_it(tmp_path, network, layout):
    state = network.state_dict()
    if layout == "safetensors":
        path = tmp_path / "mine.safetensors"
        save_file({k: v.contiguous() for k, v in state.items()}, path)
    else:
        path = tmp_path / "mine.pt"
        torch.save({"model": state} if layout == "sam2" else state, path)
    shutil.copy(resource(f"configs/{NANO}"), path.with_suffix(".yaml"))
    loaded = load_model(path, input_size=64)
    assert same_weights(network, loaded.network)
    assert not loaded.network.training
    assert loaded.input_size == 64
    assert loaded.name == path.name
    assert loaded.sha256 == file_sha256(path)


def test_the_configuration_of_a_known_name_or_given(tmp_path, network):
    path = tmp_path / "my-octa-nano-tuned.pt"
    torch.save(network.state_dict(), path)
    assert same_weights(network, load_model(path).network)
    other = path.rename(tmp_path / "other.pt")
    assert same_weights(network, load_model(other, config="octa-nano").network)
    with pytest.raises(ModelError, match="put a YAML file of the same name beside it"):
        load_model(other)


def test_checkpoints_that_do_not_fit_or_are_unsafe(tmp_path, network):
    path = tmp_path / "octa-nano.pt"
    state = network.state_dict()
    key = "maskmem_tpos_enc"
    torch.save({k: v for k, v in state.items() if k != key}, path)
    with pytest.raises(ModelError, match="1 weights are missing"):
        load_model(path)
    torch.save(state | {key: torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="1 of another shape"):
        load_model(path)
    path.write_bytes(b"\x80\x04nonsense")
    with pytest.raises(ModelError, match=r"octa-nano\.pt"):
        load_model(path)
    torch.save({"model": print}, path)
    with pytest.raises(ModelError, match="needs code to be loaded and was refused"):
        load_model(path)


def test_unknown_models_and_configurations():
    with pytest.raises(ModelError, match="expected a checkpoint file or one of octa"):
        load_model("octa-giant")
    with pytest.raises(ModelError, match="found no configuration"):
        build_network("nothing.yaml")
    with pytest.raises(ModelError, match="multiple of 32"):
        build_network(NANO, input_size=100)


def test_a_configuration_that_cannot_be_built(tmp_path):
    (tmp_path / "bad.yaml").write_text("network: {}\n")
    with pytest.raises(ModelError, match="expected a key 'model'"):
        build_network(tmp_path / "bad.yaml")
    (tmp_path / "bad.yaml").write_text("model: {_target_: sam2.nothing.Here}\n")
    with pytest.raises(ModelError, match="cannot build the network"):
        build_network(tmp_path / "bad.yaml")


def test_the_bundled_model_is_what_the_registry_says():
    entry = get_entry("octa-nano")
    path = resource("weights/octa-nano.safetensors")
    assert file_sha256(path) == entry.sha256
    assert path.stat().st_size == pytest.approx(entry.size_mb * 1e6, rel=0.05)
    assert path.stat().st_size < 12e6
    model = load_model()
    assert (model.name, model.sha256, model.input_size) == (
        "octa-nano", entry.sha256, entry.input_size,
    )  # fmt: skip


def test_a_damaged_bundled_model_is_refused(monkeypatch):
    damaged = replace(get_entry("octa-nano"), sha256="0" * 64)
    monkeypatch.setitem(registry.MODELS, "octa-nano", damaged)
    with pytest.raises(ModelError, match="is damaged"):
        load_model("octa-nano")


@pytest.mark.parametrize("name", model_names())
def test_every_model_of_the_registry_can_be_built(name):
    entry = get_entry(name)
    if entry.size_mb > 200:
        pytest.skip("large networks take long to initialise; same code as the small")
    network = build_network(entry.config, input_size=64)
    assert network.image_size == 64
    # stock networks as sam2 sets them for interactive use, ours as it was trained
    assert network.binarize_mask_from_pts_for_mem_enc == (name != "octa-nano")


def test_half_precision_weights_are_loaded_as_float32(tmp_path, network):
    path = tmp_path / "octa-nano.safetensors"
    save_file({k: v.half().contiguous() for k, v in network.state_dict().items()}, path)
    fresh = build_network(NANO, input_size=64)
    load_weights(fresh, path)
    assert {p.dtype for p in fresh.parameters()} == {torch.float32}
