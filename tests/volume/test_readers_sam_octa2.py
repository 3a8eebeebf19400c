from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.readers import read_volume

SIDE = 16
FIRST = 99


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def gray(value: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), value, np.uint8)


def mask(z: int) -> np.ndarray:
    found = np.zeros((SIDE, SIDE), bool)
    found[z - FIRST + 2, 3:9] = True
    return found


@pytest.fixture
def faz(tmp_path: Path) -> Path:
    """Layers 99, 100, 101: lexical order would be wrong."""
    folder = tmp_path / "FAZ_LayerSequence/10301"
    for z in (99, 100, 101):
        white = np.repeat(mask(z)[..., None], 3, axis=2).astype(np.uint8) * 255
        save(folder / f"{z}.png", np.hstack([gray(1), gray(z), white]))
    return folder


@pytest.fixture
def rv(tmp_path: Path) -> Path:
    folder = tmp_path / "RV_LayerSequence/10001"
    for z in (99, 100, 101):
        overlay = gray(2 * z)
        overlay[mask(z), 1] = 255
        save(folder / f"{z}.png", np.hstack([gray(255), gray(2 * z), overlay, gray(z)]))
    for z, numbers in ((99, [0]), (100, [0, 8])):
        for number in numbers:
            vessel = np.zeros((SIDE, SIDE), np.uint8)
            vessel[number, : z - 90] = 255
            save(folder / str(z) / f"{number:02d}.png", vessel)
        np.save(folder / str(z) / "objects.npy", np.array(numbers, np.int32))
    (folder / "ref_mask").mkdir()
    return folder


def test_faz_sequence(faz: Path) -> None:
    volume = read_volume(faz)
    assert volume.data[:, 0, 0].tolist() == [99, 100, 101]
    assert volume.first_slice == FIRST
    assert volume.geometry.spacing == pytest.approx((2 / 640, 3 / SIDE, 3 / SIDE))
    expected = np.stack([mask(z) for z in (99, 100, 101)])
    np.testing.assert_array_equal(volume.labels["FAZ"].data, expected)
    assert volume.labels["FAZ"].classes == {1: "FAZ"}


def test_rv_sequence(rv: Path) -> None:
    volume = read_volume(rv)
    assert volume.data[:, 5, 5].tolist() == [99, 100, 101]
    assert volume.geometry.spacing == pytest.approx((2 / 640, 6 / SIDE, 6 / SIDE))
    expected = np.stack([mask(z) for z in (99, 100, 101)])
    np.testing.assert_array_equal(volume.labels["RV"].data, expected)
    objects = volume.labels["objects"]
    assert objects.names == {1: "vessel 00", 9: "vessel 08"}
    assert objects.classes == {1: "RV", 9: "RV"}
    truth = np.zeros((3, SIDE, SIDE), int)
    truth[0, 0, :9] = 1
    truth[1, 0, :10] = 1
    truth[1, 8, :10] = 9
    np.testing.assert_array_equal(objects.data, truth)
    assert objects.data.dtype == np.uint8


def test_one_layer_of_a_sequence(rv: Path) -> None:
    volume = read_volume(rv / "100.png")
    assert volume.shape == (1, SIDE, SIDE)
    assert volume.first_slice == 100
    assert volume.name == "10001 100"
    assert np.unique(volume.labels["objects"].data).tolist() == [0, 1, 9]


def test_subject_outside_octa_500_has_no_spacing(faz: Path) -> None:
    volume = read_volume(faz.rename(faz.with_name("42")))
    assert volume.geometry.unit == "pixel"


def test_projection_sample(tmp_path: Path) -> None:
    path = tmp_path / "ProjectionSamples/10301.png"
    vessel, faz = np.zeros((2, SIDE, SIDE), np.uint8)
    vessel[3], faz[5] = 255, 255
    maps = [gray(value)[..., 0] for value in (10, 20, 30)]
    save(path, np.hstack([*maps, vessel, faz]))
    volume = read_volume(path)
    assert volume.data[:, 0, 0].tolist() == [10, 20, 30]
    assert volume.slice_names == ("FULL", "ILM_OPL", "OPL_BM")
    for name, truth in (("RV", vessel), ("FAZ", faz)):
        np.testing.assert_array_equal(volume.labels[name].data, [truth > 0] * 3)


@pytest.mark.parametrize("colour", [False, True])
def test_sparse_annotation(tmp_path: Path, colour: bool) -> None:
    path = tmp_path / "RV_Annotation/10456_277.png"
    region = gray(0)
    region[2:5] = 255
    strip = np.hstack([gray(50), region])
    save(path, strip if colour else strip[..., 0])
    volume = read_volume(path)
    assert volume.first_slice == 277
    assert volume.data.tolist() == gray(50)[None, ..., 0].tolist()
    label = volume.labels["vessel region"].data[0]
    np.testing.assert_array_equal(label, region[..., 0] > 0)


def test_missing_layer_is_named(faz: Path) -> None:
    (faz / "100.png").unlink()
    with pytest.raises(ReadError, match="expected layers 99 to 101, missing 100;"):
        read_volume(faz)


def test_folder_without_layers(tmp_path: Path) -> None:
    (tmp_path / "FAZ_LayerSequence/10301").mkdir(parents=True)
    with pytest.raises(ReadError, match="found none"):
        read_volume(tmp_path / "FAZ_LayerSequence/10301")


def two_panels(folder: Path) -> None:
    save(folder / "100.png", np.hstack([gray(1), gray(2)]))


def smaller(folder: Path) -> None:
    save(folder / "100.png", np.zeros((8, 32, 3), np.uint8))


def lost_object(folder: Path) -> None:
    (folder / "100/08.png").unlink()


def small_object(folder: Path) -> None:
    save(folder / "100/08.png", np.zeros((4, 4), np.uint8))


def truncated(folder: Path) -> None:
    content = (folder / "100.png").read_bytes()
    (folder / "100.png").write_bytes(content[:60])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (two_panels, "100.png: expected 4 square panels .* found 16 x 32 pixels"),
        (smaller, "100.png: expected panels of 16 x 16 .* found 8 x 8"),
        (lost_object, r"expected the objects \[0, 8\] .* found masks of \[0\]"),
        (small_object, "08.png: expected a mask of 16 x 16 pixels"),
        (truncated, "100.png: expected a complete image"),
    ],
)
def test_damaged_sequence_is_named(
    rv: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(rv)
    with pytest.raises(ReadError, match=message):
        read_volume(rv)
