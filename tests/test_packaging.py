"""The built wheel, installed into a fresh environment, is a complete plugin."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest
from npe2 import PluginManifest
from npe2.manifest.utils import import_python_name

ROOT = Path(__file__).parents[1]
WEIGHTS = "napari_octa_sam2/model/weights/octa-nano.safetensors"

PROBE = """
import json, sys
import npe2, napari_octa_sam2
from npe2.manifest.utils import import_python_name

plugins = npe2.PluginManager()
plugins.discover()
manifest = plugins.get_manifest("napari-octa-sam2")
found = manifest.contributions
json.dump({
    "package": napari_octa_sam2.__file__,
    "version": [manifest.package_version, napari_octa_sam2.__version__],
    "widgets": [w.display_name for w in found.widgets],
    "readers": [r.command for r in found.readers],
    "samples": [s.key for s in found.sample_data],
    "callables": [
        callable(import_python_name(c.python_name)) for c in found.commands
    ],
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist, and the wheel from that sdist."""
    pytest.importorskip("hatchling", reason="the build backend is not installed")
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    result = subprocess.run(build, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def fresh_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a new environment: the wheel, and the dependencies of this one."""
    environment = tmp_path_factory.mktemp("environment")
    create = [sys.executable, "-m", "venv", "--without-pip", environment]
    subprocess.run(create, check=True)
    scheme = {"base": str(environment), "platbase": str(environment)}
    site_packages = Path(sysconfig.get_path("purelib", "venv", vars=scheme))
    python = Path(sysconfig.get_path("scripts", "venv", vars=scheme)) / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, *install], check=True
    )
    # Appended after the wheel, and its own .pth files (editable installs) are not read.
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site_packages / "dependencies.pth").write_text("\n".join(sorted(dependencies)))
    return python


@pytest.fixture(scope="module")
def installed(fresh_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What npe2 finds in the fresh environment, from an unrelated folder."""
    result = subprocess.run(
        [fresh_python, "-I", "-c", PROBE],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_wheel_provides_the_contributions(installed: Any, fresh_python: Path) -> None:
    assert Path(installed["package"]).is_relative_to(fresh_python.parents[1])
    assert installed["widgets"] == [
        "Segment",
        "Automatic",
        "Projections",
        "Train",
        "Measure",
    ]
    assert installed["readers"] == ["napari-octa-sam2.get_reader"]
    assert installed["samples"] == ["phantom"]
    assert installed["callables"]
    assert all(installed["callables"])
    assert len(set(installed["version"])) == 1


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        manifest = archive.read("napari_octa_sam2/napari.yaml")
    assert manifest == (ROOT / "napari.yaml").read_bytes()
    assert len(names) == len(set(names))
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "napari_octa_sam2"
    }
    assert (WEIGHTS in names) == (ROOT / "src" / WEIGHTS).exists()
    assert wheel.stat().st_size < 15e6


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(ROOT / "napari.yaml")


def test_editable_install_finds_the_manifest_at_the_top_level() -> None:
    import napari_octa_sam2

    found = Path(napari_octa_sam2.__file__).with_name("napari.yaml")
    assert found.read_bytes() == (ROOT / "napari.yaml").read_bytes()


def test_every_command_resolves(manifest: PluginManifest) -> None:
    commands = manifest.contributions.commands or []
    assert commands
    for command in commands:
        assert callable(import_python_name(command.python_name)), command.id


def test_every_contribution_names_a_command(manifest: PluginManifest) -> None:
    contributions = manifest.contributions
    commands = {command.id for command in contributions.commands or []}
    menus = [item for items in contributions.menus.values() for item in items]
    used = [
        *(contributions.readers or []),
        *(contributions.writers or []),
        *(contributions.sample_data or []),
        *(contributions.widgets or []),
        *menus,
    ]
    assert {contribution.command for contribution in used} == commands


def test_menus_are_open_to_plugins(manifest: PluginManifest) -> None:
    from napari._app_model.constants import MenuId

    assert manifest.contributions.menus
    assert set(manifest.contributions.menus) <= set(MenuId.contributables())


def test_reader_patterns_match_on_every_platform(manifest: PluginManifest) -> None:
    (reader,) = manifest.contributions.readers or []
    assert reader.accepts_directories
    assert [p for p in reader.filename_patterns if p != p.lower()] == []
