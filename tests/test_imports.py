"""Dependencies between the rooms point one way, and heavy imports wait."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "napari_octa_sam2"
SOURCE = ROOT / "src" / PACKAGE
MODULES = sorted(SOURCE.rglob("*.py"))

FLOORS = (
    {"errors", "files", "palette"},
    {"volume", "prompts", "metrics", "tables", "review", "project"},
    {"model", "engine", "automatic", "training", "protocol", "bench"}
    | {"demo", "doctor", "overview"},
    {"layers", "annotation", "prompt_layers", "settings"}
    | {"_reader", "_writer", "_sample_data"},
    {"widgets", "cli", "__init__", "__main__"},
)
QT = {"qtpy", "PyQt5", "PyQt6", "PySide6", "superqt"}
NAPARI = {"napari", "magicgui", "npe2", *QT}
TORCH = {"torch", "torchvision", "sam2", "safetensors", "hydra"}
FORBIDDEN = (NAPARI | TORCH, NAPARI | TORCH, NAPARI, QT, {"torchvision"})


def floor_of(module: str) -> int:
    room = module.removeprefix(f"{PACKAGE}.").split(".")[0]
    if room == PACKAGE:
        room = "__init__"
    for floor, rooms in enumerate(FLOORS):
        if room in rooms:
            return floor
    raise AssertionError(f"{module} belongs to no room; add it to FLOORS")


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path) for path in MODULES}


def imported(path: Path) -> Iterator[str]:
    """Yield the absolute name of every module imported anywhere in a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import, line {node.lineno}"
            base = node.module or ""
            for alias in node.names:
                below = f"{base}.{alias.name}"
                if below == f"{PACKAGE}.__version__":
                    continue
                yield below if below in NAMES else base


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_room_imports_only_what_lies_below(path: Path) -> None:
    floor = floor_of(module_name(path))
    for name in imported(path):
        if name.split(".")[0] == PACKAGE:
            assert floor_of(name) <= floor, f"imports {name}, of a higher room"
        else:
            assert name.split(".")[0] not in FORBIDDEN[floor], f"imports {name}"


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a new interpreter has after `code`."""
    report = "\nimport sys\nprint(*{name.split('.')[0] for name in sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", code + report],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].split())


def importing(*rooms: str) -> str:
    names = sorted(
        n for n in NAMES if n.removeprefix(f"{PACKAGE}.").split(".")[0] in rooms
    )
    return "\n".join(f"import {name}" for name in names)


def test_importing_the_package_is_light() -> None:
    assert not loaded_by(f"import {PACKAGE}") & (NAPARI | TORCH)


def test_volume_prompts_and_metrics_are_light() -> None:
    code = importing(*FLOORS[0], *FLOORS[1])
    heavy = {"h5py", "matplotlib", "nibabel", "ome_zarr"}
    assert not loaded_by(code) & (NAPARI | TORCH | heavy)


def test_model_engine_and_training_need_no_viewer() -> None:
    loaded = loaded_by(importing(*FLOORS[2]))
    assert not loaded & NAPARI


def test_reading_a_volume_in_the_viewer_imports_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "volume.npy"
    np.save(path, np.zeros((4, 32, 32), np.uint8))
    code = f"""
import npe2
plugins = npe2.PluginManager.instance()
plugins.register(npe2.PluginManifest.from_file({str(ROOT / "napari.yaml")!r}))
layers = npe2.read([{str(path)!r}], stack=False, plugin_name="napari-octa-sam2")
assert layers[0][0].shape == (4, 32, 32), layers
"""
    loaded = loaded_by(code)
    assert f"{PACKAGE}" in loaded
    assert not loaded & (TORCH | QT)
