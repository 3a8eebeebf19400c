from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.readers import read_volume


@pytest.fixture
def array() -> np.ndarray:
    return np.arange(5 * 6 * 7, dtype=np.uint16).reshape(5, 6, 7)


def fill(
    group: zarr.Group,
    data: np.ndarray,
    axes: str = "zyx",
    scale: tuple[float, ...] = (0.3, 0.2, 0.1),
    unit: str | None = "millimeter",
    **more: Any,
) -> None:
    """Write an image of two levels; 0.5 for zarr v3, 0.4 for v2."""
    v3 = group.metadata.zarr_format == 3
    steps = tuple(slice(None, None, 2) for _ in axes)
    for path, level in (("hi", data), ("lo", data[steps])):
        names = {"dimension_names": list(axes)} if v3 else {}
        group.create_array(path, data=np.ascontiguousarray(level), **names)
    kinds = {"t": "time", "c": "channel"}
    image = {
        "axes": [
            {"name": a, "type": kinds.get(a, "space")}
            | ({"unit": unit} if unit and a in "zyx" else {})
            for a in axes
        ],
        "datasets": [
            {
                "path": path,
                "coordinateTransformations": [
                    {"type": "scale", "scale": [s * factor for s in scale]}
                ],
            }
            for path, factor in (("hi", 1), ("lo", 2))
        ],
    }
    version = "0.5" if v3 else "0.4"
    image |= {} if v3 else {"version": version}
    metadata = {"multiscales": [image], **more}
    if v3:
        group.attrs["ome"] = {"version": version, **metadata}
    else:
        group.attrs.update(metadata)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_highest_resolution_is_read(
    tmp_path: Path, array: np.ndarray, zarr_format: Any
) -> None:
    fill(zarr.create_group(tmp_path / "a.zarr", zarr_format=zarr_format), array)
    volume = read_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(volume.data, array)
    assert volume.data.dtype == np.uint16
    assert volume.geometry.unit == "mm"
    assert volume.geometry.spacing == pytest.approx((0.3, 0.2, 0.1))
    assert volume.name == "a"


@pytest.mark.parametrize(
    ("unit", "expected", "factor"),
    [("micrometer", "mm", 1e-3), (None, "pixel", 1), ("parsec", "pixel", 1)],
)
def test_units(
    tmp_path: Path, array: np.ndarray, unit: str, expected: str, factor: float
) -> None:
    fill(zarr.create_group(tmp_path / "a.zarr"), array, unit=unit)
    geometry = read_volume(tmp_path / "a.zarr").geometry
    assert geometry.unit == expected
    spacing = (0.3 * factor, 0.2 * factor, 0.1 * factor)
    assert geometry.spacing == pytest.approx(spacing)


def test_scale_of_the_image_multiplies(tmp_path: Path, array: np.ndarray) -> None:
    group = zarr.create_group(tmp_path / "a.zarr")
    fill(group, array)
    ome: Any = group.attrs["ome"]
    ome["multiscales"][0]["coordinateTransformations"] = [
        {"type": "scale", "scale": [1, 1, 10]}
    ]
    group.attrs["ome"] = ome
    spacing = read_volume(tmp_path / "a.zarr").geometry.spacing
    assert spacing == pytest.approx((0.3, 0.2, 1))


@pytest.mark.parametrize("axes", ["tczyx", "czyx", "xyz"])
def test_other_axes_of_length_one(tmp_path: Path, array: np.ndarray, axes: str) -> None:
    sizes = dict(zip("zyx", (0.3, 0.2, 0.1), strict=True))
    order = ["zyx".index(a) for a in axes if a in "zyx"]
    shape = [dict(zip("zyx", array.shape, strict=True)).get(a, 1) for a in axes]
    data = array.transpose(order).reshape(shape)
    scale = tuple(sizes.get(a, 1.0) for a in axes)
    fill(zarr.create_group(tmp_path / "a.zarr"), data, axes, scale)
    volume = read_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(volume.data, array)
    assert volume.geometry.spacing == pytest.approx((0.3, 0.2, 0.1))


def test_image_without_depth_is_one_slice(tmp_path: Path, array: np.ndarray) -> None:
    fill(zarr.create_group(tmp_path / "a.zarr"), array[0], "yx", (0.2, 0.1))
    volume = read_volume(tmp_path / "a.zarr")
    assert volume.shape == (1, 6, 7)
    assert volume.geometry.spacing[1:] == pytest.approx((0.2, 0.1))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_labels_come_along(tmp_path: Path, array: np.ndarray, zarr_format: Any) -> None:
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=zarr_format)
    fill(group, array)
    labels = group.create_group("labels")
    listed = {"labels": ["vessels", "coarse"]}
    labels.attrs.update(
        listed if zarr_format == 2 else {"ome": {"version": "0.5", **listed}}
    )
    properties = [
        {"label-value": 1, "name": "vein 1", "class": "vein"},
        {"label-value": 2, "class": "nerve"},
        {"name": "no value"},
    ]
    more = {"image-label": {"properties": properties}}
    ids = (array % 3).astype(np.int32)
    fill(labels.create_group("vessels"), ids, **more)
    fill(labels.create_group("coarse"), ids[::2])
    volume = read_volume(tmp_path / "a.zarr")
    assert set(volume.labels) == {"vessels"}
    assert volume.provenance["labels_left_out"] == ["coarse"]
    label = volume.labels["vessels"]
    np.testing.assert_array_equal(label.data, ids)
    assert label.data.dtype == np.uint8
    assert label.names == {1: "vein 1"}
    assert label.classes == {1: "vein", 2: "other"}


def no_image(path: Path) -> None:
    zarr.create_group(path)


def plate(path: Path) -> None:
    zarr.create_group(path).attrs["ome"] = {"version": "0.5", "plate": {}}


def two_channels(path: Path) -> None:
    data = np.zeros((2, 4, 4, 4), np.uint8)
    fill(zarr.create_group(path), data, "czyx", (1, 1, 1, 1))


def lost_array(path: Path) -> None:
    group = zarr.create_group(path)
    fill(group, np.zeros((4, 4, 4), np.uint8))
    del group["hi"]


def wrong_axes(path: Path) -> None:
    fill(zarr.create_group(path), np.zeros((4, 4), np.uint8), "zx", (1, 1))


def axes_missing(path: Path) -> None:
    group = zarr.create_group(path)
    group.attrs["ome"] = {"multiscales": [{"datasets": [{"path": "0"}]}]}


def broken_json(path: Path) -> None:
    path.mkdir()
    (path / "zarr.json").write_text('{"zarr_format": 3,')


def other_json(path: Path) -> None:
    path.mkdir()
    (path / "zarr.json").write_text(json.dumps({"zarr_format": 3}))


def damaged_chunk(path: Path) -> None:
    group = zarr.create_group(path)
    fill(group, np.arange(4096, dtype=np.uint16).reshape(16, 16, 16))
    chunk = next(p for p in (path / "hi" / "c").rglob("*") if p.is_file())
    chunk.write_bytes(b"damaged")


def float_labels(path: Path) -> None:
    group = zarr.create_group(path)
    fill(group, np.zeros((4, 4, 4), np.uint8))
    labels = group.create_group("labels")
    labels.attrs["ome"] = {"labels": ["a"]}
    fill(labels.create_group("a"), np.full((4, 4, 4), 0.5))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (no_image, "found a group with no metadata"),
        (plate, r"found a group with \['plate', 'version'\]"),
        (two_channels, "expected one channel .* found 2 along axis 'c'"),
        (lost_array, "data or metadata that cannot be used"),
        (wrong_axes, "without y or x"),
        (axes_missing, "data or metadata that cannot be used"),
        (broken_json, "metadata that cannot be read"),
        (other_json, "a.zarr: expected"),
        (damaged_chunk, "data or metadata that cannot be used"),
        (float_labels, "expected labels as integers, found float64"),
    ],
)
def test_group_that_is_no_volume(
    tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    write(tmp_path / "a.zarr")
    with pytest.raises(ReadError, match=message):
        read_volume(tmp_path / "a.zarr")
