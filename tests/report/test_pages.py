import io
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from vlcli.api import Source
from vlcli.errors import VlcliError
from vlcli.evaluate.run import EvalResult, RefusedItem
from vlcli.evaluate.statistics import Metric
from vlcli.evaluate.zero_shot import Classified, Guess
from vlcli.registry import Registry
from vlcli.report.page import Card, Code, Facts, Figure, Grid, Metrics, Page, Prose, Table, number, render_page
from vlcli.report.pictures import Previews, contact_sheet, fitted, font
from vlcli.report.plots import confusion_plot, interval_plot, line_plot
from vlcli.report.results import write_classify_page, write_eval_page, write_search_page
from vlcli.store.types import Hit

EVIL = '<script>alert("1")</script>'


class Reader(HTMLParser):
    """Collects what a browser would fetch or run, and checks that every picture has a text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.handlers: list[str] = []
        self.alts: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.handlers += [name for name in values if name.startswith("on")]
        self.fetched += [values[name] or "" for name in ("src", "href", "data", "action", "poster") if name in values]
        if tag == "img":
            self.alts.append(values.get("alt"))


def check_page(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    assert not {"script", "iframe", "object", "embed", "link", "base"} & set(reader.tags)
    assert not reader.handlers
    assert all(target.startswith(("data:image/", "#")) for target in reader.fetched)
    assert not re.search(r"https?://|url\((?!#)|@import", html)
    assert all(reader.alts)
    assert "default-src 'none'" in html and "prefers-color-scheme:dark" in html and 'name="viewport"' in html
    return reader


def test_every_section_escapes_what_users_name(tmp_path: Path) -> None:
    page = Page(EVIL, [
        Prose([EVIL], EVIL, EVIL), Facts({EVIL: EVIL}, EVIL), Table([EVIL], [[EVIL]], EVIL),
        Metrics({EVIL: Metric(0.5, (0.4, 0.6), 0.1)}, EVIL), Grid([Card(EVIL, missing=EVIL, alt=EVIL)], EVIL),
        Grid([Card(EVIL, image="data:image/png;base64,AA", alt=EVIL)]), Code(EVIL, EVIL),
        Figure(EVIL, svg=line_plot({EVIL: [(0, 1), (1, 2)], "b": [(0, 2)]}, x=EVIL, y=EVIL), caption=EVIL),
        Figure(EVIL, svg=interval_plot({EVIL: (0.5, (0.4, 0.6))}, x=EVIL, chance=0.1)),
        Figure(EVIL, svg=confusion_plot([[3, 1], [0, 2]], [EVIL, "b"])),
    ], EVIL)  # fmt: skip
    html = render_page(page)
    check_page(html)
    assert "<script" not in html and html.count("&lt;script&gt;") >= 20


def test_search_page_with_an_evil_file_and_one_that_is_gone(
    tmp_path: Path, swatches: ModuleType, registry: Registry
) -> None:
    evil = tmp_path / "<img src=x onerror=alert(1)>.swatch"
    evil.write_text("255 0 0")
    gone = tmp_path / "gone.swatch"
    hits = [
        Hit(rank, score, str(path), str(path), "swatch", {}, EVIL)
        for rank, score, path in ((1, 0.5, evil), (2, 0.25, gone))
    ]
    path = write_search_page(tmp_path / "page.html", EVIL, [(EVIL, hits), ("nothing", [])], registry)
    reader = check_page(path.read_text())
    assert reader.alts == [str(evil)]
    html = path.read_text()
    assert "width:100.0%" in html and "width:50.0%" in html and "No results" in html and "can not be read" in html


def test_text_hits_and_vectors_without_a_source(tmp_path: Path, swatches: ModuleType, registry: Registry) -> None:
    hits = [Hit(1, 0.9, "a#1", None, "text", {}, "a sentence"), Hit(2, -0.1, "a#2", None, "text", {}, None)]
    html = write_search_page(tmp_path / "p.html", "q", [("q", hits)], registry).read_text()
    check_page(html)
    assert "a sentence" in html and "neither a file nor a text" in html


def test_a_picture_shown_often_is_made_once(tmp_path: Path, swatches: ModuleType, registry: Registry) -> None:
    file = swatches.write_swatches(tmp_path, 1)[0]
    previews = Previews(registry, 64)
    first = previews.of("swatch", Source(str(file), path=file))
    file.unlink()
    assert previews.of("swatch", Source(str(file), path=file)) is first and first.image.startswith("data:image/")


def test_classify_and_eval_pages(tmp_path: Path, swatches: ModuleType, registry: Registry) -> None:
    file = swatches.write_swatches(tmp_path, 1)[0]
    results = [
        Classified(str(file), Source(str(file), path=file), "swatch", (Guess("red", 0.9, 0.75), Guess("b", 0.1, 0.25))),
        Classified(EVIL, code="D1", reason=EVIL),
    ]
    html = write_classify_page(tmp_path / "c.html", results, ["red", "b"], registry, space="s").read_text()
    check_page(html)
    assert "75%" in html and "1 inputs" in html
    outcome = EvalResult(
        "zero-shot", 4, {"accuracy": Metric(0.5, (0.25, 0.75), 0.5), "loss": Metric(float("nan"))},
        [RefusedItem(EVIL, "D1", EVIL)],
        {"labels": [EVIL, "b"], "confusion": [[1, 1], [1, 1]], "per_class": {EVIL: {"n": 2, "accuracy": 0.5}},
         "probe": {"C": 0.1, "validation_accuracy": {0.1: 1.0}}, "split": "test"},
    )  # fmt: skip
    html = write_eval_page(tmp_path / "e.html", outcome, space=EVIL, data=EVIL).read_text()
    check_page(html)
    assert "0.250 – 0.750" in html and "<script" not in html


def test_names_that_are_not_utf8_do_not_break_a_page(tmp_path: Path) -> None:
    html = render_page(Page("a\udcff", [Table(["x"], [["b\udcfe"]]), Grid([Card("c\udcfd", alt="c")])]))
    html.encode("utf-8")
    assert "a\\xff" in html


def test_contact_sheet_shows_every_picture_and_fits_labels() -> None:
    pictures = []
    for colour, mode, size in (("red", "RGB", (300, 100)), ("blue", "RGBA", (20, 20)), ("green", "P", (64, 200))):
        buffer = io.BytesIO()
        Image.new(mode if mode != "P" else "RGB", size, colour).convert(mode).save(buffer, "PNG")
        pictures.append(buffer.getvalue())
    data = contact_sheet(pictures, ["one", "a label far too long for its cell, really", "three\nlines"],
                         columns=2, size=100, title="Title")  # fmt: skip
    with Image.open(io.BytesIO(data)) as sheet:
        assert sheet.format == "PNG" and sheet.width == 2 * 110 + 10
        colours = {colour for _, colour in sheet.convert("RGB").getcolors(1 << 20)}
    assert {(255, 0, 0), (0, 0, 255), (0, 128, 0)} <= colours
    assert font(12).getlength(fitted("x" * 200, font(12), 80)) <= 80
    with pytest.raises(VlcliError, match="E501"):
        contact_sheet([], [])


def test_plots_take_the_pages_colour_and_thin_long_curves() -> None:
    svg = line_plot({"loss": [(step, 1 / (step + 1)) for step in range(50_000)]})
    assert "currentColor" in svg and "#010203" not in svg and len(svg) < 60_000
    assert "xmlns" not in svg and "<metadata" not in svg and svg.startswith("<svg")


@pytest.mark.parametrize(("value", "text"), [
    (0.12345, "0.123"), (12.345, "12.3"), (12345.6, "12,346"), (float("nan"), "–"), (0.0, "0.000"), (1e-5, "1.0e-05"),
])  # fmt: skip
def test_numbers_for_people(value: float, text: str) -> None:
    assert number(value) == text
