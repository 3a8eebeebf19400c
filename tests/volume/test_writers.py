from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
import zarr

from napari_octa_sam2.errors import ReadError, WriteError
from napari_octa_sam2.volume import LabelSet, OctaVolume, ScanGeometry, writers
from napari_octa_sam2.volume.encoders import ENCODERS
from napari_octa_sam2.volume.readers import read_labels, read_volume
from napari_octa_sam2.volume.writers import check_target, write_image, write_labels

SUFFIXES = [".ome.zarr", ".nii.gz", ".nii", ".tif", ".tiff", ".npy"]
OCTA_500 = ScanGeometry((2 / 640, 3 / 304, 6 / 400), "mm")
NAMES = {1: "artery 1", 255: "Gefäß 2"}
CLASSES = {1: "artery", 255: "vein"}


def some_labels(dtype: Any = np.uint8) -> np.ndarray:
    labels = np.zeros((4, 5, 6), dtype)
    labels[1, 2, 3], labels[3, 0, :] = 1, 255
    return labels


@pytest.fixture(params=SUFFIXES)
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return tmp_path / f"result{request.param}"


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels_round_trip(path: Path, dtype: Any) -> None:
    labels = some_labels(dtype)
    if dtype == np.uint16:
        labels[0, 0, 0] = 65535
    written = write_labels(path, labels, OCTA_500, names=NAMES, classes=CLASSES)
    assert written == path
    found, geometry = read_labels(path)
    np.testing.assert_array_equal(found.data, labels)
    assert found.data.dtype == dtype
    assert found.names == NAMES
    assert found.classes == CLASSES
    assert geometry == OCTA_500


@pytest.mark.parametrize("shape", [(1, 5, 6), (2, 1, 3), (3, 4, 3), (17, 3, 4)])
def test_labels_of_any_shape_round_trip(path: Path, shape: tuple[int, ...]) -> None:
    labels = np.random.default_rng(0).integers(0, 9, shape, np.uint8)
    found, _ = read_labels(write_labels(path, labels, OCTA_500))
    np.testing.assert_array_equal(found.data, labels)
    assert found.names == {}


@pytest.mark.parametrize("spacing", [(1, 1, 1), (3, 2, 1)])
def test_unknown_spacing_stays_unknown(
    path: Path, spacing: tuple[float, float, float]
) -> None:
    write_labels(path, some_labels(), ScanGeometry(spacing, "pixel"))
    assert read_labels(path)[1].unit == "pixel"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 1], bool), np.uint8),
        (np.array([0, 255], np.int64), np.uint8),
        (np.array([0, 256], np.int32), np.uint16),
        (np.array([0, 1], ">u2"), np.uint16),
    ],
)
def test_other_integers_take_the_smaller_type(
    path: Path, values: np.ndarray, expected: Any
) -> None:
    labels = values.reshape(1, 1, 2)
    found, _ = read_labels(write_labels(path, labels, OCTA_500))
    np.testing.assert_array_equal(found.data, labels)
    assert found.data.dtype == expected


def test_written_labels_can_be_opened_as_a_volume(path: Path) -> None:
    write_labels(path, some_labels(), OCTA_500)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.data, some_labels())
    assert volume.geometry == OCTA_500
    assert volume.name == "result"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_image_round_trip(path: Path, dtype: Any) -> None:
    data = np.arange(3 * 5 * 6).reshape(3, 5, 6).astype(dtype)
    volume = OctaVolume(
        data, OCTA_500, slice_names=("FULL", "ILM_OPL", "OPL_BM"), first_slice=237
    )
    found = read_volume(write_image(path, volume))
    np.testing.assert_array_equal(found.data, data)
    assert found.data.dtype == dtype
    assert found.geometry == OCTA_500
    assert found.slice_names == volume.slice_names
    assert found.first_slice == 237


@pytest.mark.parametrize("dtype", [bool, np.float16, np.float64])
def test_image_of_another_type_keeps_its_values(path: Path, dtype: Any) -> None:
    data = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype)
    found = read_volume(write_image(path, OctaVolume(data)))
    np.testing.assert_array_equal(found.data, data)


def test_ome_zarr_image_takes_its_labels_along(tmp_path: Path) -> None:
    labels = {"all vessels": LabelSet(some_labels(), NAMES, CLASSES)}
    volume = OctaVolume(np.ones((4, 5, 6), np.uint8), OCTA_500, labels=labels)
    found = read_volume(write_image(tmp_path / "a.ome.zarr", volume))
    np.testing.assert_array_equal(found.labels["all vessels"].data, some_labels())
    assert found.labels["all vessels"].names == NAMES
    assert found.labels["all vessels"].classes == CLASSES


def test_ome_zarr_is_valid(tmp_path: Path) -> None:
    models = pytest.importorskip("ome_zarr_models.v05")
    labels = {"RV": LabelSet(some_labels(), NAMES, CLASSES)}
    volume = OctaVolume(np.ones((4, 5, 6), np.uint8), OCTA_500, labels=labels)
    path = write_image(tmp_path / "image.ome.zarr", volume)
    image = models.Image.from_zarr(zarr.open_group(path, mode="r"))
    axes = image.attributes.ome.multiscales[0].axes
    assert [(a.name, a.unit) for a in axes] == [(a, "millimeter") for a in "zyx"]
    group = zarr.open_group(path / "labels" / "RV", mode="r")
    label = models.ImageLabel.from_zarr(group).attributes.ome.image_label
    assert {p.label_value for p in label.properties} == {1, 255}


def test_nifti_is_x_y_z_in_millimetres(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.nii.gz", some_labels(), OCTA_500)
    image = nib.load(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(image.dataobj, some_labels().transpose(2, 1, 0))
    assert image.header.get_zooms() == pytest.approx(OCTA_500.spacing[::-1])
    assert image.header.get_xyzt_units()[0] == "mm"


def test_tiff_carries_the_spacing_for_imagej(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", some_labels(), OCTA_500)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        metadata = file.imagej_metadata
        assert metadata is not None
        assert metadata["unit"] == "mm"
        assert metadata["spacing"] == pytest.approx(2 / 640)
        numerator, denominator = file.pages.first.tags["XResolution"].value
        assert numerator / denominator == pytest.approx(400 / 6)


def test_header_changed_by_another_program_counts(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "a.nii", some_labels(), OCTA_500)
    image = nib.load(path)
    image = nib.Nifti1Image(np.asarray(image.dataobj), None, image.header)
    image.header.set_zooms((0.1, 0.2, 0.3))
    nib.save(image, tmp_path / "b.nii")
    assert read_labels(tmp_path / "b.nii")[1].spacing == pytest.approx((0.3, 0.2, 0.1))


def test_metadata_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    write_labels(path, some_labels(), OCTA_500, metadata={"model": "octa-nano"})
    record: Any = zarr.open_group(path, mode="r").attrs["napari-octa-sam2"]
    assert record["metadata"] == {"model": "octa-nano"}


def test_result_is_replaced(path: Path) -> None:
    write_labels(path, some_labels(), OCTA_500, names=NAMES)
    before = files(path.parent)
    write_labels(path, some_labels() * 0, OCTA_500)
    found, _ = read_labels(path)
    assert not found.data.any()
    assert found.names == {}
    assert files(path.parent) == before


def test_missing_folders_are_made(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "a/b/c.npy", some_labels(), OCTA_500)
    assert path.exists()


@pytest.mark.parametrize("name", ["labels.xyz", "labels", ".npy", "labels.zarr"])
def test_unknown_suffix_lists_the_formats(tmp_path: Path, name: str) -> None:
    with pytest.raises(WriteError) as raised:
        write_labels(tmp_path / name, some_labels(), OCTA_500)
    assert all(suffix in str(raised.value) for suffix in SUFFIXES)
    with pytest.raises(WriteError, match=re.escape(str(raised.value))):
        check_target(tmp_path / name)
    assert files(tmp_path) == []


def test_target_may_be_free_or_an_earlier_result(path: Path) -> None:
    check_target(path)
    write_labels(path, some_labels(), OCTA_500)
    check_target(path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 2, 2)), "expected labels as integers, found float64"),
        (np.full((2, 2, 2), -1), "expected object ids from 0 to 65535, found -1"),
        (np.full((2, 2, 2), 65536), "found 65536 to 65536"),
        (np.zeros((2, 2), np.uint8), "a single image is a volume of one slice"),
        (np.zeros((0, 2, 2), np.uint8), "the array is empty"),
    ],
)
def test_arrays_that_are_no_labels(
    path: Path, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(WriteError, match=message):
        write_labels(path, labels, OCTA_500)
    assert files(path.parent) == []


def test_metadata_that_json_cannot_hold(path: Path) -> None:
    with pytest.raises(WriteError, match="not JSON serializable"):
        write_labels(path, some_labels(), OCTA_500, metadata={"a": object()})
    assert files(path.parent) == []


def test_tiff_names_the_types_it_holds(tmp_path: Path) -> None:
    volume = OctaVolume(np.zeros((2, 2, 2), np.int32))
    with pytest.raises(WriteError, match="uint8, uint16 and float32, found int32"):
        write_image(tmp_path / "a.tif", volume)
    assert files(tmp_path) == []


@pytest.mark.parametrize("step", ["_move", "json", "encoder"])
def test_failure_keeps_the_earlier_result(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    write_labels(path, some_labels(), OCTA_500, names=NAMES)
    before = files(path.parent)

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    metadata: dict[str, Any] = {}
    if step == "json":
        metadata = {"a": object()}
    elif step == "_move":
        monkeypatch.setattr(writers, "_move", fail)
    else:
        suffix = path.name.removeprefix("result")
        encode = ENCODERS[suffix]

        def half(*args: Any) -> None:
            encode(*args)
            fail()

        monkeypatch.setitem(ENCODERS, suffix, half)
    with pytest.raises(WriteError, match="what was there before is kept"):
        write_labels(path, some_labels() * 0, OCTA_500, metadata=metadata)
    found, _ = read_labels(path)
    np.testing.assert_array_equal(found.data, some_labels())
    assert found.names == NAMES
    assert files(path.parent) == before


def test_failed_exchange_of_folders_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_labels(tmp_path / "a.ome.zarr", some_labels(), OCTA_500)
    rename = Path.rename

    def refuse_parts(self: Path, target: Path) -> Path:
        if self.parent.suffix == ".part":
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_parts)
    with pytest.raises(WriteError, match="Permission denied"):
        write_labels(path, some_labels() * 0, OCTA_500)
    np.testing.assert_array_equal(read_labels(path)[0].data, some_labels())
    assert files(tmp_path) == ["a.ome.zarr"]


def test_foreign_folder_is_never_replaced(path: Path) -> None:
    path.mkdir()
    (path / "precious.txt").write_text("years of work")
    zarr.create_group(path / "group")
    with pytest.raises(WriteError, match="found a folder with other content"):
        write_labels(path, some_labels(), OCTA_500)
    with pytest.raises(WriteError, match="found a folder with other content"):
        check_target(path)
    assert files(path) == ["group", "precious.txt"]


def test_foreign_zarr_group_is_never_replaced(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "a.ome.zarr").attrs["ome"] = {"version": "0.5"}
    with pytest.raises(WriteError, match="found a folder with other content"):
        write_labels(tmp_path / "a.ome.zarr", some_labels(), OCTA_500)


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="could not be written"):
        write_labels(tmp_path / "file" / "a.npy", some_labels(), OCTA_500)


def test_foreign_labels_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", some_labels(np.int64))
    found, geometry = read_labels(tmp_path / "a.npy")
    np.testing.assert_array_equal(found.data, some_labels())
    assert found.data.dtype == np.uint8
    assert geometry == ScanGeometry()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_image_is_not_taken_for_labels(path: Path, dtype: Any) -> None:
    write_image(path, OctaVolume(np.ones((2, 3, 4), dtype), OCTA_500))
    message = "expected labels, .* found an image, .*; give the labels of this image"
    with pytest.raises(ReadError, match=message):
        read_labels(path)


def test_labels_inside_an_ome_zarr_image_are_read(tmp_path: Path) -> None:
    labels = {"RV": LabelSet(some_labels(), NAMES, CLASSES)}
    volume = OctaVolume(np.ones((4, 5, 6), np.uint8), OCTA_500, labels=labels)
    path = write_image(tmp_path / "a.ome.zarr", volume)
    found, geometry = read_labels(path / "labels" / "RV")
    np.testing.assert_array_equal(found.data, some_labels())
    assert (found.names, found.classes) == (NAMES, CLASSES)
    assert geometry == OCTA_500


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.npy", "found nothing there"),
        ("a.txt", "expected labels in one of .ome.zarr"),
        ("flow.npy", "expected labels as integers, found float32"),
        ("deep.npy", "expected a 3-D array"),
    ],
)
def test_files_that_are_no_labels(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "a.txt").write_text("")
    np.save(tmp_path / "flow.npy", np.zeros((2, 2, 2), np.float32))
    np.save(tmp_path / "deep.npy", np.zeros((2, 2, 2, 2), np.uint8))
    with pytest.raises(ReadError, match=message):
        read_labels(tmp_path / name)
