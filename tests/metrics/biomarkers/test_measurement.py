"""Everything that labels measure: planes, volumes, objects, the FAZ, many scans."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from napari_octa_sam2 import make_phantom
from napari_octa_sam2.errors import ReadError, VolumeError
from napari_octa_sam2.metrics.biomarkers.eye import Eye
from napari_octa_sam2.metrics.biomarkers.measurement import MeasureSettings, measure
from napari_octa_sam2.metrics.biomarkers.several import measure_several, shared_notes
from napari_octa_sam2.metrics.biomarkers.views import completed, enface_views
from napari_octa_sam2.metrics.subjects import Subject, find_subjects, read_subject
from napari_octa_sam2.volume.geometry import ScanGeometry
from napari_octa_sam2.volume.octa_volume import LabelSet
from napari_octa_sam2.volume.phantom.records import PhantomConfig

PITCH = 0.03
PLANE = ScanGeometry((1.0, PITCH, PITCH), "mm")
SIZE, MIDDLE, RADIUS = 120, 60, 9  # pixels
WHOLE = MeasureSettings(regions=("whole",))
CLASSES = {1: "FAZ", 2: "artery", 3: "vein"}


def drawn() -> np.ndarray:
    """A disc for the FAZ, an artery of 4 pixels above and a vein of 6 below."""
    data = np.zeros((1, SIZE, SIZE), np.uint8)
    y, x = np.ogrid[:SIZE, :SIZE]
    data[0][(y - MIDDLE) ** 2 + (x - MIDDLE) ** 2 <= RADIUS**2] = 1
    data[0, 20:24] = 2
    data[0, 90:96] = 3
    return data


def subject(data=None, classes=CLASSES, geometry=PLANE, **options) -> Subject:
    labels = LabelSet(drawn() if data is None else data, {2: "upper"}, classes)
    return Subject("eye", {"labels": labels}, geometry, **options)


def tubes() -> np.ndarray:
    """A volume with a vessel along x in slice 2 and one along y in slice 8."""
    data = np.zeros((12, 40, 40), np.uint8)
    data[1:4, 9:12] = 1
    data[7:10, :, 29:32] = 2
    return data


@pytest.fixture(scope="module")
def plane():
    return measure(subject(), eye=Eye("OD"))


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(PhantomConfig(depth=16, size=64))


@pytest.fixture(scope="module")
def measured(phantom):
    volume = phantom.volume
    surfaces = dict(
        zip(("ILM", "IPL", "OPL", "ISOS", "RPE", "BM"), phantom.surfaces, strict=True)
    )
    eye = Subject("eye", volume.labels, volume.geometry, surfaces=surfaces)
    return measure(eye, settings=WHOLE)


def test_a_disc_has_the_area_of_a_disc(plane):
    faz = plane.only("faz", plexus="en face")
    assert faz["faz_area"] == pytest.approx(math.pi * (RADIUS * PITCH) ** 2, rel=0.02)
    assert faz["faz_circularity"] == pytest.approx(1, abs=0.04)
    assert faz.figures["faz_area"].unit == "mm^2"


def test_vessels_are_measured_as_classes_and_all_together(plane):
    rows = {r.labels["class"]: r for r in plane.at("region", region="whole")}
    assert set(rows) == {"artery", "vein", "vessel"}
    assert rows["artery"]["vad"] == pytest.approx(4 / SIZE)
    assert rows["vein"]["vdi"] == pytest.approx(6 * PITCH * 1000, rel=0.03)
    assert rows["vessel"]["vad"] == pytest.approx(10 / SIZE)
    assert rows["vessel"]["vld"] == pytest.approx(2 / (SIZE * PITCH), rel=0.03)
    ratio = plane.only("artery to vein", plexus="en face")["avr"]
    assert ratio == pytest.approx(4 / 6, rel=0.02)
    assert plane.at("volume") == plane.at("object") == ()


def test_axial_length_scales_areas_by_the_square_and_says_so(plane):
    long_eye = Eye("OD", axial_length=27.0, device="Zeiss Cirrus 6000")
    results = measure(subject(), eye=long_eye, settings=WHOLE)
    factor = (27.0 - 1.82) / (24.46 - 1.82)
    ratio = results.only("faz")["faz_area"] / plane.only("faz")["faz_area"]
    assert ratio == pytest.approx(factor**2)
    for key, power in (("vld", -1), ("vdi", 1), ("vad", 0)):
        found, before = (
            r.only("region", region="whole", **{"class": "vein"})[key]
            for r in (results, plane)
        )
        assert found / before == pytest.approx(factor**power)
    assert any(f"multiplied by {factor:.4f}" in note for note in results.notes)
    assert results.settings["magnification"]["factor"] == pytest.approx(factor)
    assert results.settings["spacing"][1:] == pytest.approx([PITCH * factor] * 2)
    assert results.settings["spacing_nominal"] == list(PLANE.spacing)
    assert any("uncorrected" in note for note in plane.notes)


def test_without_a_spacing_figures_are_of_pixels_and_regions_say_why():
    results = measure(subject(geometry=ScanGeometry()), eye=Eye("OD"))
    whole = results.only("region", region="whole", **{"class": "vein"})
    assert whole.figures["vld"].unit == "pixel^-1"
    assert whole["vdi"] == pytest.approx(6, rel=0.03)
    assert whole.figures["vdi"].unit == "pixel"
    ring = results.only("region", region="parafovea", **{"class": "vein"})
    assert {f.why_not for f in ring.figures.values()} == {
        "expected a spacing in mm, found pixels"
    }
    faz = results.only("faz").figures
    assert faz["faz_area"].unit == "pixel^2"
    assert "labels of all vessels" in faz["fd300"].why_not  # veins are but some


def test_without_laterality_only_nasal_and_temporal_are_not_available():
    results = measure(subject(), settings=MeasureSettings(regions=("etdrs",)))
    rows = results.at("region", **{"class": "vessel"})
    within = {r.labels["region"]: r for r in rows}
    assert {name for name in within if "laterality" in why_not(within[name])} == {
        "N1",
        "T1",
        "N2",
        "T2",
    }
    assert within["S1"].figures["vad"].available
    assert results.settings["laterality"] == "unknown"


def why_not(row) -> str:
    return row.figures["vad"].why_not


def test_a_region_beside_the_scan_says_how_much_lies_in_it(plane):
    row = plane.only("region", region="S2", **{"class": "artery"})
    assert 0 < row["coverage"] < 0.9
    assert f"found {row['coverage']:.1%}" in why_not(row)
    assert not any(f.available for k, f in row.figures.items() if k != "coverage")
    corner = Eye("OD", fovea=(0, 0))
    results = measure(subject(), eye=corner)
    gone = results.only("region", region="S2", **{"class": "artery"})
    assert not gone.figures["coverage"].available
    assert "found 0.0%" in gone.figures["coverage"].why_not


def test_coverage_of_a_region_whose_place_is_unknown_is_no_number():
    results = measure(subject(), settings=MeasureSettings(regions=("N1",)))
    for row in results.at("region"):
        assert not row.figures["coverage"].available
        assert "laterality" in row.figures["coverage"].why_not


def test_it_is_told_where_the_fovea_was_taken_from():
    given = measure(subject(), eye=Eye(fovea=(50, 40)), settings=WHOLE)
    assert given.settings["centre"] == [50, 40]
    assert "regions are centred on the fovea that was given" in given.notes
    by_faz = measure(subject(), settings=WHOLE)
    assert by_faz.settings["centre"] == [MIDDLE, MIDDLE]
    assert "regions are centred on the centroid of the FAZ" in by_faz.notes
    data = np.where(drawn() == 1, 0, drawn())
    nowhere = measure(subject(data), settings=WHOLE)
    assert nowhere.settings["centre"] == [(SIZE - 1) / 2] * 2
    assert any("no fovea is known" in note for note in nowhere.notes)
    assert nowhere.at("faz") == ()


def test_a_fovea_outside_and_unknown_regions_are_refused():
    with pytest.raises(VolumeError, match="inside the scan"):
        measure(subject(), eye=Eye(fovea=(SIZE, 0)))
    with pytest.raises(VolumeError, match="found macula"):
        measure(subject(), settings=MeasureSettings(regions=("macula",)))


def test_labels_without_a_class_are_vessels_and_it_is_said():
    results = measure(subject(classes={}), settings=WHOLE)
    (row,) = results.at("region")
    assert row.labels["class"] == "vessel"
    assert "labels: no label has a class; all are measured as vessels" in results.notes
    results = measure(subject(classes={2: "artery"}), settings=WHOLE)
    assert [r.labels["class"] for r in results.at("region")] == ["artery"]
    assert "labels: labels without a class were left out" in results.notes
    assert not any("class" in note for note in measure(subject()).notes)


def test_nothing_labelled_is_refused():
    with pytest.raises(VolumeError, match=r"eye: expected labels .* found no voxel"):
        measure(subject(drawn() * 0))
    with pytest.raises(VolumeError, match="found float64"):
        measure(subject(drawn() / 3))


def test_an_artery_without_a_vein_has_no_ratio():
    data = np.zeros((2, SIZE, SIZE), np.uint8)
    data[0, 20:24], data[1, 90:96] = 2, 3
    results = measure(subject(data, slice_names=("SVC", "DVC")), settings=WHOLE)
    for plexus in ("SVC", "DVC"):
        figure = results.only("artery to vein", plexus=plexus).figures["avr"]
        assert figure.why_not == "expected arteries and veins, found none"
    empty = results.only("region", plexus="DVC", **{"class": "artery"})
    assert empty["vad"] == 0
    assert "found none" in empty.figures["vdi"].why_not
    assert results.at("volume") == ()


def test_a_volume_is_measured_in_three_dimensions_and_by_object():
    geometry = ScanGeometry((0.02, 0.02, 0.02), "mm")
    results = measure(
        subject(tubes(), {1: "artery", 2: "vein"}, geometry), settings=WHOLE
    )
    rows = {row.labels["class"]: row for row in results.at("volume")}
    assert set(rows) == {"artery", "vein", "vessel"}
    whole = 12 * 40 * 40 * 0.02**3
    assert rows["artery"]["volume"] == pytest.approx(9 * 40 * 0.02**3)
    assert rows["vessel"]["volume_fraction"] == pytest.approx(2 * 9 / (12 * 40))
    assert rows["vein"]["length_3d"] == pytest.approx(0.8, rel=0.05)
    assert rows["vein"]["length_density_3d"] == pytest.approx(0.8 / whole, rel=0.05)
    objects = {row.labels["object"]: row for row in results.at("object")}
    assert objects[1].labels["name"] == "object 1"
    assert objects[2].labels["name"] == "upper"
    for label, cls in ((1, "artery"), (2, "vein")):
        for key, figure in rows[cls].figures.items():
            assert objects[label][key] == pytest.approx(figure.value, nan_ok=True)
    plane = results.only("region", plexus="all slices", **{"class": "vessel"})
    assert plane["vad"] == pytest.approx((2 * 3 * 40 - 9) / 1600)


def test_parts_can_be_left_out():
    settings = MeasureSettings(regions=(), objects=False)
    results = measure(subject(tubes(), {1: "FAZ"}), settings=settings)
    assert results.levels() == ["faz", "volume"]


def test_a_phantom_has_the_faz_and_the_vessels_that_were_put_in(phantom, measured):
    masks, pixel = phantom.masks, np.prod(phantom.volume.geometry.spacing[1:])
    faz = measured.only("faz", plexus="all slices")
    assert faz["faz_area"] == pytest.approx(masks["FAZ"].sum() * pixel, rel=0.02)
    for cls in ("artery", "vein"):
        row = measured.only("region", plexus="all slices", **{"class": cls})
        in_depth = (phantom.volume.labels["objects"].data > 0).any(0).mean()
        assert 0 < row["vad"] < in_depth
    objects = phantom.volume.labels["objects"]
    assert len(measured.at("object")) == len(objects.classes)
    for row in measured.at("object"):
        voxels = (objects.data == row.labels["object"]).sum()
        voxel = np.prod(phantom.volume.geometry.spacing)
        assert row["volume"] == pytest.approx(voxels * voxel)
    (of_faz,) = measured.at("volume", **{"class": "FAZ"})
    assert set(of_faz.figures) == {"volume", "volume_fraction"}
    assert measured.settings["plexuses"]["SVC"] == ["ILM", "IPL"]
    json.dumps(measured.to_json(), allow_nan=False)


def test_voxels_belong_to_the_plexus_between_whose_surfaces_they_lie():
    shape = (40, 40)
    depths = {"ILM": 0, "IPL": 5, "OPL": 11, "BM": 12}
    surfaces = {name: np.full(shape, depth, float) for name, depth in depths.items()}
    surfaces["IPL"][:, :10] = 2  # the first vessel lies in the deep plexus there
    eye = subject(tubes(), {1: "artery", 2: "vein"}, surfaces=surfaces)
    views = {view.plexus: view for view in enface_views(eye, eye.masks())}
    assert list(views) == ["all slices", "SVC", "DVC", "avascular"]
    in_svc = views["SVC"].masks["artery"]
    assert in_svc.sum() == 3 * 40
    assert not views["SVC"].masks["vein"].any()
    in_dvc = views["DVC"].masks
    assert in_dvc["artery"][:, :10].any(0).all()
    assert not in_dvc["artery"][:, 10:].any()
    assert in_dvc["vein"].sum() == 3 * 40
    assert not views["avascular"].masks["vein"].any()
    np.testing.assert_array_equal(
        views["all slices"].masks["artery"], eye.masks()["artery"].any(0)
    )


def test_a_surface_that_is_unknown_somewhere_bounds_nothing_there():
    surfaces = {"ILM": np.zeros((40, 40)), "IPL": np.full((40, 40), 20.0)}
    surfaces["ILM"][:, 20:] = np.nan
    eye = subject(tubes(), {1: "artery"}, surfaces=surfaces)
    svc = enface_views(eye, eye.masks())[1]
    assert svc.masks["artery"].sum() == 3 * 20


def test_projections_are_planes_of_their_own():
    data = np.repeat(drawn(), 2, axis=0)
    eye = subject(data, slice_names=("FULL", "ILM_OPL"))
    views = enface_views(eye, eye.masks())
    assert [view.plexus for view in views] == ["FULL", "ILM_OPL"]
    assert views[0].faz is not None
    assert set(views[0].vessels) == {"artery", "vein"}
    assert enface_views(subject(), {})[0].faz is None


def test_classes_that_follow_from_others():
    vessel, large, faz = (
        np.array([[c == "1" for c in bits]]) for bits in ("1110", "1000", "0001")
    )
    found = completed({"vessel": vessel, "RV": large, "FAZ": faz})
    assert found["capillary"].tolist() == [[False, True, True, False]]
    drawn_capillary = completed({"vessel": vessel, "RV": large, "capillary": faz})
    assert drawn_capillary["capillary"] is faz
    union = completed({"artery": large, "vein": faz})["vessel"]
    assert union.tolist() == [[True, False, False, True]]
    assert "vessel" not in completed({"artery": large, "FAZ": faz})
    assert set(completed({"vessel": vessel, "FAZ": faz})) == {"vessel", "FAZ"}
    assert completed({}) == {}


def test_what_is_done_before_a_cancel_is_kept():
    asked = iter([False, True])
    told = []
    results = measure(
        subject(),
        settings=WHOLE,
        cancelled=lambda: next(asked),
        progress=lambda *step: told.append(step),
    )
    assert len(results.rows) == 1
    assert "cancelled: 1 of 5 parts were measured" in results.notes
    assert told[0][:2] == (0, 5)


def test_progress_ends_with_all_parts():
    told = []
    measure(subject(), settings=WHOLE, progress=lambda *step: told.append(step))
    assert [done for done, _, _ in told] == list(range(6))
    assert told[-1] == (5, 5, "")


def read_one(path: Path) -> Subject:
    """Return a scan that the name of a path tells."""
    if path.stem == "bad":
        raise ReadError("expected labels, found none")
    data = drawn() * 0 if path.stem == "empty" else drawn()
    return Subject(path.stem, {"labels": LabelSet(data, {}, CLASSES)}, PLANE)


def names_of(results) -> list[str]:
    return list(dict.fromkeys(str(row.labels["subject"]) for row in results.rows))


def test_many_scans_in_one_table_and_bad_ones_in_the_notes():
    told = []
    results = measure_several(
        [Path(f"{name}.npy") for name in ("a", "bad", "empty", "b")],
        read_one,
        settings=WHOLE,
        progress=lambda *step: told.append(step),
    )
    assert names_of(results) == ["a", "b"]
    assert results.label_names()[0] == "subject"
    assert list(results.settings["scans"]) == ["a", "b"]
    bad, empty = results.notes[-2:]
    assert bad == "bad.npy was left out: expected labels, found none"
    assert empty.startswith("empty.npy was left out: empty: expected labels of vessels")
    assert "regions are centred on the centroid of the FAZ" in results.notes
    assert told[0] == (0, 4, "a.npy")
    assert told[-1] == (4, 4, "")


def test_scans_of_one_name_are_told_apart():
    paths = [Path("ann/10301.npy"), Path("bob/10301.npy")]
    results = measure_several(paths, read_one, settings=WHOLE)
    assert names_of(results) == ["ann/10301.npy", "bob/10301.npy"]
    assert len(results.settings["scans"]) == 2


def test_no_scan_at_all_is_an_error_that_says_why():
    with pytest.raises(VolumeError, match=r"found none: bad\.npy was left out: exp"):
        measure_several([Path("bad.npy")], read_one)
    with pytest.raises(VolumeError, match="cancelled: 1 of 1 scans"):
        measure_several([Path("a.npy")], read_one, cancelled=lambda: True)


def test_scans_that_are_measured_before_a_cancel_are_kept():
    done = []

    def read(path: Path) -> Subject:
        done.append(path)
        return read_one(path)

    results = measure_several(
        [Path("a.npy"), Path("b.npy"), Path("c.npy")],
        read,
        settings=WHOLE,
        cancelled=lambda: len(done) == 2,
    )
    assert names_of(results) == ["a"]
    assert results.notes[-2:] == (
        "b: cancelled: 0 of 5 parts were measured",
        "cancelled: 1 of 3 scans were not measured",
    )


def test_notes_of_some_scans_name_them():
    notes = shared_notes(["a", "b", "c"], [["x", "y"], ["x"], ["x", "y"]])
    assert notes == ["x", "a, c: y"]


def test_the_real_samples_in_one_table(realdata):
    root = realdata / "sam-octa-extend" / "datasets" / "OCTA-500"
    folders = [root / f"OCTA_{field}" for field in ("3M", "6M")]
    maps = [folder / "ProjectionMaps" / "OCTA(ILM_OPL)" for folder in folders]
    if not all(folder.is_dir() for folder in maps):
        pytest.skip(f"no OCTA-500 projections below {root}")
    results = measure_several(find_subjects(maps), read_subject, settings=WHOLE)
    assert len(names_of(results)) == 6
    for row in results.at("region", **{"class": "vessel"}):
        assert 0.15 < row["vad"] < 0.6
        assert 5 < row["vld"] < 35  # mm/mm2
        assert 10 < row["vdi"] < 40  # um
        assert 1.5 < row["fractal_dimension"] < 2
    for row in results.at("region", **{"class": "RV"}):
        assert 0.03 < row["vad"] < 0.15
    assert len(results.at("region", **{"class": "capillary"})) == 6
    for row in results.at("faz"):
        assert 0.05 < row["faz_area"] < 0.7  # mm2
        assert 0.3 < row["faz_circularity"] < 1
        assert 1 <= row["faz_axis_ratio"] < 2
        assert 0.1 < row["fd300"] < 0.6
    for row in results.at("artery to vein"):
        assert 0.7 < row["avr"] < 1.4
    assert len(results.at("faz")) == len(results.at("artery to vein")) == 6
