"""The comparison of phantoms with real images measures what it says."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).parent.parent / "docs" / "phantom_statistics.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    if not SCRIPT.is_file():
        pytest.skip("the documentation is not beside the tests")
    return runpy.run_path(str(SCRIPT))


def test_width_of_stripes(script):
    mask = np.zeros((60, 90), bool)
    mask[20:25] = True
    assert np.median(script["widths"](mask, 10.0)) == pytest.approx(50)


def test_contrast_is_the_ratio_of_grey_levels(script):
    mask = np.zeros((40, 40), bool)
    mask[18:21] = True
    assert script["contrast"](np.where(mask, 200, 50), mask) == pytest.approx(4)


def test_slope_of_noise(script):
    rng = np.random.default_rng(0)
    white = rng.standard_normal((256, 256))
    assert script["slope"](white) == pytest.approx(0, abs=0.1)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    steep = np.fft.fft2(white) / np.maximum(frequency, 1e-3)
    assert script["slope"](np.fft.ifft2(steep).real) == pytest.approx(-2, abs=0.2)


def test_power_of_a_wave_lies_in_its_band(script):
    x = np.arange(200)
    for cycles, band in ((0.03, 0), (0.125, 1), (0.35, 2)):
        image = np.sin(2 * np.pi * cycles * x)[None] + np.zeros((200, 1))
        assert script["band_shares"](image)[band] > 0.95


def test_histogram_distance_is_the_shift_of_grey_levels(script):
    a = np.random.default_rng(1).integers(0, 200, (50, 50))
    assert script["histogram_distance"]([a], [a + 12]) == pytest.approx(12)


def test_page_is_filled_between_its_marks(script, tmp_path):
    page = tmp_path / "page.md"
    begin, end = script["MARKS"]
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n", "utf-8")
    script["write_page"]("| new |", page)
    text = page.read_text("utf-8")
    assert text == f"before\n{begin}\n| new |\n{end}\nafter\n"


@pytest.mark.slow
def test_table_and_pictures_from_real_samples(script, realdata, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("\n".join(script["MARKS"]), "utf-8")
    out = tmp_path / "images"
    wanted = ["--realdata", str(realdata), "--out", str(out), "--page", str(page)]
    script["main"]([*wanted, "--count", "2"])
    rows = page.read_text("utf-8").splitlines()
    assert any(r.startswith("| contrast") and "(n=2)" in r for r in rows)
    assert any("are real" in r for r in rows)
    for name in ("enface", "slices", "statistics"):
        with Image.open(out / f"phantom-{name}.png") as picture:
            assert min(picture.size) > 500
