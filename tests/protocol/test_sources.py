from __future__ import annotations

import shutil

import numpy as np
import pytest

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.protocol.sources import find_maps, find_pairs, find_sequences


def names(found):
    return {
        split: [source.name for source in sources] for split, sources in found.items()
    }


def test_subjects_of_all_fields_are_found(samples):
    found = find_maps("FAZ", samples)
    assert names(found) == {"": ["10001", "10301", "10302"]}


def test_subjects_without_the_label_are_left_out(samples, tmp_path):
    copy = shutil.copytree(samples, tmp_path / "copy")
    (copy / "sam-octa-extend/datasets/OCTA-500/OCTA_3M/GT_FAZ/10302.bmp").unlink()
    assert names(find_maps("FAZ", copy)) == {"": ["10001", "10301"]}
    assert names(find_maps("vein", copy)) == {"": ["10001", "10301", "10302"]}


def test_splits_are_found_apart_and_training_is_left_out(samples):
    assert names(find_pairs("octa500-rv/3M", samples)) == {
        "test": ["4"],
        "val": ["2", "3"],
    }
    assert names(find_pairs("rossa", samples)) == {"val": ["8", "9"]}
    assert find_pairs("octa500-rv/9M", samples) == {}


def test_an_image_without_a_mask_is_left_out(samples, tmp_path):
    copy = shutil.copytree(samples / "rossa", tmp_path / "rossa")
    (copy / "val/label/8.png").unlink()
    assert names(find_pairs("rossa", tmp_path)) == {"val": ["9"]}


def test_sequences_are_found(samples, tmp_path):
    assert names(find_sequences("FAZ_LayerSequence", "FAZ", samples)) == {"": ["10301"]}
    assert names(find_sequences("RV_LayerSequence", "objects", samples)) == {
        "": ["10301"]
    }
    copy = shutil.copytree(samples, tmp_path / "copy")
    for layer in (copy / "sam-octa2/datasets/OCTA500/RV_LayerSequence/10301").glob(
        "*/"
    ):
        shutil.rmtree(layer)
    assert find_sequences("RV_LayerSequence", "objects", copy) == {}


def test_a_source_reads_image_and_truth(samples, phantom):
    image, masks = phantom
    for found, key in (
        (find_maps("FAZ", samples)[""][0], "FAZ"),
        (find_maps("all vessels", samples)[""][0], "capillary"),
        (find_pairs("rossa", samples)["val"][0], "RV"),
    ):
        data, truth = found.read()
        np.testing.assert_array_equal(data[0], image)
        np.testing.assert_array_equal(truth.data[0] > 0, masks[key])
    data, truth = find_sequences("RV_LayerSequence", "objects", samples)[""][0].read()
    assert data.shape == truth.data.shape == (3, *image.shape)
    assert truth.names == {1: "vessel 00", 5: "vessel 04"}


def test_a_mask_of_another_size_is_refused(samples, tmp_path):
    from PIL import Image

    shutil.copytree(samples / "rossa", tmp_path / "rossa")
    Image.new("L", (5, 5)).save(tmp_path / "rossa/val/label/8.png")
    source = find_pairs("rossa", tmp_path)["val"][0]
    with pytest.raises(ReadError, match="expected a mask of 96 x 96"):
        source.read()
