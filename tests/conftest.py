from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Folder of real samples, kept outside the repository."""
    default = TESTS.parent.parent / "shared" / "realdata"
    folder = Path(os.environ.get("OCTA_REALDATA") or default)
    if not folder.is_dir():
        pytest.skip(f"no real samples in {folder}; set OCTA_REALDATA to their folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests cache away from what users have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_OCTA_SAM2_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with random weights, its configuration beside it."""
    import torch
    from safetensors.torch import save_file

    from napari_octa_sam2.model.loading import build_network, resource

    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    torch.manual_seed(0)
    network = build_network("octa-nano.yaml", input_size=128)
    with torch.no_grad():
        # random weights would call every object absent
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(4.0)
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path)
    text = resource("configs/octa-nano.yaml").read_text("utf-8")
    assert "image_size: 512" in text
    path.with_suffix(".yaml").write_text(
        text.replace("image_size: 512", "image_size: 128"), "utf-8"
    )
    return path


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain SAM 2 network of octa-nano's size with random weights."""
    import torch
    import yaml

    from napari_octa_sam2.model.loading import build_network, resource

    path = tmp_path_factory.mktemp("stock") / "stock.pt"
    content = yaml.safe_load(resource("configs/octa-nano.yaml").read_text("utf-8"))
    del content["refinement"]
    settings = content["model"]
    settings["_target_"] = "sam2.modeling.sam2_base.SAM2Base"
    settings["image_size"] = 128
    del settings["classes"], settings["decoder_width"]
    config = path.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(content), "utf-8")
    torch.manual_seed(0)
    network = build_network(config)
    with torch.no_grad():
        # random weights would call every object absent
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(4.0)
    torch.save({"model": network.state_dict()}, path)
    return path


@pytest.fixture(autouse=True)
def projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that work is saved in: no test finds that of another."""
    monkeypatch.setenv("NAPARI_OCTA_SAM2_PROJECTS", str(tmp_path / "projects"))
    return tmp_path / "projects"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    no_display = sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    for item in items:
        if item.path.is_relative_to(TESTS / "gui"):
            item.add_marker(pytest.mark.gui)
            if no_display:
                reason = "no display: run python tests/system_packages.py first"
                item.add_marker(pytest.mark.skip(reason=reason))
