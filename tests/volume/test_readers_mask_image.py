"""Labels kept as images, and surfaces kept as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.readers import read_labels
from napari_octa_sam2.volume.readers.surface_file import read_surfaces
from napari_octa_sam2.volume.surfaces import LAYERS

SHAPE = (8, 5, 7)  # depth, slow, fast


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def mask_of(foreground: int, background: int = 0) -> np.ndarray:
    image = np.full((6, 9), background, np.uint8)
    image[2:4, 3:8] = foreground
    return image


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".PNG"])
@pytest.mark.parametrize(("foreground", "background"), [(255, 0), (1, 0), (200, 100)])
def test_a_mask_is_one_object(tmp_path, suffix, foreground, background):
    path = save(tmp_path / f"mask{suffix}", mask_of(foreground, background))
    labels, geometry = read_labels(path)
    assert labels.data.dtype == np.uint8
    np.testing.assert_array_equal(labels.data, mask_of(1)[None])
    assert (labels.names, labels.classes) == ({}, {})
    assert not geometry.known


def test_a_mask_of_one_bit_and_one_with_alpha(tmp_path):
    one_bit = save(tmp_path / "bit.png", mask_of(1) > 0)
    opaque = np.full((6, 9), 255, np.uint8)
    gray = mask_of(255)
    alpha = save(tmp_path / "alpha.png", np.stack([gray, gray, gray, opaque], -1))
    for path in (one_bit, alpha):
        np.testing.assert_array_equal(read_labels(path)[0].data, mask_of(1)[None])


@pytest.mark.parametrize("kept", [[1, 2, 7], [5], [2, 300]])
def test_ids_are_kept(tmp_path, kept):
    image = np.zeros((6, 9), np.uint16)
    for at, value in enumerate(kept):
        image[at] = value
    path = save(tmp_path / "ids.png", image if max(kept) > 255 else image.astype("u1"))
    np.testing.assert_array_equal(read_labels(path)[0].data[0], image)


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (255, 1), (1, 1)])
def test_an_image_of_one_value(tmp_path, value, expected):
    path = save(tmp_path / "flat.png", np.full((6, 9), value, np.uint8))
    assert (read_labels(path)[0].data == expected).all()


@pytest.mark.parametrize(
    ("folder", "cls"), [("GT_FAZ", "FAZ"), ("GT_Capillary", "vessel"), ("masks", None)]
)
def test_label_folders_of_octa_500_are_known(tmp_path, folder, cls):
    path = save(tmp_path / "OCTA_6M" / folder / "10001.bmp", mask_of(255))
    labels, geometry = read_labels(path)
    assert labels.classes == ({1: cls} if cls else {})
    assert geometry.known == bool(cls)
    if cls:
        assert geometry.spacing[1:] == pytest.approx((6 / 6, 6 / 9))


def test_pictures_are_no_labels(tmp_path):
    gray = np.arange(100, dtype=np.uint8).reshape(10, 10)
    with pytest.raises(ReadError, match="found 100 values; this looks like an image"):
        read_labels(save(tmp_path / "gray.png", gray))
    colours = np.stack([gray, gray, gray // 2], -1)
    with pytest.raises(ReadError, match="found colours"):
        read_labels(save(tmp_path / "colours.png", colours))
    with pytest.raises(ReadError, match="another format"):
        read_labels(save(tmp_path / "lossy.jpg", gray))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ReadError, match="cannot be decoded"):
        read_labels(tmp_path / "broken.png")


def depths() -> np.ndarray:
    return np.arange(6)[:, None, None] + np.linspace(0, 1, 35).reshape(5, 7)


def test_surfaces_are_read_on_the_grid_of_the_volume(tmp_path):
    np.save(tmp_path / "surfaces.npy", depths())
    found = read_surfaces(tmp_path / "surfaces.npy", SHAPE)
    assert tuple(found) == LAYERS
    assert all(surface.dtype == np.float32 for surface in found.values())
    np.testing.assert_allclose(found["OPL"], depths()[2], rtol=1e-6)


def test_surfaces_of_octa_500_are_turned_as_its_volumes_are(tmp_path):
    savemat(tmp_path / "10301.mat", {"Layer": depths()})
    found = read_surfaces(tmp_path / "10301.mat", SHAPE)
    np.testing.assert_allclose(found["BM"], depths()[5, ::-1], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.npy", None),
        ("missing.mat", None),
        ("empty.npy", b""),
        ("empty.mat", b""),
        ("text.npy", b"ILM IPL"),
        ("text.mat", b"ILM IPL" * 99),
        ("strange.txt", b"1 2 3"),
    ],
)
def test_surfaces_that_cannot_be_read(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ReadError, match=r"expected 6 surfaces .* check the path"):
        read_surfaces(tmp_path / name, SHAPE)


@pytest.mark.parametrize("key", ["Layer", "Surface"])
def test_a_mat_file_that_is_damaged_or_of_something_else(tmp_path, key):
    path = tmp_path / "10301.mat"
    savemat(path, {key: depths()})
    if key == "Layer":
        path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(ReadError, match="expected 6 surfaces"):
        read_surfaces(path, SHAPE)


@pytest.mark.parametrize(
    "stored",
    [
        np.zeros((6, 7, 5)),
        np.zeros((5, 5, 7)),
        np.zeros((5, 7)),
        np.full((6, 5, 7), "1"),
    ],
)
def test_surfaces_of_another_scan_are_refused(tmp_path, stored):
    np.save(tmp_path / "surfaces.npy", stored)
    with pytest.raises(ReadError, match=r"of \(5, 7\) \(slow, fast\), found"):
        read_surfaces(tmp_path / "surfaces.npy", SHAPE)
