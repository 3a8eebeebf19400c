"""The commands on labels alone: measure and agree."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from napari_octa_sam2 import (
    LabelSet,
    OctaVolume,
    ScanGeometry,
    make_phantom,
    write_labels,
)
from napari_octa_sam2.cli import app
from napari_octa_sam2.cli.measuring import parse_classes, parse_spacing
from napari_octa_sam2.volume.phantom.records import PhantomConfig
from napari_octa_sam2.volume.writers import write_image

PITCH = 0.03
SCAN = ScanGeometry((1.0, PITCH, PITCH), "mm")
CLASSES = {1: "FAZ", 2: "artery", 3: "vein"}

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


def drawn(width: int = 4) -> np.ndarray:
    """A square FAZ of 16 pixels, an artery of so many pixels, and a vein of 6."""
    data = np.zeros((1, 100, 100), np.uint8)
    data[0, 42:58, 42:58] = 1
    data[0, 20 : 20 + width] = 2
    data[0, 80:86] = 3
    return data


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return write_labels(tmp_path / "eye.npy", drawn(), SCAN, classes=CLASSES)


@pytest.fixture
def graders(tmp_path: Path) -> list[Path]:
    """Folders of two graders with three scans each."""
    for number, subject in enumerate(("s1", "s2", "s3")):
        for wider, grader in enumerate(("ann", "bob")):
            (tmp_path / grader).mkdir(exist_ok=True)
            data = drawn(3 + number + wider)
            path = tmp_path / grader / f"{subject}.npy"
            write_labels(path, data, SCAN, classes=CLASSES)
    return [tmp_path / "ann", tmp_path / "bob"]


def told_by(result: Result) -> dict[str, Any]:
    """Return what a command printed as JSON."""
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def error_of(result: Result) -> str:
    """Return the last line on stderr of a command that failed; stdout is empty."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    *before, line = result.stderr.splitlines()
    assert all(text.startswith("scans ") for text in before)
    assert line.startswith("error: ")
    return str(line)


def row_of(told: dict[str, Any], level: str, **labels: str) -> dict[str, Any]:
    (row,) = (r for r in told["rows"][level] if labels.items() <= r.items())
    return dict(row)


def test_measure_tells_regions_classes_and_the_faz(run: Run, labels: Path) -> None:
    told = told_by(run("measure", labels, "--laterality", "OD", "--json"))
    assert set(told) == {"settings", "notes", "units", "rows", "missing"}
    vein = row_of(told, "region", region="whole", **{"class": "vein"})
    assert vein["subject"] == "eye"
    assert vein["vad"] == pytest.approx(0.06)
    assert vein["vdi"] == pytest.approx(6 * PITCH * 1000, rel=0.03)
    assert told["units"]["vdi"] == "um"
    (faz,) = told["rows"]["faz"]
    assert faz["faz_area"] == pytest.approx((16 * PITCH) ** 2)
    beside = row_of(told, "region", region="N2", **{"class": "vein"})
    assert beside["vad"] is None
    reasons = {m["why_not"] for m in told["missing"] if m.get("region") == "N2"}
    assert reasons == {
        f"expected at least 90% of the region in the scan, "
        f"found {beside['coverage']:.1%}"
    }
    assert any("uncorrected" in note for note in told["notes"])


def test_measure_prints_tables_and_notes(run: Run, labels: Path) -> None:
    result = run("measure", labels, "--regions", "whole, N1")
    assert result.exit_code == 0, result.output
    for text in ("artery", "VAD", "note: Magnification is uncorrected", "n/a:"):
        assert text in result.stdout
    assert "parafovea" not in result.stdout


def test_measure_corrects_magnification(run: Run, labels: Path) -> None:
    plain = told_by(run("measure", labels, "--json"))
    options = ["--axial-length", 27, "--scanner", "Cirrus", "--json"]
    told = told_by(run("measure", labels, *options))
    factor = (27 - 1.82) / (24.46 - 1.82)
    ratio = told["rows"]["faz"][0]["faz_area"] / plain["rows"]["faz"][0]["faz_area"]
    assert ratio == pytest.approx(factor**2)
    assert any("(Bennett)" in note for note in told["notes"])
    given = ["--axial-length", 27, "--reference-length", 24.46, "--json"]
    again = told_by(run("measure", labels, *given))
    assert again["rows"]["faz"] == told["rows"]["faz"]
    text = error_of(run("measure", labels, "--axial-length", 27))
    assert "expected a device or a reference length" in text
    assert "from 18 to 36 mm" in error_of(run("measure", labels, "--axial-length", 2))


def test_measure_takes_masks_with_classes_and_spacing(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray((drawn()[0] == 3).astype(np.uint8) * 255).save(path)
    told = told_by(run("measure", path, "--json"))
    assert told["units"]["vld"] == "pixel^-1"
    assert any("all are measured as vessels" in note for note in told["notes"])
    options = ["--class", "1=vein", "--spacing", f"{PITCH},{PITCH}", "--json"]
    told = told_by(run("measure", path, *options, "--fovea", "10,20"))
    assert told["units"]["vld"] == "mm^-1"
    assert {row["class"] for row in told["rows"]["region"]} == {"vein"}
    assert told["settings"]["scans"]["mask"]["centre"] == [10, 20]
    assert "regions are centred on the fovea that was given" in told["notes"]


def test_measure_takes_surfaces(run: Run, tmp_path: Path) -> None:
    phantom = make_phantom(PhantomConfig(depth=12, size=48))
    objects = phantom.volume.labels["objects"]
    path = write_labels(
        tmp_path / "eye.nii.gz",
        objects.data,
        phantom.volume.geometry,
        names=objects.names,
        classes=objects.classes,
    )
    np.save(tmp_path / "surfaces.npy", phantom.surfaces)
    options = ["--surfaces", tmp_path / "surfaces.npy", "--regions", "whole"]
    told = told_by(run("measure", path, *options, "--json"))
    plexuses = {row["plexus"] for row in told["rows"]["region"]}
    assert plexuses == {"all slices", "SVC", "DVC", "avascular"}
    assert len(told["rows"]["object"]) == len(objects.classes)
    assert {row["class"] for row in told["rows"]["volume"]} >= {"artery", "FAZ"}
    np.save(tmp_path / "surfaces.npy", phantom.surfaces[:5])
    assert "expected 6 surfaces" in error_of(run("measure", path, *options))


def test_measure_takes_folders_and_names_what_is_bad(
    run: Run, graders: list[Path], tmp_path: Path
) -> None:
    (graders[0] / "bad.npy").write_bytes(b"no array")
    np.save(graders[0] / "float.npy", np.ones((1, 9, 9), np.float32))
    out = [tmp_path / "new" / f"all{suffix}" for suffix in (".csv", ".json")]
    files = [part for path in out for part in ("--out", path)]
    result = run("measure", *graders, "--regions", "whole", "--json", *files)
    told = told_by(result)
    names = [row["subject"] for row in told["rows"]["faz"]]
    assert names == [f"{g}/{s}.npy" for g in ("ann", "bob") for s in ("s1", "s2", "s3")]
    left_out = [note for note in told["notes"] if "was left out" in note]
    assert [note.split()[0] for note in left_out] == ["bad.npy", "float.npy"]
    assert "expected labels as integers, found float32" in left_out[1]
    assert "scans 8/8" in result.stderr
    with out[0].open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    assert {r["subject"] for r in records} == set(names)
    assert json.loads(out[1].read_text("utf-8"))["rows"] == told["rows"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--regions", "macula"], "found macula"),
        (["--fovea", "500,1"], "inside the scan"),
        (["--labels", "AV"], "labels called 'AV', found none"),
        (["--surfaces", "no.npy"], "expected 6 surfaces"),
    ],
)
def test_measure_fails_in_one_line(
    run: Run, labels: Path, options: list[str], message: str
) -> None:
    assert message in error_of(run("measure", labels, *options))


def test_measure_needs_labels(run: Run, tmp_path: Path) -> None:
    assert "found nothing there" in error_of(run("measure", tmp_path / "no.npy"))
    assert "found none" in error_of(run("measure", tmp_path))
    empty = write_labels(tmp_path / "empty.npy", drawn() * 0, SCAN)
    text = error_of(run("measure", empty))
    assert "expected at least one scan that can be measured, found none" in text
    assert "found no voxel of either" in text


@pytest.mark.parametrize("command", ["measure", "agree"])
@pytest.mark.parametrize(
    "options",
    [
        ["--spacing", "0.1"],
        ["--spacing", "0.1,x"],
        ["--spacing", "0.1,0"],
        ["--spacing", "nan,0.1"],
        ["--class", "vein"],
        ["--class", "1=nerve"],
        ["--class", "x=vein"],
    ],
)
def test_wrong_options_exit_with_2(
    run: Run, labels: Path, command: str, options: list[str]
) -> None:
    assert run(command, labels, labels, *options).exit_code == 2


@pytest.mark.parametrize(
    "options", [["--fovea", "1"], ["--fovea", "1,2,3"], ["--laterality", "left"]]
)
def test_wrong_options_of_measure_exit_with_2(
    run: Run, labels: Path, options: list[str]
) -> None:
    assert run("measure", labels, *options).exit_code == 2
    assert run("measure").exit_code == 2


@pytest.mark.parametrize("command", ["measure", "agree"])
@pytest.mark.parametrize("name", ["table.docx", "table", "file/table.csv", "d.csv"])
def test_a_target_is_refused_before_the_work(
    run: Run, tmp_path: Path, command: str, name: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "d.csv").mkdir()
    missing = tmp_path / "missing.npy"
    text = error_of(run(command, missing, missing, "--out", tmp_path / name))
    assert name in text
    assert "missing" not in text


def test_a_spacing_and_classes_are_read() -> None:
    assert parse_spacing(None) is None
    assert parse_spacing("0.01, 0.02") == (0.01, 0.02)
    assert parse_spacing("0.003,0.01,0.02") == (0.003, 0.01, 0.02)
    assert parse_classes(None) == {}
    assert parse_classes(["1=vein", "12=FAZ"]) == {1: "vein", 12: "FAZ"}
    with pytest.raises(typer.BadParameter, match="found '1=nerve'"):
        parse_classes(["2=vein", "1=nerve"])


def test_what_is_measured_before_ctrl_c_is_shown(
    run: Run, graders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    from napari_octa_sam2.metrics import subjects

    read = subjects.read_subject

    def interrupted(path: Path, **options: Any) -> subjects.Subject:
        if path.stem == "s2":
            signal.raise_signal(signal.SIGINT)
        return read(path, **options)

    monkeypatch.setattr(subjects, "read_subject", interrupted)
    result = run("measure", graders[0], "--regions", "whole", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert [row["subject"] for row in told["rows"]["faz"]] == ["s1"]
    assert "cancelled: 1 of 3 scans were not measured" in told["notes"]
    assert result.stderr.splitlines()[-1].startswith("error: interrupted")


def test_agree_compares_folders(run: Run, graders: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "agreement.html"
    result = run("agree", *graders, "--json", "--out", out)
    told = told_by(result)
    assert told["settings"]["graders"] == ["ann", "bob"]
    artery = row_of(told, "graders", subject="all subjects", **{"class": "artery"})
    assert artery["dice"] == pytest.approx(2 * 12 / (12 + 15))
    labels = {"biomarker": "vad", "region": "whole", "class": "artery"}
    row = row_of(told, "biomarker", **labels)
    assert row["bias"] == pytest.approx(-0.01)
    assert row["subjects"] == 3
    assert "Agreement of graders" in out.read_text("utf-8")
    assert "scans 6/6" in result.stderr


def test_agree_compares_files_without_biomarkers(run: Run, graders: list[Path]) -> None:
    files = [folder / "s1.npy" for folder in graders]
    told = told_by(run("agree", *files, "--no-biomarkers", "--json"))
    assert list(told["rows"]) == ["graders"]
    assert told["settings"]["graders"] == ["ann/s1.npy", "bob/s1.npy"]
    text = run("agree", *files, "--no-biomarkers").stdout
    assert "kappa" in text.lower()
    classes = ["--class", "1=vein", "--class", "2=vein", "--class", "3=vein"]
    told = told_by(run("agree", *files, "--no-biomarkers", "--json", *classes))
    assert {row["class"] for row in told["rows"]["graders"]} == {"all", "vein"}


def test_agree_takes_one_kind_of_labels(run: Run, tmp_path: Path) -> None:
    paths = []
    for name, width in (("ann", 4), ("bob", 8)):
        labels = {
            cls: LabelSet((drawn(width) == i).astype(np.uint8), classes={1: cls})
            for i, cls in CLASSES.items()
        }
        volume = OctaVolume(drawn(width), SCAN, labels=labels, name=name)
        paths.append(write_image(tmp_path / f"{name}.ome.zarr", volume))
    told = told_by(run("agree", *paths, "--labels", "artery", "--json"))
    assert row_of(told, "graders", **{"class": "artery"})["dice"] == pytest.approx(
        2 * 4 / (4 + 8)
    )
    text = error_of(run("agree", *paths))
    assert "found FAZ, artery, vein; choose with --labels NAME" in text
    text = error_of(run("agree", *paths, "--labels", "AV"))
    assert "labels called 'AV', found FAZ, artery, vein" in text


def test_agree_tells_who_misses_a_scan(run: Run, graders: list[Path]) -> None:
    (graders[1] / "s2.npy").unlink()
    told = told_by(run("agree", *graders, "--no-biomarkers", "--json"))
    assert "bob has no labels of s2: compared without" in told["notes"]
    assert {row["subject"] for row in told["rows"]["graders"]} == {
        "s1",
        "s3",
        "all subjects",
    }


def test_agree_needs_two_graders_of_one_scan(
    run: Run, graders: list[Path], tmp_path: Path
) -> None:
    assert "at least two graders" in error_of(run("agree", graders[0]))
    assert "each path once" in error_of(run("agree", graders[0], graders[0]))
    assert "found both" in error_of(run("agree", graders[0], graders[1] / "s1.npy"))
    small = write_labels(tmp_path / "small.npy", drawn()[:, :50], SCAN)
    one = graders[0] / "s1.npy"
    text = error_of(run("agree", one, small, "--no-biomarkers"))
    assert "expected labels of one shape" in text
    probabilities = tmp_path / "p.npy"
    np.save(probabilities, drawn() / 9)
    text = error_of(run("agree", one, probabilities, "--no-biomarkers"))
    assert "expected labels as integers, found float64" in text
