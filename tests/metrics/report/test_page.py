"""Reports of one page, as they are laid out and as they are read back."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest

from napari_octa_sam2.errors import WriteError
from napari_octa_sam2.metrics.report.layout import Page
from napari_octa_sam2.metrics.report.page import Picture, write_report
from napari_octa_sam2.metrics.report.pdf import draw_page
from napari_octa_sam2.metrics.report.pictures import draw_enface, draw_slice_dice
from napari_octa_sam2.metrics.report.provenance import provenance
from napari_octa_sam2.metrics.report.typesetting import A4, INCH, MARGIN, wrapped
from napari_octa_sam2.metrics.results import Figure, Results, Row
from napari_octa_sam2.volume.geometry import ScanGeometry

TITLE = "Bericht über 10301 <OD> & $more$"
IMAGE = np.random.default_rng(0).random((24, 24))
PICTURES = (
    Picture("Dice <b>", lambda axes: draw_slice_dice(axes, [0, 1], {"a": [0.2, 0.9]})),
    Picture("Scan", lambda axes: draw_enface(axes, IMAGE, ScanGeometry())),
)


@pytest.fixture(scope="module")
def page(results, definitions):
    def make(results=results, pictures=(), title=TITLE):
        record = provenance()
        return Page(title, "subject " * 60, results, pictures, record, definitions)

    return make


@pytest.fixture(scope="module")
def crowded(results):
    """More of everything than fits, with the longest words."""
    figures = {
        "dice": Figure(0.5),
        "hd95": Figure(1.0, "um"),
        "vld": Figure(2, "mm^-1"),
    }
    rows = [
        Row(level, {"name": "W" * 90, "k": k, "and": "i " * 50}, figures)
        for level in ("class", "all", "region", "one more")
        for k in range(40)
    ]
    settings = {"setting": "w" * 2000}
    notes = tuple(f"note {k} " + "and so on " * 30 for k in range(20))
    return Results((*results.rows, *rows), settings, notes)


def texts_of(figure):
    return [text.get_text() for text in figure.texts if text.get_text().strip()]


def texts_with_boxes(figure):
    """Return texts and their boxes in points; as in a PDF, letters are not hinted."""
    figure.set_dpi(INCH)
    renderer = figure.canvas.get_renderer()
    shown = [text for text in figure.texts if text.get_text().strip()]
    with mpl.rc_context({"text.hinting": "none"}):
        return [(text.get_text(), text.get_window_extent(renderer)) for text in shown]


@pytest.mark.parametrize("pictures", [(), PICTURES, PICTURES * 3])
def test_nothing_overlaps_or_runs_off_the_page(page, crowded, pictures):
    figure = draw_page(page(crowded, pictures))
    found = texts_with_boxes(figure)
    slack = 1.5  # points
    for text, box in found:
        assert box.x0 >= MARGIN - slack, text
        assert box.x1 <= A4[0] - MARGIN + slack, text
        assert box.y0 >= MARGIN - slack, text
    for (one, a), (other, b) in combinations(found, 2):
        width = min(a.x1, b.x1) - max(a.x0, b.x0)
        height = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert width < slack or height < 0.25 * min(a.height, b.height), (one, other)


def test_tables_are_cut_and_say_what_is_missing(page, crowded):
    texts = texts_of(draw_page(page(crowded, PICTURES * 3)))
    assert any(re.match(r"… \d+ more rows in the CSV/XLSX", text) for text in texts)
    assert any(re.match(r"… \d+ more lines of notes", text) for text in texts)
    assert any(re.match(r"… \d+ more lines of settings", text) for text in texts)
    left = [text for text in texts if text.startswith("… more tables in the CSV/XLSX")]
    levels = {"Objects", "Slices", "Regions", "Classes", "All together", "One more"}
    shown = {level for level in levels if any(t.startswith(level) for t in texts)}
    told = set(left[0].partition(": ")[2].split(", "))
    assert told == {level.lower() for level in levels - shown}


def test_a_short_report_is_complete(page, results):
    rows = tuple(row for row in results.rows if row.level != "slice")
    texts = texts_of(draw_page(page(Results(rows), title="T")))
    assert not [text for text in texts if "more" in text]
    assert {"T", "Objects (4)", "Regions", "mm⁻¹", "12.50", "n/a", "18.50"} <= set(
        texts
    )
    told = " ".join(texts)
    assert "Hausdorff distance: max, in µm. 1993" in told
    assert "• not available, objects, HD95: expected a mask, found it empty" in told
    assert "numpy" in told


def test_pdf_is_one_page_with_a_title(tmp_path, results, definitions):
    path = write_report(
        tmp_path / "new/report.PDF",
        results,
        title="Report",
        pictures=PICTURES,
        definitions=definitions,
    )
    data = path.read_bytes()
    assert data.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b(?!s)", data)) == 1
    box = re.search(rb"/MediaBox \[\s*0 0 (\S+) (\S+)\s*\]", data)
    assert [float(n) for n in box.groups()] == pytest.approx(A4, abs=0.01)
    assert b"/Title (Report)" in data
    assert b"/Subtype /Type3" not in data  # outlines of which no text can be copied


class Outline(HTMLParser):
    """What a page is made of: texts by their element, and what it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.links: list[str] = []
        self.rows = {"shown": 0, "rest": 0}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.links += [given[k] for k in ("src", "href", "data") if k in given]
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "tr" and "tbody" in self.open:
            self.rows["rest" if given.get("class") == "rest" else "shown"] += 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


def test_html_stands_alone_and_holds_every_row(tmp_path, results, definitions):
    path = write_report(
        tmp_path / "report.html",
        results,
        title=TITLE,
        subject="$y$",
        pictures=PICTURES,
        definitions=definitions,
    )
    text = path.read_text("utf-8")
    found = Outline(text)
    assert not found.open
    assert found.texts["h1"] == [TITLE]
    assert "artère supérieure" in found.texts["td"]
    assert "_$x$ vein" in found.texts["td"]
    assert "=SUM(A1:A9)" in found.texts["td"]
    assert found.texts["td"].count("n/a") == 1
    assert sum(found.rows.values()) == len(results.rows)
    assert found.rows["rest"] > 0
    assert "mm⁻¹" in found.texts["small"]
    assert found.texts["dt"] == ["Dice", "HD95", "VLD"]
    assert len(found.links) == 2
    assert all(link.startswith("data:image/svg+xml;base64,") for link in found.links)
    assert "http" not in re.sub(r"base64,[\w+/=]+", "", text)
    assert "@page { size: A4" in text


def test_a_report_of_nothing_can_be_written(tmp_path, definitions):
    for suffix in (".html", ".pdf"):
        path = write_report(tmp_path / f"r{suffix}", Results(()), title="Nothing")
        assert path.stat().st_size > 1000


def test_more_than_six_pictures_are_left_out(page, results):
    figure = draw_page(page(results, PICTURES * 4))
    (part,) = figure.subfigs
    assert len(part.subfigs) == 6


def test_unknown_suffix_is_refused(tmp_path, results):
    with pytest.raises(WriteError, match=r"ends in \.pdf, \.html, found 'r\.docx'"):
        write_report(tmp_path / "r.docx", results, title="T")


def test_a_target_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="choose a folder that you may write to"):
        write_report(tmp_path / "file" / "r.pdf", Results(()), title="T")


def test_wrapping_loses_no_letter():
    text = "short " + "w" * 300 + " and the end"
    lines = wrapped(text, 6.0, 100.0)
    assert len(lines) > 5
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
