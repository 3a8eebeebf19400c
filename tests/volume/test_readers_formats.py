from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.readers import read_volume


@pytest.fixture
def array() -> np.ndarray:
    return np.arange(5 * 6 * 7, dtype=np.uint8).reshape(5, 6, 7)


def save_slices(folder: Path, names: list[str], array: np.ndarray) -> Path:
    folder.mkdir()
    for name, image in zip(names, array, strict=True):
        Image.fromarray(image).save(folder / name)
    return folder


# --- folders of numbered images


@pytest.mark.parametrize(
    ("names", "first"),
    [
        ([f"{n}.png" for n in (8, 9, 10, 11, 12)], 8),
        ([f"{n}.tif" for n in range(5)], 0),
        ([f"{n}.bmp" for n in range(1, 6)], 0),
        ([f"slice_{n:04d}.PNG" for n in range(259, 264)], 259),
        ([f"scan 3 z{n}.tiff" for n in range(8, 13)], 8),
    ],
)
def test_stack_is_in_numeric_order(
    tmp_path: Path, array: np.ndarray, names: list[str], first: int
) -> None:
    folder = save_slices(tmp_path / "stack", names, array)
    (folder / "notes.txt").write_text("not an image")
    (folder / "._9.png").write_text("left by another system")
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.data, array)
    assert volume.first_slice == first
    assert volume.geometry.unit == "pixel"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.png", "2.png", "3.png", "5.png", "6.png"], "slices 1 to 6, missing 4;"),
        (["1.png", "2.png", "02.png", "3.png", "4.png"], "found number 2 twice"),
        (["1.png", "2.png", "2.tif", "3.png", "4.png"], "found number 2 twice"),
        (["a1.png", "a2.png", "a3.png", "b1.png", "b2.png"], "expected one sequence"),
        (
            ["1.png", "2.png", "3.png", "4.png", "900000000.png"],
            "missing 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 and 899999985 more",
        ),
    ],
)
def test_stack_with_wrong_numbers(
    tmp_path: Path, array: np.ndarray, names: list[str], message: str
) -> None:
    with pytest.raises(ReadError, match=message):
        read_volume(save_slices(tmp_path / "stack", names, array))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((6, 8), np.uint8), "2.png: expected 6 x 7 .* found 6 x 8"),
        (np.zeros((6, 7), np.uint16), "2.png: .* found 6 x 7 pixels of uint16"),
        (np.eye(3, dtype=np.uint8)[None], "2.png: expected a gray image"),
    ],
)
def test_stack_with_an_image_unlike_the_others(
    tmp_path: Path, array: np.ndarray, image: np.ndarray, message: str
) -> None:
    folder = save_slices(tmp_path / "stack", [f"{n}.png" for n in range(5)], array)
    Image.fromarray(image).save(folder / "2.png")
    with pytest.raises(ReadError, match=message):
        read_volume(folder)


# --- NumPy


def test_npy(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array.astype(np.float32))
    volume = read_volume(tmp_path / "a.npy")
    np.testing.assert_array_equal(volume.data, array)
    assert volume.data.dtype == np.float32
    assert volume.geometry.unit == "pixel"
    assert volume.name == "a"


def test_flat_npy_is_one_slice(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array[0])
    assert read_volume(tmp_path / "a.npy").shape == (1, 6, 7)


@pytest.mark.parametrize("note", ["[1", '{"version": 1, "prompts": []}', "\xff"])
def test_foreign_note_is_passed_over(
    tmp_path: Path, array: np.ndarray, note: str
) -> None:
    np.save(tmp_path / "a.npy", array)
    (tmp_path / "a.npy.json").write_bytes(note.encode("latin-1"))
    assert read_volume(tmp_path / "a.npy").geometry.unit == "pixel"


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}, None], object), allow_pickle=True)
    with pytest.raises(ReadError, match="Python objects, which are not loaded"):
        read_volume(tmp_path / "a.npy")


def test_text_named_npy(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_text("1 2 3")
    with pytest.raises(ReadError, match=r"a.npy: expected an array saved with"):
        read_volume(tmp_path / "a.npy")


def test_truncated_npy(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:-9])
    with pytest.raises(ReadError, match="damaged or incomplete"):
        read_volume(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((2, 2, 2, 2)), "pick one channel or time point"),
        (np.zeros(4), "expected a 3-D array"),
        (np.zeros((0, 2, 2)), "the array is empty"),
        (np.zeros((2, 2, 2), complex), "expected real numbers, found complex128"),
        (np.full((2, 2, 2), np.nan), "no finite value"),
    ],
)
def test_npy_that_is_no_volume(
    tmp_path: Path, content: np.ndarray, message: str
) -> None:
    np.save(tmp_path / "a.npy", content)
    with pytest.raises(ReadError, match=rf"a.npy.*{message}"):
        read_volume(tmp_path / "a.npy")


# --- NIfTI


def save_nifti(path: Path, array: np.ndarray, unit: str = "mm") -> Path:
    """Save an array (x, y, z) with zooms 0.1, 0.2, 0.3."""
    image = nib.Nifti1Image(array, np.diag([0.1, 0.2, 0.3, 1.0]))
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
def test_nifti_axes_are_transposed(
    tmp_path: Path, array: np.ndarray, name: str
) -> None:
    path = save_nifti(tmp_path / name, array.transpose(2, 1, 0))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.data, array)
    assert volume.data.dtype == np.uint8
    assert volume.data.flags.c_contiguous
    assert volume.geometry.unit == "mm"
    assert volume.geometry.spacing == pytest.approx((0.3, 0.2, 0.1))
    assert volume.name.lower() == "a"


@pytest.mark.parametrize(
    ("unit", "expected", "factor"),
    [("micron", "mm", 1e-3), ("meter", "mm", 1e3), ("unknown", "pixel", 1)],
)
def test_nifti_units(
    tmp_path: Path, array: np.ndarray, unit: str, expected: str, factor: float
) -> None:
    geometry = read_volume(save_nifti(tmp_path / "a.nii", array.T, unit)).geometry
    assert geometry.unit == expected
    spacing = (0.3 * factor, 0.2 * factor, 0.1 * factor)
    assert geometry.spacing == pytest.approx(spacing)


def test_nifti_scaling_is_applied(tmp_path: Path, array: np.ndarray) -> None:
    image = nib.Nifti1Image(array.T.astype(np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, 3)
    nib.save(image, tmp_path / "a.nii")
    stored = nib.load(tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    assert volume.data.dtype == np.float32
    np.testing.assert_allclose(volume.data, stored.get_fdata().T)


@pytest.mark.parametrize("shape", [(7, 6), (7, 6, 1), (7, 6, 1, 1)])
def test_nifti_of_one_slice(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = save_nifti(tmp_path / "a.nii", np.ones(shape, np.uint8))
    assert read_volume(path).shape == (1, 6, 7)


def test_nifti_with_time_points(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii", np.ones((7, 6, 5, 2), np.uint8))
    with pytest.raises(ReadError, match=r"expected three axes .* found shape \(7, 6"):
        read_volume(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kept", [0, 100, 360])
def test_truncated_nifti(
    tmp_path: Path, array: np.ndarray, name: str, kept: int
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 20, 20), np.uint8)
    path = save_nifti(tmp_path / name, noise)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ReadError, match=f"{name}: expected a complete NIfTI"):
        read_volume(path)


# --- TIFF


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"metadata": None},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"imagej": True, "metadata": {"axes": "TYX"}},
        {"metadata": {"axes": "ZYX"}, "ome": True},
    ],
)
def test_tiff_pages_are_slices(
    tmp_path: Path, array: np.ndarray, options: dict[str, object]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", **options)
    volume = read_volume(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume.data, array)
    assert volume.geometry.unit == "pixel"


@pytest.mark.parametrize(
    ("unit", "factor"), [("mm", 1), ("micron", 1e-3), ("um", 1e-3), ("cm", 10)]
)
def test_imagej_spacing(
    tmp_path: Path, array: np.ndarray, unit: str, factor: float
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        array,
        imagej=True,
        resolution=(1 / 0.1, 1 / 0.2),
        metadata={"axes": "ZYX", "spacing": 0.3, "unit": unit},
    )
    geometry = read_volume(tmp_path / "a.tif").geometry
    assert geometry.unit == "mm"
    spacing = (0.3 * factor, 0.2 * factor, 0.1 * factor)
    assert geometry.spacing == pytest.approx(spacing)


@pytest.mark.parametrize("unit", ["mm", "µm"])
def test_ome_spacing(tmp_path: Path, array: np.ndarray, unit: str) -> None:
    sizes = {"PhysicalSizeX": 0.1, "PhysicalSizeY": 0.2, "PhysicalSizeZ": 0.3}
    units = {f"{key}Unit": unit for key in sizes}
    metadata = {"axes": "ZYX", **sizes, **units}
    tifffile.imwrite(tmp_path / "a.ome.tif", array, metadata=metadata)
    geometry = read_volume(tmp_path / "a.ome.tif").geometry
    factor = {"mm": 1, "µm": 1e-3}[unit]
    assert geometry.spacing == pytest.approx((0.3 * factor, 0.2 * factor, 0.1 * factor))


def test_incomplete_ome_spacing_is_unknown(tmp_path: Path, array: np.ndarray) -> None:
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.1}
    tifffile.imwrite(tmp_path / "a.ome.tif", array, metadata=metadata)
    assert read_volume(tmp_path / "a.ome.tif").geometry.unit == "pixel"


def channels(path: Path) -> None:
    data = np.zeros((3, 2, 6, 7), np.uint8)
    tifffile.imwrite(path, data, imagej=True, metadata={"axes": "ZCYX"})


def only_channels(path: Path) -> None:
    data = np.zeros((2, 6, 7), np.uint8)
    tifffile.imwrite(path, data, imagej=True, metadata={"axes": "CYX"})


def coloured_pages(path: Path) -> None:
    data = np.zeros((3, 6, 7, 3), np.uint8)
    data[1, 2, 3, 0] = 1
    tifffile.imwrite(path, data, photometric="rgb")


def two_sizes(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(np.zeros((6, 7), np.uint8))
        file.write(np.zeros((6, 8), np.uint8))


def truncated(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (9, 60, 70), np.uint8)
    tifffile.imwrite(path, noise)
    path.write_bytes(path.read_bytes()[:20000])


def no_tiff(path: Path) -> None:
    path.write_text("TIFF")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (channels, "expected pages of one channel .* found axes ZCYX"),
        (only_channels, "expected pages of one channel .* found axes CYX"),
        (coloured_pages, "expected gray pages, found colours"),
        (two_sizes, "pages of 2 kinds"),
        (truncated, "expected a complete TIFF"),
        (no_tiff, "expected a complete TIFF"),
    ],
)
def test_tiff_that_is_no_volume(
    tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    write(tmp_path / "a.tif")
    with pytest.raises(ReadError, match=f"a.tif: .*{message}"):
        read_volume(tmp_path / "a.tif")


def test_gray_pages_stored_as_rgb(tmp_path: Path, array: np.ndarray) -> None:
    data = np.repeat(array[..., None], 3, axis=3)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.tif").data, array)
