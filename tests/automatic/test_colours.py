from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_octa_sam2.automatic.colours import (
    coloured_objects,
    objects_of_layer,
    read_coloured_objects,
    read_colours,
    vessels_in_region,
)
from napari_octa_sam2.errors import ReadError, VolumeError
from napari_octa_sam2.volume.readers import read_volume
from napari_octa_sam2.volume.readers.images import read_gray, read_pixels

SAMPLES = "sam-octa2/datasets"
COLOURS = np.array([[0, 255, 255], [255, 0, 255], [0, 128, 0]])  # blue, green, red


def test_objects_have_the_number_of_their_colour() -> None:
    coloured = np.zeros((4, 5, 3), np.uint8)
    coloured[0] = 255, 255, 0
    coloured[1] = 253, 4, 252  # 9 away in all
    coloured[2] = 250, 5, 255  # 10 away
    coloured[3] = 0, 128, 0
    found = coloured_objects(coloured, COLOURS)
    assert found[:, 0].tolist() == [1, 2, 0, 3]
    assert found.dtype == np.uint8


def test_only_25_colours_count() -> None:
    colours = np.stack([np.full(3, 9 * n) for n in range(1, 28)])
    coloured = np.full((2, 2, 3), 9, np.uint8) * np.uint8(26)
    assert not coloured_objects(coloured, colours).any()
    assert (coloured_objects(coloured // 26 * 25, colours) == 25).all()


def test_objects_of_a_layer() -> None:
    objects = np.zeros((40, 60), np.uint8)
    objects[:20], objects[20:] = 1, 4
    vessels = np.zeros((40, 60), bool)
    vessels[2:4, 5:55] = True  # 100 pixels of object 1
    vessels[30, 1:53] = vessels[31, 1:48] = True  # 99 pixels
    vessels[6, 5:55] = True  # 50 of object 1 in a component of its own
    found = objects_of_layer(vessels, objects)
    assert (found == 1).sum() == 100
    assert set(np.unique(found)) == {0, 1}
    found = objects_of_layer(vessels, objects, least=50)
    assert [(found == i).sum() for i in (1, 4)] == [150, 99]
    vessels[19, 5:30] = vessels[20, 5:80] = True  # one component, two objects
    found = objects_of_layer(vessels, objects, least=50)
    assert [(found == i).sum() for i in (1, 4)] == [175, 154]


def test_an_object_may_be_cut_in_two() -> None:
    objects = np.ones((30, 60), np.uint8)
    vessels = np.zeros((30, 60), bool)
    vessels[2:5, 2:52] = vessels[20:23, 2:52] = True
    np.testing.assert_array_equal(objects_of_layer(vessels, objects), vessels)


def test_vessels_in_a_region() -> None:
    large = np.zeros((30, 30), bool)
    large[10:12] = True
    region = np.zeros((60, 60), bool)
    region[:, 10:40] = True
    region[:, 58:] = True
    found = vessels_in_region(region, large)
    # pixels 20 to 23, and half a pixel beyond on either side
    assert np.flatnonzero(found[:, 20]).tolist() == list(range(19, 25))
    assert np.flatnonzero(found[20]).tolist() == list(range(10, 40))
    with_more = vessels_in_region(region, large, least=12)
    assert np.flatnonzero(with_more[20])[-2:].tolist() == [58, 59]


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(VolumeError, match=r"found \(4, 5\) and \(5, 4\)"):
        objects_of_layer(np.ones((4, 5), bool), np.ones((5, 4), np.uint8))
    with pytest.raises(VolumeError, match=r"found \(2, 4, 5\)"):
        vessels_in_region(np.ones((4, 5), bool), np.ones((2, 4, 5), bool))
    with pytest.raises(VolumeError, match=r"found \(4, 5\)"):
        coloured_objects(np.ones((4, 5), np.uint8), COLOURS)


def test_files(tmp_path: Path) -> None:
    np.save(tmp_path / "colours.npy", COLOURS.astype(np.int32))
    colours = read_colours(tmp_path / "colours.npy")
    np.testing.assert_array_equal(colours, COLOURS)
    coloured = np.zeros((6, 6, 3), np.uint8)
    coloured[2] = 255, 0, 255
    Image.fromarray(coloured).save(tmp_path / "map.png")
    found = read_coloured_objects(tmp_path / "map.png", colours)
    assert found[:, 0].tolist() == [0, 0, 2, 0, 0, 0]
    np.save(tmp_path / "colours.npy", np.ones((4, 2)))
    with pytest.raises(ReadError, match=r"colours\.npy: expected colours"):
        read_colours(tmp_path / "colours.npy")
    Image.fromarray(coloured[..., 0]).save(tmp_path / "map.png")
    with pytest.raises(ReadError, match=r"map\.png: expected a coloured map"):
        read_coloured_objects(tmp_path / "map.png", colours)


def test_published_layers_bit_for_bit(realdata: Path) -> None:
    samples = realdata / SAMPLES / "OCTA500"
    colours = read_colours(realdata / "sam-octa2/color_list.npy")
    objects = read_coloured_objects(samples / "Colored_RV/10301.png", colours)
    folder = samples / "RV_LayerSequence/10301"
    volume = read_volume(folder)
    large = read_gray(samples / "3M/GT_LargeVessel/10301.bmp") > 0
    for index, vessels in enumerate(volume.labels["RV"].data):
        depth = volume.first_slice + index
        found = objects_of_layer(vessels, objects)
        expected = volume.labels["objects"].data[index]
        np.testing.assert_array_equal(found, expected)
        listed = np.load(folder / str(depth) / "objects.npy")
        assert (np.unique(found[found > 0]) - 1).tolist() == listed.tolist()
        region = read_pixels(folder / f"{depth}.png")[:, : vessels.shape[1], 0] > 0
        np.testing.assert_array_equal(vessels_in_region(region, large), vessels > 0)
