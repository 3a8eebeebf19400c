from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from napari_octa_sam2 import (
    LabelSet,
    OctaVolume,
    Prompt,
    PromptSet,
    ScanGeometry,
    __version__,
    read_labels,
    read_volume,
    segment,
    write_labels,
)
from napari_octa_sam2.cli import app
from napari_octa_sam2.cli.app import DEBUG_VARIABLE
from napari_octa_sam2.cli.console import parse_range, progress, stop_on_signal
from napari_octa_sam2.files import file_sha256
from napari_octa_sam2.model.refinement import RefinementHead
from napari_octa_sam2.model.tuned import HEAD, Origin, write_tuned
from napari_octa_sam2.volume.writers import write_image

COMMAND = [sys.executable, "-c", "from napari_octa_sam2.cli import main; main()"]
SPACING = ScanGeometry((0.01, 0.02, 0.03), "mm")
CLICK = Prompt(1, 2, ((20, 24),), (1,))

Run = Callable[..., Result]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    data = np.random.default_rng(0).integers(0, 255, (5, 40, 48)).astype(np.uint8)
    return write_image(tmp_path / "scan.npy", OctaVolume(data, SPACING, name="scan"))


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.json"
    PromptSet(prompts=(CLICK,)).write(path)
    return path


@pytest.fixture
def run() -> Run:
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def segment_arguments(scan: Path, prompts: Path, checkpoint: Path) -> list[Any]:
    return ["segment", scan, "--prompts", prompts, "--model", checkpoint, "--out"]


def error_of(result: Result) -> str:
    """Return the one line on stderr of a command that failed."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return str(result.stderr)


def test_segment_writes_what_python_gives(
    run: Run, segment_arguments: list[Any], scan: Path, checkpoint: Path, tmp_path: Path
) -> None:
    out, picture = tmp_path / "new" / "labels.nii.gz", tmp_path / "new" / "look.png"
    result = run(*segment_arguments, out, "--picture", picture, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    expected = segment(read_volume(scan), PromptSet(prompts=(CLICK,)), model=checkpoint)
    labels, geometry = read_labels(out)
    np.testing.assert_array_equal(labels.data, expected.labels.data)
    assert geometry == SPACING
    assert told["labels"] == str(out)
    assert told["record"]["model"]["sha256"] == file_sha256(checkpoint)
    assert told["record"]["model"]["input_size"] == 128
    assert told["objects"][0]["voxels"] == np.count_nonzero(labels.data)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "slices 5/5" in result.stderr


def test_segment_range_counts_both_ends(
    run: Run, segment_arguments: list[Any], tmp_path: Path
) -> None:
    out = tmp_path / "labels.npy"
    result = run(*segment_arguments, out, "--range", "1:3", "--direction", "forward")
    assert result.exit_code == 0, result.output
    assert "labels written to" in result.stdout
    assert "object 1" in result.stdout
    filled = np.flatnonzero(read_labels(out)[0].data.any((1, 2)))
    assert filled.tolist() == [2, 3]


def test_segment_takes_a_configuration_from_elsewhere(
    run: Run, scan: Path, prompts: Path, checkpoint: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "weights.safetensors"
    alone.write_bytes(checkpoint.read_bytes())
    common = ["segment", scan, "--prompts", prompts, "--model", alone]
    common += ["--out", tmp_path / "labels.npy", "--range", "2:2"]
    assert "configuration of weights.safetensors" in error_of(run(*common))
    result = run(*common, "--config", checkpoint.with_suffix(".yaml"))
    assert result.exit_code == 0, result.output


@pytest.fixture
def head() -> RefinementHead:
    """Return a refinement head that calls every pixel the object."""
    torch.manual_seed(0)
    made = RefinementHead((8, 16))
    torch.nn.init.constant_(made.last.bias, 1000.0)
    return made


def test_segment_with_a_fine_tuned_model(
    run: Run,
    segment_arguments: list[Any],
    checkpoint: Path,
    head: RefinementHead,
    tmp_path: Path,
) -> None:
    out, tuned = tmp_path / "labels.npy", tmp_path / "tuned.safetensors"
    weights = {HEAD + key: value for key, value in head.state_dict().items()}
    origin = Origin(str(checkpoint), file_sha256(checkpoint), head=head.channels)
    write_tuned(tuned, weights, origin)
    common = ["--range", "2:2", "--json"]
    result = run(*segment_arguments, out, *common)
    assert json.loads(result.stdout)["record"]["model"]["refinement"] is False
    assert not read_labels(out)[0].data[2].all()
    arguments = [tuned if a == checkpoint else a for a in segment_arguments]
    result = run(*arguments, out, *common)
    assert result.exit_code == 0, result.output
    model = json.loads(result.stdout)["record"]["model"]
    assert (model["name"], model["refinement"]) == ("tuned", True)
    assert model["sha256"] == file_sha256(tuned)
    assert read_labels(out)[0].data[2].all()
    result = run(*arguments, out, *common, "--no-refine")
    assert json.loads(result.stdout)["record"]["model"]["refinement"] is False


def test_segment_without_the_head_of_the_checkpoint(
    run: Run,
    segment_arguments: list[Any],
    checkpoint: Path,
    head: RefinementHead,
    tmp_path: Path,
) -> None:
    both = tmp_path / "both.safetensors"
    channels = list(head.channels)
    own = {HEAD + key: value for key, value in head.state_dict().items()}
    save_file(load_file(checkpoint) | own, both)
    text = checkpoint.with_suffix(".yaml").read_text("utf-8")
    text, found = re.subn(r"channels: \[.*\]", f"channels: {channels}", text)
    assert found == 1
    write(both.with_suffix(".yaml"), text)
    arguments = [both if a == checkpoint else a for a in segment_arguments]
    out = tmp_path / "labels.npy"
    for option, used in (("--refine", True), ("--no-refine", False)):
        result = run(*arguments, out, "--range", "2:2", option, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["record"]["model"]["refinement"] is used
        assert bool(read_labels(out)[0].data[2].all()) is used


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def prompts_file(*prompts: dict[str, Any], objects: int = 0) -> str:
    listed = [{"id": n + 1} for n in range(objects)]
    return json.dumps({"version": 1, "objects": listed, "prompts": list(prompts)})


POINT = {"object": 1, "slice": 2, "points": [[20, 24]], "labels": [1]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the prompt file is empty"),
        ('{"version": 1,', "not valid JSON at line 1"),
        ("[]", "expected a JSON object"),
        (prompts_file(), "no prompt"),
        (prompts_file(POINT | {"points": [[20, 48]]}), "outside the image"),
        (prompts_file(POINT | {"slice": 5}), "slice from 0 to 4"),
        (prompts_file(POINT, objects=2), "object 2 (object 2) has no positive prompt"),
        (
            prompts_file({"object": 1, "slice": 2, "absent": True}),
            "has no positive prompt",
        ),
    ],
)
def test_bad_prompts_are_refused_in_one_line(
    run: Run,
    segment_arguments: list[Any],
    prompts: Path,
    tmp_path: Path,
    content: str,
    message: str,
) -> None:
    write(prompts, content)
    assert message in error_of(run(*segment_arguments, tmp_path / "labels.npy"))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "prompts.json",
        "scan.npy",
        "scan.npy.json",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"volume": "missing.npy"}, "found nothing there"),
        ({"volume": "truncated.npy"}, "damaged or incomplete"),
        ({"--prompts": "missing.json"}, "cannot read the prompt file"),
        ({"--model": "octa-giga"}, "octa-giga"),
        ({"--out": "labels.png"}, "ends in .ome.zarr"),
        ({"--out": "labels"}, "ends in .ome.zarr"),
        ({"--out": "scan.npy"}, "one of the inputs"),
        ({"--picture": "look.docx"}, "ends in .png"),
        ({"--range": "3:5"}, "from 0 to 4"),
        ({"--range": "3:2"}, "found 3 to 2"),
        ({"--device": "cuda:9"}, "device"),
        ({"--precision": "fp8"}, "precision"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    run: Run,
    scan: Path,
    prompts: Path,
    checkpoint: Path,
    tmp_path: Path,
    change: dict[str, str],
    message: str,
) -> None:
    (tmp_path / "truncated.npy").write_bytes(scan.read_bytes()[:-1000])
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    paths = {"volume": "scan.npy", "--prompts": "prompts.json", "--out": "labels.npy"}
    chosen = paths | {"--model": str(checkpoint)} | change
    for key in ("volume", "--prompts", "--out", "--picture"):
        if key in chosen:
            chosen[key] = str(tmp_path / chosen[key])
    volume = chosen.pop("volume")
    options = [text for pair in chosen.items() for text in pair]
    assert message in error_of(run("segment", volume, *options))
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["segment"],
        ["unknown"],
        ["segment", "scan.npy", "--prompts", "p", "--out", "o.npy", "--range", "a:b"],
        ["segment", "scan.npy", "--prompts", "p", "--out", "o", "--direction", "up"],
        ["evaluate", "only-one"],
        ["evaluate", "a.npy", "b.npy", "--spacing", "0.1"],
        ["evaluate", "a.npy", "b.npy", "--skeleton", "lines"],
    ],
)
def test_wrong_usage_exits_with_2(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_range_is_two_numbers() -> None:
    assert parse_range("2:5") == range(2, 6)
    assert parse_range(None) is None
    for text in ("2", "2:", ":3", "1:2:3", "x:y"):
        with pytest.raises(typer.BadParameter):
            parse_range(text)


def test_info_tells_size_and_spacing(run: Run, scan: Path) -> None:
    text = run("info", scan).stdout
    assert "slow    40 x 0.02 mm = 0.8 mm" in text
    assert "uint8, 0 to 254" in text
    assert (
        json.loads(run("info", scan, "--json").stdout) == read_volume(scan).describe()
    )


def test_info_says_that_spacing_is_unknown(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", np.eye(9, dtype=np.float32)[None])
    text = run("info", tmp_path / "scan.npy").stdout
    assert "fast    9 pixels (physical size unknown)" in text


def all_of(result: Result) -> dict[str, Any]:
    """Return the figures of all objects that `evaluate --json` printed."""
    (figures,) = json.loads(result.stdout)["rows"]["all"]
    return dict(figures)


@pytest.fixture
def masks(tmp_path: Path) -> tuple[Path, Path]:
    truth = np.zeros((4, 10, 10), np.uint8)
    truth[1:3, 2:6, 2:6] = 1
    predicted = truth.copy()
    predicted[2, 2:6, 4:6] = 0
    return (
        write_labels(tmp_path / "predicted.nii.gz", predicted, SPACING),
        write_labels(tmp_path / "truth.tif", truth, SPACING, names={1: "vein 1"}),
    )


def test_evaluate_scores_each_object(
    run: Run, masks: tuple[Path, Path], tmp_path: Path
) -> None:
    result = run("evaluate", *masks, "--out", tmp_path / "scores.csv")
    assert result.exit_code == 0, result.output
    assert "vein 1" in result.stdout
    assert f"written: {tmp_path / 'scores.csv'}" in result.stderr
    assert (tmp_path / "scores.csv").read_text().startswith("level,object,name,")
    told = json.loads(run("evaluate", *masks, "--json").stdout)
    assert set(told) == {"settings", "notes", "units", "rows", "missing"}
    (scores,) = told["rows"]["object"]
    assert scores["dice"] == pytest.approx(2 * 24 / (24 + 32))
    assert told["settings"]["unit"] == "mm"
    assert [row["slice"] for row in told["rows"]["slice"]] == [1, 2]
    second = json.loads(run("evaluate", *masks, "--json", "--range", "2:2").stdout)
    assert second["settings"]["slices"] == [2, 3]
    assert second["rows"]["all"][0]["dice"] == pytest.approx(2 * 8 / (8 + 16))


def test_evaluate_writes_every_format(
    run: Run, masks: tuple[Path, Path], tmp_path: Path
) -> None:
    files = [tmp_path / "out" / f"scores{s}" for s in (".csv", ".xlsx", ".json")]
    files += [tmp_path / "out" / f"scores{suffix}" for suffix in (".html", ".pdf")]
    options = [part for path in files for part in ("--out", path)]
    result = run("evaluate", *masks, *options)
    assert result.exit_code == 0, result.output
    assert sorted((tmp_path / "out").iterdir()) == sorted(files)
    assert all(path.stat().st_size > 500 for path in files)
    written = json.loads(files[2].read_text("utf-8"))
    printed = json.loads(run("evaluate", *masks, "--json").stdout)
    assert {key: written[key] for key in printed} == printed
    assert len(written["provenance"]["inputs"]) == 2
    assert "dice" in written["definitions"]


def test_evaluate_follows_its_options(
    run: Run, masks: tuple[Path, Path], tmp_path: Path
) -> None:
    def told(*options: Any) -> dict[str, Any]:
        result = run("evaluate", *masks, "--json", *options)
        assert result.exit_code == 0, result.output
        return dict(json.loads(result.stdout))

    plain = told()
    assert plain["settings"]["tolerance"] == 0.03
    assert plain["rows"]["all"][0].get("average_precision") is None
    strict = told("--tolerance", 0.005, "--skeleton", "volume", "--no-per-slice")
    assert strict["settings"]["tolerance"] == 0.005
    assert strict["settings"]["centrelines"] == "3-D"
    assert strict["rows"].keys() == plain["rows"].keys() - {"slice", "object slice"}
    assert strict["rows"]["all"][0]["nsd"] < plain["rows"]["all"][0]["nsd"]
    scores = read_labels(masks[1])[0].data / np.float32(2)
    np.save(tmp_path / "scores.npy", scores)
    ranked = told("--scores", tmp_path / "scores.npy")
    assert ranked["rows"]["all"][0]["average_precision"] == 1


def test_evaluate_takes_a_spacing_for_files_that_know_none(
    run: Run, masks: tuple[Path, Path], tmp_path: Path
) -> None:
    plain = [
        write_labels(tmp_path / f"{n}.npy", read_labels(p)[0].data, ScanGeometry())
        for n, p in enumerate(masks)
    ]
    told = json.loads(run("evaluate", *plain, "--json").stdout)
    assert told["settings"]["unit"] == "pixel"
    assert any("the spacing is unknown" in note for note in told["notes"])
    options = ["--json", "--spacing", "0.01,0.02,0.03"]
    told = json.loads(run("evaluate", *plain, *options).stdout)
    assert (told["settings"]["unit"], told["units"]["hd95"]) == ("mm", "mm")
    text = error_of(run("evaluate", *plain, "--spacing", "0.02,0.03"))
    assert "add that of the depth" in text


def test_evaluate_tells_objects_that_the_truth_has_not(
    run: Run, masks: tuple[Path, Path], tmp_path: Path
) -> None:
    labels = read_labels(masks[1])[0].data.copy()
    labels[3, 8:, 8:] = 7
    more = write_labels(tmp_path / "more.npy", labels, SPACING)
    told = json.loads(run("evaluate", more, masks[1], "--json").stdout)
    assert "only in the prediction: 7 (4 voxels)" in told["notes"][0]
    assert [row["object"] for row in told["rows"]["object"]] == [1]
    assert told["rows"]["object"][0]["dice"] == 1
    assert told["rows"]["all"][0]["dice"] == pytest.approx(64 / 68)


def test_evaluate_compares_folders_scan_by_scan(
    run: Run, masks: tuple[Path, Path], tmp_path: Path
) -> None:
    folders = tmp_path / "given", tmp_path / "true"
    for folder, path in zip(folders, masks, strict=True):
        folder.mkdir()
        labels = read_labels(path)[0].data
        for name in ("a", "b"):
            write_labels(folder / f"{name}.npy", labels, SPACING)
    (folders[0] / "bad.npy").write_bytes(b"no array")
    write_labels(folders[1] / "bad.npy", labels, SPACING)
    write_labels(folders[1] / "left.npy", labels, SPACING)
    result = run("evaluate", *folders, "--json", "--out", tmp_path / "all.json")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "all.json").is_file()
    told = json.loads(result.stdout)
    assert [row["subject"] for row in told["rows"]["all"]] == ["a", "b"]
    mean = next(r for r in told["rows"]["subjects"] if r["statistic"] == "mean")
    assert mean["dice"] == pytest.approx(2 * 24 / (24 + 32))
    assert any(note.startswith("bad was left out: ") for note in told["notes"])
    assert any("left" in note and "not compared" in note for note in told["notes"])
    for options in (["--range", "0:1"], ["--scores", masks[0]]):
        assert "scan by scan" in error_of(run("evaluate", *folders, *options))
    for name in ("a", "b"):
        (folders[0] / f"{name}.npy").write_bytes(b"no array")
    text = error_of(run("evaluate", *folders))
    assert "a was left out" in text
    assert "b was left out" in text


@pytest.mark.parametrize("name", ["scores.docx", "scores", "file/scores.csv", "d.csv"])
def test_evaluate_refuses_a_target_before_the_work(
    run: Run, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "d.csv").mkdir()
    missing = tmp_path / "missing.npy"
    text = error_of(run("evaluate", missing, missing, "--out", tmp_path / name))
    assert name in text
    assert "missing" not in text


@pytest.mark.parametrize("span", ["0:4", "3:2", "-1:2"])
def test_evaluate_refuses_a_range_outside(
    run: Run, masks: tuple[Path, Path], span: str
) -> None:
    assert "from 0 to 3" in error_of(run("evaluate", *masks, f"--range={span}"))


def test_evaluate_takes_the_labels_of_a_volume(
    run: Run, masks: tuple[Path, Path], tmp_path: Path
) -> None:
    truth = read_labels(masks[1])[0]
    volume = OctaVolume(
        truth.data * 9, SPACING, labels={"RV": truth, "FAZ": LabelSet(truth.data * 0)}
    )
    path = write_image(tmp_path / "scan.ome.zarr", volume)
    result = run("evaluate", masks[0], path, "--labels", "RV", "--json")
    assert json.loads(result.stdout)["rows"]["object"][0]["name"] == "vein 1"
    text = error_of(run("evaluate", masks[0], path, "--labels", "vessels"))
    assert "found FAZ, RV" in text
    text = error_of(run("evaluate", masks[0], path))
    assert "found FAZ, RV; choose with --labels" in text
    # of one kind there is nothing to choose, and the image is not taken for labels
    volume = OctaVolume(truth.data * 9, SPACING, labels={"RV": truth})
    path = write_image(tmp_path / "scan.ome.zarr", volume)
    result = run("evaluate", masks[1], path, "--json")
    assert all_of(result)["dice"] == 1


def test_evaluate_tells_of_another_spacing(
    run: Run, masks: tuple[Path, Path], tmp_path: Path
) -> None:
    labels = read_labels(masks[1])[0].data
    other = write_labels(
        tmp_path / "other.npy", labels, ScanGeometry((0.02, 0.02, 0.03), "mm")
    )
    result = run("evaluate", masks[0], other)
    assert result.exit_code == 0
    assert f"note: the spacing of {masks[0]} is (0.01, 0.02, 0.03) mm" in result.stdout
    told = json.loads(run("evaluate", masks[0], other, "--json").stdout)
    assert told["settings"]["spacing"] == [0.02, 0.02, 0.03]
    assert told["notes"][0].endswith("the latter is used")


def test_evaluate_says_what_is_missing(
    run: Run, masks: tuple[Path, Path], tmp_path: Path
) -> None:
    assert "found nothing there" in error_of(
        run("evaluate", masks[0], tmp_path / "no.npy")
    )
    small = write_labels(tmp_path / "small.npy", np.ones((2, 3, 3), np.uint8), SPACING)
    assert "of the shape of the truth" in error_of(run("evaluate", small, masks[1]))


def test_evaluate_reads_the_labels_of_a_layer_sequence(
    run: Run, realdata: Path, tmp_path: Path
) -> None:
    folders = sorted(realdata.rglob("FAZ_LayerSequence/*/"))
    if not folders:
        pytest.skip("no FAZ layer sequence among the real samples")
    volume = read_volume(folders[0])
    path = write_labels(
        tmp_path / "labels.npy", volume.labels["FAZ"].data, volume.geometry
    )
    result = run("evaluate", path, folders[0], "--json")
    assert result.exit_code == 0, result.output
    assert all_of(result)["dice"] == 1


def test_models_are_listed_and_described(run: Run) -> None:
    assert run("models").stdout.splitlines()[0].startswith("octa-nano")
    listed = json.loads(run("models", "--json").stdout)
    kinds = {m["name"]: m["kind"] for m in listed}
    assert (kinds["octa-nano"], kinds["octa-auto"]) == ("prompted", "promptless")
    assert kinds["sam2.1_hiera_tiny"] == "prompted"
    one = json.loads(run("models", "info", "sam2.1_hiera_tiny", "--json").stdout)
    assert one["licence"] == "Apache-2.0"
    for command in ("info", "download"):
        assert "unknown model 'sam3'" in error_of(run("models", command, "sam3"))


def test_a_download_that_fails_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NAPARI_OCTA_SAM2_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setenv("NAPARI_OCTA_SAM2_CACHE", str(tmp_path))
    text = error_of(run("models", "download", "sam2.1_hiera_tiny"))
    assert "cannot download" in text


def test_phantom_writes_image_labels_and_surfaces(run: Run, tmp_path: Path) -> None:
    options = ["--depth", 8, "--size", 32, "--seed", 4]
    result = run("phantom", "--out", tmp_path / "made", *options, "--json")
    assert result.exit_code == 0, result.output
    files = json.loads(result.stdout)["files"]
    assert {Path(p).name for p in files.values()} == {
        "image.ome.zarr",
        "labels.ome.zarr",
        "surfaces.npy",
        "config.json",
    }
    volume = read_volume(files["image"])
    labels, geometry = read_labels(files["labels"])
    assert volume.shape == labels.data.shape == (8, 32, 32)
    assert geometry == volume.geometry
    assert "FAZ" in labels.classes.values()
    assert np.load(files["surfaces"]).shape == (6, 32, 32)
    config = json.loads(Path(files["config"]).read_text())
    assert config["phantom"]["seed"] == 4


def test_phantom_follows_the_suffix(run: Run, tmp_path: Path) -> None:
    options = ["--depth", 8, "--size", 32]
    result = run("phantom", "--out", tmp_path / "eye.nii.gz", *options)
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "eye-config.json",
        "eye-labels.nii.gz",
        "eye-surfaces.npy",
        "eye.nii.gz",
    ]
    assert "quality" in error_of(run("phantom", "--out", tmp_path, "--quality", 2))


def test_phantom_and_evaluate_agree(run: Run, tmp_path: Path) -> None:
    run("phantom", "--out", tmp_path / "made", "--depth", 8, "--size", 32)
    image, labels = (tmp_path / "made" / f"{n}.ome.zarr" for n in ("image", "labels"))
    result = run("evaluate", labels, image, "--labels", "objects", "--json")
    assert all_of(result)["dice"] == 1


def test_demo_runs_from_the_shell(
    run: Run, monkeypatch: pytest.MonkeyPatch, checkpoint: Path, tmp_path: Path
) -> None:
    from napari_octa_sam2 import demo
    from napari_octa_sam2.volume.phantom import PhantomConfig

    small = PhantomConfig(seed=3, depth=16, size=64)
    monkeypatch.setitem(demo.run_demo.__kwdefaults__, "phantom", small)
    result = run("demo", "--out", tmp_path / "demo", "--model", checkpoint)
    assert result.exit_code == 0, result.output
    assert "clDice" in result.stdout
    assert "napari --plugin napari-octa-sam2" in result.stdout
    assert (tmp_path / "demo" / "overview.png").is_file()
    result = run("demo", "--out", tmp_path / "demo", "--model", checkpoint, "--json")
    assert set(json.loads(result.stdout)) == {"files", "evaluation", "seconds"}


def test_doctor_exits_with_1_only_for_problems(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_octa_sam2 import doctor

    findings = [doctor.Finding("torch", "ok", "2"), doctor.Finding("qt", "warning", "")]
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    assert run("doctor").exit_code == 0
    findings.append(doctor.Finding("model", "problem", "gone", "reinstall"))
    result = run("doctor")
    assert result.exit_code == 1
    assert "-> reinstall" in result.stdout
    told = json.loads(run("doctor", "--json").stdout)
    assert told[-1] == {
        "subject": "model",
        "status": "problem",
        "text": "gone",
        "advice": "reinstall",
    }


def test_the_second_ctrl_c_stops_at_once() -> None:
    as_it_was = signal.getsignal(signal.SIGINT)  # ignored in a shell's background
    before = signal.default_int_handler
    signal.signal(signal.SIGINT, before)
    with stop_on_signal() as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    signal.signal(signal.SIGINT, as_it_was)


def test_progress_in_a_pipe_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("slices") as tell:
        for done in range(1, 1001):
            tell(done, 1000)
    assert capsys.readouterr().err.splitlines() == ["slices 1/1000", "slices 1000/1000"]


def test_progress_on_a_terminal_is_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress("slices") as tell:
        tell(3, 10, "of phase 1")
    shown = capsys.readouterr().err
    assert "3/10" in shown
    assert "of phase 1" in shown


def test_an_unexpected_error_is_one_line_too(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr("napari_octa_sam2.doctor.examine", fail)
    monkeypatch.delenv(DEBUG_VARIABLE, raising=False)
    assert f"ZeroDivisionError: two lines; set {DEBUG_VARIABLE}=1" in error_of(
        run("doctor")
    )
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    assert isinstance(run("doctor").exception, ZeroDivisionError)


def test_version_is_told(run: Run) -> None:
    assert run("--version").stdout == f"napari-octa-sam2 {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["info"], ["segment", "--help"]])
def test_light_commands_do_not_import_torch(arguments: list[str], scan: Path) -> None:
    if arguments == ["info"]:
        arguments = ["info", str(scan)]
    code = (
        "import atexit, sys\n"
        "heavy = {'torch', 'sam2', 'napari', 'matplotlib'}\n"
        "atexit.register(lambda: print('HEAVY', *heavy & set(sys.modules)))\n"
        "from napari_octa_sam2.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "HEAVY"


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "napari_octa_sam2", "--help"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "evaluate" in result.stdout


def test_the_public_names_are_there_and_light() -> None:
    import napari_octa_sam2

    for name in napari_octa_sam2.__all__:
        assert getattr(napari_octa_sam2, name) is not None
    assert set(napari_octa_sam2.__all__) <= set(dir(napari_octa_sam2))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = napari_octa_sam2.nothing
    code = (
        "import sys; from napari_octa_sam2 import OctaVolume, PromptSet, evaluate, "
        "read_volume, write_labels; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_failing_command_in_a_shell_prints_no_traceback(tmp_path: Path) -> None:
    result = subprocess.run(
        [*COMMAND, "info", tmp_path / "missing.npy"], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_keeps_what_is_done(
    checkpoint: Path, prompts: Path, tmp_path: Path
) -> None:
    data = np.random.default_rng(0).integers(0, 255, (2000, 40, 48)).astype(np.uint8)
    np.save(tmp_path / "long.npy", data)
    out = tmp_path / "labels.ome.zarr"
    arguments = ["segment", tmp_path / "long.npy", "--prompts", prompts]
    arguments += ["--model", checkpoint, "--out", out, "--json"]
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "slices 1/2000\n"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in stderr
    assert "error: interrupted" in stderr.splitlines()[-1]
    assert not json.loads(stdout)["record"]["complete"]
    labels = read_labels(out)[0].data
    assert labels.shape == data.shape
    assert labels[2].any()
    assert not labels[-1].any()
