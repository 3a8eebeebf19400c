"""Real samples: what was read must agree with facts checked by other means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.transform import resize

from napari_octa_sam2.errors import ReadError
from napari_octa_sam2.volume.readers import read_projections, read_volume
from napari_octa_sam2.volume.readers.faz3d import FLIPS, read_faz, read_faz3d
from napari_octa_sam2.volume.readers.images import read_mask, read_stack
from napari_octa_sam2.volume.readers.orientation import check_orientation, oriented

SAMPLES = "sam-octa2/datasets/OCTA500"
RELEASE = "sam-octa-extend/datasets/OCTA-500"


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_rv_sequence(realdata: Path) -> None:
    volume = read_volume(realdata / SAMPLES / "RV_LayerSequence/10301")
    assert volume.shape == (10, 512, 512)
    assert volume.first_slice == 237
    assert volume.geometry.spacing == pytest.approx((2 / 640, 3 / 512, 3 / 512))
    objects = volume.labels["objects"].data
    assert np.unique(objects[0]).tolist() == [0, 1, 9]
    assert np.unique(objects[-1]).tolist() == [0, 1, 2, 3, 5, 7, 9, 10]
    assert (objects[-1] == 7).sum() == 100
    assert not (objects.astype(bool) & (volume.labels["RV"].data == 0)).any()


def test_faz_sequence_is_the_flipped_faz3d(realdata: Path) -> None:
    volume = read_volume(realdata / SAMPLES / "FAZ_LayerSequence/10301")
    assert volume.shape == (11, 512, 512)
    faz = read_faz3d(realdata / RELEASE / "OCTA_3M/GT_FAZ3D/10301.mat")
    assert np.flatnonzero(faz.any(axis=(1, 2)))[[0, -1]].tolist() == [273, 313]
    faz = oriented(faz, FLIPS[3])
    nearest = (np.arange(304) * 512 // 304) + 1
    for index, expected in ((0, 0.98), (4, 0.97), (8, 0.95), (10, 0.92)):
        layer = volume.labels["FAZ"].data[index][np.ix_(nearest, nearest)] > 0
        found = dice(layer, faz[volume.first_slice + index])
        assert found == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("subject", "field", "expected"),
    [
        ("10301", 3, 0.943),
        ("10302", 3, 0.689),
        ("10303", 3, 0.972),
        ("10001", 6, 0.901),
        ("10003", 6, 0.835),
    ],
)
def test_faz3d_matches_the_en_face_faz(
    realdata: Path, subject: str, field: int, expected: float
) -> None:
    folder = realdata / RELEASE / f"OCTA_{field}M"
    faz = read_faz3d(folder / f"GT_FAZ3D/{subject}.mat").any(axis=0)
    truth = read_mask(folder / f"GT_FAZ/{subject}.bmp", faz.shape)
    found = dice(oriented(faz, FLIPS[field]), truth)
    assert found == pytest.approx(expected, abs=0.001)
    assert found > max(dice(faz, truth), dice(oriented(faz, FLIPS[9 - field]), truth))


@pytest.mark.parametrize(("subject", "field"), [("10301", 3), ("10001", 6)])
def test_faz_of_a_subject_is_found_and_fits(
    realdata: Path, subject: str, field: int
) -> None:
    start = realdata / RELEASE / f"OCTA_{field}M/OCTA" / subject
    side = {3: 304, 6: 400}[field]
    found = read_faz(start, subject, field, (640, side, side))
    assert found is not None
    label, record = found
    scores = record["dice_with_en_face_truth"]
    assert record["flip"] == max(scores, key=scores.get) == FLIPS[field]
    assert "warning" not in record
    assert label.data.max() == 1


@pytest.mark.parametrize(("subject", "field"), [(10301, 3), (10001, 6)])
def test_projections(realdata: Path, subject: int, field: int) -> None:
    volume = read_projections(realdata / RELEASE / f"OCTA_{field}M", subject)
    side = {3: 304, 6: 400}[field]
    assert volume.shape == (3, side, side)
    assert volume.geometry.spacing == pytest.approx(
        (2 / 640, field / side, field / side)
    )
    assert set(volume.labels) == {"RV", "artery", "vein", "FAZ", "all vessels"}
    every = volume.labels["all vessels"].data[0] > 0
    vessels = volume.labels["RV"].data[0] > 0
    assert (every & vessels).sum() / vessels.sum() > 0.99
    assert every.sum() > 3 * vessels.sum()


def test_map_of_the_other_layout_is_the_same(realdata: Path) -> None:
    one = read_volume(realdata / SAMPLES / "3M/ProjectionMaps/ILM_OPL/10301.bmp")
    other = "OCTA_3M/ProjectionMaps/OCTA(ILM_OPL)/10301.bmp"
    two = read_volume(realdata / RELEASE / other)
    np.testing.assert_array_equal(one.data, two.data)
    assert one.geometry == two.geometry


def test_raw_layers_lie_as_the_projection(realdata: Path) -> None:
    layers = read_volume(realdata / SAMPLES / "RV_SampleLayer/10301")
    assert layers.first_slice == 259
    maps = realdata / RELEASE / "OCTA_3M/ProjectionMaps"
    for slab in ("FULL", "ILM_OPL"):
        reference = read_stack([maps / f"OCTA({slab})/10301.bmp"])[0]
        check = check_orientation(layers.data, reference)
        assert check is not None
        scores = sorted(check.correlations.values())
        assert check.best == "identity"
        assert scores[-1] > 0.55
        assert scores[-2] < 0.25
        turned = check_orientation(layers.data[:, ::-1], reference)
        assert turned is not None
        assert turned.applied == "rows reversed"


def test_projection_sample_is_the_upsampled_maps(realdata: Path) -> None:
    sample = read_volume(realdata / SAMPLES / "ProjectionSamples/10301.png")
    maps = read_projections(realdata / RELEASE / "OCTA_3M", 10301)
    for index in range(3):
        large = resize(maps.data[index].astype(float), (1024, 1024), order=1)
        assert np.corrcoef(large.ravel(), sample.data[index].ravel())[0, 1] > 0.999
    nearest = np.arange(304) * 1024 // 304 + 1
    for name in ("RV", "FAZ"):
        small = sample.labels[name].data[0][np.ix_(nearest, nearest)] > 0
        truth = maps.labels[name].data[0] > 0
        assert (small & truth).sum() / truth.sum() > 0.98
        assert dice(small, truth) > {"RV": 0.8, "FAZ": 0.97}[name]


@pytest.mark.parametrize("name", ["10456_277", "10457_263", "10460_265"])
def test_sparse_annotation(realdata: Path, name: str) -> None:
    volume = read_volume(realdata / SAMPLES / f"RV_Annotation/{name}.png")
    assert volume.shape == (1, 304, 304)
    assert volume.first_slice == int(name[-3:])
    assert 0 < volume.labels["vessel region"].data.mean() < 0.7


@pytest.mark.parametrize(
    ("pattern", "shape"),
    [
        ("octa500-rv/3M/val/image/*.png", (1, 304, 304)),
        ("octa500-rv/6M/val/image/*.png", (1, 400, 400)),
        ("rossa/val/image/*.png", (1, 320, 320)),
    ],
)
def test_plain_images(realdata: Path, pattern: str, shape: tuple[int, ...]) -> None:
    volume = read_volume(next(iter(sorted(realdata.glob(pattern)))))
    assert volume.shape == shape
    assert volume.geometry.unit == "pixel"


def test_coloured_objects_are_no_scan(realdata: Path) -> None:
    with pytest.raises(ReadError, match="found colours"):
        read_volume(realdata / SAMPLES / "Colored_RV/10301.png")
