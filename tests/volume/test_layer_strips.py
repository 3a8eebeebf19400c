from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_octa_sam2.errors import VolumeError, WriteError
from napari_octa_sam2.volume.layer_strips import (
    write_annotation,
    write_layer_strip,
    write_objects,
)
from napari_octa_sam2.volume.readers import read_volume
from napari_octa_sam2.volume.readers.images import read_pixels

SAMPLES = "sam-octa2/datasets/OCTA500"
SIDE = 32


@pytest.fixture
def layers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three layers of all brightnesses, their regions and vessels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, SIDE, SIDE), np.uint8)
    images[:, :2, 0], images[:, :2, 1] = 0, 255
    regions = rng.random((3, SIDE, SIDE)) < 0.5
    vessels = regions & (rng.random((3, SIDE, SIDE)) < 0.5)
    regions[:, 0, :2] = vessels[:, 0, :2] = True
    regions[:, 1, :2] = vessels[:, 1, :2] = False
    return images, regions, vessels


def test_sequence_there_and_back(
    tmp_path: Path, layers: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    folder = tmp_path / "RV_LayerSequence/10301"
    for depth, (image, region, vessels) in enumerate(zip(*layers, strict=True), 99):
        write_layer_strip(folder / f"{depth}.png", image, region, vessels)
    images, regions, vessels = layers
    volume = read_volume(folder)
    assert volume.first_slice == 99
    np.testing.assert_array_equal(volume.data, images)
    np.testing.assert_array_equal(volume.labels["RV"].data, vessels)
    strip = read_pixels(folder / "100.png")
    assert strip.shape == (SIDE, 4 * SIDE, 3)
    white = strip[:, :SIDE]
    np.testing.assert_array_equal(white, regions[1, ..., None] * np.full(3, 255))
    green = strip[:, SIDE : 2 * SIDE].astype(int)
    np.testing.assert_array_equal(green[..., 1] != green[..., 2], regions[1])
    assert not [path for path in folder.iterdir() if path.suffix != ".png"]


def test_objects_there_and_back(
    tmp_path: Path, layers: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    folder = tmp_path / "RV_LayerSequence/10301"
    image, region, vessels = (of[0] for of in layers)
    write_layer_strip(folder / "99.png", image, region, vessels)
    labels = np.where(vessels, 5, 0)
    labels[:4] = np.where(vessels[:4], 9, 0)
    write_objects(folder / "99", np.where(labels == 5, 2, labels))
    write_objects(folder / "99", labels, vessels=region)
    objects = read_volume(folder).labels["objects"]
    np.testing.assert_array_equal(objects.data[0], labels)
    assert set(objects.names) == {5, 9}
    names = sorted(path.name for path in (folder / "99").iterdir())
    assert names == ["04.png", "08.png", "objects.npy"]
    numbers = np.load(folder / "99/objects.npy")
    assert numbers.dtype == np.int32
    assert numbers.tolist() == [4, 8]
    reference = read_pixels(folder / "ref_mask/99.png")
    np.testing.assert_array_equal(reference[:, :SIDE, 0] > 0, region)
    shown = reference[:, SIDE:]
    np.testing.assert_array_equal(shown.any(axis=-1), labels > 0)
    assert len(np.unique(shown[labels > 0], axis=0)) == 2
    assert len(np.unique(shown[labels == 5], axis=0)) == 1


def test_colours_of_the_reference(tmp_path: Path) -> None:
    labels = np.array([[0, 1], [2, 3]])
    colours = np.array([[10, 20, 30], [40, 50, 60]])  # blue, green, red
    write_objects(tmp_path / "7", labels, colours=colours)
    shown = read_pixels(tmp_path / "ref_mask/7.png")[:, 2:].tolist()
    assert shown == [[[0, 0, 0], [30, 20, 10]], [[60, 50, 40], [30, 20, 10]]]


def test_a_layer_without_objects(tmp_path: Path) -> None:
    write_objects(tmp_path / "7", np.zeros((SIDE, SIDE), np.uint8))
    assert [path.name for path in (tmp_path / "7").iterdir()] == ["objects.npy"]
    assert np.load(tmp_path / "7/objects.npy").shape == (0,)


def test_annotation_there_and_back(
    tmp_path: Path, layers: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    path = tmp_path / "RV_Annotation/10456_277.png"
    image, region, _ = (of[0] for of in layers)
    write_annotation(path, image, region)
    assert read_pixels(path).shape == (SIDE, 2 * SIDE)
    volume = read_volume(path)
    assert volume.first_slice == 277
    np.testing.assert_array_equal(volume.data[0], image)
    np.testing.assert_array_equal(volume.labels["vessel region"].data[0], region)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    image, mask = np.zeros((8, 8), np.uint8), np.zeros((8, 8), bool)
    path = tmp_path / "1.png"
    with pytest.raises(VolumeError, match="expected a square layer in 8 bits"):
        write_layer_strip(path, image.astype(float), mask, mask)
    with pytest.raises(VolumeError, match=r"found uint8 of shape \(8, 4\)"):
        write_annotation(path, image[:, :4], mask[:, :4])
    with pytest.raises(VolumeError, match=r"layer's shape \(8, 8\), found \(8, 4\)"):
        write_layer_strip(path, image, mask, mask[:, :4])
    with pytest.raises(VolumeError, match="expected labels as integers"):
        write_objects(tmp_path / "1", image.astype(float))
    assert not path.exists()
    path.write_bytes(b"")
    with pytest.raises(WriteError, match="could not be written"):
        write_annotation(path / "10456_277.png", image, mask)


def test_published_layers_written_again(realdata: Path, tmp_path: Path) -> None:
    folder = realdata / SAMPLES / "RV_LayerSequence/10301"
    volume = read_volume(folder)
    colours = np.load(realdata / "sam-octa2/color_list.npy")
    for index, image in enumerate(volume.data):
        name = f"{volume.first_slice + index}.png"
        strip = read_pixels(folder / name)
        side = len(strip)
        vessels = volume.labels["RV"].data[index] > 0
        write_layer_strip(tmp_path / name, image, strip[:, :side, 0] > 0, vessels)
        # brighter pixels wrap in the overlays of the published files
        dark = np.tile(image < 128, 4)
        dark[:, :side] = dark[:, -side:] = True
        assert dark.mean() > 0.99
        np.testing.assert_array_equal(read_pixels(tmp_path / name)[dark], strip[dark])
        labels = volume.labels["objects"].data[index]
        layer = tmp_path / Path(name).stem
        write_objects(layer, labels, vessels=vessels, colours=colours)
        published = folder / layer.name
        for file in published.glob("*.png"):
            again = read_pixels(layer / file.name)
            np.testing.assert_array_equal(again, read_pixels(file))
        shown = Path("ref_mask", name)
        again, reference = (read_pixels(root / shown) for root in (tmp_path, folder))
        np.testing.assert_array_equal(again, reference)
        written = (layer / "objects.npy").read_bytes()
        assert written == (published / "objects.npy").read_bytes()


def test_published_annotations_written_again(realdata: Path, tmp_path: Path) -> None:
    files = sorted((realdata / SAMPLES / "RV_Annotation").glob("*.png"))
    gray = [file for file in files if read_pixels(file).ndim == 2]
    assert len(gray) == 4
    for file in gray:
        strip = read_pixels(file)
        image, region = np.split(strip, 2, axis=1)
        write_annotation(tmp_path / file.name, image, region > 0)
        np.testing.assert_array_equal(read_pixels(tmp_path / file.name), strip)
