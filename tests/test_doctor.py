from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from napari_octa_sam2 import doctor
from napari_octa_sam2.model import download
from napari_octa_sam2.model.loading import build_network, file_sha256
from napari_octa_sam2.model.registry import MODELS, get_entry


def find(subject: str) -> doctor.Finding:
    return next(f for f in doctor.examine() if f.subject == subject)


def test_a_wrong_sam2_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find("sam2").status == "ok"
    monkeypatch.setattr(doctor, "installed", lambda name: "1.0")
    found = find("sam2")
    assert found.status == "problem"
    assert "expected 1.1.0, found 1.0" in found.text
    assert found.advice == "pip install sam2==1.1.0"


def test_a_torchvision_that_does_not_load_is_harmless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(doctor, "installed", lambda name: "9.9")
    monkeypatch.setattr(doctor, "import_module", fail)
    found = doctor.CHECKS["torchvision"]("torchvision")
    assert found.status == "warning"
    assert "torchvision::nms" in found.text
    assert "harmless" in found.text
    assert "same package index" in found.advice


def test_a_missing_qt_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed", lambda name: None)
    found = doctor.CHECKS["viewer"]("viewer")
    assert (found.status, found.advice) == (
        "warning",
        'pip install "napari-octa-sam2[all]"',
    )


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_missing_or_damaged_weights_are_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    monkeypatch.setattr(download, "BUNDLED_FOLDER", tmp_path)
    if content is not None:
        (tmp_path / "octa-nano.safetensors").write_bytes(content)
    found = find("model")
    assert found.status == "problem"
    assert "octa-nano.safetensors" in found.text


def test_weights_of_another_hash_are_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    monkeypatch.setattr(download, "BUNDLED_FOLDER", tmp_path)
    network = build_network("octa-nano.yaml")
    path = tmp_path / "octa-nano.safetensors"
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path)
    published = replace(get_entry("octa-nano"), sha256=file_sha256(path))
    monkeypatch.setitem(MODELS, "octa-nano", published)
    assert find("model").status == "ok"
    monkeypatch.setitem(MODELS, "octa-nano", replace(published, sha256="0" * 64))
    found = find("model")
    assert found.status == "problem"
    assert "0" * 64 in found.text


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_missing_or_damaged_promptless_weights_are_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    monkeypatch.setattr(download, "BUNDLED_FOLDER", tmp_path)
    if content is not None:
        (tmp_path / "octa-auto.safetensors").write_bytes(content)
    found = find("promptless")
    assert found.status == "problem"
    assert "octa-auto" in found.text


def test_promptless_weights_of_another_hash_are_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from napari_octa_sam2.model.appearance import Appearance
    from napari_octa_sam2.model.promptless.config import NetworkConfig
    from napari_octa_sam2.model.promptless.model import write_promptless
    from napari_octa_sam2.model.promptless.network import PromptlessNetwork

    monkeypatch.setattr(download, "BUNDLED_FOLDER", tmp_path)
    config = NetworkConfig("block-unet", ("RV",), {"channels": [4]})
    path = tmp_path / "octa-auto.safetensors"
    weights = PromptlessNetwork(config).state_dict()
    write_promptless(path, config, Appearance(), weights)
    published = replace(get_entry("octa-auto"), sha256=file_sha256(path))
    monkeypatch.setitem(MODELS, "octa-auto", published)
    assert find("promptless").status == "ok"
    monkeypatch.setitem(MODELS, "octa-auto", replace(published, sha256="0" * 64))
    assert find("promptless").status == "problem"
    assert "0" * 64 in find("promptless").text


def test_a_cache_that_cannot_be_written_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NAPARI_OCTA_SAM2_CACHE", str(tmp_path / "new" / "cache"))
    assert find("cache").status == "ok"
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NAPARI_OCTA_SAM2_CACHE", str(tmp_path / "file" / "cache"))
    assert find("cache").status == "warning"


def test_little_space_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NAPARI_OCTA_SAM2_CACHE", str(tmp_path))
    monkeypatch.setattr(doctor, "NEEDED_BYTES", 10**18)
    assert find("cache").status == "warning"


def test_a_failing_check_is_told_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(subject: str) -> doctor.Finding:
        raise RuntimeError("two\nlines")

    monkeypatch.setitem(doctor.CHECKS, "torch", fail)
    found = find("torch")
    assert (found.status, found.text) == ("problem", "RuntimeError: two lines")


def test_a_missing_manifest_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert find("plugin").status in ("ok", "warning")
    monkeypatch.setattr(doctor, "__file__", str(tmp_path / "doctor.py"))
    assert find("plugin").status == "problem"


def test_doctor_imports_no_viewer() -> None:
    code = (
        "import sys; from napari_octa_sam2.doctor import examine; examine();"
        "assert not {'napari', 'PyQt6', 'PySide6', 'qtpy'} & set(sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
