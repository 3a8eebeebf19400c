from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.readers import read_volume
from napari_octa_sam2.volume.readers.orientation import (
    ORIENTATIONS,
    OrientationCheck,
    oriented,
)

N, DEPTH = 12, 40
SUBJECT = "10301"


@pytest.fixture
def flow() -> np.ndarray:
    """Flow in en-face orientation, axes (depth, slow, fast)."""
    return np.random.default_rng(0).integers(0, 255, (DEPTH, N, N), np.uint8)


def save_b_scans(folder: Path, volume: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for number in range(1, N + 1):
        Image.fromarray(volume[:, N - number]).save(folder / f"{number}.bmp")
    return folder


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def save_faz(path: Path, faz: np.ndarray, flip: str) -> None:
    """Save a FAZ as the release does: (slow, fast, depth), mirrored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["FAZlabel"] = oriented(faz, flip).transpose(1, 2, 0).astype(np.uint8)


@pytest.mark.parametrize(
    "layout",
    ["OCTA_3mm/OCTA", "OCTA_3M/OCTA", "OCTA_3M_OCTA", "OCTA_3mm_part2/OCTA", "OCTA"],
)
def test_en_face_row_r_is_file_n_minus_r(
    tmp_path: Path, flow: np.ndarray, layout: str
) -> None:
    folder = save_b_scans(tmp_path / layout / SUBJECT, flow)
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.data, flow)
    assert volume.data.flags.c_contiguous
    assert volume.name == SUBJECT
    assert volume.geometry.unit == "mm"
    assert volume.geometry.spacing == pytest.approx((2 / 640, 3 / 304, 3 / 304))


@pytest.mark.parametrize(
    ("layout", "subject", "pitch"),
    [
        ("OCTA_6mm/OCTA", "10001", 6 / 400),
        ("OCTA_6M_OCTA", "10001", 6 / 400),
        ("OCTA", "10300", 6 / 400),
        ("OCTA", "10500", 3 / 304),
        ("OCTA_3mm/OCTA", "10001", 3 / 304),
    ],
)
def test_field_of_view_from_folder_then_id(
    tmp_path: Path, flow: np.ndarray, layout: str, subject: str, pitch: float
) -> None:
    volume = read_volume(save_b_scans(tmp_path / layout / subject, flow))
    assert volume.geometry.spacing[1:] == pytest.approx((pitch, pitch))


def test_unknown_field_of_view_is_said(tmp_path: Path, flow: np.ndarray) -> None:
    volume = read_volume(save_b_scans(tmp_path / "OCTA" / "7", flow))
    assert volume.geometry.unit == "pixel"


def test_full_size_b_scans_tell_by_their_size(tmp_path: Path) -> None:
    folder = tmp_path / "scan of a patient"
    for number in range(1, 305):
        save(folder / f"{number}.bmp", np.full((640, 304), number % 250, np.uint8))
    volume = read_volume(folder)
    assert volume.shape == (640, 304, 304)
    assert volume.data[0, :, 0].tolist() == [(304 - r) % 250 for r in range(304)]
    assert volume.geometry.spacing == pytest.approx((2 / 640, 3 / 304, 3 / 304))


@pytest.mark.parametrize("opened", ["OCTA_6M_OCTA", "OCTA_6M_OCT"])
def test_structure_is_a_channel_of_the_subject(
    tmp_path: Path, flow: np.ndarray, opened: str
) -> None:
    save_b_scans(tmp_path / "OCTA_6M_OCTA" / "10001", flow)
    save_b_scans(tmp_path / "OCTA_6M_OCT" / "10001", 255 - flow)
    volume = read_volume(tmp_path / opened / "10001")
    np.testing.assert_array_equal(volume.data, flow)
    np.testing.assert_array_equal(volume.channels["OCT"], 255 - flow)
    assert volume.provenance["signal"] == "OCTA"


def test_structure_alone_is_the_data(tmp_path: Path, flow: np.ndarray) -> None:
    volume = read_volume(save_b_scans(tmp_path / "OCTA_3mm/OCT" / SUBJECT, flow))
    np.testing.assert_array_equal(volume.data, flow)
    assert volume.provenance["signal"] == "OCT"
    assert not volume.channels


def test_structure_of_another_size_is_refused(tmp_path: Path, flow: np.ndarray) -> None:
    folder = save_b_scans(tmp_path / "OCTA" / SUBJECT, flow)
    save_b_scans(tmp_path / "OCT" / SUBJECT, flow[:-1])
    with pytest.raises(ReadError, match=r"expected structure of shape \(40, 12, 12\)"):
        read_volume(folder)


@pytest.mark.parametrize("maps", ["Projection Maps", "ProjectionMaps"])
def test_orientation_check_finds_identity(
    tmp_path: Path, flow: np.ndarray, maps: str
) -> None:
    folder = save_b_scans(tmp_path / "OCTA_3mm/OCTA" / SUBJECT, flow)
    reference = tmp_path / "OCTA_3mm" / maps / "OCTA(FULL)" / f"{SUBJECT}.bmp"
    save(reference, flow.max(axis=0))
    check = read_volume(folder).provenance["orientation"]
    assert check["best"] == check["applied"] == "identity"
    assert check["correlations"]["identity"] == pytest.approx(1)
    assert len(check["correlations"]) == 8
    assert check["reference"] == str(reference)
    assert "warning" not in check


@pytest.mark.parametrize("name", [n for n in ORIENTATIONS if n != "identity"])
def test_volume_is_turned_when_another_orientation_wins(
    tmp_path: Path, flow: np.ndarray, name: str
) -> None:
    folder = save_b_scans(tmp_path / "OCTA_3mm/OCTA" / SUBJECT, flow)
    save_b_scans(tmp_path / "OCTA_3mm/OCT" / SUBJECT, 255 - flow)
    expected = oriented(flow, name)
    maps = tmp_path / "OCTA_3mm/Projection Maps"
    save(maps / "OCTA(ILM_OPL)" / f"{SUBJECT}.bmp", expected.max(axis=0))
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.data, expected)
    np.testing.assert_array_equal(volume.channels["OCT"], 255 - expected)
    assert volume.provenance["orientation"]["applied"] == name
    assert "was turned to match" in volume.provenance["orientation"]["warning"]


@pytest.mark.parametrize(
    ("identity", "other", "applied", "warning"),
    [
        (0.6, 0.2, "identity", ""),
        (0.05, 0.29, "identity", "not decisively: kept as stored"),
        (0.4, 0.55, "identity", "not decisively: kept as stored"),
        (0.05, 0.31, "transposed", "the volume was turned to match"),
    ],
)
def test_only_decisive_evidence_turns_the_volume(
    identity: float, other: float, applied: str, warning: str
) -> None:
    check = OrientationCheck({"identity": identity, "transposed": other})
    assert check.applied == applied
    assert check.warning.endswith(warning) or f"{warning}, " in check.warning
    assert bool(check.warning) == bool(warning)


@pytest.mark.parametrize("side", [N, N + 1])
def test_useless_map_leaves_the_volume_unchecked(
    tmp_path: Path, flow: np.ndarray, side: int
) -> None:
    folder = save_b_scans(tmp_path / "OCTA_3mm/OCTA" / SUBJECT, flow)
    maps = tmp_path / "OCTA_3mm/Projection Maps"
    save(maps / "OCTA(FULL)" / f"{SUBJECT}.bmp", np.full((side, side), 9, np.uint8))
    volume = read_volume(folder)
    assert volume.provenance["orientation"]["checked"] is False
    np.testing.assert_array_equal(volume.data, flow)


@pytest.mark.parametrize("place", ["Label", "OCTA_3mm/GroundTruth", "OCTA_3mm", "."])
@pytest.mark.parametrize(
    ("field", "flip"), [("3mm", "columns reversed"), ("6mm", "rows reversed")]
)
def test_faz_is_flipped_to_the_en_face_maps(
    tmp_path: Path, flow: np.ndarray, place: str, field: str, flip: str
) -> None:
    folder = save_b_scans(tmp_path / f"OCTA_{field}/OCTA" / SUBJECT, flow)
    labels = tmp_path / place.replace("3mm", field)
    faz = np.zeros(flow.shape, bool)
    faz[5:9, 1:5, 3:9] = True
    faz[5:7, 5:8, 3:5] = True
    save_faz(labels / "GT_FAZ3D" / f"{SUBJECT}.mat", faz, flip)
    save(labels / "GT_FAZ" / f"{SUBJECT}.bmp", faz.any(0).astype(np.uint8) * 255)
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.labels["FAZ"].data, faz)
    assert volume.labels["FAZ"].classes == {1: "FAZ"}
    record = volume.provenance["faz"]
    assert record["flip"] == flip
    assert record["dice_with_en_face_truth"][flip] == 1
    assert "warning" not in record


def test_faz_that_fits_another_flip_warns(tmp_path: Path, flow: np.ndarray) -> None:
    folder = save_b_scans(tmp_path / "OCTA_3mm/OCTA" / SUBJECT, flow)
    faz = np.zeros(flow.shape, bool)
    faz[5:9, 1:4, 1:4] = True
    save_faz(tmp_path / "Label/GT_FAZ3D" / f"{SUBJECT}.mat", faz, "rows reversed")
    truth = faz.any(axis=0).astype(np.uint8) * 255
    save(tmp_path / "Label/GT_FAZ" / f"{SUBJECT}.bmp", truth)
    warning = read_volume(folder).provenance["faz"]["warning"]
    assert "better rows reversed (Dice 1.00)" in warning


def test_surfaces_are_named_not_loaded(tmp_path: Path, flow: np.ndarray) -> None:
    folder = save_b_scans(tmp_path / "OCTA_3mm/OCTA" / SUBJECT, flow)
    surfaces = tmp_path / "Label/GT_Layers" / f"{SUBJECT}.mat"
    surfaces.parent.mkdir(parents=True)
    surfaces.touch()
    assert read_volume(folder).provenance["surfaces"] == str(surfaces)


def as_rgb(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., None], 3, axis=2)


def test_rgb_b_scans_with_equal_channels(tmp_path: Path, flow: np.ndarray) -> None:
    folder = save_b_scans(tmp_path / "OCTA" / SUBJECT, flow)
    for number in range(1, N + 1):
        save(folder / f"{number}.bmp", as_rgb(flow[:, N - number]))
    np.testing.assert_array_equal(read_volume(folder).data, flow)


def remove_one(folder: Path) -> None:
    (folder / "7.bmp").unlink()


def remove_the_last(folder: Path) -> None:
    (folder / "12.bmp").unlink()


def add_one(folder: Path) -> None:
    (folder / "13.bmp").write_bytes((folder / "12.bmp").read_bytes())


def repeat_one(folder: Path) -> None:
    (folder / "07.bmp").write_bytes((folder / "7.bmp").read_bytes())


def crop_one(folder: Path) -> None:
    save(folder / "7.bmp", np.zeros((DEPTH - 1, N), np.uint8))


def truncate_one(folder: Path) -> None:
    content = (folder / "7.bmp").read_bytes()
    (folder / "7.bmp").write_bytes(content[: len(content) // 2])


def empty_one(folder: Path) -> None:
    (folder / "7.bmp").write_bytes(b"")


def colour_one(folder: Path) -> None:
    coloured = np.zeros((DEPTH, N, 3), np.uint8)
    coloured[0, 0, 1] = 1
    save(folder / "7.bmp", coloured)


def deepen_one(folder: Path) -> None:
    (folder / "7.bmp").unlink()
    Image.fromarray(np.zeros((DEPTH, N), np.uint16)).save(folder / "7.png")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_one, r"expected B-scans 1 to 12, missing 7;"),
        (remove_the_last, r"expected B-scans 1 to 12, missing 12;"),
        (add_one, r"expected B-scans 1 to 12, found 13 as well"),
        (repeat_one, r"found number 7 twice \(07.bmp and 7.bmp\)"),
        (crop_one, r"7.bmp: expected 40 x 12 pixels of uint8 like 12.bmp, found 39"),
        (truncate_one, r"7.bmp: expected a complete image"),
        (empty_one, r"7.bmp: expected a complete image"),
        (colour_one, r"7.bmp: expected a gray image, found colours"),
        (deepen_one, r"7.png: expected .* uint8 like 12.bmp, found .* uint16"),
    ],
)
def test_damaged_folder_is_named(
    tmp_path: Path, flow: np.ndarray, damage: Callable[[Path], None], message: str
) -> None:
    folder = save_b_scans(tmp_path / "OCTA_3mm/OCTA" / SUBJECT, flow)
    damage(folder)
    with pytest.raises(ReadError, match=message):
        read_volume(folder)


def no_matlab_file(path: Path) -> None:
    path.write_bytes(b"MATLAB 5.0")


def other_key(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["Layer"] = np.zeros((N, N, DEPTH))


def flat(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["FAZlabel"] = np.zeros((N, N))


def other_shape(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["FAZlabel"] = np.zeros((N, N, 5))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (no_matlab_file, "expected a MATLAB 7.3 file .* cannot be read"),
        (other_key, r"'FAZlabel', found \['Layer'\]"),
        (flat, r"found float64 of shape \(12, 12\)"),
        (other_shape, r"expected a FAZ of shape \(40, 12, 12\).*found \(5, 12, 12\)"),
    ],
)
def test_unusable_faz_is_named(
    tmp_path: Path, flow: np.ndarray, write: Callable[[Path], None], message: str
) -> None:
    folder = save_b_scans(tmp_path / "OCTA_3mm/OCTA" / SUBJECT, flow)
    path = tmp_path / "Label/GT_FAZ3D" / f"{SUBJECT}.mat"
    path.parent.mkdir(parents=True)
    write(path)
    with pytest.raises(ReadError, match=message):
        read_volume(folder)
