import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from vlcli.api import Source, View
from vlcli.errors import VlcliError
from vlcli.registry import Registry
from vlcli.report import pictures
from vlcli.report.page import Card, Grid, Page, data_uri, render_page
from vlcli.report.pictures import Previews
from vlcli.report.views import HOST, read_script, view_scripts

EVIL = '</script><script>alert("1")</script><!--'
PICTURE = "data:image/png;base64,AA"


class Scripts(HTMLParser):
    """Collects the scripts of a page and its content security policy."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.run: list[tuple[str | None, str]] = []
        self.blocks: list[str] = []
        self.policy = ""
        self.inside: dict[str, str | None] | None = None
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "script":
            self.inside, self.text = values, ""
        if tag == "meta" and values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"] or ""

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "script" and self.inside is not None:
            if self.inside.get("type") == "application/json":
                self.blocks.append(self.text)
            else:
                self.run.append((self.inside.get("data-viewer"), self.text))
            self.inside = None


def parse(html: str) -> Scripts:
    reader = Scripts()
    reader.feed(html)
    return reader


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    folder = tmp_path / "viewing_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "spin.js").write_text("vlcli.viewer(function (canvas, data, reduced) { return {}; });\n")
    (folder / "evil.js").write_text('"</SCRIPT>"')
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    read_script.cache_clear()
    sys.modules.pop(folder.name, None)


def test_a_page_runs_its_viewers_and_no_other_script(package: str) -> None:
    view = View(f"{package}:spin.js", {"name": EVIL, "numbers": [1.5, 2]})
    cards = [Card(EVIL, PICTURE, alt=EVIL, view=view), Card("second", PICTURE, alt="second", view=view)]
    reader = parse(render_page(Page(EVIL, [Grid(cards)])))
    assert [name for name, _ in reader.run] == [HOST, view.script]
    assert [json.loads(block) for block in reader.blocks] == [view.data, view.data]
    allowed = re.search(r"script-src ([^;]+)", reader.policy)
    assert allowed is not None
    assert allowed.group(1).split() == [f"'{script.hash}'" for script in view_scripts([view])]
    assert "unsafe-inline'; script-src" in reader.policy and "default-src 'none'" in reader.policy
    assert [text for _, text in reader.run] == [script.text for script in view_scripts([view])]


def test_a_page_without_views_has_no_script() -> None:
    html = render_page(Page("plain", [Grid([Card("a", PICTURE, alt="a")])]))
    assert "<script" not in html and "script-src" not in html


@pytest.mark.parametrize("name", ["{}:evil.js", "{}:gone.js", "no_such_package:x.js"])
def test_scripts_that_can_not_be_embedded(package: str, name: str) -> None:
    with pytest.raises(VlcliError, match="E511"):
        render_page(Page("x", [Grid([Card("a", PICTURE, alt="a", view=View(name.format(package), {}))])]))


def test_numbers_that_json_does_not_know(package: str) -> None:
    view = View(f"{package}:spin.js", {"x": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        render_page(Page("x", [Grid([Card("a", PICTURE, alt="a", view=view)])]))


def test_previews_carry_views_up_to_a_limit(
    registry: Registry, swatches: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MOST_VIEWS", 1)
    files = [tmp_path / "a.swatch", tmp_path / "b.swatch"]
    for file in files:
        file.write_text("255 0 0")
    previews = Previews(registry)
    reader = registry.load(registry.find("modality", "swatch"))
    monkeypatch.setattr(reader, "view", lambda self, source: View("x:y.js", {"id": source.id}), raising=False)
    made = [previews.of("swatch", Source(id=str(file), path=file)) for file in (*files, files[0])]
    assert [preview.view is not None for preview in made] == [True, False, True]
    assert made[0].view is not None and made[0].view.data == {"id": str(files[0])}


def test_a_browser_starts_the_views(package: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium is installed: views were not run in a browser")
    script = (
        "vlcli.viewer(function (canvas, data) {"
        " if (data.fails) throw new Error('as asked');"
        " canvas.dataset.started = data.word + canvas.width; fetch('https://example.org').catch(function () {"
        " canvas.dataset.fetched = 'refused'; }); });"
    )
    (tmp_path / package / "draw.js").write_text(script)
    name = f"{package}:draw.js"
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    pixel = data_uri(buffer.getvalue(), "image/png")
    words = [View(name, {"word": "<drawn>"}), View(name, {"fails": True})]
    page = tmp_path / "page.html"
    page.write_text(render_page(Page("x", [Grid([Card("a", pixel, alt="a", view=view) for view in words])])))
    # The browser's budget of time may end before its first frame on a loaded machine: then it is asked again.
    for _ in range(4):
        shown = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
             "--virtual-time-budget=3000", "--dump-dom", page.as_uri()],
            capture_output=True, text=True, timeout=120, check=True,
        ).stdout  # fmt: skip
        canvases = re.findall(r"<canvas[^>]*>", shown)
        if any("data-fetched" in canvas for canvas in canvases):
            break
    assert len(canvases) == 1, "the view that fails keeps its picture"
    assert 'data-started="&lt;drawn&gt;' in canvases[0] or 'data-started="<drawn>' in canvases[0]
    assert 'data-fetched="refused"' in canvases[0] and 'aria-label="a"' in canvases[0]
    assert shown.count("hidden") >= 1
