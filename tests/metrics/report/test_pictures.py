"""What is drawn, read from the artists; and what every ground lets a reader see."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Canvas

from napari_octa_sam2 import palette
from napari_octa_sam2.metrics.agreement.bland_altman import BlandAltman, bland_altman
from napari_octa_sam2.metrics.biomarkers.faz import faz_shape
from napari_octa_sam2.metrics.biomarkers.regions import make_regions
from napari_octa_sam2.metrics.report.pictures import (
    draw_bland_altman,
    draw_centre_line,
    draw_diameters,
    draw_dice_matrix,
    draw_enface,
    draw_faz,
    draw_regions,
    draw_slice_dice,
)
from napari_octa_sam2.metrics.results import Figure
from napari_octa_sam2.volume.geometry import ScanGeometry

SIDE = 96
GEOMETRY = ScanGeometry((0.003, 3 / SIDE, 3 / SIDE), "mm")
IMAGE = np.random.default_rng(0).random((SIDE, SIDE))


@pytest.fixture
def axes():
    """Axes of a figure, which is drawn afterwards: nothing may warn."""
    before = dict(mpl.rcParams)
    figure = Canvas(layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    yield axes
    figure.draw_without_rendering()
    assert dict(mpl.rcParams) == before


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_each_object_has_its_own_line_and_marker(axes):
    dice = {"a": [0.5, 0.6, 0.7], "b": [np.nan, 0.8, np.nan], "none": [np.nan] * 3}
    draw_slice_dice(axes, [4, 5, 6], dice)
    first, second = axes.lines
    assert first.get_xdata().tolist() == [4, 5, 6]
    assert legend(axes) == ["a", "b"]
    assert second.get_markevery() == [1]  # it stands alone: no line shows it
    for kind in ("get_color", "get_linestyle", "get_marker"):
        assert getattr(first, kind)() != getattr(second, kind)()
    assert axes.get_xlabel() == "slice (index)"
    assert axes.get_ylabel() == "Dice (0 to 1)"


def test_of_many_objects_the_worst_are_drawn(axes):
    draw_slice_dice(axes, [0, 1], {f"{k}": [k / 10] * 2 for k in range(9)})
    assert legend(axes) == [*"012345", "and 3 with a higher mean"]


def test_names_are_shown_letter_by_letter(axes):
    draw_slice_dice(axes, [0], {"_$x$": [1.0], "静": [0.5], "x" * 40: [0.2]})
    assert legend(axes) == [r" _\$x\$", "□", "x" * 15 + "…"]


def test_no_dice_at_all_is_said(axes):
    draw_slice_dice(axes, [0], {"a": [np.nan]})
    assert texts(axes) == ["no slice has a Dice"]


@pytest.mark.parametrize(
    ("unit", "x", "y", "mean"),
    [
        ("mm", "diameter (µm)", "length (mm)", " mean 25 µm"),
        ("pixel", "diameter (pixel)", "length (pixel)", " mean 0.025 pixel"),
    ],
)
def test_diameters_are_weighted_by_length(axes, unit, x, y, mean):
    diameters, lengths = np.array([0.01, 0.03, np.nan]), np.array([1.0, 3.0, 5.0])
    draw_diameters(axes, diameters, lengths, unit=unit)
    assert sum(bar.get_height() for bar in axes.patches) == pytest.approx(4)
    assert (axes.get_xlabel(), axes.get_ylabel()) == (x, y)
    assert texts(axes) == [mean]


def test_no_vessel_is_said(axes):
    draw_diameters(axes, np.empty(0), np.empty(0))
    assert texts(axes) == ["no vessel"]


def test_bias_and_limits_are_where_they_are(axes):
    a = np.array([1.0, 2.0, 3.0, 4.0])
    found = bland_altman(a, a + np.array([0.1, 0.2, 0.1, 0.2]))
    draw_bland_altman(axes, found, name="FAZ area", unit="mm^2")
    levels = [line.get_ydata()[0] for line in axes.lines if len(line.get_ydata()) == 2]
    assert levels == [0, found.upper.value, found.bias.value, found.lower.value]
    assert legend(axes)[1].startswith("bias -0.15 (")
    assert axes.get_ylabel() == "difference of FAZ area (mm²)"


def test_too_few_subjects_are_said(axes):
    draw_bland_altman(axes, BlandAltman(why_not="expected at least 3 subjects"))
    assert "expected at least 3 subjects" in texts(axes)


def test_cells_of_the_matrix_hold_their_number(axes):
    draw_dice_matrix(axes, ["A", "B"], np.array([[1, np.nan], [0.5, 1]]))
    assert texts(axes) == ["1.00", "n/a", "0.50", "1.00"]
    assert axes.get_xlabel() == "Dice (0 to 1)"


@pytest.mark.parametrize(
    ("spacing", "unit", "label", "pixels"),
    [
        ((1, 3 / SIDE, 3 / SIDE), "mm", "500 µm", 0.5 * SIDE / 3),
        ((1, 0.1, 0.1), "mm", "2 mm", 20),
        ((1, 1, 1), "pixel", "20 pixel", 20),
    ],
)
def test_the_scale_bar_is_as_long_as_it_says(axes, spacing, unit, label, pixels):
    draw_enface(axes, IMAGE, ScanGeometry(spacing, unit))
    bar = axes.lines[0].get_xdata()
    assert texts(axes) == [label]
    assert bar[1] - bar[0] == pytest.approx(pixels)


def test_pixels_have_their_proportions(axes):
    draw_enface(axes, IMAGE, ScanGeometry((1, 0.02, 0.01), "mm"))
    assert axes.get_aspect() == 2


def test_each_region_holds_its_number(axes):
    centre = ((SIDE - 1) / 2,) * 2
    shape = (SIDE, SIDE)
    regions = make_regions(["etdrs"], shape, GEOMETRY, centre=centre, laterality="OD")
    figures = {r.name: Figure(number / 10) for number, r in enumerate(regions)}
    figures["T1"] = Figure(np.nan, "", "for a test")
    draw_regions(axes, IMAGE, regions, figures, GEOMETRY, symbol="VAD")
    shown = {text.get_text(): text.get_position() for text in axes.texts}
    assert set(shown) == {"500 µm", "0", "0.1", "0.2", "0.3", "n/a"}  # 6 mm: outside
    x, y = shown["0.2"]
    assert regions[2].name == "N1"  # in a right eye on the right
    assert x > SIDE / 2
    assert abs(y - SIDE / 2) < SIDE / 6
    bar = axes.child_axes[0]
    assert bar.get_ylabel() == "VAD"


def test_the_centre_line_has_the_colour_of_its_diameter(axes):
    points = np.array([[10, 10], [10, 11], [50, 60], [0, SIDE - 1]])
    diameters = np.array([0.01, 0.01, 0.03, np.nan])
    draw_centre_line(axes, IMAGE, points, diameters, GEOMETRY)
    tint = np.asarray(axes.images[1].get_array())
    assert tint[10, 10].tolist() == tint[10, 11].tolist() != tint[50, 60].tolist()
    assert tint[50, 60, 3] == 1
    assert not tint[0, SIDE - 1].any()
    bar = axes.child_axes[0]
    assert bar.get_ylabel() == "diameter (µm)"
    assert bar.get_ylim() == pytest.approx((10, 30))


def test_the_ellipse_of_a_disc_is_its_outline(axes):
    row, column = np.ogrid[:SIDE, :SIDE]
    mask = (row - 40) ** 2 + (column - 55) ** 2 <= 15**2
    draw_faz(axes, IMAGE, faz_shape(mask, GEOMETRY), GEOMETRY)
    assert legend(axes) == ["outline", "ellipse", "max Feret"]
    lines = {line.get_label(): line.get_xydata() for line in axes.lines}
    for name in ("outline", "ellipse"):
        radii = np.linalg.norm(lines[name] - (55, 40), axis=1)
        assert radii == pytest.approx(15, abs=0.8)
    feret = np.diff(lines["max Feret"], axis=0)
    assert np.linalg.norm(feret) == pytest.approx(31, abs=1)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert left < 40 < 70 < right
    assert top < 25 < 55 < bottom
    assert right - left == pytest.approx(bottom - top)


def test_no_two_colours_of_objects_are_one():
    for colours in (palette.OBJECTS, palette.OBJECTS_BESIDE):
        assert len(set(colours)) == 7
    assert palette.OBJECTS_BESIDE[-2:] == (palette.PREDICTION, palette.TRUTH)


def luminance(colour: str) -> float:
    parts = np.array(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("look", [palette.DARK, palette.LIGHT])
def test_text_stands_out_from_its_ground(look):
    for colour in (look.ink, look.faint):
        dark, bright = sorted([luminance(colour), luminance(look.ground)])
        assert (bright + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.2, 1.4.3
    assert len(set(look.lines)) == len(look.lines)
