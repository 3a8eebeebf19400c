"""`segment --auto`: the same from the shell."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from napari_octa_sam2.cli import app
from napari_octa_sam2.cli.automatic import Wanted
from napari_octa_sam2.model.promptless.model import PromptlessModel, write_promptless
from napari_octa_sam2.prompts import SEGMENTABLE, PromptSet
from napari_octa_sam2.volume.readers import images, read_labels, read_volume

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    return lambda *arguments: CliRunner().invoke(
        app, ["segment", *(str(a) for a in arguments)]
    )


@pytest.fixture
def finder_file(finder: PromptlessModel, tmp_path: Path) -> Path:
    file = tmp_path / "bright.safetensors"
    network = finder.network
    write_promptless(file, network.config, finder.appearance, network.state_dict())
    return file


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """Three slices with a large bright vessel and a small one."""
    data = np.zeros((3, 48, 48), np.uint8)
    data[:, 5:12, 2:46] = 200
    data[:, 30:34, 30:36] = 200
    file = tmp_path / "volume.npy"
    np.save(file, data)
    return file


def plain(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def test_all_classes_can_be_asked_for() -> None:
    assert [wanted.value for wanted in Wanted] == [*SEGMENTABLE, "everything"]


def test_large_vessels_are_found_and_the_values_shown(
    run: Run, volume: Path, finder_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "found.tif"
    result = run(volume, "--auto", "rv", "--finder", finder_file, "--out", out)
    assert result.exit_code == 0, result.output
    assert "RV: threshold 0.5, min_area 50" in result.stderr
    labels, _ = read_labels(out)
    np.testing.assert_array_equal(labels.data[:, 5:12, 2:46], 1)
    assert not labels.data[:, 30:34].any()  # fewer than 50 pixels
    assert labels.classes == {1: "RV"}


def test_values_can_be_changed(
    run: Run, volume: Path, finder_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "found.npy"
    result = run(
        *(volume, "--auto", "RV", "--finder", finder_file, "--out", out),
        *("--min-area", 0, "--separate", "--range", "1:2", "--json"),
    )
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["record"]["automatic"]["cleaning"]["RV"]["min_area"] == 0
    assert told["record"]["slices"] == [1, 2]
    assert [each["name"] for each in told["objects"]] == ["RV 1"]  # below 100 pixels
    labels = np.load(out)
    assert not labels[0].any()
    assert (labels[1:, 5:12, 2:46] == 1).all()


def test_what_is_found_is_prompted_and_followed(
    run: Run, volume: Path, finder_file: Path, tmp_path: Path
) -> None:
    out, prompts = tmp_path / "followed.npy", tmp_path / "prompts.json"
    result = run(
        *(volume, "--auto", "rv", "--finder", finder_file, "--out", out),
        *("--follow", "mask", "--at", 0, "--save-prompts", prompts),
    )
    assert result.exit_code == 0, result.output
    given = PromptSet.read(prompts)
    assert [(p.object, p.slice, p.mask is not None) for p in given.prompts] == [
        (1, 0, True)
    ]
    labels = np.load(out)
    assert (labels[0, 5:12, 2:46] == 1).all()
    assert labels[2].any()


def test_vessels_are_found_within_a_map(
    run: Run, volume: Path, finder_file: Path, tmp_path: Path
) -> None:
    seen = np.zeros((1, 48, 48), np.uint8)
    seen[0, :, :20] = 1
    np.save(tmp_path / "map.npy", seen)
    out = tmp_path / "found.npy"
    result = run(
        *(volume, "--auto", "rv", "--finder", finder_file, "--out", out),
        *("--within", tmp_path / "map.npy"),
    )
    assert result.exit_code == 0, result.output
    labels = np.load(out)
    assert (labels[:, 5:12, 2:20] == 1).all()
    assert not labels[:, :, 20:].any()


def test_strips_are_those_of_sam_octa2(
    run: Run, volume: Path, finder_file: Path, tmp_path: Path
) -> None:
    seen = np.zeros((1, 48, 48), np.uint8)
    seen[0, 7:9] = 1
    np.save(tmp_path / "map.npy", seen)
    folder = tmp_path / "RV_LayerSequence" / "10301"
    result = run(
        *(volume, "--auto", "rv", "--finder", finder_file, "--out", tmp_path / "o.npy"),
        *("--within", tmp_path / "map.npy", "--strips", folder, "--range", "1:2"),
    )
    assert result.exit_code == 0, result.output
    read = read_volume(folder)
    assert read.first_slice == 1
    np.testing.assert_array_equal(read.data, np.load(volume)[1:])
    found = read.labels["RV"].data
    np.testing.assert_array_equal(found, np.load(tmp_path / "o.npy")[1:])
    assert (found[:, 7:9, 2:46] == 1).all()
    assert found.sum() == 2 * 2 * 44
    region = images.read_pixels(folder / "1.png")[:, :48, 0] > 127
    assert region[5:12, 2:46].all()  # the region is wider than the map


def test_a_region_is_made_as_in_the_sparse_annotation(
    run: Run, volume: Path, finder_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o.npy"
    arguments = (volume, "--auto", "rv", "--finder", finder_file, "--out", out)
    result = run(*arguments, "--region", "--min-area", "100")
    assert result.exit_code == 0, result.output
    assert "threshold 0.8, min_area 100, fill_holes all" in result.stderr
    assert "rounding 5.0" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--auto", "rv", "--prompts", "p.json"), "either --prompts FILE or --auto"),
        (("--threshold", "0.3", "--prompts", "p.json"), "goes with --auto alone"),
        (("--auto", "rv", "--at", "1"), "goes with --follow alone"),
        (("--auto", "nerve"), "nerve"),
        (("--auto", "rv", "--auto", "everything"), "beside classes"),
        (("--auto", "rv", "--follow", "lasso"), "midpoints"),
        (("--auto", "rv", "--replay", "project"), "does not go with --replay"),
    ],
)
def test_what_does_not_fit_together_is_wrong_usage(
    arguments: tuple[str, ...], message: str, run: Run, volume: Path, tmp_path: Path
) -> None:
    (tmp_path / "p.json").write_text('{"version": 1, "prompts": []}')
    given = [a.replace("p.json", str(tmp_path / "p.json")) for a in arguments]
    result = run(volume, "--out", tmp_path / "out.npy", *given)
    assert result.exit_code == 2, result.output
    assert message in plain(result.output)


def test_nothing_found_is_told(run: Run, finder_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "dark.npy", np.zeros((2, 48, 48), np.uint8))
    result = run(
        *(tmp_path / "dark.npy", "--auto", "rv", "--finder", finder_file),
        *("--follow", "box", "--out", tmp_path / "out.npy"),
    )
    assert result.exit_code == 1
    assert "expected objects to make prompts of" in result.stderr
