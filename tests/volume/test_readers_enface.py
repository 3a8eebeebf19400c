from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.readers import read_projections, read_volume

SLABS = ("FULL", "ILM_OPL", "OPL_BM")


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def square(value: int, side: int = 20) -> np.ndarray:
    image = np.full((side, side), value, np.uint8)
    image[0, 1] = 7
    return image


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A subject of the 3 mm release, with two labels."""
    root = tmp_path / "OCTA_3mm"
    for value, slab in enumerate(SLABS):
        save(root / f"Projection Maps/OCTA({slab})/10301.bmp", square(value))
        save(root / f"Projection Maps/OCT({slab})/10301.bmp", square(100 + value))
    vessels = np.zeros((20, 20), np.uint8)
    vessels[4] = 255
    save(tmp_path / "Label/GT_Capillary/10301.bmp", vessels)
    save(tmp_path / "Label/GT_FAZ/10301.bmp", vessels[::-1])
    return root


def test_one_map_is_one_slice_with_its_labels(release: Path) -> None:
    path = release / "Projection Maps/OCTA(ILM_OPL)/10301.bmp"
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.data, square(1)[None])
    assert volume.slice_names == ("ILM_OPL",)
    assert volume.geometry.spacing == pytest.approx((2 / 640, 3 / 20, 3 / 20))
    assert "nominal" in volume.provenance["depth_spacing"]
    assert set(volume.labels) == {"all vessels", "FAZ"}
    assert np.flatnonzero(volume.labels["FAZ"].data.any(axis=(0, 2))).tolist() == [15]


def test_structure_map_is_said_to_be_structure(release: Path) -> None:
    volume = read_volume(release / "Projection Maps/OCT(FULL)/10301.bmp")
    assert volume.data[0, 5, 5] == 100
    assert volume.provenance["signal"] == "OCT"


def test_capillary_truth_is_called_all_vessels(release: Path) -> None:
    label = read_projections(release, 10301).labels["all vessels"]
    assert label.names == {1: "all vessels"}
    assert label.classes == {1: "vessel"}


def test_projections_are_three_slices(release: Path) -> None:
    volume = read_projections(release, "10301")
    np.testing.assert_array_equal(volume.data, [square(v) for v in range(3)])
    assert volume.slice_names == SLABS
    faz = volume.labels["FAZ"].data
    assert faz.shape == (3, 20, 20)
    np.testing.assert_array_equal(faz[0], faz[2])


def test_layout_without_signal_names(tmp_path: Path) -> None:
    save(tmp_path / "6M/ProjectionMaps/OPL_BM/10001.bmp", square(3))
    volume = read_volume(tmp_path / "6M/ProjectionMaps/OPL_BM/10001.bmp")
    assert volume.slice_names == ("OPL_BM",)
    assert volume.geometry.spacing[1] == pytest.approx(6 / 20)


def test_missing_map_is_named(release: Path) -> None:
    (release / "Projection Maps/OCTA(OPL_BM)/10301.bmp").unlink()
    with pytest.raises(ReadError, match="missing OPL_BM;"):
        read_projections(release, 10301)


def test_map_of_another_size_is_named(release: Path) -> None:
    save(release / "Projection Maps/OCTA(OPL_BM)/10301.bmp", square(1, 21))
    with pytest.raises(ReadError, match=r"expected 20 x 20 .* found 21 x 21"):
        read_projections(release, 10301)


def test_label_of_another_size_is_named(release: Path) -> None:
    save(release.parent / "Label/GT_FAZ/10301.bmp", square(0, 10))
    with pytest.raises(
        ReadError, match=r"GT_FAZ.10301.bmp: expected a mask of 20 x 20"
    ):
        read_volume(release / "Projection Maps/OCTA(FULL)/10301.bmp")


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.TIFF", "scan 1.PNG"])
def test_any_gray_image_is_one_slice(tmp_path: Path, name: str) -> None:
    image = np.arange(30 * 20, dtype=np.uint16).reshape(30, 20).astype(np.uint8)
    volume = read_volume(save(tmp_path / name, image))
    np.testing.assert_array_equal(volume.data, image[None])
    assert volume.geometry.unit == "pixel"
    assert volume.name == Path(name).stem


def test_jpeg(tmp_path: Path) -> None:
    volume = read_volume(save(tmp_path / "a.jpg", np.full((16, 16), 90, np.uint8)))
    np.testing.assert_allclose(volume.data, 90, atol=1)


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    image = np.arange(600, dtype=np.uint16).reshape(30, 20) * 100
    volume = read_volume(save(tmp_path / "a.png", image))
    assert volume.data.dtype == np.uint16
    np.testing.assert_array_equal(volume.data[0], image)


def test_bilevel_image_is_0_and_255(tmp_path: Path) -> None:
    bits = np.eye(20, dtype=bool)
    Image.fromarray(bits).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.png").data[0], bits * 255)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_gray_in_another_mode(tmp_path: Path, mode: str) -> None:
    gray = square(60)
    Image.fromarray(gray).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.png").data[0], gray)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGB", "png"), ("RGBA", "png"), ("P", "png"), ("RGB", "tif"), ("RGBA", "tif")],
)
def test_colours_are_refused(tmp_path: Path, mode: str, suffix: str) -> None:
    coloured = np.zeros((20, 20, 3), np.uint8)
    coloured[3, 4] = 250, 10, 10
    Image.fromarray(coloured).convert(mode).save(tmp_path / f"a.{suffix}")
    with pytest.raises(ReadError, match="found colours"):
        read_volume(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("suffix", ["png", "bmp", "jpg", "tif"])
def test_truncated_image_is_named(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    path = save(tmp_path / f"a.{suffix}", noise)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ReadError, match=rf"a.{suffix}: expected a complete"):
        read_volume(path)
