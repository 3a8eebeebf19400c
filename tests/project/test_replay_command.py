"""``segment --replay`` on real files."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from typer.testing import CliRunner, Result

from napari_octa_sam2 import OctaVolume, ScanGeometry, read_labels
from napari_octa_sam2.cli import app
from napari_octa_sam2.project import store
from napari_octa_sam2.volume.readers import read_volume
from napari_octa_sam2.volume.writers import write_image

path = Path(__file__).parents[1] / "driver.py"
spec = importlib.util.spec_from_file_location("octa_driver", path)
assert spec is not None
assert spec.loader is not None
driver_module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(driver_module)

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    data = driver_module.tissue(depth=3, side=40)
    spacing = ScanGeometry((0.01, 0.02, 0.03), "mm")
    return write_image(tmp_path / "scan.npy", OctaVolume(data, spacing, name="scan"))


@pytest.fixture
def project(scan: Path, checkpoint: Path) -> Path:
    """A project with a click, followed through all slices."""
    volume = read_volume(scan)
    about = store.About.of(volume.data, "scan", str(scan), volume.geometry)
    begun = store.begin(about)
    viewer = ViewerModel()
    driver = driver_module.Driver(viewer, viewer.add_image(volume.data), begun)
    driver.open(str(checkpoint))
    driver.click(1, 22, 20)
    driver.work()
    driver.propagate()
    driver.annotation.close()
    return begun.path


def expected(project: Path) -> np.ndarray:
    resumed = store.resume(project)
    labels = resumed.document.volume()
    resumed.close()
    return labels


def break_one(project: Path) -> None:
    """Paint a slice in the name of the network."""
    resumed = store.resume(project)
    resumed.document.write(2, np.full((40, 40), 7), by_engine=True)
    resumed.close()


def error_of(result: Result) -> str:
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    return str(result.stderr)


def test_the_labels_are_those_of_the_project(
    run: Run, project: Path, scan: Path, tmp_path: Path
) -> None:
    out, picture = tmp_path / "labels.nii.gz", tmp_path / "look.png"
    for volume in ([], [scan]):
        result = run(
            *["segment", *volume, "--replay", project, "--out", out],
            *["--picture", picture],
        )
        assert result.exit_code == 0, result.output
        assert "bit for bit" in result.stdout
        assert "labels written to" in result.stdout
        assert "warning" not in result.stderr
        assert "events" in result.stderr
        labels, geometry = read_labels(out)
        np.testing.assert_array_equal(labels.data, expected(project))
        assert geometry.spacing == pytest.approx((0.01, 0.02, 0.03))
        assert picture.read_bytes().startswith(b"\x89PNG")
        picture.unlink()


def test_json_and_a_warning_where_labels_differ(
    run: Run, project: Path, checkpoint: Path, tmp_path: Path
) -> None:
    arguments = ["segment", "--replay", project, "--out", tmp_path / "l.npy", "--json"]
    arguments += ["--model", checkpoint, "--device", "cpu"]
    told = json.loads(run(*arguments).stdout)
    same = {"project": str(project), "identical": True, "different": []}
    assert told["replay"] == same
    assert told["record"]["complete"]
    break_one(project)
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["replay"] == same | {"identical": False, "different": [2]}
    assert "warning: the labels of 1 slices are not those" in result.stderr
    assert result.stderr.splitlines()[-1].endswith("bit for bit: 2")


def test_a_volume_that_is_gone_is_named(
    run: Run, project: Path, scan: Path, tmp_path: Path
) -> None:
    moved = scan.rename(tmp_path / "moved.npy")
    arguments = ["--replay", project, "--out", tmp_path / "l.npy"]
    text = error_of(run("segment", *arguments))
    assert str(scan) in text
    assert "segment VOLUME --replay PROJECT" in text
    assert run("segment", moved, *arguments).exit_code == 0


def test_another_volume_is_refused(run: Run, project: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "other.npy", np.zeros((3, 40, 40), np.uint8))
    arguments = ["--replay", project, "--out", tmp_path / "l.npy"]
    text = error_of(run("segment", tmp_path / "other.npy", *arguments))
    assert "expected the volume" in text
    assert not (tmp_path / "l.npy").exists()


def test_what_is_no_project_is_refused(run: Run, scan: Path, tmp_path: Path) -> None:
    arguments = ["--replay", tmp_path, "--out", tmp_path / "l.npy"]
    assert "expected a project" in error_of(run("segment", scan, *arguments))
    assert "expected a project" in error_of(run("segment", *arguments))


@pytest.mark.parametrize(
    "option",
    [
        ["--prompts", "p.json"],
        ["--direction", "forward"],
        ["--range", "0:1"],
        ["--precision", "fp32"],
        ["--attention", "exact"],
        ["--no-refine"],
    ],
)
def test_options_that_do_not_go_with_it_are_refused(
    run: Run, tmp_path: Path, option: list[str]
) -> None:
    common = ["segment", "--replay", tmp_path, "--out", tmp_path / "l.npy"]
    result = run(*common, *option)
    assert result.exit_code == 2
    assert "does not go with --replay" in " ".join(result.stderr.split())


def test_a_configuration_needs_a_model(run: Run, tmp_path: Path) -> None:
    common = ["segment", "--replay", tmp_path, "--out", tmp_path / "l.npy"]
    result = run(*common, "--config", "c.yaml")
    assert result.exit_code == 2
    assert "needs --model" in result.stderr


@pytest.mark.parametrize("given", [[], ["scan.npy"], ["--prompts", "p.json"]])
def test_without_it_volume_and_prompts_are_needed(run: Run, given: list[str]) -> None:
    result = run("segment", *given, "--out", "l.npy")
    assert result.exit_code == 2
    assert "--replay" in result.stderr
